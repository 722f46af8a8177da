"""What one node is asked to do with a module, what that would cost, and who served before."""

import enum
from dataclasses import dataclass, field

from manager.model.api import NodeState
from manager.model.records import HistoryRecord, LackingRecord


class Action(enum.StrEnum):
    """What ``request`` can ask of a node; start and stop are ``desired``."""

    PRIM = "prim"
    SWAP = "swap"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class RequestArguments:
    """Call ``request``: ask one node for something, and wait for its answer."""

    module: str
    action: Action
    node: str = ""
    """Empty: this one."""
    arguments: dict[str, str] = field(default_factory=dict)
    """For ``prim``: ``accept``, the reasons with which it was refused and which the operator accepts, with commas
    between them. For a forced start (S12) also ``off`` or ``fence``: the last primary's name, which the operator says
    is off, or which the module's hook is to turn off.
    """
    wait: bool = True
    """Until it is done or has failed; else only until it is accepted or refused."""
    timeout_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """Progress of ``request``."""

    status: str
    """As in :class:`manager.model.records.RequestRecord`."""
    nodes: tuple[NodeState, ...] = ()
    """The module as it is meanwhile."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """Answer of ``request``; a request that is refused or fails is an error."""

    request_id: str
    node: str
    status: str


@dataclass(frozen=True, slots=True)
class StakesArguments:
    """Call ``stakes``: what is known of what a forced start on one node would lose (S12); empty: on this one."""

    module: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class Stakes:
    """Answer of ``stakes``: as etcd had it when it was last heard."""

    module: str
    node: str
    store_reachable: bool
    epoch: int
    """Of the in-sync record; 0: there is no record."""
    disk_epoch: int | None
    """The last one of which the node's copy is; ``None``: its disk does not say."""
    last_primary: str
    registered: bool | None
    """Whether the last primary's agent is; ``None``: not known."""
    away_ms: int | None
    """For how long, at the least, the last primary has not been registered; ``None``: it is, or that is not known."""
    addresses: tuple[str, ...] | None
    """Where the last primary was to be found; ``None``: not known, so it cannot be tried whether it answers."""
    addresses_at: str
    """Since when; empty: not known."""
    lacking: LackingRecord | None
    """What the last primary knew to be missing in the node's copy; ``None``: nothing was told."""
    served_since: tuple[HistoryRecord, ...]
    """Who served in later epochs than the copy knows of, the oldest first; as far as the history goes back."""
    fence_script: bool
    """Whether the module has a script ``fence``."""


@dataclass(frozen=True, slots=True)
class HistoryArguments:
    """Call ``history``: the last take-overs, the newest first."""

    module: str
    limit: int = 20


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """Answer of ``history``."""

    module: str
    entries: tuple[HistoryRecord, ...]
    store_reachable: bool = True
    age_ms: int = 0
    """Where etcd is not: how old it is."""
