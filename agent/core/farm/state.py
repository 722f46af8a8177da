"""What the core knows of one farm module: facts as they were told, and what it is in the middle of. Frozen.

What follows from the facts is decided elsewhere (``member``, ``electing``, ``directing``); here are only the words for
them, and what can be read off them directly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.copying import derived
from agent.core.farm.commands import AnswerProbes, Command
from agent.core.farm.facts import Asker, Away, Calm, Count, Hand, Handing, Heard, Known, OpenTxn, Relieved, Trouble
from agent.core.farm.limits import COUNT_EVERY_NS
from agent.core.farm.settings import Settings
from agent.core.farm.view import FarmView
from agent.core.state import Addr, App, Lease, Operation
from agent.core.view import Seen
from manager.model.farm import DirectorRecord, SlotsRecord, SlotTable
from manager.model.farm_resources import macs_in
from manager.model.reasons import Reason
from manager.model.records import MemberRecord
from manager.model.states import ModuleState, Readiness, Run

Commands = tuple[Command, ...]
Tables = Mapping[str, SlotTable]
"""By address."""
NO_SLOTS: frozenset[int] = frozenset()


@dataclass(frozen=True)
class FarmState:
    """One farm module on one node. Without ``slots``, so that it is copied quickly (``agent.core.copying``)."""

    settings: Settings
    left: bool = False
    """A former agent ran the module here, and what it left has neither been adopted nor ended yet."""
    adopting: bool = False
    """What a former agent left may take its share still, and is being taken over: a director is told so."""

    # The store
    view: FarmView | None = None
    known: Mapping[str, Known] = field(default_factory=dict)
    """By address, where it is newer than the view."""
    watching: bool = False
    """The watch is up and renewals are answered."""
    silent_ns: int = 0
    """Since when etcd was not heard, while it is not; not before it has shown something. A renewal that failed says so
    first."""
    store_heard_ns: int = 0
    """When etcd has answered or shown anything last."""
    lease: Lease | None = None
    open: OpenTxn | None = None
    commit_after_ns: int = 0
    """No new transaction before: the last one was not answered, or refused."""
    absent_ns: Mapping[str, int] = field(default_factory=dict)
    """Since when each address has been seen without a director."""
    keyed_ns: Mapping[str, int] = field(default_factory=dict)
    """Since when each address's director key has been seen as it is."""
    renewed_ns: Mapping[str, int] = field(default_factory=dict)
    """By node, when its registration was seen to change last."""
    tables: Tables = field(default_factory=dict)
    """As etcd has them, by the newest that was told; those that are understood."""
    tables_ns: Mapping[str, int] = field(default_factory=dict)
    """Since when."""
    relieved: Mapping[str, Relieved] = field(default_factory=dict)
    """By address, where nothing begins at this node by its table."""

    # The member
    app: App = App.UNPREPARED
    app_since_ns: int = 0
    app_failed: str = ""
    """Why it failed here, until an operator's start or restart; empty: it did not."""
    restarting: bool = False
    """The application is being stopped to be started again."""
    hold: Addr = Addr.NONE
    """Of all addresses, on ``lo``."""
    hold_since_ns: int = 0
    hold_failed: str = ""
    hold_retry_ns: int = 0
    own_macs: Mapping[str, str] = field(default_factory=dict)
    """By address; those of which this node has a link."""
    macs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of the other nodes, by node and address, as told last."""
    wanted_tables: Tables | None = None
    """Those of the last LoadRules; ``None``: none was told since UnloadRules."""
    wanted_macs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    loading: bool = False
    """It has not been answered."""
    loaded: Tables | None = None
    """Those that the kernel shares by, of addresses of which this node has a link: of others it has a guard alone.
    ``None``: there are none, or it is not known."""
    load_failed: str = ""
    load_retry_ns: int = 0
    leaving: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """By address, the slots that this node leaves, by ``loaded``."""
    counts: Mapping[str, Count] = field(default_factory=dict)
    counting: Mapping[str, int] | None = None
    """CountConnections was told: the numbers, by address, of the tables by which it counts."""
    counted_ns: int = 0
    """When the last one was told."""
    count_every_ns: int = COUNT_EVERY_NS
    """So long after it the next one is due."""
    joined: bool = False
    """Since its application runs, the rules of every table have been loaded once."""
    traffic_open: bool = False
    """Its scripts have opened its traffic, since its application was started last."""
    traffic_closed_by: str = ""
    """Who has closed it since, for people."""
    up_ns: int | None = None
    """Since when it is ready; ``None``: it is not."""
    out_ns: int | None = None
    """Since when it hands its slots on, to stop or restart; ``None``: it does not."""
    out_at_once: bool = False
    """It does, and says that it takes no share any more: they did not go to others step by step in their time."""
    passed_ns: int | None = None
    """Since when nothing that begins comes here, by all that is known; ``None``: something may."""

    # The director
    hands: Mapping[str, Hand] = field(default_factory=dict)
    """By address; those of which there is nothing are left out."""
    former: frozenset[str] = frozenset()
    """Addresses for which a former agent may have begun to answer: they are taken over, or taken away."""
    handing: Mapping[str, Handing] = field(default_factory=dict)
    """By address, those that it hands over; at most one, and it is not answered for."""
    handed_ns: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """When it has begun to hand an address to a node last, by both."""
    calm: Calm = field(default_factory=Calm)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    """By address."""
    directed_ns: int = 0
    """When it answered for an address last; 0: never."""
    probing: Mapping[str, str] = field(default_factory=dict)
    """Node to where it is probed."""
    probing_ns: int = 0
    """Since when any are."""
    asked: Mapping[str, Asker] = field(default_factory=dict)
    """By node."""
    met_ns: Mapping[str, int] = field(default_factory=dict)
    """By node, when it has answered last, or has asked as one that directs: one that claims nothing may hear nobody."""
    lost: frozenset[str] = frozenset()
    """Directors whose keys this node has taken for dead ones', and that have not answered it since."""
    heard: Mapping[str, Heard] = field(default_factory=dict)
    """By node, while it is probed."""
    away: Mapping[str, Away] = field(default_factory=dict)
    """By node; those that have not said anything else since."""
    join_after_ns: Mapping[str, int] = field(default_factory=dict)
    """By node, that was lost and is ready again: not to be given slots before."""
    told_until_ns: int = 0
    """The instant of the last ServeUntil."""
    told_directs: Mapping[str, int] = field(default_factory=dict)
    """What the questions say that it directs, and by which tables."""
    stepped_ns: int = 0
    awake_ns: int = 0
    """Since when it has looked again and again, without a gap: it was not frozen."""

    # Promises to a director
    promised: Mapping[str, str] = field(default_factory=dict)
    """Those that it gives with each answer: to whom, by address."""
    owed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Until when those bind that it gives no more, by address and node."""
    former_until_ns: int = 0
    """Until when those may bind that a former agent of this node gave; 0: there was none."""

    # The way out
    killing: Reason | None = None
    """KillEverything was told, and is not done."""
    killing_since_ns: int = 0
    agent_stopping: bool = False

    # Operators
    operation: Operation | None = None
    answered: frozenset[str] = frozenset()
    """Requests answered for good that the view still shows as open."""

    # What was told last
    published: MemberRecord | None = None
    has_published: bool = False
    answering: AnswerProbes | None = None
    wake_ns: int = 0

    @property
    def node(self) -> str:
        """This node."""
        return self.settings.node

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes of the module."""
        return self.settings.config.nodes

    @derived
    def peers(self) -> tuple[str, ...]:
        """The module's other nodes."""
        return tuple(n for n in self.nodes if n != self.node)

    @property
    def listening_ns(self) -> int:
        """Since when it has heard what others answer to its questions."""
        return max(self.awake_ns, self.probing_ns)

    def director(self, address: str) -> Seen[DirectorRecord] | None:
        """The key of who receives for ``address``, by the newest that was told."""
        newest = self._newest(address)
        if newest is not None:
            return newest.director
        return None if self.view is None else self.view.directors.get(address)

    def slots(self, address: str) -> Seen[SlotsRecord] | None:
        """The record with the table of ``address``, by the newest that was told."""
        newest = self._newest(address)
        if newest is not None:
            return newest.slots
        return None if self.view is None else self.view.slots.get(address)

    def _newest(self, address: str) -> Known | None:
        known = self.known.get(address)
        return known if known is not None and (self.view is None or known.revision > self.view.revision) else None

    def revision(self, address: str) -> int:
        """The newest revision of the store at which the keys of ``address`` were told."""
        newest = self._newest(address)
        return newest.revision if newest is not None else 0 if self.view is None else self.view.revision

    def is_readable(self, address: str) -> bool:
        """Nothing of ``address`` in etcd is beyond this release: else nothing is decided against it."""
        keys = self.settings.keys
        unread = () if self.view is None else self.view.unreadable
        return (
            keys.director(address) not in unread
            and keys.slots(address) not in unread
            and (self.slots(address) is None or address in self.tables)
        )

    def has_key(self, address: str) -> bool:
        """The director key of ``address`` names this node: its own, or one that a former agent left."""
        key = self.director(address)
        return key is not None and key.record.node == self.node

    def is_director(self, address: str) -> bool:
        """It hangs on this agent's lease."""
        key = self.director(address)
        return self.has_key(address) and key is not None and self.lease is not None and key.lease == self.lease.lease_id

    def phase(self, address: str) -> Addr:
        """What becomes of ``address`` on the network, here."""
        hand = self.hands.get(address)
        return Addr.NONE if hand is None else hand.phase

    @derived
    def on_the_network(self) -> Mapping[str, int]:
        """The addresses that this node may be answering for, with the number of the table that its kernel shares by.

        What is being taken off the network is there until that is done.
        """
        killed = self.told_directs if self.killing is not None else ()
        there = (a for a in self.settings.addresses if self.phase(a) is not Addr.NONE or a in killed)
        return {address: self.number(address) for address in there}

    def number(self, address: str) -> int:
        """Of the table that the kernel's rules for ``address`` are made of; 0: none."""
        table = None if self.loaded is None else self.loaded.get(address)
        return 0 if table is None else table.number

    def busy(self, address: str) -> frozenset[int]:
        """The slots that this node leaves and may have connections in: all, until it has counted by that table."""
        count = self.counts.get(address)
        if count is not None and count.number == self.number(address):
            return count.busy
        return self.leaving.get(address, NO_SLOTS)

    def weight(self, node: str) -> int:
        """An operator's, or the configuration's."""
        desired = None if self.view is None else self.view.common.desired.get(node)
        switched = None if desired is None else desired.weight
        return self.settings.config.weight(node) if switched is None else switched

    def is_up(self, node: str) -> bool:
        """``node`` says that it serves, if not for every address, and its lease lives."""
        member = None if self.view is None else self.view.common.member(node)
        return member is not None and member.state is ModuleState.UP

    @derived
    def others_up(self) -> bool:
        """Another node serves, and is to go on."""
        return any(self.is_up(n) for n in self.staying)

    def is_reached(self, node: str, address: str) -> bool:
        """``node`` says that it serves, and has a link there."""
        member = None if self.view is None else self.view.common.member(node)
        return member is not None and member.state is ModuleState.UP and address in macs_in(member.resources)

    def can_receive(self, node: str, address: str) -> bool:
        """It is reached there, and nothing is known that would keep it from directing ``address``."""
        member = None if self.view is None else self.view.common.member(node)
        if member is None or not self.is_reached(node, address):
            return False
        if member.reason == Reason.HANDING_OVER:
            return False
        # One that lacks another address's link alone directs this one as well as any.
        macs = macs_in(member.resources)
        lacks = member.reason == Reason.ADDRESS_FAILED and any(a not in macs for a in self.settings.addresses)
        return member.readiness is not Readiness.BLOCKED or lacks

    @derived
    def staying(self) -> tuple[str, ...]:
        """The other nodes that are to go on."""
        view = self.view
        return () if view is None else tuple(n for n in self.peers if view.common.wants(n) is Run.STARTED)

    @derived
    def wants_run(self) -> bool:
        """Whether the module is to run on this node."""
        return (
            self.view is not None
            and not self.agent_stopping
            and self.view.common.applied > 0
            and self.node in self.nodes
            and self.view.common.wants(self.node) is Run.STARTED
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Modules that it depends on and that serve nowhere: its application goes on if it runs, and is not started."""
        return () if self.view is None else self.view.common.missing

    @derived
    def serves(self) -> bool:
        """All that UP takes is there."""
        return self.app is App.RUNNING and self.hold is Addr.HELD and self.joined and self.killing is None

    @property
    def is_open(self) -> bool:
        """Where scripts say when what begins may come here, they have said so."""
        return self.traffic_open or not self.settings.script_traffic

    @property
    def may_open(self) -> bool:
        """There is an application whose scripts may open the traffic: it runs, or is on its way up."""
        return self.left or self.app in (App.STARTING, App.ADOPTING, App.RUNNING)

    @derived
    def is_ready(self) -> bool:
        """It takes its share, if there is any for it, and is to go on."""
        return self.serves and self.wants_run and self.out_ns is None

    @derived
    def is_relieved(self) -> bool:
        """By the tables of all addresses nothing begins here."""
        return self.relieved.keys() >= self.tables.keys()

    @property
    def is_at_rest(self) -> bool:
        """Nothing of the module is left on this node, and nothing is under way: the agent may end."""
        return (
            not self.left
            and not self.former
            and self.app is App.UNPREPARED
            and self.hold is Addr.NONE
            and self.wanted_tables is None
            and not self.hands
            and self.killing is None
            and self.open is None
            and not self._has_key_to_delete
        )

    @property
    def store_heard(self) -> bool:
        """Etcd answers, and has shown something. A last change that comes while it does not is no answer."""
        return self.watching and self.view is not None

    @derived
    def _has_key_to_delete(self) -> bool:
        """Where etcd does not answer, a key ends with its lease."""
        return self.store_heard and self.lease is not None and any(self.has_key(a) for a in self.settings.addresses)

    def lease_holds(self, now_ns: int) -> bool:
        """Whether this node may direct at this moment (S5)."""
        return self.lease is not None and now_ns < self.lease.deadline_ns


@dataclass(frozen=True, slots=True)
class Move:
    """One rule's outcome: the state after it, and what it wants done. ``None`` in its place: it does not apply."""

    state: FarmState
    commands: Commands = ()
