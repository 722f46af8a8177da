"""A whole simulated cluster: nodes, operators, an application that writes, and everything that may happen to them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from agent.core.mirror import RULES, Rule
from manager.model.codec import decode, encode
from manager.model.records import (
    ClusterIdentity,
    DesiredRecord,
    InsyncRecord,
    MemberRecord,
    ModuleConfigRecord,
    RequestRecord,
)
from manager.model.states import ModuleState, Readiness, Run
from manager.store.api import Changes, Put, Txn
from tests.simulation.checkers import Promises, StoreChecker
from tests.simulation.clockwork import SECOND_NS, Clockwork, Violation
from tests.simulation.network import STORE, Network
from tests.simulation.node import CLUSTER, MODULE, TTL_S, Node
from tests.simulation.pair import Place
from tests.simulation.volume import BLOCKS, equal

KEYS = CLUSTER.module(MODULE)
BOUND_NS = 150 * SECOND_NS
"""After healing a cluster is PRIM and SECOND within this time: every limit of the core fits in it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How rough a run is."""

    seconds: int = 60
    store_faults: float = 0.05
    """Share of the store's requests that are lost, late, or answered in vain."""
    mean_between_faults_s: float = 6.0
    power: bool = True
    operators: bool = True
    nodes: tuple[str, ...] = ("a", "b")
    rules: tuple[Rule, ...] = RULES


class Cluster:
    """One run."""

    def __init__(self, seed: int, plan: Plan) -> None:
        """With the module applied, nothing started."""
        self.clock = Clockwork(seed)
        self.plan = plan
        self.network = Network(self.clock)
        self.promises = Promises()
        self.place = Place(self.clock, self.network, self.promises, {}, itertools.count(1))
        self.nodes = {name: Node(self.place, name, plan.nodes, plan.store_faults, plan.rules) for name in plan.nodes}
        self.store = StoreChecker(KEYS.primary, KEYS.insync)
        self.clock.etcd.subscribe(self._changed)
        self.log: list[str] = []
        self._requests = itertools.count(1)
        self._listed_with: dict[str, str] = {}
        self._put(CLUSTER.identity, encode(ClusterIdentity("cluster", "")))
        self._put(KEYS.config, encode(ModuleConfigRecord("module", 1, "", {}, "", "")))

    def _changed(self, changes: Changes) -> None:
        before = self.store.record
        self.store.on_changes(changes)
        after = self.store.record
        if after is None or after == before:
            return
        if before is not None and after.epoch > before.epoch and not self._remembered(before):
            self.nodes[after.last_primary].memory_given_up = True
        self._list(before, after)
        self.note(f"record {after.number}: epoch {after.epoch}, {sorted(after.nodes)}")

    def _list(self, before: InsyncRecord | None, after: InsyncRecord) -> None:
        """With which memory each node was listed: the machine's own account, whatever a record says."""
        promoted = after.last_primary if before is None or after.epoch > before.epoch else ""
        was = frozenset() if before is None else before.nodes
        for holder in after.holders:
            if holder.node == promoted:
                self._listed_with[holder.node] = self.nodes[holder.node].boot_id
            elif holder.node not in was:
                self._listed_with[holder.node] = holder.boot_id

    def _remembered(self, record: InsyncRecord) -> bool:
        """Whether one of the listed nodes has kept its memory since: then no completed write may be lost."""
        return any(self._listed_with[n] == self.nodes[n].boot_id for n in record.nodes)

    def note(self, text: str) -> None:
        """For a failure's story."""
        self.log.append(f"{self.clock.now_ns / SECOND_NS:9.3f} {text}")

    def _put(self, key: str, value: str) -> None:
        self.clock.etcd.commit_now(Txn(then=(Put(key, value),)))

    # Operators

    def want(self, run: Run, *nodes: str) -> None:
        """``mirrorfarm start`` or ``stop``."""
        changes = tuple(Put(KEYS.desired(node), encode(DesiredRecord(run))) for node in nodes or self.plan.nodes)
        self.clock.etcd.commit_now(Txn(then=changes))

    def request(self, action: str, node: str) -> str:
        """``mirrorfarm prim``, ``swap`` or ``restart``."""
        request_id = f"r{next(self._requests):04}"
        self._put(KEYS.request(request_id), encode(RequestRecord(request_id, action, node, "", "")))
        return request_id

    def answer(self, request_id: str) -> RequestRecord:
        """How it stands."""
        kv = self.clock.etcd.get_now(KEYS.request(request_id))
        if kv is None:
            raise Violation(f"request {request_id} is gone")
        return decode(RequestRecord, kv.value)

    # What is there

    def member(self, node: str) -> MemberRecord | None:
        """As published."""
        kv = self.clock.etcd.get_now(KEYS.member(node))
        return None if kv is None else decode(MemberRecord, kv.value)

    def states(self) -> dict[str, str]:
        """Node to its state, readiness and reason."""
        found = {node: self.member(node) for node in self.plan.nodes}
        return {n: "-" if m is None else f"{m.state} {m.readiness} {m.reason}" for n, m in found.items()}

    @property
    def is_whole(self) -> bool:
        """One PRIM, all others SECOND, all at rest."""
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
        self.request("prim", self.clock.random.choice(self.plan.nodes))
        self._write()
        self.must("the first start", lambda: self.is_whole)

    def must(self, what: str, until: Callable[[], bool], bound_ns: int = BOUND_NS) -> None:
        """It comes about within the bound, or the run has failed."""
        if not self.clock.run_for(bound_ns, until):
            raise Violation(f"{what}: not within {bound_ns // SECOND_NS} s: {self.states()}; {self.store.record}")

    def _write(self) -> None:
        """The application, wherever it runs."""
        for node in self.nodes.values():
            replicator = node.replicator
            if node.application and replicator is not None and replicator.serves and self._room(node):
                if self.clock.chance(0.15):
                    replicator.fsync()
                else:
                    replicator.write(self.clock.random.randrange(BLOCKS))
        self.clock.after(self.clock.between(10, 150), self._write)

    def _room(self, node: Node) -> bool:
        """An application waits for what it has asked for: a few at a time."""
        completions = node.replicator.completions if node.replicator is not None else None
        return completions is not None and not completions.gated and completions.issued - completions.released < 4

    def heal(self) -> None:
        """No more faults: all links, all machines, and the operator wants it to run everywhere."""
        self.network.cuts.clear()
        for node in self.nodes.values():
            node.faults = 0
            node.start()
            if node.agent is not None:
                node.agent.link.calm()
        self.want(Run.STARTED)
        for name in self.plan.nodes:
            self.request("restart", name)

    def end(self) -> None:
        """Healed, it converges within the bound, and at rest the copies are equal."""
        self.note("healing")
        self.heal()
        self.clock.run_for((TTL_S + 2) * SECOND_NS)  # Until then a dead agent's keys look like a live one's.
        self.must("convergence", lambda: self.is_whole)
        replicators = [n.replicator for n in self.nodes.values()]
        self.clock.run_for(3 * SECOND_NS)
        for node in self.nodes.values():
            node.application = False
        self.must("rest", lambda: all(r is None or r.role != "primary" or r.completions.idle for r in replicators))
        self.clock.run_for(SECOND_NS)
        if not equal(node.copy for node in self.nodes.values()):
            raise Violation(f"at rest the copies differ: {[n.copy.cache for n in self.nodes.values()]}")


def isolate(cluster: Cluster, node: str) -> None:
    """Cut a node off from everyone."""
    cluster.network.cuts |= {frozenset((node, other)) for other in (*cluster.plan.nodes, STORE) if other != node}
