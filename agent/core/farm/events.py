"""What the core of one farm module is told, beside what any module's is (``agent.core.events``). Facts.

Of those this core is given: StoreSilent, StoreHeard, LeaseRenewed, LeaseLost, TxnSettled, TxnFailed, TxnUnknown,
Prepared, PrepareFailed, Finished, ApplicationStarted, ApplicationFailed, ApplicationGone, ApplicationStopped, Killed,
AgentStopping and Tick, with the same meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.events import (
    AgentStopping,
    ApplicationFailed,
    ApplicationGone,
    ApplicationStarted,
    ApplicationStopped,
    Finished,
    Killed,
    LeaseLost,
    LeaseRenewed,
    Prepared,
    PrepareFailed,
    StoreHeard,
    StoreSilent,
    Tick,
    TxnFailed,
    TxnSettled,
    TxnUnknown,
)
from agent.core.farm.view import FarmView


@dataclass(frozen=True, slots=True)
class Observed:
    """The module's keys, or a registration, changed: all as it stands at ``view.revision``.

    Told with each renewal of a registration, too: by that a node knows who reaches etcd.
    """

    view: FarmView


@dataclass(frozen=True, slots=True)
class StoreWentBack:
    """A snapshot with a lower revision than one before: etcd was restored or rebuilt (S8)."""

    view: FarmView


@dataclass(frozen=True, slots=True)
class Links:
    """What the other members need to send frames here: at the start, and when it has changed."""

    macs: Mapping[str, str]
    """Address to the MAC of this node's interface there; an address without one has no interface here."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Answer to LoadRules: the kernel's rules are those of that command."""

    numbers: Mapping[str, int]
    """Address to the number of the table that they were made of."""


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """Answer to LoadRules: the kernel has the rules that it had before."""

    detail: str


@dataclass(frozen=True, slots=True)
class AddressesHeld:
    """Answer to HoldAddresses: the node takes what is sent to it for the addresses; it answers for none of them."""


@dataclass(frozen=True, slots=True)
class HoldFailed:
    """Answer to HoldAddresses: it holds none of them."""

    detail: str


@dataclass(frozen=True, slots=True)
class AddressesReleased:
    """Answer to ReleaseAddresses."""


@dataclass(frozen=True, slots=True)
class Directing:
    """Answer to Direct: this node answers the network for the address."""

    address: str


@dataclass(frozen=True, slots=True)
class DirectFailed:
    """Answer to Direct: it does not."""

    address: str
    in_use: bool
    """Another station answers for it."""
    detail: str


@dataclass(frozen=True, slots=True)
class Undirected:
    """Answer to Undirect: this node answers the network for the address no more."""

    address: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A member has answered a probe of this node's."""

    node: str
    ready: bool
    """It takes its share: its application runs, its rules are loaded, it is not on its way out."""
    numbers: Mapping[str, int]
    """Address to the number of the table that its kernel's rules are made of."""
    macs: Mapping[str, str]
    """Address to the MAC of its interface there."""
    busy: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Address to those of its slots in the phase "leaving" in which it has connections; told with ``numbers``."""
    adopting: bool = False
    """What a former agent started lives there, and is being taken over: it has what it has, and is given nothing."""
    promises: frozenset[str] = frozenset()
    """Addresses that it does not direct for ``PROMISE_NS`` from when the question was sent: its promise to this one."""
    heard_ns: Mapping[str, int] = field(default_factory=dict)
    """Address to how long ago it was last asked by a node that directed it; absent: not since it listens."""
    asked_ns: int = 0
    """When the question was sent (CLOCK_BOOTTIME of this node)."""
    is_open: bool = True
    """What begins may go to it; else its weight counts as 0."""


@dataclass(frozen=True, slots=True)
class TrafficSwitched:
    """The application's scripts, or an operator, have opened or closed this node's traffic (``traffic = "script"``)."""

    is_open: bool
    by: str = ""
    """Who has, for people."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Another node has probed this one; told with each question."""

    by: str
    directs: Mapping[str, int]
    """The addresses that it answers for on the network by its key, with the number of the table that its kernel shares
    each by; 0: it has none, or does not say. No address: it only looks who lives; or it hears nobody."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The machine of a node that was probed says that no agent listens there: it lives, its agent does not."""

    node: str
    asked_ns: int
    """When the question was sent (CLOCK_BOOTTIME of this node)."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Answer to CountConnections, of this node's own."""

    busy: Mapping[str, frozenset[int]]


Event = (
    Observed | StoreWentBack | Links | Loaded | LoadFailed | AddressesHeld | HoldFailed | AddressesReleased
    | Directing | DirectFailed | Undirected | Answered | Asked | Refused | Counted | TrafficSwitched | StoreSilent
    | StoreHeard | LeaseRenewed | LeaseLost | TxnSettled | TxnFailed | TxnUnknown | Prepared | PrepareFailed | Finished
    | ApplicationStarted | ApplicationFailed | ApplicationGone | ApplicationStopped | Killed | AgentStopping | Tick
)  # fmt: skip
