"""One simulated machine of a farm, and the agent on it: a small runtime around the shipped core."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.farm import Settings, initial, step
from agent.core.farm.view import decode_farm
from agent.core.lease import Sent, deadline_ns, is_of_watched
from manager.model.codec import encode
from manager.model.keys import ClusterKeys
from manager.model.records import KnownNode, MemberRecord, NodeRecord
from manager.store.api import (
    Delete,
    KeyAbsent,
    KeyValue,
    LeaseExpired,
    ModRevisionIs,
    Put,
    StorePoint,
    Txn,
    TxnResult,
)
from tests.simulation.clockwork import MS_NS, SECOND_NS, Actor, LocalClock
from tests.simulation.farm.asking import Asking
from tests.simulation.farm.kernel import Kernel
from tests.simulation.storelink import Outcome, Renewed, StoreLink, commit
from tests.simulation.watch import Watch

if TYPE_CHECKING:
    from tests.simulation.farm.world import World

CLUSTER = ClusterKeys("sim")
MODULE = "web"
KEYS = CLUSTER.module(MODULE)
TTL_S = 6
MARGIN_NS = SECOND_NS
RENEW_MS = 1_500
HASTY_MS = 500
"""While it asks others."""
FLICKER_MS = 1_000
"""For so long a link without a carrier counts as there."""


@dataclass(frozen=True)
class Down:
    """A link of an address that carries nothing."""

    since_ns: int
    gone: bool
    """The interface itself, and with it its rules; else there is no carrier."""


class Machine:
    """Its kernel, its clock, and its agent, if one runs."""

    def __init__(self, world: "World", name: str) -> None:
        """On, without an agent."""
        self.world, self.name = world, name
        self.clock = LocalClock(world.clock, round(world.clock.random.uniform(1e3, 1e6) * SECOND_NS),
                                world.clock.random.randrange(-200, 200))  # fmt: skip
        self.kernel = Kernel(name)
        self.boots = 1
        self.traffic_open = False
        """As it is noted beside the agent."""
        self.agent: Agent | None = None
        self.is_on = True
        self.load_ms = (1.0, 60.0)
        """How long its kernel takes for rules."""
        self.down: dict[str, Down] = {}
        """By address."""

    def start_agent(self) -> None:
        """If there is none."""
        if self.is_on and self.agent is None:
            self.agent = Agent(self)

    def kill_agent(self) -> None:
        """What it began goes on."""
        if self.agent is not None:
            self.agent.end()
            self.agent = None

    def crash(self) -> None:
        """The machine is gone, with all that was in it."""
        self.kill_agent()
        self.down.clear()
        self.is_on, self.kernel, self.boots = False, Kernel(self.name), self.boots + 1

    def start(self) -> None:
        """It boots."""
        self.is_on = True
        self.start_agent()

    def answers(self, address: str) -> bool:
        """Whether it answers the network for ``address`` now: the kernel may be late by a second (S7)."""
        answers = self.kernel.link_until_ns.get(address, 0) > self.clock.now_ns
        return self.is_on and answers and address not in self.down

    def drop_link(self, address: str, *, gone: bool) -> None:
        """Of an address; one whose interface was gone has it again, without a carrier."""
        was_gone = address in self.down and self.down[address].gone
        self.down[address] = Down(self.world.clock.now_ns, gone)
        if self.agent is not None:
            self.agent.linked(reload=gone or was_gone)

    def raise_links(self) -> None:
        """All."""
        gone = any(down.gone for down in self.down.values())
        self.down.clear()
        if self.agent is not None:
            self.agent.linked(reload=gone)


class Agent:
    """One process."""

    def __init__(self, machine: Machine) -> None:
        """Starts."""
        self.machine, self.world, self.clock = machine, machine.world, machine.world.clock
        self.kernel = machine.kernel
        self.actor = Actor()
        self.alive = True
        self.link = StoreLink(self.clock, self.world.network, machine.name, self.world.faults, self.actor)
        left = self.kernel.application or self.kernel.held or self.kernel.tables is not None
        settings = Settings(CLUSTER, machine.name, self.world.config, f"boot{machine.boots}", "module",
                            start_limit_ns=10 * SECOND_NS, stop_limit_ns=10 * SECOND_NS,
                            spread_after_ns=self.world.spread_after_ns)  # fmt: skip
        self.state = initial(settings, left=left, traffic_open=machine.traffic_open)
        self.trace: deque[tuple[int, Any]] = deque(maxlen=300)
        self._queue: deque[fe.Event] = deque()
        self._stepping = False
        self._begun: dict[str, int] = {}
        self._member: MemberRecord | None = None
        self._member_asked = self._putting = False
        self._wake_ns = self._until_ns = 0
        self._renewals = 0
        self.lease_id, self._registered, self.deadline_ns = 0, False, 0
        self._give_any = cast(Callable[[e.Event], None], self.give)
        """For what gives those events that both kinds of core know."""
        self.watch = Watch(self.clock, self.link, self.actor, self._show, self._give_any)
        self._wanted: fk.LoadRules | None = None
        self.asking = Asking(self)
        self._tell_links()
        self._renew()

    def end(self) -> None:
        """Killed."""
        self.alive = self.link.open = False
        self.watch.close()

    def later(self, least_ms: float, most_ms: float, action: Callable[[], None]) -> None:
        """Do it, if this agent still lives then."""
        delay_ns = self.clock.between(least_ms, most_ms)
        self.clock.after(delay_ns, lambda: action() if self.alive else None, self.actor)

    def give(self, event: fe.Event) -> None:
        """One event into the core, after those before it."""
        if not self.alive:
            return
        self._queue.append(event)
        if self._stepping:
            return
        self._stepping = True
        while self._queue and self.alive:
            event = self._queue.popleft()
            self.trace.append((self.clock.now_ns, event))
            self.state, wanted = step(self.state, event, self.machine.clock.now_ns)
            for command in wanted:
                self.trace.append((self.clock.now_ns, command))
                self._begin(command)
        self._stepping = False

    # The links

    def linked(self, *, reload: bool) -> None:
        """One is down or up; ``reload``: an interface went or came, and with it its rules."""
        self.later(0, 5, self._tell_links)
        self.later(FLICKER_MS, FLICKER_MS + 5, self._tell_links)
        if reload and self._wanted is not None:
            command = self._wanted
            self._work("rules", 1, 60, lambda: self._load(command))

    def _tell_links(self) -> None:
        flickers = {a for a, d in self.machine.down.items() if not d.gone and not self._is_over(d)}
        linked = [a for a in self.state.settings.addresses if a not in self.machine.down or a in flickers]
        macs = {a: f"02:00:00:00:00:{self.machine.name}" for a in linked}
        if macs != self.state.own_macs or not macs:
            self.give(fe.Links(macs))

    def _is_over(self, down: Down) -> bool:
        return self.clock.now_ns >= down.since_ns + FLICKER_MS * MS_NS

    # The store

    def _show(self, kvs: dict[str, KeyValue], revision: int, went_back: bool) -> None:
        view = decode_farm(CLUSTER, MODULE, kvs, revision, self.watch.store_id)
        self.give(fe.StoreWentBack(view) if went_back else fe.Observed(view))
        self._keep_member()

    def _keep_member(self) -> None:
        key, want = KEYS.member(self.machine.name), self._member
        if self._putting or not self._member_asked or (want is not None and not self.lease_id):
            return
        have, text = self.watch.kvs.get(key), "" if want is None else encode(want)
        if have is None if want is None else have is not None and (have.value, have.lease) == (text, self.lease_id):
            return
        self._putting = True
        change = Delete(key) if want is None else Put(key, text, self.lease_id)
        unchanged = KeyAbsent(key) if have is None else ModRevisionIs(key, have.mod_revision)

        def answered(outcome: Outcome) -> None:
            self._putting = False
            if not isinstance(outcome, TxnResult):
                self.later(300, 500, self._keep_member)
            elif not outcome.succeeded or outcome.revision > self.watch.revision:
                self.later(30, 60, self._keep_member)
            else:
                self._keep_member()

        self.link.ask(Txn((unchanged,), (change,)), answered)

    def _renew(self) -> None:
        """Grant, renew and register, as the agent's lease keeper does (S5): who hears no answer registers nothing."""
        etcd, sent = self.clock.etcd, Sent(self.machine.clock.now_ns, self.watch.point)
        if self.lease_id:
            self.link.call(self._keep_alive, lambda outcome: self._kept_alive(sent, outcome))
        else:
            self.link.call(lambda: etcd.grant_now(TTL_S), self._granted)

    def _granted(self, outcome: Outcome) -> None:
        if isinstance(outcome, int):
            self.lease_id, self._registered = outcome, False
            self._renew()
        else:
            self._failed()

    def _failed(self) -> None:
        self.watch.unrenewed = True
        self.watch.judge()
        self.later(100, 100, self._renew)

    def _keep_alive(self) -> Outcome:
        try:
            return self.clock.etcd.keep_alive_now(self.lease_id)
        except LeaseExpired as expired:
            return expired

    def _kept_alive(self, sent: Sent, outcome: Outcome) -> None:
        if isinstance(outcome, int):
            ttl_s = outcome
            self.link.call(lambda: self._register(ttl_s), lambda answer: self._renewed(sent, answer))
        else:
            self._renewed(sent, outcome)

    def _register(self, ttl_s: int) -> Outcome:
        etcd, name = self.clock.etcd, self.machine.name
        try:
            kv = etcd.get_now(CLUSTER.node(name))
            if self._registered and (kv is None or kv.lease != self.lease_id):
                return LeaseExpired("the node's own key is gone")
            boot, self._renewals = f"boot{self.machine.boots}", self._renewals + 1
            node = NodeRecord(name, (name,), "1", boot, "", self._renewals)
            puts = [Put(CLUSTER.node(name), encode(node), self.lease_id)]
            if kv is None or kv.lease != self.lease_id:
                puts.append(Put(CLUSTER.known(name), encode(KnownNode(name, (name,), boot, ""))))
            etcd.commit_now(Txn(then=tuple(puts)))
        except LeaseExpired as expired:
            return expired
        return Renewed(ttl_s, StorePoint(etcd.store_id, etcd.revision))

    def _renewed(self, sent: Sent, outcome: Outcome) -> None:
        if isinstance(outcome, LeaseExpired):
            self.lease_id = self.deadline_ns = 0
            self.give(e.LeaseLost())
            self.later(100, 100, self._renew)
        elif isinstance(outcome, Renewed) and is_of_watched(sent.watched, outcome.at):
            self._registered = True
            self.watch.unrenewed = False
            self.watch.judge()
            self.deadline_ns = max(self.deadline_ns, deadline_ns(sent.at_ns, outcome.ttl_s, MARGIN_NS))
            self.give(e.LeaseRenewed(self.lease_id, self.deadline_ns))
            self._keep_member()
            usual_ms = HASTY_MS if self.asking.is_any else RENEW_MS
            self.later(usual_ms, usual_ms, self._renew)
        else:
            self._failed()

    # Commands

    def _begin(self, command: fk.Command) -> None:
        match command:
            case k.Commit():
                commit(self.link, command, KEYS, self._give_any)
            case k.PublishMember(record):
                self._member, self._member_asked = record, True
                said = "-" if record is None else f"{record.state} {record.readiness} {record.reason}"
                self.world.note(f"{self.machine.name} {said}")
                self._keep_member()
            case k.AnswerRequest(request_id, status):
                self.world.answered(self.machine.name, request_id, status)
            case k.ServeUntil(until_ns):
                self._until_ns = until_ns
                for address in self.kernel.link_until_ns:
                    self.kernel.link_until_ns[address] = until_ns
            case k.WakeAt(instant_ns):
                self._wake_ns = instant_ns
                wait_ns = self.machine.clock.truly(instant_ns - self.machine.clock.now_ns)
                self.clock.after(wait_ns, lambda: self._wake(instant_ns), self.actor)
            case fk.Probe():
                self.asking.probe(command)
            case fk.AnswerProbes():
                self.asking.answer(command)
            case _:
                self._begin_local(command)

    def _wake(self, instant_ns: int) -> None:
        if self.alive and self._wake_ns == instant_ns:
            self.give(e.Tick())

    def _abandon(self, kind: str) -> int:
        self._begun[kind] = self._begun.get(kind, 0) + 1
        return self._begun[kind]

    def _work(self, kind: str, least_ms: float, most_ms: float, action: Callable[[], fe.Event | None]) -> None:
        """Local work; the one of that kind before it, if it is still under way, is abandoned."""
        number = self._abandon(kind)

        def done() -> None:
            event = action() if self._begun[kind] == number else None
            if event is not None:
                self.give(event)

        self.later(least_ms, most_ms, done)

    def _begin_local(self, command: fk.Command) -> None:
        match command:
            case k.Prepare():
                self._work("application", 1, 20, lambda: e.Prepared())
            case k.Finish():
                self._work("application", 1, 20, lambda: e.Finished())
            case k.StartApplication():
                self.machine.traffic_open = False
                self._work("application", 5, 1_000, self._start_application)
            case k.AdoptApplication():
                self._work("application", 1, 5, self._adopt_application)
            case k.StopApplication():
                self.world.checkers.application_is_to_end(self.machine.name)
                self._work("application", 5, 400, self._stop_application)
            case k.KillEverything():
                self._kill()
            case fk.UnloadRules():
                self._wanted = None
                self._work("rules", 1, 60, lambda: self._set_rules(None))
            case fk.LoadRules():
                self._wanted = command
                self._work("rules", *self.machine.load_ms, lambda: self._load(command))
            case fk.HoldAddresses():
                self._work("hold", 1, 30, self._hold)
            case fk.ReleaseAddresses():
                self._work("hold", 1, 30, self._release)
            case fk.Direct(address, probed):
                least_ms, most_ms = (5, 50) if probed else (300, 400)
                self._work(address, least_ms, most_ms, lambda: self._direct(address))
            case fk.Undirect(address):
                self._work(address, 1, 30, lambda: self._undirect(address))
            case fk.CountConnections(slots):
                self._work("count", 1, 40, lambda: fe.Counted({a: s & self.kernel.busy(a) for a, s in slots.items()}))
            case _:
                raise NotImplementedError(command)

    def _start_application(self) -> fe.Event:
        if self.clock.chance(self.world.fails):
            return e.ApplicationFailed("chance")
        self.kernel.application = True
        # Its script may be quicker than the agent, or take its time.
        self.later(0, 3_000, lambda: self.world.switch_traffic(self.machine.name, is_open=True))
        return e.ApplicationStarted()

    def switch_traffic(self, *, is_open: bool) -> None:
        """``mirrorfarm farm open`` or ``close``, by its application's scripts."""
        can = self.kernel.application and not self.actor.frozen and self.state.may_open
        if can and self.state.settings.script_traffic and self.state.traffic_open != is_open:
            self.world.note(f"{self.machine.name} {'opens' if is_open else 'closes'} its traffic")
            self.machine.traffic_open = is_open
            self.give(fe.TrafficSwitched(is_open))

    def _adopt_application(self) -> fe.Event:
        return e.ApplicationStarted() if self.kernel.application else e.ApplicationFailed("it is gone")

    def _stop_application(self) -> fe.Event:
        if self.machine.kernel.application:
            self.world.checkers.application_ends(self.machine.name)
        self.machine.kernel.application = False
        self.world.application_ended(self.machine.name)
        return e.ApplicationStopped()

    def application_died(self) -> None:
        """By itself."""
        self.kernel.application = False
        self.world.application_ended(self.machine.name)
        self.later(0, 500, lambda: self.give(e.ApplicationGone("chance")))

    def _kill(self) -> None:
        for kind in (*self._begun,):
            self._abandon(kind)
        self._wanted = None
        self.kernel.application = self.kernel.held = False
        self.kernel.link_until_ns.clear()
        self._set_rules(None)
        self.world.application_ended(self.machine.name)
        self._work("kill", 1, 50, lambda: e.Killed())

    def _load(self, command: fk.LoadRules) -> fe.Event:
        # One for the links' sake is tried again by the hand itself.
        if self.state.loading and self.clock.chance(self.world.fails):
            return fe.LoadFailed("chance")
        self.kernel.macs = command.macs
        self._set_rules(command.tables)
        gone = {address for address, down in self.machine.down.items() if down.gone}
        return fe.Loaded({address: table.number for address, table in command.tables.items() if address not in gone})

    def _set_rules(self, tables: Any) -> None:
        self.kernel.tables = tables
        self.world.checkers.look()

    def _hold(self) -> fe.Event:
        if self.clock.chance(self.world.fails):
            return fe.HoldFailed("chance")
        self.kernel.held = True
        return fe.AddressesHeld()

    def _release(self) -> fe.Event:
        self.kernel.held = False
        return fe.AddressesReleased()

    def _direct(self, address: str) -> fe.Event:
        if self.clock.chance(self.world.fails):
            self.kernel.link_until_ns.pop(address, None)  # What a former agent answered for.
            return fe.DirectFailed(address, self.clock.chance(0.5), "chance")
        self.kernel.link_until_ns[address] = self._until_ns
        self.world.checkers.answers(self.machine.name, address)
        return fe.Directing(address)

    def _undirect(self, address: str) -> fe.Event:
        self.kernel.link_until_ns.pop(address, None)
        return fe.Undirected(address)
