"""The JSON objects that stand in etcd, one a key (``manager.model.keys``).

Times named ``*_at`` are wall time (ISO 8601, UTC) and are for people; nothing is decided from them.

A record of a newer version than this release reads is none to it (``manager.model.codec``): what it says may be only a
part of what it means.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from manager.model.states import ModuleState, Readiness, Run, Setting
from manager.model.versions import RECORDS, RecordVersion

RECORD_VERSION: Final = RecordVersion(RECORDS.oldest)

FAILOVER, BOOT, WEIGHT, STOPPED_AT = "failover", "boot", "weight", "stopped_at"
"""Switches of a :class:`DesiredRecord`; the last one is the agent's own: it stopped the module where "boot" is off."""
OFF = "off"
MOST_WEIGHT = 100
"""Of a farm's node; 0: nothing that begins goes to it."""


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """Key ``id``: made once, kept for ever; a disk that knows another one vouches for nothing (S8)."""

    cluster_id: str
    created_at: str
    version: RecordVersion = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """Key ``nodes/<node>``: this node's agent is alive. Put again at each renewal."""

    node: str
    addresses: tuple[str, ...]
    software: str
    boot_id: str
    agent_instance: str
    renewal: int
    speaks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """As :data:`manager.model.versions.SPEAKS`; what it does not name is not known."""
    ttl_ms: int = 0
    """How long its lease lasts, by its configuration; 0: its release does not say."""
    promises: bool = True
    """It could note on its disk for how long it promises not to stand, without which it promises nothing (S5)."""
    version: RecordVersion = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class KnownNode:
    """Key ``known/<node>``: where the node was to be found when its agent ran last. It outlives the registration.

    Its addresses are asked before an operator may have another node's copy go on without it (S12).
    """

    node: str
    addresses: tuple[str, ...]
    """Of all its interfaces, but for loopback and the modules' virtual ones."""
    boot_id: str
    at: str
    """Since when these are its addresses, as far as its agents have told."""
    version: RecordVersion = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class ModuleConfigRecord:
    """Key ``modules/<m>/config``: the module's folder as it was applied."""

    module_id: str
    """Made at the first apply; a module removed and made again is another one."""
    generation: int
    toml: str
    scripts: dict[str, str]
    """Name below ``scripts/`` to its text."""
    applied_at: str
    applied_by: str
    version: RecordVersion = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class DesiredRecord:
    """Key ``modules/<m>/desired/<node>``: what the operator wants of this node; survives a restart."""

    run: Run
    switches: dict[str, str] = field(default_factory=dict)
    """``failover`` to ``off``; on, it has no entry. ``boot`` to ``off`` or ``on``; without an entry it is as it was.
    ``weight`` to a number (farm).
    """
    version: RecordVersion = RECORD_VERSION

    @property
    def boot(self) -> Setting:
        """Whether it is started at boot; as it was, too, where another release has written what is not known here."""
        text = self.switches.get(BOOT, "")
        return Setting(text) if text in tuple(Setting) else Setting.PREV

    @property
    def weight(self) -> int | None:
        """Farm: what an operator has put in place of the configuration's weight of the node; ``None``: nothing.

        Nothing, too, is what another release may have written that is no whole number from 0 to MOST_WEIGHT.
        """
        text = self.switches.get(WEIGHT, "")
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_WEIGHT)) else -1
        return number if 0 <= number <= MOST_WEIGHT else None


@dataclass(frozen=True, slots=True)
class PrimaryRecord:
    """Key ``modules/<m>/primary``: the one primary, held by its agent's lease."""

    node: str
    epoch: int
    instance: str
    """The replicator process that serves; another process is another epoch (S1)."""
    version: RecordVersion = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class Holder:
    """A node in the in-sync record, as it was when it was listed (S8)."""

    node: str
    boot_id: str
    instance: str
    """Its replicator process when listed; only the same two processes may resume (S1)."""
    epoch: int = 0
    """The epoch that its disk had noted when this was written; a disk that vouches for less is another one (S8)."""


@dataclass(frozen=True)
class InsyncRecord:
    """Key ``modules/<m>/insync``: the nodes that hold every completed write.

    Without ``slots``, for :attr:`nodes`: the agent asks for them several times in a step.
    """

    epoch: int
    number: int
    """Counts every change of this record, not only promotions."""
    last_primary: str
    holders: tuple[Holder, ...]
    released: int = 0
    """The epoch whose primary gave its place up itself, all that served dead: no promise made to it binds (S5)."""
    because: str = ""
    """Why its epoch began, as a word of :class:`manager.model.reasons.Reason`: no preference undoes an operator's."""
    decided: int = 0
    """The last epoch that an operator began with a copy for which etcd could not vouch: a node that has only seen
    earlier ones follows, whatever its disk has against this etcd (S8)."""
    version: RecordVersion = RECORD_VERSION

    def holder(self, node: str) -> Holder | None:
        """The entry of ``node``, if it is listed."""
        for holder in self.holders:
            if holder.node == node:
                return holder
        return None

    @cached_property
    def nodes(self) -> frozenset[str]:
        """The names of the listed nodes."""
        return frozenset(h.node for h in self.holders)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node's replicator takes the stream of one module."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class HandOver:
    """A frozen, drained primary offers its place to a node (S1, hand over)."""

    to: str
    epoch: int
    """The epoch that it serves, and that the other one ends."""
    number: int = 0
    """The in-sync record's number when it was offered: once the record has changed the offer is void."""
    reason: str = ""
    """What the history is to say of it, as a word of :class:`manager.model.reasons.Reason`."""


@dataclass(frozen=True, slots=True)
class DiskIdentity:
    """What a node's own disk vouches for (S8); ``None`` fields: no identity on the disk yet."""

    cluster_id: str
    module_id: str
    epoch: int
    """Highest epoch this disk has taken part in; it may have nothing of that yet."""
    revision: int
    """Highest etcd revision this disk has seen."""
    store_id: str = ""
    """The etcd cluster's own id when it was seen; a rebuilt one, or one restored as told, has another."""
    whole_epoch: int = 0
    """Highest epoch in which this copy was the primary's, or had all that the primary had; 0: not known."""

    @property
    def copy_epoch(self) -> int:
        """How new the copy is: what it has is of this epoch, or of one before it where that is not known."""
        return self.whole_epoch or self.epoch


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """Key ``modules/<m>/members/<node>``: the module's state on one node."""

    node: str
    state: ModuleState
    readiness: Readiness
    reason: str
    """The cause of the state, as a word of :class:`manager.model.reasons.Reason`."""
    boot_id: str
    instance: str
    endpoint: Endpoint | None
    disk: DiskIdentity | None
    epoch: int = 0
    frozen: bool = False
    """Application stopped, every change drained and applied at both; nothing more will be written."""
    hand_over: HandOver | None = None
    resources: dict[str, str] = field(default_factory=dict)
    version: RecordVersion = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class LackingRecord:
    """Key ``modules/<m>/lacking/<node>``: what the primary knows to be missing in a node's copy. Decides nothing.

    There while a primary serves without the node, and for as long as the node is in no record after that.
    """

    node: str
    by: str
    """The primary that says it now."""
    epoch: int
    """The one in which a primary began to serve without the node."""
    since: str
    """When that was; empty: not known."""
    as_of: str
    """When the numbers were told; writes that came later are not in them. Empty: there are none yet."""
    files: int
    """With content that the copy lacks, at the most; new ones included."""
    bytes: int
    """Of that content, at the most: content is tracked by zones."""
    directories: int
    """In which names were made, moved or removed; not told where that is all of them."""
    everything: bool
    """It is not known what the copy lacks: that may be all of it, and the numbers are of the whole tree."""
    whole: bool = True
    """All was looked at; else the numbers are of what was, until the time for it was over."""
    version: RecordVersion = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """Key ``modules/<m>/requests/<id>``: an operator's request, and its answer."""

    request_id: str
    action: str
    """``prim``, ``swap`` or ``restart``; start and stop are desired state."""
    node: str
    asked_at: str
    asked_by: str
    arguments: dict[str, str] = field(default_factory=dict)
    status: str = "pending"
    """``pending``, ``accepted``, ``refused``, ``done`` or ``failed``."""
    reason: str = ""
    """Why refused or failed, as a word of :class:`manager.model.reasons.Reason`."""
    detail: str = ""
    version: RecordVersion = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """Key ``modules/<m>/history/<epoch>``: a primary took over."""

    epoch: int
    node: str
    previous: str
    """The last primary before, or empty at the first start."""
    reason: str
    at: str
    detail: str = ""
    version: RecordVersion = RECORD_VERSION
