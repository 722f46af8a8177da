"""What is judged while a simulated cluster runs: each change of its record, and whether it serves when it could.

What a judge knows by itself is in ``checkers`` and ``standing``; here is what is asked of which of them, and when, and
what is excused by what was done to the cluster.
"""

from collections.abc import Callable

from agent.core.serving import next_offer_ns
from manager.model.codec import decode
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord, InsyncRecord
from manager.store.api import Changes
from replicator.core.completions import Gate
from tests.simulation.checkers import Applications, Copies, Progress, Promises, Violation, require_nothing_ahead
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.given_up import GivenUp
from tests.simulation.machine import Machine
from tests.simulation.restored import Restored
from tests.simulation.seat import Seat
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
from tests.simulation.views import KEYS
from tests.simulation.words import BY_WORD

_LOOK_NS = 500 * MS_NS
_WRONG_NS = 15 * SECOND_NS
"""For so long after it two may serve, where an operator said of one that it was off."""


class Judging(Seat):
    """Of the cluster that has it, whose parts these are."""

    promises: Promises
    applications: Applications
    copies: Copies
    registrations: Registrations
    progress: Progress
    forced: Forced
    given_up: GivenUp
    restored: Restored
    absent_ns: int
    """How long nobody else was registered where a node without its memory stands, by the fastest clock."""
    hasty: set[str]
    """Whom the operator has named without looking at the other copies: what those have is given up with that. And
    with what he names in another etcd later: epochs of before and after do not tell which copy is newer."""
    log: list[tuple[int, str]]
    _whole: dict[str, int]
    _node_keys: dict[str, str]
    _unfit: Violation | None
    """Why the node that was promoted last must not serve."""
    _before: str
    """The last primary before the one that was promoted last."""

    def note(self, text: str) -> None:
        """For the story."""
        self.log.append((self.clock.now_ns, text))

    @property
    def memories(self) -> dict[str, int]:
        """How often each node has lost its memory."""
        return {name: node.copy.memories for name, node in self.nodes.items()}

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

    @property
    def primary(self) -> str:
        """The node of the primary key; empty: there is none."""
        return "" if self.store.primary is None else self.store.primary.node

    # A change of the record

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
        # A request that was under way when etcd was replaced tells of what an operator had decided in the one before.
        if after.decided == after.epoch and (begun or before is None) and not self.clock.etcd.is_not_meant:
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

    # Whether it serves

    def _look(self) -> None:
        """Whether the module serves, and who could; who answers whom."""
        self.forced.look(self.clock.now_ns)
        self._doubt_wrong()
        serves = any(n.application_runs and n.replicator is not None and n.replicator.serves
                     for n in self.nodes.values())  # fmt: skip
        self.restored.look(name for name, node in self.nodes.items() if self._serves_in_sight(node))
        able = [] if serves else [name for name in self.nodes if self._could_serve(name)]
        pauses = not serves and any(map(self._pauses, self.nodes.values()))
        self.progress.look(self.clock.now_ns, possible=bool(able), serves=serves, pauses=pauses, who=" ".join(able))
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

    def _pauses(self, node: Machine) -> bool:
        """It keeps its place for a while: a swap has broken off, or a hand-over was not taken."""
        state = None if node.agent is None else node.agent.state
        return state is not None and state.is_primary and node.clock.now_ns < next_offer_ns(state)

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
