"""What the core knows of one mirror module: facts as they were told, and what it is in the middle of. Frozen.

What follows from the facts is decided elsewhere (``standing``, ``serving``, ``following``, ``membership``,
``leaving``); here are only the words for them, and what can be read off them directly.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.core.commands import Command, Commit
from agent.core.copying import derived, replace
from agent.core.settings import Settings
from agent.core.view import ModuleView, Seen
from manager.model import control
from manager.model.reasons import Reason
from manager.model.records import DiskIdentity, InsyncRecord, MemberRecord, PrimaryRecord
from manager.model.states import Run

Commands = tuple[Command, ...]
FOREVER_NS = 1 << 62


class Rep(enum.StrEnum):
    """What the replicator is, or is being told to be."""

    ABSENT = "absent"
    STARTING = "starting"
    IDLE = "idle"
    """It plays no part: the directories are plain."""
    FOLLOWING = "following"
    CLOSING = "closing"
    """CloseStream was told."""
    CLOSED = "closed"
    """All that came is applied, nothing more is taken: it may stand (S3)."""
    FOUND_SERVING = "found_serving"
    """A former agent's, still serving: adopted once this agent's lease holds the key."""
    PROMOTING = "promoting"
    """Serve was told."""
    SERVING = "serving"
    FREEZING = "freezing"
    FROZEN = "frozen"
    """All is applied at both, nothing more is taken."""
    QUITTING = "quitting"


SERVES = frozenset({Rep.FOUND_SERVING, Rep.PROMOTING, Rep.SERVING, Rep.FREEZING, Rep.FROZEN})


class App(enum.StrEnum):
    """The application."""

    UNPREPARED = "unprepared"
    PREPARING = "preparing"
    STOPPED = "stopped"
    STARTING = "starting"
    ADOPTING = "adopting"
    """A former agent's: whether something of it lives is being asked."""
    RUNNING = "running"
    FAILED = "failed"
    """It did not start, or ended by itself; something may be left of it."""
    STOPPING = "stopping"
    FINISHING = "finishing"


LIVES = frozenset({App.STARTING, App.ADOPTING, App.RUNNING, App.FAILED, App.STOPPING})


class Addr(enum.StrEnum):
    """The module's virtual addresses."""

    NONE = "none"
    ADDING = "adding"
    HELD = "held"
    DROPPING = "dropping"


class Aside(enum.StrEnum):
    """What becomes of a copy that went on without the primary's (S12)."""

    NOTHING = "nothing"
    """It did not, or what differed is kept."""
    DUE = "due"
    KEEPING = "keeping"
    """What differs is being kept."""
    FULL = "full"
    """There is no room for it; it is tried again."""
    FAILED = "failed"
    """It cannot be read, or not be written; it is tried again."""


class Link(enum.StrEnum):
    """A primary's stream to another node."""

    ASKED = "asked"
    """Peer was told."""
    JOINING = "joining"
    COMPLETE = "complete"
    """Past its join point: completions wait for it (S2)."""
    LOST = "lost"
    """Not connected again before the record is settled without it and Peer is told anew."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What a primary knows of another node's stream."""

    link: Link
    instance: str
    """The replicator process that was told of, or answered."""
    since_ns: int
    connected_ns: int = 0
    boot_id: str = ""


class Leave(enum.StrEnum):
    """Why a primary gives up its place in order."""

    SWAP = "swap"
    STOP = "stop"
    """This node alone: hand over first, when there is someone."""
    STOP_ALL = "stop_all"
    """Every node: stay the primary and stop last."""
    APPLICATION_FAILED = "application_failed"
    PREFERRED = "preferred"
    """The node that the configuration prefers is ready again."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A primary's way out of its place."""

    why: Leave
    since_ns: int
    to: str = ""
    """The node that it is offered to; empty: nobody."""
    number: int = 0
    """The record's number when it was offered."""
    offered_ns: int = 0
    """When the offer was published; 0: not yet."""
    withdrawing: bool = False
    """The record is being written anew, so that the offer cannot be taken any more."""


@dataclass(frozen=True, slots=True)
class OpenTxn:
    """The transaction under way."""

    commit: Commit
    guard_revision: int
    """The record's revision that it is guarded by; 0: the record's absence."""
    lists: frozenset[str] = frozenset()
    """The nodes that the record lists if it is executed, for a change of the record by its primary."""


@dataclass(frozen=True, slots=True)
class Office:
    """A primary's place that this very process took by a settled transaction, and that nobody has taken since.

    It outlives the primary key, which may expire while this node is cut off from etcd: see ``promising``.
    """

    epoch: int
    instance: str
    """The replicator process that serves."""


@dataclass(frozen=True, slots=True)
class Given:
    """Another node's promise to this primary not to stand (S5)."""

    instance: str
    """Its replicator process."""
    until_ns: int
    """By this node's clock, on the safe side."""
    for_ns: int = 0
    """How long it lasts from when it was asked for, on the safe side."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The agent's lease."""

    lease_id: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Known:
    """The two keys that decisions are guarded by, as a transaction's answer told them."""

    revision: int
    primary: Seen[PrimaryRecord] | None
    insync: Seen[InsyncRecord] | None


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator's request that was accepted here."""

    request_id: str
    action: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class Forcing:
    """A forced start that is looked into, and then under way (S12)."""

    request_id: str
    node: str
    """The one that was primary last, whose copy is the newest."""
    asked_by: str
    since_ns: int
    """When the present step began."""
    fence: bool = False
    """The module's hook is to turn it off."""
    confirmed: bool = False
    """Its name was given as that of the node that is off, or that the hook turns off."""
    fencing: bool = False
    """Fence was told."""
    fenced: str | None = None
    """What went wrong with it; empty: the hook says that it is off. ``None``: not ended."""
    probing: bool = False
    """ProbeNode was told."""
    asked: tuple[str, ...] = ()
    """Where it was asked."""
    untried: tuple[tuple[str, str], ...] = ()
    """Those of them where it could not be asked, and why."""
    answering: str | None = None
    """Where and how it answers; empty: it does not. ``None``: not known yet."""
    probed_ns: int = 0
    """When that was known."""

    @property
    def is_off(self) -> bool:
        """It counts as off: somebody says so, and nothing that was tried is against it."""
        return self.confirmed and self.answering == "" and (not self.fence or self.fenced == "")


@dataclass(frozen=True)
class MirrorState:
    """One mirror module on one node. Without ``slots``, so that it is copied quickly (``copying``)."""

    settings: Settings
    boot: str = ""
    """The boot id in effect, once memory was lost without a reboot; empty: that of the settings."""
    left: bool = False
    """A former agent left it running here: that is what is wanted, where etcd does not say it in words understood."""

    # The store
    view: ModuleView | None = None
    """What etcd showed last: whichever etcd that was (``store_id``)."""
    known: Known | None = None
    """Newer than the view, and of the same etcd: over once the view has come as far, or is of another one."""
    store_since_ns: int = 0
    """When this etcd, or what it shows since it went back, was seen first."""
    first_revision: int = 0
    """Of the first view of this store: what was asked before may be of another day."""
    watching: bool = False
    """The watch is up and renewals are answered. While it is not so, the view may be of long ago."""
    went_back: bool = False
    lease: Lease | None = None
    open: OpenTxn | None = None
    stood_since_ns: int = -1
    """When the etcd was seen first in which this node asked last to stand (``store_since_ns``); -1: it has not."""
    late_stand: int | None = None
    """The record's revision that a stand of unknown outcome is guarded by; ``None``: there is none (S6)."""
    late_record: int | None = None
    """The same for a change of the record."""
    late_lists: frozenset[str] = frozenset()
    """The nodes that such a change of unknown outcome may have listed."""
    commit_after_ns: int = 0
    """No new transaction before: the last one was not answered, or refused."""
    primary_gone_ns: int | None = None
    """Since when there has been no primary key; ``None``: there is one, or nothing was seen yet."""
    away_ns: Mapping[str, int] = field(default_factory=dict)
    """Since when each other node has been seen not to be registered, without a gap."""
    hold_stand_until_ns: int = 0
    """This node has resigned: another one goes first."""

    # The replicator
    rep: Rep = Rep.ABSENT
    """This, and what stands below but for failures, is over with the process (``absorbing.without_replicator``)."""
    rep_since_ns: int = 0
    rep_failures: int = 0
    """In a row, of one process after the other: until one has lived, a stop, or an operator's restart."""
    rep_start_after_ns: int = 0
    looked: bool = False
    """Whether it is known what a former agent has left: nothing is resigned for a replicator that may still serve."""
    hello: control.Hello | None = None
    disk: DiskIdentity | None = None
    """What the process has read, and noted since, of the etcd that it names; ``None``: it vouches for nothing."""
    told_revision: int = 0
    """The store's revision that the replicator was told of last, and notes on the disk."""
    told_store: str = ""
    """Of which etcd cluster, by its id, that was; empty: this agent has told it of none."""
    follow_epoch: int = 0
    """What the process was told to follow, and has noted: another etcd does not end that, and may know less."""
    follow_primary: str = ""
    """Empty: Follow is to be told anew, as in another etcd, or after a former agent."""
    stream_up: bool = False
    half_joined: bool | None = None
    """Whether the stream that ended last has left this copy in the middle of a join; ``None``: none has ended since
    this process began, or one stands."""
    aside: Aside = Aside.NOTHING

    # As primary: of the epoch that the process serves; who was lost how often is of this agent
    told_record: int = 0
    """The record's revision that the replicator has been told of (Settled)."""
    fence_record: bool = False
    """A peer was lost past its join point: the record has to be written, whatever it lists."""
    peers: Mapping[str, Peer] = field(default_factory=dict)
    lost_ns: Mapping[str, int] = field(default_factory=dict)
    """When each node was lost last: what flaps is listed later (S10)."""
    flaps: Mapping[str, int] = field(default_factory=dict)
    """How often in a row, with little time between."""
    office: Office | None = None
    given: Mapping[str, Given] = field(default_factory=dict)
    """The other nodes' promises, by node."""
    asked_ns: int = 0
    """When they were asked for last; 0: never."""
    told_until_ns: int = 0
    """Until when the replicator was told that this node may serve; 0: it was not."""
    leaving: Leaving | None = None
    stayed_ns: int | None = None
    """When it kept its place last: an offer was not taken, or a swap broke off."""
    preferred_ns: int | None = None
    """Since when the preferred primary could take this node's place; ``None``: it cannot."""
    prefer_after_ns: int = 0
    """A hand-over has failed: no other one for the preference's sake before."""

    # As secondary
    asked: control.PromiseAsked | None = None
    """The primary's question that is to be answered."""
    promised_epoch: int = 0
    promised_until_ns: int = 0
    """This node's own promise to the primary of ``promised_epoch`` (S5).

    It outlives the replicator's process and the etcd. Beside its time, a hand-over that is settled ends it, and a
    record that says that all which served in that epoch is dead.
    """
    began_ns: int = 0
    """When this agent began: what its former one promised is not known."""

    # The application
    app: App = App.UNPREPARED
    app_since_ns: int = 0
    app_failed: str = ""
    """Why it failed here, until an operator's start or restart; empty: it did not."""
    app_ended: bool = False
    """It had run for long and has ended: another node goes on if there is one, else it is started again here."""
    addr: Addr = Addr.NONE
    addr_since_ns: int = 0
    addr_in_use: str = ""
    addr_failed: str = ""
    addr_retry_ns: int = 0
    restarting: bool = False
    """The application is being stopped to be started again."""

    # The way out
    killing_for: Reason | None = None
    """The replicator said that it is at its end: everything is to be killed."""
    killing: Reason | None = None
    """KillEverything was told, and is not done."""
    killing_since_ns: int = 0
    resigning: Reason | None = None
    """This node's own primary key, if it is still there, is to be deleted."""
    agent_stopping: bool = False
    stop_since_ns: int | None = None

    # Operators
    operation: Operation | None = None
    """Until it has come to its end or its time is over; what it has named counts in the etcd in which it was said."""
    answered: frozenset[str] = frozenset()
    """Requests answered for good that the view still shows as open."""
    named: bool = False
    """An operator named this node: its data at the first start (S9), or to stand where it would not by itself."""
    accepted: frozenset[str] = frozenset()
    """What the operator knew to be against it, as words of ``Reason``."""
    forcing: Forcing | None = None
    """A start that the record does not allow, and an operator may."""

    # What was told last
    published: MemberRecord | None = None
    has_published: bool = False
    wake_ns: int = 0

    @property
    def node(self) -> str:
        """This node."""
        return self.settings.node

    @property
    def boot_id(self) -> str:
        """What tells whether this node still has in memory what it was listed for (``manager.model.boots``)."""
        return self.boot or self.settings.boot_id

    @property
    def store_heard(self) -> bool:
        """Etcd answers, and has shown something. A last change that comes while it does not is no answer."""
        return self.watching and self.view is not None

    @property
    def store_id(self) -> str:
        """The etcd cluster's own id; empty: not known."""
        return "" if self.view is None else self.view.store_id

    @derived
    def primary(self) -> Seen[PrimaryRecord] | None:
        """The primary key, by the newest that was told."""
        if self.known is not None and (self.view is None or self.known.revision > self.view.revision):
            return self.known.primary
        return None if self.view is None else self.view.primary

    @derived
    def insync(self) -> Seen[InsyncRecord] | None:
        """The in-sync record, by the newest that was told."""
        if self.known is not None and (self.view is None or self.known.revision > self.view.revision):
            return self.known.insync
        return None if self.view is None else self.view.insync

    @property
    def revision(self) -> int:
        """The newest revision of the store that was told."""
        return max(0 if self.view is None else self.view.revision, 0 if self.known is None else self.known.revision)

    @property
    def insync_revision(self) -> int:
        """The record's revision; 0: there is none."""
        return 0 if self.insync is None else self.insync.mod_revision

    @property
    def instance(self) -> str:
        """The replicator process; empty: there is none."""
        return "" if self.hello is None else self.hello.instance

    @derived
    def key_is_ours(self) -> bool:
        """The primary key is of this node, whichever of its processes and leases."""
        return self.primary is not None and self.primary.record.node == self.node

    @derived
    def is_primary(self) -> bool:
        """By a settled transaction: the key is of this process and hangs on this agent's lease."""
        return (
            self.primary is not None
            and self.lease is not None
            and self.primary.record.node == self.node
            and self.primary.record.instance == self.instance != ""
            and self.primary.lease == self.lease.lease_id
        )

    @property
    def record_is_unreadable(self) -> bool:
        """One of the two keys on which all is decided is not understood."""
        if self.view is None or not self.view.unreadable:
            return False
        decisive = {self.settings.keys.primary, self.settings.keys.insync}
        return not decisive.isdisjoint(self.view.unreadable)

    @derived
    def holds_office(self) -> bool:
        """It is the primary, or was by a settled transaction and nobody is since: its key may have expired."""
        return self.is_primary or self.office is not None

    @property
    def other_primary(self) -> str:
        """The node of a primary key that is not ours; empty: there is none."""
        return self.primary.record.node if self.primary is not None and not self.key_is_ours else ""

    @property
    def is_listed(self) -> bool:
        """The in-sync record lists this node."""
        return self.insync is not None and self.insync.record.holder(self.node) is not None

    @property
    def epoch(self) -> int:
        """The record's epoch; 0: there is no record."""
        return 0 if self.insync is None else self.insync.record.epoch

    @property
    def is_offering(self) -> bool:
        """Its place is offered to another node, which may take it at any moment."""
        return self.leaving is not None and self.leaving.offered_ns != 0

    @derived
    def wants_run(self) -> bool:
        """Whether the module is to run on this node."""
        return (
            self.view is not None
            and not self.agent_stopping
            and self.view.applied > 0
            and self.view.wants(self.node) is Run.STARTED
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Modules that it depends on and that serve nowhere: its application goes on if it runs, and is not started."""
        return () if self.view is None else self.view.missing

    @property
    def is_full_stop(self) -> bool:
        """The operator wants no node to run it."""
        return self.view is not None and all(self.view.wants(n) is Run.STOPPED for n in self.settings.nodes)

    @property
    def is_at_rest(self) -> bool:
        """Nothing of the module is left on this node, and nothing is under way: the agent may end."""
        return (
            self.rep is Rep.ABSENT
            and self.app is App.UNPREPARED
            and self.addr is Addr.NONE
            and self.killing is None
            and self.open is None
            and self.resigning is None
        )

    def lease_holds(self, now_ns: int) -> bool:
        """Whether this node may serve at this moment (S5)."""
        return self.lease is not None and now_ns < self.lease.deadline_ns


def having(state: MirrorState, **values: Any) -> MirrorState:
    """``state`` with ``values``; itself, when it has them already: a copy of so many fields is not cheap."""
    for name, value in values.items():
        if getattr(state, name) != value:
            return replace(state, **values)
    return state


@dataclass(frozen=True, slots=True)
class Move:
    """One rule's outcome: the state after it, and what it wants done. ``None`` in its place: it does not apply."""

    state: MirrorState
    commands: Commands = ()
