"""A simulated node: its agent with the shipped core, its application, and what a crash leaves of them."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.core import commands as k
from agent.core import events as e
from agent.core.lease import deadline_ns
from agent.core.mirror import Rule, initial, step_by
from agent.core.settings import Settings
from agent.core.state import MirrorState
from agent.core.view import decode_view
from manager.model import control
from manager.model.codec import decode, encode
from manager.model.keys import ClusterKeys
from manager.model.records import MemberRecord, NodeRecord, RequestRecord
from manager.store.api import Delete, KeyValue, LeaseExpired, ModRevisionIs, Put, Txn, TxnResult
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.pair import PEER_TIMEOUT_NS, Place, Replicator
from tests.simulation.storelink import Outcome, StoreLink, Watch, commit
from tests.simulation.volume import Copy

CLUSTER = ClusterKeys("sim")
MODULE = "db"
TTL_S = 6
MARGIN_NS = SECOND_NS
RENEW_NS = 1_500 * MS_NS


class Node:
    """One machine."""

    def __init__(self, place: Place, name: str, nodes: tuple[str, ...], faults: float, rules: tuple[Rule, ...]) -> None:
        """Switched off."""
        self.place, self.name, self.nodes = place, name, nodes
        self.faults = faults
        self.rules = rules
        self.copy = Copy()
        self.boots = 0
        self.agent: Agent | None = None
        self.replicator: Replicator | None = None
        self.application = False
        self.initial_primary = ""
        self.memory_given_up = False
        """It was elected when no listed node had kept its memory, and has not served since: only P2 holds."""

    @property
    def boot_id(self) -> str:
        """Differs after each loss of power."""
        return f"{self.name}-boot{self.boots}"

    def start(self) -> None:
        """Init starts the agent."""
        if self.agent is None:
            self.agent = Agent(self)

    def kill_agent(self) -> None:
        """kill -9; the replicator and the application live on."""
        if self.agent is not None:
            self.agent.end()
            self.agent = None

    def kill_replicator(self) -> None:
        """kill -9; its agent notices."""
        replicator = self.replicator
        if replicator is None or not replicator.alive:
            return
        replicator.die()
        if self.agent is not None:
            self.agent.later(1, 50, lambda a: a.replicator_died(replicator))

    def crash(self, *, power: bool) -> None:
        """Everything stops at once; with ``power``, so does the page cache's memory."""
        self.kill_agent()
        if self.replicator is not None and self.replicator.alive:
            self.replicator.die()
        self.replicator = None
        self.stop_application()
        if power:
            self.boots += 1
            self.copy.lose_power(self.place.clock.random)

    def start_application(self) -> None:
        """It runs."""
        self.application = True
        self.place.promises.application(self.name, self.place.clock.now_ns, runs=True)

    def stop_application(self) -> None:
        """Nothing of it is left."""
        self.application = False
        self.place.promises.application(self.name, self.place.clock.now_ns, runs=False)

    def new_replicator(self, tell: Callable[[control.Event], None]) -> Replicator:
        """Starts a process."""
        replicator = Replicator(self.place, self.name, self.boot_id, self.copy, tell)
        replicator.on_death = self.stop_application
        replicator.on_serving = self._serving
        self.replicator = replicator
        return replicator

    def _serving(self, epoch: int) -> None:
        kept, self.memory_given_up = not self.memory_given_up, False
        self.place.promises.serve(self.name, epoch, self.copy, self.place.clock.now_ns, kept_memory=kept)


class Agent:
    """One agent process: a small runtime around the shipped core."""

    def __init__(self, node: Node) -> None:
        """Starts."""
        self.node, self.clock = node, node.place.clock
        settings = Settings(
            cluster=CLUSTER, module=MODULE, node=node.name, nodes=node.nodes, boot_id=node.boot_id,
            cluster_id="cluster", module_id="module", replication_host=node.name,
            initial_primary=node.initial_primary, start_limit_ns=5 * SECOND_NS, stop_limit_ns=5 * SECOND_NS,
            peer_timeout_ns=PEER_TIMEOUT_NS, ttl_ns=TTL_S * SECOND_NS,
        )  # fmt: skip
        self.state: MirrorState = initial(settings)
        self.link = StoreLink(self.clock, node.place.network, node.name, node.faults)
        self.alive = True
        self.trace: deque[tuple[int, Any]] = deque(maxlen=400)
        self._queue: deque[e.Event] = deque()
        self._stepping = False
        self._begun: dict[str, int] = {}
        """Kind of local work to its last one: what a stop, or KillEverything, abandons answers nothing."""
        self._lease_id = 0
        self._renewal = 0
        self._member: MemberRecord | None = None
        self._member_asked = False
        self._putting = False
        self._control_ns = 0
        self._events_ns = 0
        self._wake_ns = 0
        self.watch = Watch(self.clock, self.link, self._show, self.give)
        self._keep_lease()

    def end(self) -> None:
        """Killed."""
        self.alive = self.link.open = False
        self.watch.close()

    def later(self, least_ms: float, most_ms: float, action: Callable[["Agent"], None]) -> None:
        """Do it, if this agent still lives then."""
        self.clock.after(self.clock.between(least_ms, most_ms), lambda: action(self) if self.alive else None)

    def give(self, event: e.Event) -> None:
        """One event into the core, after those before it."""
        if not self.alive:
            return
        self._queue.append(event)
        if self._stepping:
            return
        self._stepping = True
        while self._queue and self.alive:
            event = self._queue.popleft()
            self.state, wanted = step_by(self.node.rules, self.state, event, self.clock.now_ns)
            self.trace.append((self.clock.now_ns, event))
            for command in wanted:
                self.trace.append((self.clock.now_ns, command))
                self._begin(command)
        self._stepping = False

    # The store

    def _show(self, kvs: dict[str, KeyValue], revision: int) -> None:
        self.give(e.Observed(decode_view(CLUSTER, MODULE, kvs, revision)))
        self._keep_member()

    def _keep_lease(self) -> None:
        sent_ns = self.clock.now_ns
        lease_id = self._lease_id
        if self.link.reaches:
            self.later(1, 20, lambda a: a._renew(lease_id, sent_ns))
        self.later(RENEW_NS / MS_NS, RENEW_NS / MS_NS, lambda a: a._keep_lease())

    def _renew(self, lease_id: int, sent_ns: int) -> None:
        etcd = self.clock.etcd
        if not self.link.reaches or lease_id != self._lease_id:
            return
        try:
            if lease_id:
                ttl_s = etcd.keep_alive_now(lease_id)
            else:
                lease_id, ttl_s = etcd.grant_now(TTL_S), TTL_S
        except LeaseExpired:
            self._lease_id = 0
            self.give(e.LeaseLost())
            return
        self._lease_id = lease_id
        self._renewal += 1
        name = self.node.name
        record = NodeRecord(name, (name,), "1", self.node.boot_id, str(id(self)), 0 if self._renewal > 1 else 1)
        if self._renewal == 1 or (kv := etcd.get_now(CLUSTER.node(name))) is None or kv.lease != lease_id:
            etcd.commit_now(Txn(then=(Put(CLUSTER.node(name), encode(record), lease_id),)))
        self.give(e.LeaseRenewed(lease_id, deadline_ns(sent_ns, ttl_s, MARGIN_NS)))
        self._keep_member()

    def _keep_member(self) -> None:
        """``members/<node>`` is to be as the core wants it."""
        if self._putting or not self._member_asked or not self.alive:
            return
        key = CLUSTER.module(MODULE).member(self.node.name)
        have = self.watch.kvs.get(key)
        want = None if self._member is None else encode(self._member)
        as_wanted = (
            have is None if want is None else have is not None and (have.value, have.lease) == (want, self._lease_id)
        )
        if as_wanted or (want is not None and not self._lease_id):
            return
        self._putting = True
        change = Delete(key) if want is None else Put(key, want, self._lease_id)

        def answer(outcome: Outcome) -> None:
            self._putting = False
            if isinstance(outcome, TxnResult):
                written = None if want is None else KeyValue(want, 0, outcome.revision, 0, change.lease)  # type: ignore[union-attr]
                if outcome.revision > self.watch.revision:
                    if written is None:
                        self.watch.kvs.pop(key, None)
                    else:
                        self.watch.kvs[key] = replace(
                            written, create_revision=have.create_revision if have else outcome.revision
                        )
                self._keep_member()
            else:
                self.later(300, 500, lambda a: a._keep_member())

        self.link.ask(Txn(then=(change,)), answer)

    def _answer_request(self, command: k.AnswerRequest) -> None:
        key = CLUSTER.module(MODULE).request(command.request_id)
        kv = self.clock.etcd.get_now(key) if self.link.reaches else None
        again = lambda a: a._answer_request(command)  # noqa: E731
        if kv is None:
            if not self.link.reaches:
                self.later(400, 600, again)
            return
        old = decode(RequestRecord, kv.value)
        if old.status in ("done", "failed", "refused"):
            return
        new = replace(old, status=command.status, reason="" if command.reason is None else str(command.reason))

        def answer(outcome: Outcome) -> None:
            if not (isinstance(outcome, TxnResult) and outcome.succeeded):
                self.later(300, 600, again)

        self.link.ask(Txn(guards=(ModRevisionIs(key, kv.mod_revision),), then=(Put(key, encode(new)),)), answer)

    # Commands

    def _begin(self, command: k.Command) -> None:
        match command:
            case k.Commit():
                commit(self.link, command, CLUSTER.module(MODULE), self.give)
            case k.PublishMember(record):
                self._member, self._member_asked = record, True
                self._keep_member()
            case k.AnswerRequest():
                self.later(0, 5, lambda a: a._answer_request(command))
            case k.Tell(told):
                self._tell(told)
            case k.ServeUntil(deadline_ns):
                self._tell(control.Lease(deadline_ns))
            case k.WakeAt(instant_ns):
                self._wake_ns = instant_ns
                self.clock.after(instant_ns - self.clock.now_ns, lambda: self._wake(instant_ns))
            case _:
                self._begin_local(command)

    def _wake(self, instant_ns: int) -> None:
        if self.alive and self._wake_ns == instant_ns:
            self.give(e.Tick())

    def _work(self, kind: str, least_ms: float, most_ms: float, action: Callable[[], e.Event | None]) -> None:
        """Local work; the one of that kind before it, if it is still under way, is abandoned."""
        number = self._begun[kind] = self._begun.get(kind, 0) + 1

        def done(agent: "Agent") -> None:
            event = action() if self._begun[kind] == number else None
            if event is not None:
                self.give(event)

        self.later(least_ms, most_ms, done)

    def _begin_local(self, command: k.Command) -> None:
        node = self.node
        match command:
            case k.StartReplicator():
                self._work("replicator", 20, 300, self._start_replicator)
            case k.StopReplicator():
                self._work("replicator", 10, 200, self._stop_replicator)
            case k.Prepare():
                self._work("application", 1, 20, lambda: e.Prepared())
            case k.Finish():
                self._work("application", 1, 20, lambda: e.Finished())
            case k.StartApplication():
                self._work("application", 5, 400, self._start_application)
            case k.AdoptApplication():
                runs = node.application
                self._work("application", 1, 5, lambda: e.ApplicationStarted() if runs else e.ApplicationFailed("gone"))
            case k.StopApplication():
                self._work("application", 5, 400, self._stop_application)
            case k.AddAddresses():
                self._work("addresses", 5, 300, lambda: e.AddressesAdded())
            case k.DropAddresses():
                self._work("addresses", 1, 20, lambda: e.AddressesDropped())
            case k.KillEverything():
                self._kill()
            case _:
                raise NotImplementedError(command)

    def _start_application(self) -> e.Event:
        if self.clock.chance(self.node.faults / 4):
            return e.ApplicationFailed("chance")
        replicator = self.node.replicator
        if replicator is not None and replicator.serves:
            self.node.start_application()
        return e.ApplicationStarted()

    def _stop_application(self) -> e.Event:
        self.node.stop_application()
        return e.ApplicationStopped()

    def _kill(self) -> None:
        replicator = self.node.replicator
        self.node.stop_application()
        if replicator is not None and replicator.alive:
            replicator.die()
        self.node.replicator = None
        for kind in self._begun:
            self._begun[kind] += 1
        self._work("kill", 1, 50, lambda: e.Killed())

    # The replicator

    def _start_replicator(self) -> e.Event | None:
        replicator = self.node.replicator
        if replicator is None or not replicator.alive:
            if self.clock.chance(self.node.faults / 4):
                return e.ReplicatorGone("chance")
            replicator = self.node.new_replicator(lambda event: None)
        self._events_ns = self._control_ns = 0
        replicator.tell = lambda event, r=replicator: self._heard(r, event)  # type: ignore[misc]
        for event in replicator.hello():
            replicator.tell(event)
        return None

    def _stop_replicator(self) -> e.Event:
        replicator = self.node.replicator
        if replicator is not None and replicator.alive:
            replicator.die()
        self.node.replicator = None
        return e.ReplicatorStopped()

    def replicator_died(self, replicator: Replicator) -> None:
        """Its end was noticed."""
        if self.node.replicator is replicator:
            self.node.replicator = None
            self.give(e.ReplicatorGone("killed"))

    def _heard(self, replicator: Replicator, event: control.Event) -> None:
        """Over the control socket: in order, and now and then late."""
        slow = 80 if self.clock.chance(0.05) else 1
        self._events_ns = max(self._events_ns, self.clock.now_ns + self.clock.between(0, slow))

        def come(agent: Agent) -> None:
            if agent.node.replicator is replicator and replicator.alive:
                agent.give(e.ReplicatorSaid(event))

        delay_ms = (self._events_ns - self.clock.now_ns) / MS_NS
        self.later(delay_ms, delay_ms, come)

    def _tell(self, command: control.Command) -> None:
        replicator = self.node.replicator
        if replicator is None:
            return
        slow = 80 if self.clock.chance(0.05) else 1
        self._control_ns = max(self._control_ns, self.clock.now_ns + self.clock.between(0, slow))
        # What is in the socket is read even when the agent ends.
        self.clock.after(
            self._control_ns - self.clock.now_ns, lambda: replicator.command(command) if replicator.alive else None
        )
