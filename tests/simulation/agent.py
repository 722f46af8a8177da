"""One simulated agent process: a small runtime around the shipped core."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent.core import commands as k
from agent.core import events as e
from agent.core.mirror import initial
from agent.core.promise_note import succeed
from agent.core.settings import Settings
from agent.core.state import MirrorState
from manager.model import control
from manager.model.codec import decode, encode
from manager.model.config.module_config import AfterPowerLoss, Failover
from manager.model.records import (
    FAILOVER,
    OFF,
    DesiredRecord,
    HistoryRecord,
    InsyncRecord,
    MemberRecord,
    ModuleConfigRecord,
    RequestRecord,
)
from manager.store.api import Delete, Get, KeyAbsent, KeyValue, ModRevisionIs, Put, Txn, TxnResult
from tests.simulation.clockwork import MS_NS, SECOND_NS, Actor
from tests.simulation.lease_keeping import MARGIN_NS, RENEW_NS, LeaseKeeping
from tests.simulation.primary import PEER_TIMEOUT_NS
from tests.simulation.replicator import Replicator
from tests.simulation.spoiling import understood
from tests.simulation.standing import require_failover
from tests.simulation.storelink import Outcome, StoreLink, commit
from tests.simulation.views import CLUSTER, KEYS, MODULE
from tests.simulation.watch import Watch
from tests.simulation.words import BY_WORD

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

PULSE_MS = 1_000
"""How often a replicator is looked at."""
HANGS_NS = 5 * SECOND_NS
"""One that is silent for longer counts as gone."""
_OFF_NS = 40 * SECOND_NS
_ENDS = (e.ReplicatorGone, e.ReplicatorStopped, e.Killed)
"""Of a replicator."""


@dataclass(frozen=True, slots=True)
class Config:
    """Of the module's configuration, what may change while a run goes on."""

    generation: int
    failover: str


def config_in(record: ModuleConfigRecord) -> Config:
    """What was applied: here the text is that one word."""
    return Config(record.generation, record.toml)


def settings_of(node: "Machine") -> Settings:
    """What this node's core is given once."""
    plan = node.plan
    ttl_ns = node.ttl_s * SECOND_NS
    settings = Settings(
        cluster=CLUSTER, module=MODULE, node=node.name, nodes=plan.nodes, boot_id=node.boot_id,
        cluster_id="cluster", module_id="module", replication_host=node.name,
        initial_primary=plan.initial_primary, start_limit_ns=5 * SECOND_NS, stop_limit_ns=5 * SECOND_NS,
        peer_timeout_ns=PEER_TIMEOUT_NS, ttl_ns=ttl_ns, promise_ns=ttl_ns - RENEW_NS,
        former_promise_until_ns=node.promises.former_until_ns, ask_every_ns=RENEW_NS // 2,
        taken_off_ns=MARGIN_NS, failover=Failover(node.config.failover), preferred_primary=plan.preferred_primary,
        after_power_loss=AfterPowerLoss(plan.after_power_loss),
    )  # fmt: skip
    return plan.parts.settings(settings)


class Agent:
    """One process."""

    def __init__(self, node: "Machine") -> None:
        """Starts."""
        self.node, self.clock = node, node.place.clock
        self.actor = Actor()
        replicator = node.replicator
        promise_ns = node.ttl_s * SECOND_NS - RENEW_NS
        node.promises = succeed(node.promises, node.kernel_boot_id, promise_ns, node.clock.now_ns)
        self.state: MirrorState = initial(settings_of(node), left=replicator is not None and replicator.alive)
        self.link = StoreLink(self.clock, node.place.network, node.name, node.faults, self.actor)
        self.alive, self.began_ns = True, self.clock.now_ns
        self.stopping = False
        self.trace: deque[tuple[int, Any]] = deque(maxlen=400)
        self._queue: deque[e.Event] = deque()
        self._stepping = False
        self._begun: dict[str, int] = {}
        """Kind of local work to its last one: what a stop, or KillEverything, abandons answers nothing."""
        self._member: MemberRecord | None = None
        self._member_text = ""
        self._member_asked = False
        self._putting = False
        self._control_ns = self._events_ns = self._wake_ns = self._until_ns = 0
        self._silent_ns = 0
        self._holds_address = False
        self._taken: set[str] = set()
        """The operator's requests that its core has accepted, and not ended."""
        self.watch = Watch(self.clock, self.link, self.actor, self._show, self.give)
        self.lease = LeaseKeeping(self)
        self._pulse()

    def end(self) -> None:
        """Killed."""
        self.alive = self.link.open = False
        self.watch.close()

    def stop(self) -> None:
        """Told to end: the module is stopped here, then the lease given back."""
        self.stopping = True
        self.give(e.AgentStopping())
        self._stop_when_at_rest()

    def _stop_when_at_rest(self) -> None:
        if self.state.is_at_rest:
            self.lease.revoke()
            self.node.agent_stopped()
        else:
            self.later(50, 50, lambda a: a._stop_when_at_rest())

    def later(self, least_ms: float, most_ms: float, action: Callable[["Agent"], None]) -> None:
        """Do it, if this agent still lives then."""
        delay_ns = self.clock.between(least_ms, most_ms)
        self.clock.after(delay_ns, lambda: action(self) if self.alive else None, self.actor)

    def give(self, event: e.Event) -> None:
        """One event into the core, after those before it."""
        if not self.alive:
            return
        self._queue.append(event)
        if self._stepping:
            return
        self._stepping = True
        parts, clock = self.node.plan.parts, self.node.clock
        while self._queue and self.alive:
            event = self._queue.popleft()
            if isinstance(event, _ENDS):
                event = replace(event, boot_id=self.node.boot_id)  # It may have lost its memory on its way out.
            before = self.state.boot_id
            self.state, wanted = parts.step(parts.rules, self.state, event, clock.now_ns)
            if self.state.boot_id != before:
                self.node.boot_id = self.state.boot_id  # Kept first of all, for the next agent.
            self.trace.append((self.clock.now_ns, event))
            for command in wanted:
                self.trace.append((self.clock.now_ns, command))
                self._begin(command)
        self._stepping = False

    # The store

    def _show(self, kvs: dict[str, KeyValue], revision: int, went_back: bool) -> None:
        view = self.node.place.views.of(kvs, revision, self.watch.store_id)
        if view.config is not None:
            self._take_up(config_in(view.config.record))
        self.give(e.StoreWentBack(view) if went_back else e.Observed(view))
        self.keep_member()

    def _take_up(self, config: Config) -> None:
        """A changed configuration: once nothing of the module is left here, by a core of its own."""
        if config == self.node.config:
            return
        replicator = self.node.replicator
        left = replicator is not None and replicator.alive
        settled = self.state.is_at_rest and self._member is None and not self._putting
        if left or not settled or self.stopping:
            return
        self.node.config = config
        self.state = initial(settings_of(self.node))
        self.watch.tell()
        self.lease.tell()

    def keep_member(self) -> None:
        """``members/<node>`` is to be as the core wants it."""
        if self._putting or not self._member_asked or not self.alive:
            return
        key = KEYS.member(self.node.name)
        have, lease_id = self.watch.kvs.get(key), self.lease.lease_id
        want = None if self._member is None else self._member_text
        as_wanted = have is None if want is None else have is not None and (have.value, have.lease) == (want, lease_id)
        if as_wanted or (want is not None and not lease_id):
            return
        self._putting = True
        change = Delete(key) if want is None else Put(key, want, lease_id)
        unchanged = KeyAbsent(key) if have is None else ModRevisionIs(key, have.mod_revision)

        def answer(outcome: Outcome) -> None:
            self._putting = False
            if not isinstance(outcome, TxnResult):
                self.later(300, 500, lambda a: a.keep_member())
                return
            if outcome.store_id != self.watch.store_id or outcome.revision > self.watch.revision:
                created = have.create_revision if have else outcome.revision
                written = None if want is None else KeyValue(want, created, outcome.revision, 0, lease_id)
                self._stands(written if outcome.succeeded else outcome.found.get(key))
            self.keep_member()

        self.link.ask(Txn((unchanged,), (change,), (Get(key),)), answer)

    def _stands(self, member: KeyValue | None) -> None:
        """An answer has told of its own record what the watch does not show yet."""
        key = KEYS.member(self.node.name)
        if member is None:
            self.watch.kvs.pop(key, None)
        else:
            self.watch.kvs[key] = member

    def _answer_request(self, command: k.AnswerRequest) -> None:
        key = KEYS.request(command.request_id)
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
            case k.Commit(tag, _, history):
                by_word = history is not None and history.reason in BY_WORD
                self.node.place.restored.asks(self.node.name, tag, self.watch.store_id, by_word=by_word)
                if tag is e.Tag.ELECT and history is not None:
                    self._judge_stand(history, command.txn)
                commit(self.link, command, KEYS, self.give, self.watch.store_id)
            case k.PublishMember(record):
                self._publish(record)
            case k.AnswerRequest(request_id, status):
                (self._taken.add if status == "accepted" else self._taken.discard)(request_id)
                self.later(0, 5, lambda a: a._answer_request(command))
            case k.Tell(told):
                self._tell(told)
            case k.ServeUntil(deadline_ns):
                self._until_ns = deadline_ns
                self._tell(control.Lease(deadline_ns))
                if self._holds_address:
                    self.node.address_until(deadline_ns)
            case k.WakeAt(instant_ns):
                self._wake_ns = instant_ns
                wait_ns = self.node.clock.truly(instant_ns - self.node.clock.now_ns)
                self.clock.after(wait_ns, lambda: self._wake(instant_ns), self.actor)
            case _:
                self._begin_local(command)

    @property
    def sees_etcd(self) -> bool:
        """What it goes by is of the etcd of now, not of one that was there before."""
        return self.watch.store_id == self.clock.etcd.store_id

    def _judge_stand(self, history: HistoryRecord, txn: Txn) -> None:
        name, record_put = self.node.name, next(c for c in txn.then if isinstance(c, Put) and c.key == KEYS.insync)
        require_failover(name, history.previous, history.reason, off=self._failover_is_off())
        decided = decode(InsyncRecord, record_put.value).decided == history.epoch
        self.node.place.words.judge(name, history.reason, self._taken, decided=decided)

    def _failover_is_off(self) -> bool:
        """By what this node runs by, or for maintenance, as the watch has shown it."""
        desired = [self.watch.kvs.get(KEYS.desired(node)) for node in self.node.plan.nodes]
        switches = [understood(DesiredRecord, kv.value).switches for kv in desired if kv is not None]
        return self.node.config.failover == OFF or any(s.get(FAILOVER) == OFF for s in switches)

    def _publish(self, record: MemberRecord | None) -> None:
        before, self._member, self._member_asked = self._member, record, True
        self._member_text = "" if record is None else encode(record)
        said = "-" if record is None else f"{record.state} {record.readiness} {record.reason}"
        if record is not None and record.state.is_primary:
            self.node.served.append((self.clock.now_ns, record.epoch, record.state))
        if before is None or record is None or said != f"{before.state} {before.readiness} {before.reason}":
            self.node.place.note(f"{self.node.name} {said}")
        self.keep_member()

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
                boot_id = self.state.boot_id
                self._work("replicator", 20, 300, lambda: self._start_replicator(boot_id))
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
                self._work("application", *node.plan.stopping_ms, self._stop_application)
            case k.AddAddresses():
                self._work("addresses", 5, 300, self._add_addresses)
            case k.DropAddresses():
                self._work("addresses", 1, 20, self._drop_addresses)
            case k.KillEverything():
                self._kill()
            case k.ProbeNode():
                self.later(5, 2_000, lambda a: a.give(e.NodeProbed(command.request_id, a._found_at(command))))
            case k.Fence():
                self._work("application", 100, 3_000, lambda: self._turn_off(command))
            case _:
                raise NotImplementedError(command)

    def _found_at(self, command: k.ProbeNode) -> str:
        """At which address it answers, if any."""
        for name in command.addresses:
            if self.node.answers_at(name):
                return f"{name}: answers"
            self.node.place.on_silent(self.node.name, name)
        return ""

    def _turn_off(self, command: k.Fence) -> e.Event:
        """By a network that is never cut; somebody turns it on again one day."""
        machine = self.node.place.machines[command.node]
        if self.node.fence_fails:
            return e.FenceEnded(command.request_id, "no answer")
        self.node.place.on_off(self.node.name, command.node)
        machine.crash(power=True)
        self.clock.after(_OFF_NS, machine.start)
        return e.FenceEnded(command.request_id, "")

    def _add_addresses(self) -> e.Event:
        if self.node.addresses_fail:
            return e.AddressesFailed(self.node.addresses_fail == "in_use", self.node.addresses_fail)
        self._holds_address = True
        self.node.address_until(self._until_ns)
        return e.AddressesAdded()

    def _drop_addresses(self) -> e.Event:
        self._holds_address = False
        self.node.address_until(0)
        return e.AddressesDropped()

    def application_ended(self) -> None:
        """It did so by itself: that is noticed a little later, if nothing else was begun with it meanwhile."""
        number = self._begun.get("application", 0)

        def noticed(agent: "Agent") -> None:
            if self._begun.get("application", 0) == number:
                agent.give(e.ApplicationGone("exit code 1"))

        self.later(1, 500, noticed)

    def _start_application(self) -> e.Event:
        if self.node.broken or self.clock.chance(self.node.fails):
            return e.ApplicationFailed("chance")
        replicator = self.node.replicator
        if replicator is not None and replicator.serves:
            self.node.start_application()
        return e.ApplicationStarted()

    def _stop_application(self) -> e.Event:
        self.node.stop_application()
        return e.ApplicationStopped()

    def _kill(self) -> None:
        if self.node.kill_fails:
            self._work("kill", 200, 200, self._kill)
            return
        replicator = self.node.replicator
        self.node.stop_application()
        self._drop_addresses()
        if replicator is not None and replicator.alive:
            replicator.die()
        self.node.replicator = None
        for kind in self._begun:
            self._begun[kind] += 1
        self.node.place.note(f"{self.node.name} kills everything")
        self._work("kill", 1, 50, lambda: e.Killed())

    # The replicator

    def _start_replicator(self, boot_id: str) -> e.Event | None:
        replicator = self.node.replicator
        if replicator is not None and replicator.alive and replicator.actor.frozen:
            replicator.die()  # It does not answer.
        if replicator is None or not replicator.alive:
            if self._has_lost_memory(boot_id):
                return e.ReplicatorGone("its memory was lost meanwhile")
            if self.clock.chance(self.node.fails):
                return e.ReplicatorGone("chance")
            replicator = self.node.new_replicator()
        self._events_ns = self._control_ns = self._silent_ns = 0
        replicator.tell = lambda event, r=replicator: self._heard(r, event)  # type: ignore[misc]
        for event in replicator.hello():
            replicator.tell(event)
        return None

    def _has_lost_memory(self, boot_id: str) -> bool:
        """What ended before this agent was connected to it, since ``boot_id`` was read."""
        return self.node.boot_id != boot_id

    def _stop_replicator(self) -> e.Event:
        replicator = self.node.replicator
        if replicator is not None and replicator.alive:
            replicator.quit()
        self.node.replicator = None
        return e.ReplicatorStopped()

    def replicator_died(self, replicator: Replicator, how: str) -> None:
        """Its end was noticed."""
        if self.node.replicator is replicator:
            self.node.replicator = None
            self.give(e.ReplicatorGone(how))

    def _pulse(self) -> None:
        """One that lives and does not answer counts as gone."""
        replicator = self.node.replicator
        hangs = replicator is not None and replicator.alive and replicator.actor.frozen
        self._silent_ns = self._silent_ns + PULSE_MS * MS_NS if hangs else 0
        if replicator is not None and self._silent_ns > HANGS_NS:
            self._silent_ns = 0
            replicator.die()
            self.replicator_died(replicator, "it does not answer")
        self.later(PULSE_MS, PULSE_MS, lambda a: a._pulse())

    def _heard(self, replicator: Replicator, event: control.Event) -> None:
        """Over the control socket: in order, and now and then late."""
        slow = 80 if self.clock.chance(0.05) else 1
        self._events_ns = max(self._events_ns, self.clock.now_ns + self.clock.between(0, slow))

        def come(agent: "Agent") -> None:
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
            self._control_ns - self.clock.now_ns,
            lambda: replicator.command(command) if replicator.alive else None,
            replicator.actor,
        )
