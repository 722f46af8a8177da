"""What the core of one module is told: facts, which cannot be refused. An operator's wishes stand in the view.

The runtime gives each event with the ``CLOCK_BOOTTIME`` of its arrival, one after the other, in the order in which
they came. Events of a replicator that was killed or replaced meanwhile must not be given: after
:class:`ReplicatorGone`, :class:`ReplicatorStopped` or :class:`Killed` the next one of a replicator is its Hello.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from agent.core.view import ModuleView
from manager.model import control
from manager.store.api import KeyValue


class Tag(enum.StrEnum):
    """What a transaction is for; given back with its outcome."""

    ELECT = "elect"
    """Become primary: no primary key, the record as read (S1)."""
    TAKE_OVER = "take_over"
    """Become primary in place of one that has handed over (S1)."""
    ADOPT = "adopt"
    """Put this node's own primary key on the new agent's lease: same key, same epoch, same process."""
    RESUME = "resume"
    """Put this node's key anew, which expired while it was cut off from etcd: same epoch, same process (S1)."""
    RECORD = "record"
    """Change the in-sync record as its primary: add, drop, or only write it anew (S2, S6)."""
    RESIGN = "resign"
    """Delete this node's own primary key."""
    DIRECT = "direct"
    """Farm: receive for an address that has no director, or put this node's own key on the new agent's lease."""
    SLOTS = "slots"
    """Farm: write an address's table, as its director."""
    STAND_DOWN = "stand_down"
    """Farm: delete this node's own director key."""
    HAND_OVER = "hand_over"
    """Farm: have another node direct an address, in place of this one."""
    FORGET = "forget"
    """Farm: delete the table of an address that is no more the module's."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The module's keys, or a registration, changed: all as it stands at ``view.revision``.

    Also given when nothing changed, as often as the runtime likes. A view that is older than what a transaction has
    told is passed over.
    """

    view: ModuleView


@dataclass(frozen=True, slots=True)
class StoreWentBack:
    """A snapshot with a lower revision than one before: etcd was restored or rebuilt (S8). Sticks."""

    view: ModuleView


@dataclass(frozen=True, slots=True)
class StoreSilent:
    """The watch is down, or calls are not answered; until :class:`StoreHeard`, whatever is shown meanwhile."""


@dataclass(frozen=True, slots=True)
class StoreHeard:
    """The watch is up (again), and calls are answered."""


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    """The agent's lease, a new one or the same again: this node may serve until ``deadline_ns`` (S5).

    Given for each renewal. What follows for what serves the core says with ServeUntil.
    """

    lease_id: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """The store said that the lease is gone, and with it this node's keys."""


@dataclass(frozen=True, slots=True)
class TxnSettled:
    """The transaction of the last Commit was executed; ``found``: see ``manager.store.api.TxnResult``."""

    tag: Tag
    succeeded: bool
    revision: int
    found: Mapping[str, KeyValue]
    store_id: str = ""
    """Of the etcd that executed it, which may be another one than that of the view; empty: not known."""


@dataclass(frozen=True, slots=True)
class TxnFailed:
    """It was not executed and never will be (``DefiniteFailure``: unreachable, refused, lease expired)."""

    tag: Tag
    detail: str


@dataclass(frozen=True, slots=True)
class TxnUnknown:
    """No answer: it may have been executed, or may be later (S6)."""

    tag: Tag


@dataclass(frozen=True, slots=True)
class ReplicatorSaid:
    """An event of the replicator. Progress, reports and Status need not be given: the core passes them over."""

    event: control.Event


@dataclass(frozen=True, slots=True)
class ReplicatorGone:
    """The replicator ended, or cannot be talked to, or could not be started, without having been told to end.

    The runtime has killed it and what is left of its mounts before it says so: nothing of it serves any more.
    """

    reason: str
    boot_id: str = ""
    """The boot id in effect (``manager.model.boots``), as it has left it; empty: as it was."""


@dataclass(frozen=True, slots=True)
class ReplicatorStopped:
    """Answer to StopReplicator: its process is gone, the directories are plain."""

    boot_id: str = ""
    """As in :class:`ReplicatorGone`."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Answer to Prepare: scripts and services are there, ``prestart`` has run."""


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """Answer to Prepare: it cannot be run here."""

    detail: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Answer to Finish, whatever ``poststop`` said."""


@dataclass(frozen=True, slots=True)
class ApplicationStarted:
    """Answer to StartApplication, or to AdoptApplication: it runs."""


@dataclass(frozen=True, slots=True)
class ApplicationFailed:
    """Answer to StartApplication or AdoptApplication: it could not be started. What it left must still be stopped."""

    detail: str


@dataclass(frozen=True, slots=True)
class ApplicationGone:
    """It ran, and has ended by itself (a checker's finding)."""

    detail: str


@dataclass(frozen=True, slots=True)
class ApplicationStopped:
    """Answer to StopApplication: nothing of it is left, whatever its scripts said."""


@dataclass(frozen=True, slots=True)
class AddressesAdded:
    """Answer to AddAddresses: all are there."""


@dataclass(frozen=True, slots=True)
class AddressesFailed:
    """Answer to AddAddresses: none is there."""

    in_use: bool
    """Another station answers for one of them (AddressInUse)."""
    detail: str


@dataclass(frozen=True, slots=True)
class AddressesDropped:
    """Answer to DropAddresses: none is there any more, or their lives in the kernel end by themselves."""


@dataclass(frozen=True, slots=True)
class Killed:
    """Answer to KillEverything: application, addresses, mounts and replicator are gone."""

    boot_id: str = ""
    """As in :class:`ReplicatorGone`."""


@dataclass(frozen=True, slots=True)
class NodeProbed:
    """Answer to ProbeNode."""

    request_id: str
    answering: str
    """At which address it answers, and how; empty: it does not, as far as it could be asked."""
    untried: tuple[tuple[str, str], ...] = ()
    """The addresses at which it could not be asked, and why."""


@dataclass(frozen=True, slots=True)
class FenceEnded:
    """Answer to Fence."""

    request_id: str
    failure: str
    """What went wrong; empty: the hook says that the node is off."""


@dataclass(frozen=True, slots=True)
class AgentStopping:
    """The agent was told to end: stop the module here as if the operator had stopped this node, once."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: the last WakeAt is due. Harmless at any time."""


Event = (
    Observed | StoreWentBack | StoreSilent | StoreHeard | LeaseRenewed | LeaseLost | TxnSettled | TxnFailed
    | TxnUnknown | ReplicatorSaid | ReplicatorGone | ReplicatorStopped | Prepared | PrepareFailed | Finished
    | ApplicationStarted | ApplicationFailed | ApplicationGone | ApplicationStopped | AddressesAdded
    | AddressesFailed | AddressesDropped | Killed | NodeProbed | FenceEnded | AgentStopping | Tick
)  # fmt: skip

TxnEvent = TxnSettled | TxnFailed | TxnUnknown
"""What answers a Commit."""

ApplicationEvent = (
    Prepared | PrepareFailed | Finished | ApplicationStarted | ApplicationFailed | ApplicationGone | ApplicationStopped
)
"""What answers commands for the application, Fence excepted."""
