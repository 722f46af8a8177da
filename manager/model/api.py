"""What an agent says of the cluster and its modules when it is asked, and the errors of all its calls.

What is not known is ``None``, never a guess. All that may be asked, and what it is answered, is paired in
``manager.model.api_calls``.
"""

import enum
from dataclasses import dataclass, field
from typing import Final

from manager.model.api_around import Around
from manager.model.api_farm import FarmShare, FarmTable
from manager.model.api_log_levels import StandingLevel
from manager.model.errors import MirrorfarmError
from manager.model.farm_resources import is_open_in
from manager.model.pace import Pace
from manager.model.reasons import Reason
from manager.model.records import DiskIdentity, HistoryRecord
from manager.model.refused_streams import RefusedStream
from manager.model.reports import Progress
from manager.model.states import ModuleKind, ModuleState, Readiness, Run, Setting
from manager.model.stream_rates import StreamRates
from manager.model.unreadable import UnreadableKey
from manager.model.verify_record import VerifyRecord

SOCKET_NAME = "agent.sock"
"""Below the ``run`` directory of ``agent.toml``."""


class ErrorKind(enum.StrEnum):
    """Who has to do something about an error, and whether anything was changed."""

    UNKNOWN = "unknown"
    """What another release says, and this one does not know: neither of the two is known."""
    BAD_REQUEST = "bad_request"
    """The request itself is wrong; nothing was changed."""
    FORBIDDEN = "forbidden"
    """This user may not use the socket."""
    NOT_FOUND = "not_found"
    """No such module, node or log."""
    REFUSED = "refused"
    """Understood, and not done: see the reason; nothing was changed."""
    FAILED = "failed"
    """Begun, and not carried through."""
    BUSY = "busy"
    """Too much at once on this socket."""
    STORE_UNREACHABLE = "store_unreachable"
    """etcd did not take it; nothing was changed and nothing will be."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """etcd did not answer: it may have been done, or may still be."""
    TIMED_OUT = "timed_out"
    """What was asked for stands, and was not done in time."""
    UNREACHABLE = "unreachable"
    """The agent did not answer (made by the client)."""
    INTERNAL = "internal"


UNCHANGED: Final = "Nothing was changed."
"""The ``meaning`` of what was refused before anything was done."""


class ApiError(MirrorfarmError):
    """A call that did not succeed, in the words that the operator reads."""

    def __init__(self, kind: ErrorKind, message: str, *, meaning: str = "", remedy: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        """What happened."""
        self.meaning = meaning
        """What it means for the data and the application; empty: nothing."""
        self.remedy = remedy
        """What to do next; empty: nothing can be said beyond the message."""
        self.reason = reason
        """A word of :class:`manager.model.reasons.Reason`, when a decision was refused; else empty."""


@dataclass(frozen=True, slots=True)
class NodeInfoArguments:
    """Call ``node.info``: this node, and who else is registered."""


@dataclass(frozen=True, slots=True)
class StateArguments:
    """Call ``state``: one module, or with an empty name all of them."""

    module: str = ""
    takeovers: int | None = None
    """Tell what stands around them as well, with so many take-overs at the most; ``None``: not."""


@dataclass(frozen=True, slots=True)
class WhyArguments:
    """Call ``why``: what makes a module what it is on one node; empty: on this one."""

    module: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class RegisteredNode:
    """An agent that is registered in etcd."""

    node: str
    addresses: tuple[str, ...]
    software: str
    boot_id: str
    speaks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """As :data:`manager.model.versions.SPEAKS`; what it does not name is not known."""
    ttl_ms: int = 0
    promises: bool = True
    """These two: as :class:`manager.model.records.NodeRecord` has them."""


@dataclass(frozen=True, slots=True)
class OtherRelease:
    """A registered node whose agent is of another release than the one that answers."""

    node: str
    software: str
    """Empty: its registration is not understood."""
    strange: tuple[str, ...] = ()
    """In which interfaces the two have no version in common, by the names of :data:`manager.model.versions.SPEAKS`."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """Answer of ``node.info``."""

    cluster: str
    node: str
    software: str
    store_reachable: bool
    nodes: tuple[RegisteredNode, ...]
    """As etcd had them when it was last heard."""
    modules: tuple[str, ...] = ()
    """Likewise."""
    known: tuple[str, ...] = ()
    """The nodes whose agents are registered, or have ever been."""
    others: tuple[OtherRelease, ...] = ()
    """As in :class:`StateResult`; one whose registration is not understood is among these alone."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """One module on one node. ``state`` is ``None`` where it is not known, and then nothing else is either."""

    node: str
    state: ModuleState | None
    readiness: Readiness | None
    reason: str
    """The cause, as a word of :class:`manager.model.reasons.Reason`; empty: not known."""
    wanted: Run | None
    """What the operator wants; ``None``: never started."""
    registered: bool | None
    """Whether its agent is alive; ``None``: not known."""
    listed: bool | None
    """Whether the in-sync record lists it; ``None``: not known, as without etcd, or there is no record yet."""
    epoch: int = 0
    frozen: bool = False
    resources: dict[str, str] = field(default_factory=dict)
    progress: Progress | None = None
    """What it is busy with; only this node's own is known. A primary is busy with the node that it brings in sync."""
    pace: Pace | None = None
    """How fast ``progress`` goes; ``None``: not known."""
    detail: str = ""
    """What the node's own agent adds to the reason; of another node than the one that answers ``why`` alone has it."""
    boot: Setting = Setting.PREV
    """Whether the module is started when this node's agent, or its machine, is."""
    disk: DiskIdentity | None = None
    """What its disk has seen, where its agent has said so."""
    farm: FarmShare | None = None
    """What it has of the farm; ``None``: the module is none."""
    refused: tuple[RefusedStream, ...] | None = None
    """With whom its replicator has no stream just now, and why; only this node's own is known. ``None``: not known."""
    stream: StreamRates | None = None
    """What its replicator's connections carry; only this node's own is known."""

    @property
    def takes_what_begins(self) -> bool:
        """Of a farm: it is UP, not on its way out, and its traffic open, so that its weight says how much it gets."""
        is_up = self.state is ModuleState.UP and self.reason != Reason.HANDING_OVER
        return is_up and is_open_in(self.resources)


@dataclass(frozen=True, slots=True)
class ModuleView:
    """One module, on all its nodes."""

    name: str
    kind: ModuleKind | None
    """``None``: its configuration cannot be read."""
    generation: int
    nodes: tuple[NodeState, ...]
    """In the order of its configuration."""
    primary: str
    """The node that holds the primary key, as etcd was last heard; empty: none."""
    epoch: int
    """Of the in-sync record; 0: there is no record yet."""
    holders: tuple[str, ...] | None
    """The nodes that hold every completed write; ``None``: there is no record yet."""
    last_primary: str = ""
    maintenance: bool = False
    """An operator has switched failover off."""
    failover_off: bool = False
    """The configuration has."""
    verify: VerifyRecord | None = None
    """What is known of comparisons of its copies; ``None``: there was none yet."""
    tables: tuple[FarmTable, ...] = ()
    """Of a farm: one for each of its addresses, in the order of its configuration."""
    preferred: str = ""
    """The node that the configuration prefers as primary; empty: none."""
    initial: str = ""
    """The one that the configuration names for the very first start; empty: none."""
    because: str = ""
    """Why the epoch of the in-sync record began, a word of :class:`manager.model.reasons.Reason`; empty: not known."""
    unreadable: tuple[UnreadableKey, ...] = ()
    """Its keys in etcd whose values the agent that answers does not understand."""

    def on(self, node: str) -> NodeState | None:
        """The state on ``node``; ``None`` when it is not one of the module's."""
        return next((n for n in self.nodes if n.node == node), None)


@dataclass(frozen=True, slots=True)
class StateResult:
    """Answer of ``state``."""

    cluster: str
    node: str
    """Whose agent answered."""
    store_reachable: bool
    age_ms: int
    """How long ago etcd was last heard."""
    modules: tuple[ModuleView, ...]
    told_by: tuple[str, ...] = ()
    """Other nodes whose agents have just said themselves what is shown of them, since etcd does not."""
    around: Around | None = None
    """``None``: it was not asked for, or this agent's release does not tell."""
    software: str = ""
    """The release of the agent that answered; empty: not said."""
    others: tuple[OtherRelease, ...] = ()
    """The registered nodes of other releases, as etcd was last heard."""
    log_levels: tuple[StandingLevel, ...] = ()
    """From which level on this node's agent and replicators log for a while, where an operator wants another one."""


@dataclass(frozen=True, slots=True)
class WhyResult:
    """Answer of ``why``."""

    module: ModuleView
    node: str
    store_reachable: bool
    age_ms: int
    last_request: str = ""
    """The newest request to this node, ``action status reason``; empty: none."""
    last_takeover: HistoryRecord | None = None
    here: str = ""
    """Whose agent answered."""
    told_by: tuple[str, ...] = ()
    """As in :class:`StateResult`."""
    last_request_at: str = ""
    """When that request was made; empty: not known."""
    last_request_detail: str = ""
    """What was answered beyond the reason."""
    waited: tuple[ModuleView, ...] = ()
    """The modules for which its application waits."""
    software: str = ""
    others: tuple[OtherRelease, ...] = ()
    """As in :class:`StateResult`."""
    last_request_by: str = ""
    """Who made that request, as the agent that was asked has it; empty: not known."""
