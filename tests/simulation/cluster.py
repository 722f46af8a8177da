"""A whole simulated cluster: nodes, operators, an application that writes, and the checkers that look on."""

import itertools
from collections.abc import Callable
from contextlib import nullcontext

from agent.core.limits import HOLD_STAND_NS, LATELY_NS, PREFER_LAST_NS, STABLE_NS
from manager.model.codec import decode, encode
from manager.model.reasons import Reason
from manager.model.records import (
    ClusterIdentity,
    HistoryRecord,
    InsyncRecord,
    MemberRecord,
    PrimaryRecord,
)
from manager.model.states import ModuleState, Readiness, Run
from manager.store.api import Changes
from replicator.core.completions import Gate
from tests.simulation.checkers import (
    Applications,
    Copies,
    Flapping,
    Progress,
    Promises,
    StoreChecker,
    Violation,
    require_nothing_ahead,
)
from tests.simulation.clockwork import MS_NS, SECOND_NS, Clockwork
from tests.simulation.given_up import GivenUp
from tests.simulation.machine import CLUSTER, MODULE, Machine
from tests.simulation.network import Network
from tests.simulation.operating import (
    decide,
    force_what_is_left,
    put_disks_right,
    put_later_copies_right,
    restart_failed,
)
from tests.simulation.plan import Plan
from tests.simulation.primary import PEER_TIMEOUT_NS
from tests.simulation.seat import Seat
from tests.simulation.spoiling import understood, unspoiled
from tests.simulation.standing import (
    Forced,
    Registrations,
    require_all_new,
    require_back,
    require_decided,
    require_said,
    require_told,
    require_whole,
)
from tests.simulation.stream import Place
from tests.simulation.to_and_fro import ToAndFro
from tests.simulation.volume import equal
from tests.simulation.words import BY_WORD
from tests.simulation.workload import Workload

KEYS = CLUSTER.module(MODULE)
BOUND_NS = 150 * SECOND_NS
"""After healing a cluster is PRIM and SECOND within this time: every limit of the core fits in it."""
SERVES_WITHIN_NS = PREFER_LAST_NS + HOLD_STAND_NS + 10 * SECOND_NS
"""While a node of the record that may stand is there, the module serves within this time and two leases': what is left
of the key's lease, a promise (less than another TTL), the turn of the last primary and that of a node which has
resigned, and ten seconds for requests that fail, to stand and to start."""
_LOOK_NS = 500 * MS_NS
_WRONG_NS = 15 * SECOND_NS
"""For so long after it two may serve, where an operator said of one that it was off."""
_OPERATOR_NS = 5 * SECOND_NS
"""How often an operator comes by, once all is healed."""


class Cluster(Seat):
    """One run."""

    def __init__(self, seed: int, plan: Plan) -> None:
        """With the module applied, nothing started."""
        self.seed, self.plan = seed, plan
        self.clock = Clockwork(seed, steady=plan.steady)
        self.network = Network(self.clock)
        self.promises, self.applications = Promises(), Applications()
        self.copies, self.registrations = Copies(), Registrations()
        ttl_ns = plan.ttl_s * SECOND_NS
        self.absent_ns = (PEER_TIMEOUT_NS + ttl_ns) * 95 // 100
        """How long nobody else was registered where a node without its memory stands, by the fastest clock."""
        self.to_and_fro = ToAndFro(len(plan.nodes))
        self.progress, self.flapping = (
            Progress(2 * ttl_ns + SERVES_WITHIN_NS),
            Flapping(STABLE_NS * 95 // 100, LATELY_NS * 95 // 100),
        )
        self.log: list[tuple[int, str]] = []
        place = Place(self.clock, self.network, self.promises, {}, itertools.count(1), plan.parts, {}, self.note,
                      plan.slow_disks, tracks=len(plan.nodes) == 2)  # fmt: skip
        self._whole, self.words, self.restored = place.whole, place.words, place.restored
        self.nodes = {name: Machine(place, name, plan, self.applications) for name in plan.nodes}
        place.machines.update(self.nodes)
        self.forced = Forced(self.nodes)
        place.on_silent = lambda one, other: self.forced.silent(one, other, self.clock.now_ns)
        place.on_off = lambda one, other: self.forced.off.add((one, other))
        self.store = StoreChecker(KEYS.primary, KEYS.insync)
        self.store.named |= {plan.initial_primary} - {""}
        self.hasty: set[str] = set()
        """Whom the operator has named without looking at the other copies: what those have is given up with that. And
        with what he names in another etcd later: epochs of before and after do not tell which copy is newer."""
        self.given_up = GivenUp()
        self.stuck = 0
        """How often in a row it was found that nobody who is listed has a whole copy."""
        self.later_copies: dict[str, int] = {}
        """How often a node was found whose disk has seen what etcd does not know of, beside one that serves."""
        for machine in self.nodes.values():
            machine.copy.on_loss = self._lost
        self._unfit: Violation | None = None
        """Why the node that was promoted last must not serve."""
        self._before = ""
        """The last primary before the one that was promoted last."""
        self._requests = itertools.count(1)
        self._node_keys = {CLUSTER.node(name): name for name in plan.nodes}
        self.clock.etcd.subscribe(self._changed)
        self.put(CLUSTER.identity, encode(ClusterIdentity("cluster", "")))
        self.configure(plan.failover)
        self.promises.on_complete = self._completed
        self.promises.on_serve = self._serves
        self.workload = Workload(self, seed)
        self._look()

    # The checkers

    @property
    def memories(self) -> dict[str, int]:
        """How often each node has lost its memory."""
        return {name: node.copy.memories for name, node in self.nodes.items()}

    def _changed(self, changes: Changes) -> None:
        for event in changes.events:
            if event.key in self._node_keys:
                name = self._node_keys[event.key]
                self.registrations.note(name, self.clock.now_ns, present=event.kv is not None)
        before, holder = self.store.record, self.store.primary
        self.store.on_changes(changes)
        after, now = self.store.record, self.store.primary
        if now != holder:
            self.note("no primary key" if now is None else f"primary key: {now.node}, epoch {now.epoch}")
        if after is None or after == before:
            return
        if before is None and after.because == Reason.INITIAL_PRIMARY:
            known = [name for name, node in self.nodes.items() if node.copy.identity is not None]
            require_all_new(after.last_primary, set(self.nodes) - self.registrations.present, known)
        if before is None or after.epoch > before.epoch:
            self._promoted(before, after)
        begun = before is not None and after.epoch > before.epoch
        if after.decided == after.epoch and (begun or before is None):
            self.restored.undecided = False
        if self.decided:
            joined = {h.node: self._whole[h.instance] for h in after.holders if h.instance in self._whole}
            self.copies.record(before, after, self.memories, joined)
        self.flapping.record(before, after, self.clock.now_ns)
        released = ", released" if after.released == after.epoch else ""
        self.note(f"record {after.number}: epoch {after.epoch}, {' '.join(sorted(after.nodes))}{released}")
        self._completed()

    def _serves(self, node: str) -> None:
        if self._unfit is not None:
            raise self._unfit
        former = self._before
        if former in self.nodes and former != node and self.copies.kept(node, self.memories):
            require_nothing_ahead(former, self.nodes[former].copy.cache, node, self.nodes[node].copy.cache)
        self.copies.served(node, self.memories)

    def _promoted(self, before: InsyncRecord | None, after: InsyncRecord) -> None:
        node, memories, self._unfit = after.last_primary, self.memories, None
        self.to_and_fro.promoted(after.because, self.clock.now_ns)
        if not self.decided:
            self._judge(lambda: require_decided(node, after))
        if after.decided == after.epoch and self.clocks_are_right:
            ttl_ns = self.plan.ttl_s * SECOND_NS * 95 // 100
            self._judge(lambda: self.restored.decides(node, self.clock.now_ns, ttl_ns))
        if before is not None and node not in before.nodes:
            self._forced(before, after)
            return
        if not self.decided and self.hasty and after.because in BY_WORD:
            self._named_unseen(after)
            return
        # What a restored store says of the last primary is old.
        self._before = before.last_primary if before is not None and self.decided else ""
        lost = node in self.copies.memory and not self.copies.kept(node, memories)
        self.nodes[node].memory_given_up = lost
        if not lost or before is None or not self.decided:
            return
        others = before.nodes - {node}
        keepers = [n for n in others if self.copies.kept(n, memories)]
        if others:
            self._judge(lambda: require_said(node, after.because))
        if self.plan.after_power_loss == "wait" and after.because != Reason.PROMOTED_BY_OPERATOR:
            self._judge(lambda: require_back(node, others - self.registrations.present))
        if self.clocks_are_right:
            # An operator may do without that others were away for long.
            least_ns = 0 if Reason.REBOOTED_SINCE_LISTED in self._accepted(after) else self.absent_ns
            self._judge(lambda: self.registrations.judge(node, keepers, self.clock.now_ns, least_ns))

    def _accepted(self, after: InsyncRecord) -> frozenset[str]:
        """What the operator knew to be against it, by whose word an epoch has begun."""
        by_word = after.because in BY_WORD
        return self.words.stood.get(after.last_primary, frozenset()) if by_word else frozenset()

    def _judge(self, judge: Callable[[], None]) -> None:
        """The request may have been under way when the node lost its memory, or etcd was replaced: what counts is
        whether it serves."""
        try:
            judge()
        except Violation as violation:
            self._unfit = self._unfit or violation

    def _forced(self, before: InsyncRecord, after: InsyncRecord) -> None:
        """An operator had a copy go on that the record did not list: what it lacks is given up from now on (S12)."""
        self._before = ""
        self.nodes[after.last_primary].memory_given_up = False
        self.forced.judge(after.last_primary, before.last_primary, self.registrations.present, self.clock.now_ns)
        newer = before.nodes & self.registrations.present
        if newer:
            raise Violation(f"S12: {after.last_primary} was forced, and {sorted(newer)}, which are listed, are there")
        self._give_up(after)

    def _named_unseen(self, after: InsyncRecord) -> None:
        """An operator has named a copy in another etcd, and others were away, or not looked at."""
        node, self._before = after.last_primary, ""
        self.nodes[node].memory_given_up = False
        if after.because == Reason.FIRST_START:
            self._unfit, self.restored.undecided = None, False  # Nothing that is there has ever had the data.
        serving = {name for name, machine in self.nodes.items() if name != node and machine.application_runs}
        self.forced.wrong |= serving - self.registrations.present
        self._give_up(after)

    def _give_up(self, after: InsyncRecord) -> None:
        """What the copy that goes on lacks: P1 to P4 are of what it has from now on."""
        node, copies = after.last_primary, {name: machine.copy for name, machine in self.nodes.items()}
        if copies[node].joining:
            self._judge(lambda: require_whole(node))
        given = self.promises.force(after.epoch, copies[node].cache, copies[node].disk)
        self.given_up.judge(node, given, copies)
        told = self.clock.etcd.get_now(KEYS.history(after.epoch))
        require_told(after, None if told is None else decode(HistoryRecord, told.value))
        self._doubt_wrong()

    def _lost(self) -> None:
        self.given_up.lost(self.promises.completed, [node.copy for node in self.nodes.values()])

    def _doubt_wrong(self) -> None:
        """While one serves that was said to be off, two may, and what is read there is old."""
        if self.forced.is_wrong:
            now_ns = self.clock.now_ns
            self.applications.doubted_until_ns = max(self.applications.doubted_until_ns, now_ns + _WRONG_NS)

    def _completed(self) -> None:
        copies = {name: node.copy.cache for name, node in self.nodes.items()}
        self.copies.check(self.promises.completed, copies, self.memories)

    @property
    def decided(self) -> bool:
        """An operator has named a copy since the store was restored, which lists what once was."""
        return not self.restored.undecided

    @property
    def clocks_are_right(self) -> bool:
        """To within what is taken off."""
        return self.clock.now_ns > self.applications.doubted_until_ns

    def is_excused(self, node: Machine) -> bool:
        """Nothing ran on it that could have killed its application, until less than a second ago."""
        return self.clock.now_ns < self.applications.excused_until_ns.get(node.name, 0)

    def _look(self) -> None:
        """Whether the module serves, and who could; who answers whom."""
        self.forced.look(self.clock.now_ns)
        self._doubt_wrong()
        serves = any(n.application_runs and n.replicator is not None and n.replicator.serves
                     for n in self.nodes.values())  # fmt: skip
        self.restored.look(name for name, node in self.nodes.items() if self._serves_in_sight(node))
        able = [] if serves else [name for name in self.nodes if self._could_serve(name)]
        self.progress.look(self.clock.now_ns, possible=bool(able), serves=serves, who=" ".join(able))
        self.clock.after(_LOOK_NS, self._look)

    def _serves_in_sight(self, node: Machine) -> bool:
        """It serves, and its agent sees the etcd of now, and could have ended that."""
        agent, replicator = node.agent, node.replicator
        if agent is None or agent.actor.frozen or not agent.sees_etcd or node.kill_fails:
            return False
        has_just_begun = self.clock.now_ns < agent.began_ns + self.plan.ttl_s * SECOND_NS
        if has_just_begun or replicator is None or replicator.actor.frozen or not replicator.serves:
            return False
        # One that has frozen for a hand-over has nothing left to end.
        return replicator.primary is not None and not replicator.primary.completions.is_shut(Gate.FROZEN)

    def _could_serve(self, name: str) -> bool:
        """Listed, with its memory, wanted, running, with the store and nothing done to anyone lately."""
        record, node = self.store.record, self.nodes[name]
        if record is None or name not in record.nodes or not self.decided or not self.copies.kept(name, self.memories):
            return False
        if node.agent is None or node.is_frozen or node.copy.full or node.kill_fails or not node.agent.link.reaches:
            return False
        others_fail = self.failover_is_off(name) and record.last_primary != name
        if node.agent.state.app_failed or node.addresses_fail or self._waits_for_key() or self._waits_for_address():
            return False  # It waits for an operator.
        # What is not understood is what it was, for those who knew it.
        wants = node.agent.state.wants_run if self._is_spoiled(KEYS.desired(name)) else self.wants(name)
        return wants and not others_fail and node.copy.vouches() is not None

    def _waits_for_key(self) -> bool:
        """Nothing is decided before an operator puts a key right; nor ends a primary key that has no lease."""
        primary = self.clock.etcd.get_now(KEYS.primary)
        return self._is_spoiled(KEYS.primary, KEYS.insync) or (primary is not None and not primary.lease)

    def _waits_for_address(self) -> bool:
        """Another machine has it, and the primary stays: elsewhere it would be in use as well."""
        return bool(self.primary) and self.nodes[self.primary].addresses_fail == "in_use"

    def note(self, text: str) -> None:
        """For the story."""
        self.log.append((self.clock.now_ns, text))

    # Another etcd

    def restore_store(self) -> None:
        """From its backup."""
        self.clock.etcd.restore()
        self._begins_anew()

    def rebuild_store(self) -> None:
        """Empty; then ``module apply --adopt`` with the folder as it was, and ``start``."""
        kept = self.clock.etcd.get_now(KEYS.config)
        self.note("(the store is rebuilt)")
        self.clock.etcd.rebuild()
        self._begins_anew()
        self.put(CLUSTER.identity, encode(ClusterIdentity("cluster", "")))
        if kept is not None:
            self.put(KEYS.config, unspoiled(kept.value))
        self.want(Run.STARTED)

    def _begins_anew(self) -> None:
        """Nothing that the checkers know of the store counts any more: nobody may serve before an operator decides."""
        etcd, now_ns = self.clock.etcd, self.clock.now_ns
        insync, primary = etcd.get_now(KEYS.insync), etcd.get_now(KEYS.primary)
        self.restored.begins(etcd.store_id, now_ns)
        self.flapping.forget()
        for key, name in self._node_keys.items():
            self.registrations.note(name, now_ns, present=etcd.get_now(key) is not None)
        self.store.restored(
            None if insync is None else decode(InsyncRecord, unspoiled(insync.value)),
            None if primary is None else decode(PrimaryRecord, unspoiled(primary.value)),
        )

    # What is there

    def member(self, node: str) -> MemberRecord | None:
        """As published."""
        kv = self.clock.etcd.get_now(KEYS.member(node))
        return None if kv is None else understood(MemberRecord, kv.value)

    def states(self) -> dict[str, str]:
        """Node to its state, readiness and reason."""
        found = {node: self.member(node) for node in self.plan.nodes}
        return {n: "-" if m is None else f"{m.state} {m.readiness} {m.reason}" for n, m in found.items()}

    @property
    def is_whole(self) -> bool:
        """One PRIM, all others SECOND, all at rest."""
        record = self.store.record
        if record is None or len(record.holders) != len(self.plan.nodes):
            return False
        members = [self.member(node) for node in self.plan.nodes]
        ready = [m.state for m in members if m is not None and m.readiness is Readiness.READY]
        return sorted(ready) == [ModuleState.PRIM] + [ModuleState.SECOND] * (len(self.plan.nodes) - 1)

    @property
    def primary(self) -> str:
        """The node of the primary key; empty: there is none."""
        return "" if self.store.primary is None else self.store.primary.node

    # The course of a run

    def begin(self) -> None:
        """First start: the operator names a node, and both come together."""
        for node in self.nodes.values():
            node.start()
        self.want(Run.STARTED)
        named = self.clock.random.choice(self.plan.nodes)
        if not self.plan.initial_primary:
            self.request("prim", named)
        self.must("the first start", lambda: self.is_whole)
        for node in self.nodes.values():
            node.fails = self.plan.store_faults / 4

    def must(self, what: str, until: Callable[[], bool], bound_ns: int = BOUND_NS) -> None:
        """It comes about within the bound, or the run has failed."""
        end_ns = self.clock.now_ns + bound_ns
        while not until():
            if self.clock.now_ns >= end_ns:
                seconds = bound_ns // SECOND_NS
                raise Violation(f"{what}: not within {seconds} s: {self.states()}; {self.store.record}")
            self.clock.run_for(250 * MS_NS)

    def heal(self) -> None:
        """No more faults: all links, all machines, and the operator wants it to run everywhere."""
        self.network.heal()
        self.clock.etcd.come_back(leases=True)
        self.mend()
        put_disks_right(self)
        for node in self.nodes.values():
            node.faults = node.fails = 0
            node.thaw()
            node.copy.full = node.broken = node.fence_fails = node.kill_fails = False
            node.addresses_fail = ""
            if node.agent is None:
                self.flapping.forget()
            node.start()
            if node.agent is not None:
                node.agent.link.calm()
        self.want(Run.STARTED)
        self.maintain(on=False)
        for name in self.plan.nodes:
            self.request("restart", name)

    def end(self) -> None:
        """Healed, it converges within the bound, and at rest the copies are equal."""
        self.note("healing")
        self.heal()
        self.clock.run_for((self.plan.ttl_s + 2) * SECOND_NS)  # Until then a dead agent's keys look like a live one's.
        self._operate()
        self.must("convergence", lambda: self.is_whole)
        self.clock.run_for(2 * SECOND_NS)
        self.workload.writes = False
        self.must("rest", self._is_at_rest)
        self.clock.run_for(500 * MS_NS)
        if not equal(node.copy for node in self.nodes.values()):
            raise Violation(f"at rest the copies differ: {[n.copy.cache for n in self.nodes.values()]}")

    def _operate(self) -> None:
        """An operator comes by, now and then."""
        decide(self)
        restart_failed(self)
        if self.hasty:
            put_later_copies_right(self)
            force_what_is_left(self)
        self.clock.after(_OPERATOR_NS, self._operate)

    def _is_at_rest(self) -> bool:
        primaries = [n.replicator.primary for n in self.nodes.values() if n.replicator is not None]
        return all(primary is None or primary.completions.idle for primary in primaries)

    @property
    def as_broken(self) -> "nullcontext[None]":
        """What the variant wants patched while the run lasts."""
        around = self.plan.parts.around
        return nullcontext() if around is None else around()
