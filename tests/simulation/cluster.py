"""A whole simulated cluster: nodes, operators, an application that writes, and the course of a run.

The checkers that look on are asked by :mod:`tests.simulation.judging`.
"""

import itertools
from collections.abc import Callable

from agent.core.limits import HOLD_STAND_NS, LATELY_NS, NEXT_OFFER_NS, PREFER_LAST_NS, STABLE_NS
from manager.model.codec import decode, encode
from manager.model.records import ClusterIdentity, InsyncRecord, MemberRecord, PrimaryRecord
from manager.model.states import ModuleState, Readiness, Run
from tests.simulation.checkers import Applications, Copies, Flapping, Progress, Promises, StoreChecker, Violation
from tests.simulation.clockwork import MS_NS, SECOND_NS, Clockwork
from tests.simulation.given_up import GivenUp
from tests.simulation.judging import Judging
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
from tests.simulation.spoiling import understood, unspoiled
from tests.simulation.standing import Forced, Registrations
from tests.simulation.stream import Place
from tests.simulation.to_and_fro import ToAndFro
from tests.simulation.volume import equal
from tests.simulation.workload import Workload

KEYS = CLUSTER.module(MODULE)
BOUND_NS = 150 * SECOND_NS
"""After healing a cluster is PRIM and SECOND within this time: every limit of the core fits in it."""
SERVES_WITHIN_NS = PREFER_LAST_NS + HOLD_STAND_NS + 10 * SECOND_NS
"""While a node of the record that may stand is there, the module serves within this time and two leases': what is left
of the key's lease, a promise (less than another TTL), the turn of the last primary and that of a node which has
resigned, and ten seconds for requests that fail, to stand and to start."""
_OPERATOR_NS = 5 * SECOND_NS
"""How often an operator comes by, once all is healed."""


class Cluster(Judging):
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
        self.to_and_fro = ToAndFro(len(plan.nodes))
        self.progress, self.flapping = (
            Progress(2 * ttl_ns + SERVES_WITHIN_NS, NEXT_OFFER_NS),
            Flapping(STABLE_NS * 95 // 100, LATELY_NS * 95 // 100),
        )
        self.log = []
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
        self.hasty = set()
        self.given_up = GivenUp()
        self.stuck = 0
        """How often in a row it was found that nobody who is listed has a whole copy."""
        self.later_copies: dict[str, int] = {}
        """How often a node was found whose disk has seen what etcd does not know of, beside one that serves."""
        for machine in self.nodes.values():
            machine.copy.on_loss = self._lost
        self._unfit, self._before = None, ""
        self._requests = itertools.count(1)
        self._node_keys = {CLUSTER.node(name): name for name in plan.nodes}
        self.clock.etcd.subscribe(self._changed)
        self.put(CLUSTER.identity, encode(ClusterIdentity("cluster", "")))
        self.configure(plan.failover)
        self.promises.on_complete = self._completed
        self.promises.on_serve = self._serves
        self.workload = Workload(self, seed)
        self._look()

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
