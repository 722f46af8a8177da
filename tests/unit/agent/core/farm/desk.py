"""The world of one farm node, ``a`` of a, b, c: the fake store, and hands that do what they are told when asked to."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.farm import FarmState, Settings, initial, step
from agent.core.farm.settings import SECOND_NS
from agent.core.farm.view import FarmView, decode_farm
from manager.model.codec import decode, encode
from manager.model.config.farm_config import FarmConfig, Protocol, RuleConfig
from manager.model.config.module_config import AddressConfig
from manager.model.farm import NOBODY, SLOTS, DirectorRecord, SlotsRecord, SlotTable, empty_table
from manager.model.farm_resources import farm_resources
from manager.model.keys import ClusterKeys
from manager.model.reasons import Reason
from manager.model.records import DesiredRecord, MemberRecord, ModuleConfigRecord, NodeRecord, RequestRecord
from manager.model.states import ModuleKind, ModuleState, Readiness, Run
from manager.store.api import Delete, LeaseExpired, Put, Txn
from manager.store.fake import FakeEtcd

CLUSTER = ClusterKeys("test")
KEYS = CLUSTER.module("web")
VIP, VIP6 = "10.0.0.10", "fd00::10"
C = TypeVar("C")

CONFIG = FarmConfig(
    name="web", kind=ModuleKind.FARM, nodes=("a", "b", "c"),
    addresses=(AddressConfig(VIP, 24),), rules=(RuleConfig(Protocol.TCP, 80, 80),),
)  # fmt: skip
TWO = replace(CONFIG, addresses=(AddressConfig(VIP, 24), AddressConfig(VIP6, 64)))


class Desk:
    """Time stands still unless it is told to pass; a command is carried out when its event is given."""

    def __init__(self, config: FarmConfig = CONFIG, *, left: bool = False, generation: int = 1) -> None:
        """Applied, wanted on all nodes, whose agents are registered; ``a`` has its lease for a hundred seconds.

        ``generation``: of its configuration, and of the one that the others say that they run by; etcd has the first.
        """
        self.settings = Settings(CLUSTER, "a", config, "boot-a", "module", generation)
        self.begin(left=left)
        self.etcd, self.now_ns = FakeEtcd(), 1_000 * SECOND_NS
        self.leases = {node: self.etcd.grant_now(10_000) for node in config.nodes}
        self.deadline_ns = self.now_ns + 100 * SECOND_NS
        self.commands: list[fk.Command] = []
        """All that were given, since they were looked at last."""
        self.silent: set[str] = set()
        """Directors that do not ask this node; the others do, four times a second."""
        self.shared_by = 0
        """The number of the table by which their kernels share, as they say; 0: they do not."""
        self.give(fe.Links(dict.fromkeys(self.settings.addresses, "02:00:00:00:00:0a")))
        self.apply(1)
        for node in config.nodes:
            record = NodeRecord(node, (f"host-{node}",), "1", f"boot-{node}", "", 1)
            self.put(CLUSTER.node(node), encode(record), node)
            self.want(node, Run.STARTED)

    def begin(self, *, left: bool, traffic_open: bool = False) -> None:
        """A new agent, which hears etcd, and has been shown nothing yet."""
        self.state: FarmState = replace(initial(self.settings, left=left, traffic_open=traffic_open), watching=True)

    # The store

    def put(self, key: str, value: str, node: str = "") -> None:
        """Straight into the store, on the lease of ``node``."""
        self.etcd.commit_now(Txn(then=(Put(key, value, self.leases.get(node, 0)),)))

    def delete(self, key: str) -> None:
        """Straight from the store."""
        self.etcd.commit_now(Txn(then=(Delete(key),)))

    def want(self, node: str, run: Run, **switches: str) -> None:
        """``mirrorfarm start``, ``stop``, or a switch."""
        self.put(KEYS.desired(node), encode(DesiredRecord(run, switches)))

    def apply(self, generation: int) -> None:
        """``mirrorfarm module apply``."""
        self.put(KEYS.config, encode(ModuleConfigRecord("module", generation, "", {}, "", "")))

    def is_up(self, *nodes: str) -> None:
        """Other nodes publish that they serve."""
        for node in nodes:
            self.is_up_with(node, self.settings.addresses)

    def is_up_with(self, node: str, links: Iterable[str], reason: Reason = Reason.SERVING) -> None:
        """Another node publishes that it serves, has a link of these addresses, and what keeps it from more."""
        ways = {Reason.SERVING: Readiness.READY, Reason.HANDING_OVER: Readiness.TRANSIENT}
        readiness = ways.get(reason, Readiness.BLOCKED)
        macs = {a: f"02:00:00:00:00:0{node}" for a in links}
        resources = farm_resources(macs, generation=self.settings.generation)
        record = MemberRecord(
            node=node, state=ModuleState.UP, readiness=readiness, reason=str(reason), boot_id=f"boot-{node}",
            instance="", endpoint=None, disk=None, resources=resources,
        )  # fmt: skip
        self.put(KEYS.member(node), encode(record), node)

    def directs(self, node: str, address: str = VIP) -> None:
        """Another one is the director."""
        self.put(KEYS.director(address), encode(DirectorRecord(node, address)), node)

    def set_table(self, table: SlotTable, address: str = VIP, by: str = "b") -> None:
        """As another director has written it."""
        self.put(KEYS.slots(address), encode(SlotsRecord(address, by, table, dict(table.shares()))))

    def take_table(self, table: SlotTable) -> None:
        """Another director has written it, and this node sees and loads it."""
        self.set_table(table)
        self.look()
        self.load()

    def table(self, address: str = VIP) -> SlotTable:
        """In the store."""
        kv = self.etcd.get_now(KEYS.slots(address))
        assert kv is not None
        return decode(SlotsRecord, kv.value).table

    def director(self, address: str = VIP) -> str:
        """In the store; empty: none."""
        kv = self.etcd.get_now(KEYS.director(address))
        return "" if kv is None else decode(DirectorRecord, kv.value).node

    def view(self) -> FarmView:
        """As the watch shows it."""
        found = self.etcd.range_now("/")
        return decode_farm(CLUSTER, "web", found.kvs, found.revision, found.store_id, self.settings.depends)

    def request(self, request_id: str, action: str, node: str = "a") -> None:
        """An operator asks."""
        self.put(KEYS.request(request_id), encode(RequestRecord(request_id, action, node, "", "op")))

    # Events

    def give(self, *events: fe.Event) -> list[fk.Command]:
        """What these make the core want, but for wake-ups and what it publishes; commits wait for :meth:`settle`."""
        told: list[fk.Command] = []
        for event in events:
            self.state, commands = step(self.state, event, self.now_ns)
            told += commands
        self.commands += told
        return [c for c in told if not isinstance(c, k.WakeAt | k.PublishMember | fk.AnswerProbes)]

    def look(self) -> list[fk.Command]:
        """The watch."""
        return self.give(fe.Observed(self.view()))

    def settle(self) -> list[fk.Command]:
        """The transaction under way is executed and answered, then observed; so are those that follow from it."""
        told: list[fk.Command] = []
        while self.state.open is not None:
            told += self.answer()
            told += self.look()
        return told

    def answer(self) -> list[fk.Command]:
        """The transaction under way is executed and answered."""
        assert self.state.open is not None
        commit = self.state.open.commit
        try:
            result = self.etcd.commit_now(commit.txn)
        except LeaseExpired as expired:
            return self.give(e.TxnFailed(commit.tag, str(expired)))
        return self.give(e.TxnSettled(commit.tag, result.succeeded, result.revision, result.found))

    def renew(self, seconds: float = 100) -> list[fk.Command]:
        """The lease."""
        self.deadline_ns = self.now_ns + round(seconds * SECOND_NS)
        return self.give(e.LeaseRenewed(self.leases["a"], self.deadline_ns))

    def load(self) -> list[fk.Command]:
        """The kernel takes the rules that it was told last."""
        assert self.state.loading
        return self.give(fe.Loaded({a: t.number for a, t in (self.state.wanted_tables or {}).items()}))

    def hear(
        self, node: str, *, ready: bool = True, number: int | None = None, busy: Iterable[int] = (),
        adopting: bool = False, is_open: bool = True, promises: bool = False,
    ) -> None:  # fmt: skip
        """``node`` answers a probe; ``number``: of its table, if it is not the present one."""
        numbers, busies = {}, {}
        for address in self.settings.addresses:
            kv = self.etcd.get_now(KEYS.slots(address))
            present = 0 if kv is None else decode(SlotsRecord, kv.value).table.number
            numbers[address] = present if number is None else number
            if busy:
                busies[address] = frozenset(busy)
        macs = dict.fromkeys(self.settings.addresses, f"02:00:00:00:00:0{node}")
        promised = frozenset(self.settings.addresses if promises else ())
        is_ready = ready and not adopting
        self.give(fe.Answered(node, is_ready, numbers, macs, busies, adopting, promised, {}, self.now_ns, is_open))

    def pass_time(self, seconds: float, *answering: str, refusing: Iterable[str] = ()) -> None:
        """Ticks come when they are due; ``answering`` nodes go on answering as they did last, four times a second.

        The agents of ``refusing`` ones are away.
        """
        end_ns = self.now_ns + round(seconds * SECOND_NS)
        next_ns = self.now_ns + SECOND_NS // 4
        while True:
            wake_ns = self.state.wake_ns if self.state.wake_ns > self.now_ns else end_ns
            self.now_ns = min(end_ns, wake_ns, next_ns)
            self.give(e.Tick())
            if self.now_ns == next_ns:
                next_ns += SECOND_NS // 4
                self._ask()
                for node in answering:
                    self.give(replace(self.state.heard[node].answer, asked_ns=self.now_ns))
                for node in refusing:
                    self.give(fe.Refused(node, self.now_ns))
            self.settle()
            if self.state.loading:
                self.load()
                self.settle()
            if self.now_ns >= end_ns:
                return

    def _ask(self) -> None:
        """The directors do."""
        of = {address: self.director(address) for address in self.settings.addresses}
        for node in sorted({*of.values()} - self.silent - {"", "a"}):
            self.give(fe.Asked(node, {a: self.shared_by for a, director in of.items() if director == node}))

    # Ways

    def prepare(self) -> None:
        """To the start of the application: the rules are loaded, and then the addresses held."""
        self.give(e.Prepared())
        self.load()
        self.give(fe.AddressesHeld())

    def start(self) -> None:
        """To UP, the rules loaded by the tables that there are."""
        self.renew()
        self.look()
        self.prepare()
        self.give(e.ApplicationStarted())

    def direct(self) -> None:
        """To UP, and the director of all addresses, with a first table."""
        self.start()
        self.settle()
        while self.state.loading:
            self.load()
            self.settle()
        for address in self.settings.addresses:
            self.give(fe.Directing(address))

    def told(self, kind: type[C]) -> list[C]:
        """The commands of that kind since the last time that any were looked at."""
        found: list[C] = [c for c in self.commands if isinstance(c, kind)]
        self.commands.clear()
        return found

    @property
    def record(self) -> MemberRecord:
        """As published."""
        assert self.state.published is not None
        return self.state.published

    @property
    def word(self) -> str:
        """State, readiness and cause, as published."""
        return f"{self.record.state} {self.record.readiness} {self.record.reason}"


def names(commands: Iterable[object]) -> list[str]:
    """What they are called."""
    return [type(command).__name__ for command in commands]


def shared_table(owners: str, number: int = 7, leaving: str = NOBODY) -> SlotTable:
    """One of :data:`CONFIG`'s nodes in which these, over and over, own the slots, and these leave them."""
    return replace(
        empty_table(CONFIG.nodes), number=number, owners=(owners * SLOTS)[:SLOTS], leaving=(leaving * SLOTS)[:SLOTS]
    )


def beside_others() -> Desk:
    """``a`` is UP beside b, which directs, and has half of the slots."""
    desk = Desk()
    desk.is_up("b")
    desk.directs("b")
    desk.set_table(shared_table("01"))
    desk.start()
    assert desk.word == "UP ready serving"
    desk.commands.clear()
    return desk
