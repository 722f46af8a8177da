"""The messages between an agent and one of its replicators.

One JSON object a line over a Unix stream socket. The agent sends commands, the replicator sends events; no
answer is awaited, each effect is an event of its own. Each object's ``"type"`` is the class name. Instants are
``CLOCK_BOOTTIME`` nanoseconds, the same clock for both processes of a node (S11).

The replicator listens on the socket, so that it can outlive its agent and be adopted by the next one (S7): on
each connection it first sends :class:`Hello` with all that a new agent must know, once it is what it was told to be;
before that nothing but a :class:`Status` that was asked for.

So the two may be of different releases, either way round. A command that the replicator does not know it refuses; an
event that the agent does not know it passes over, so no release tells by a new event alone what an older agent has to
act on. Where that is not enough :data:`manager.model.versions.CONTROL` is counted on: an agent does not adopt a
replicator with which it has no version in common.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, get_args

from manager.model import asides
from manager.model.codec import DecodeError, from_plain, to_plain, told_from_plain
from manager.model.log_words import LogLevel
from manager.model.records import DiskIdentity
from manager.model.reports import Difference as Difference
from manager.model.reports import DiffReport as DiffReport
from manager.model.reports import Progress as Progress
from manager.model.reports import Scope as Scope
from manager.model.reports import Stage as Stage
from manager.model.reports import Status as Status
from manager.model.reports import VerifyReport as VerifyReport
from manager.model.versions import CONTROL, Spoken, said

# Commands, agent to replicator


@dataclass(frozen=True, slots=True)
class Lease:
    """This node may serve until ``deadline_ns``; past it the replicator fences itself (S5, S7)."""

    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Serve:
    """Become primary of ``epoch``: note it on the disk, mount, serve. Answered by Serving or Failed."""

    epoch: int
    revision: int
    """The etcd revision of the settled promotion, for the disk's identity (S8)."""
    store_id: str = ""
    """The etcd cluster's own id, for the disk's identity; empty: not known."""
    decided: bool = False
    """An operator began this epoch with a copy for which etcd could not vouch: every other copy has diverged (S12), and
    what is tracked of them is of no use."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Be ready to be the secondary of ``primary``: cover the directories, take its stream."""

    epoch: int
    """Streams of a lower epoch are refused (S3)."""
    revision: int
    primary: str
    store_id: str = ""
    diverged: bool = False
    """This node's copy went on without the primary's: what differs is to be set aside before it is changed (S12).

    The disk notes it before anything else. What it notes stays, whatever a later Follow says, until that is done.
    """


@dataclass(frozen=True, slots=True)
class Peer:
    """Primary: the replicator of ``node`` is at this endpoint: connect, bring it in sync, keep it so."""

    node: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Primary: close the stream to ``node`` and do not connect again (it stopped, or left)."""

    node: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The in-sync record stands in etcd as this. Completions need exactly these nodes from now on."""

    epoch: int
    number: int
    revision: int
    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Freeze:
    """Primary: take no more changes, let what is under way complete. Answered by Frozen."""


@dataclass(frozen=True, slots=True)
class Thaw:
    """Primary: the hand-over did not happen; take changes again."""


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Secondary: take no more of the stream, finish applying. Answered by StreamClosed (S3)."""


@dataclass(frozen=True, slots=True)
class AskPromises:
    """Primary: ask every peer past its join point not to stand (S5). Each answer is a Promised."""

    asked_ns: int
    """The agent's clock before it asked; comes back with each answer."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Secondary: answer to PromiseAsked: this node does not stand for so long. Without one, nothing is answered."""

    epoch: int
    asked_ns: int
    for_ms: int


@dataclass(frozen=True, slots=True)
class Sync:
    """Bring all that was applied to this node's disk. Answered by Synced."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Unmount and uncover: the directories are plain again. Answered by Idled."""


@dataclass(frozen=True, slots=True)
class Quit:
    """As Idle, then end the process."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Primary in PRIM: compare both copies online. Answered by VerifyReport."""

    request_id: str
    limit: int = 100
    """How many differences to name at the most."""
    repair: bool = False
    """If something differs, the other node is given up after the report, to come back with what is the primary's."""
    bytes_s: int = 0
    """Content to read in a second at the most; 0: no limit."""
    place: str = ""
    """Where to go on, as the report of a comparison before said; empty: at the beginning."""


@dataclass(frozen=True, slots=True)
class StopVerify:
    """Primary: the comparison under way, if there is one, is to report what it has found and where to go on."""

    reason: str
    """The report's error."""


@dataclass(frozen=True, slots=True)
class Diff:
    """Primary: how much would a resync of the other node look at? Answered by DiffReport."""

    request_id: str


@dataclass(frozen=True, slots=True)
class SetLogLevel:
    """Log from ``level`` on for so long, or until this connection ends; ``None``: as the spec says. Status has it."""

    level: LogLevel | None
    for_ms: int = 0


@dataclass(frozen=True, slots=True)
class GetStatus:
    """Answered by Status."""


# Events, replicator to agent


@dataclass(frozen=True, slots=True)
class Hello:
    """First on each connection."""

    pid: int
    instance: str
    """Made at the start of the process: another instance is another memory (S1)."""
    listen_port: int
    role: str
    """``idle``, ``primary`` or ``secondary``."""
    epoch: int
    identity: DiskIdentity | None
    """The lowest vouching of the module's disks: ``None`` when one of them has none."""
    foreign: str = ""
    """Why a disk's identity is of another cluster or module; empty: it is ours."""
    diverged: bool = False
    """What differs from the primary's copy is yet to be set aside (S12): ``identity`` is ``None`` until it is, and
    nothing of the copy is changed."""
    seen_epoch: int = 0
    """Where ``identity`` is ``None``: the highest epoch that one of the disks has taken part in; 0: none has, or they
    are in the middle of a join, and have nothing of their own."""
    joining_epoch: int | None = None
    """The highest epoch that one of them has noted, where they are in the middle of a join that has not come to its
    end; ``None``: they are not."""
    version: int = CONTROL.newest
    oldest_version: int = 0
    """0: no other one than ``version``."""

    @property
    def speaks(self) -> Spoken:
        """The versions of these messages."""
        return said(self.version, self.oldest_version)


@dataclass(frozen=True, slots=True)
class Serving:
    """The file systems are mounted, the application may start."""

    epoch: int


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """The stream to ``node`` stands and it is being brought in sync."""

    node: str
    instance: str


@dataclass(frozen=True, slots=True)
class PeerComplete:
    """``node`` has everything up to the join point on its disk and completions wait for it: list it (S2)."""

    node: str
    boot_id: str
    instance: str
    epoch: int


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The stream to ``node`` is gone, or was too slow. If it is a holder, completions are held (S2)."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class PromiseAsked:
    """Secondary: the primary of the stream that stands asks this node not to stand (S5)."""

    primary: str
    epoch: int
    asked_ns: int
    """The primary's own clock: to be given back as it is."""


@dataclass(frozen=True, slots=True)
class Promised:
    """Primary: ``node`` does not stand for ``for_ms`` from a moment after ``asked_ns``."""

    node: str
    instance: str
    """Its replicator process."""
    epoch: int
    asked_ns: int
    for_ms: int


@dataclass(frozen=True, slots=True)
class Following:
    """Secondary: the primary's stream stands."""

    primary: str
    epoch: int


@dataclass(frozen=True, slots=True)
class StreamLost:
    """Secondary: the stream from the primary is gone."""

    primary: str
    reason: str
    joining: bool | None = False
    """The disks are in the middle of a join: what is on them is neither the copy of before nor the primary's (S8).

    ``None``: they cannot say so."""
    identity: DiskIdentity | None = None
    """What the disks vouch for since; ``None``: for nothing, or that cannot be read."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Secondary: the join of the stream that stands is through; all is on the disks, and they vouch for it.

    It is said before the primary is told, so before the record can list this node for it.
    """

    epoch: int
    identity: DiskIdentity


@dataclass(frozen=True, slots=True)
class Frozen:
    """Nothing is under way any more: all is applied at both."""


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """All that came is applied; nothing more will be taken until the next Follow."""

    epoch: int
    joining: bool | None = None
    """As in :class:`StreamLost`."""
    identity: DiskIdentity | None = None
    """As in :class:`StreamLost`."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What was applied is on this node's disk."""


@dataclass(frozen=True, slots=True)
class Idled:
    """The directories are plain."""


@dataclass(frozen=True, slots=True)
class Fenced:
    """The deadline passed: nothing completes any more, the application was killed, the mounts are dead (S7)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """This replicator cannot go on as what it was: the agent resigns or leaves the record."""

    reason: str
    command: str = ""
    """The command that failed, when it was one."""
    memory_lost: bool = False
    """What was applied and not synced may be gone (an error on writeback): it counts as a reboot (S8)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that this role cannot do; nothing was changed."""

    command: str
    reason: str


Command = (
    Lease
    | Serve
    | Follow
    | Peer
    | Forget
    | Settled
    | Freeze
    | Thaw
    | CloseStream
    | AskPromises
    | Promise
    | Sync
    | Idle
    | Quit
    | Verify
    | StopVerify
    | Diff
    | GetStatus
    | SetLogLevel
    | asides.Command
)
Event = (
    Hello
    | Serving
    | PeerConnected
    | PeerComplete
    | PeerLost
    | PromiseAsked
    | Promised
    | Following
    | StreamLost
    | Joined
    | Frozen
    | StreamClosed
    | Synced
    | Idled
    | Fenced
    | Failed
    | Refused
    | Progress
    | VerifyReport
    | DiffReport
    | Status
    | asides.Event
)

COMMANDS: dict[str, type] = {kind.__name__: kind for kind in get_args(Command)}
EVENTS: dict[str, type] = {kind.__name__: kind for kind in get_args(Event)}
"""By the name that a line says."""


def to_line(message: Command | Event) -> bytes:
    """``message`` as one line, with its end."""
    plain = {"type": type(message).__name__} | to_plain(message)
    return json.dumps(plain, ensure_ascii=False).encode() + b"\n"


class UnknownMessage(DecodeError):
    """A message of a type that this release does not know."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"control message: unknown type {kind!r}")
        self.kind = kind


def from_line(kinds: dict[str, type], line: bytes) -> Any:
    """The message in ``line``; ``kinds`` is COMMANDS or EVENTS.

    Raises:
        UnknownMessage: none of ``kinds``.
        DecodeError: not JSON, a wrong field.
    """
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"control message: not JSON: {error}") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("type"), str):
        raise DecodeError("control message: an object with a string 'type' is expected")
    kind = kinds.get(plain["type"])
    if kind is None:
        raise UnknownMessage(plain["type"])
    if not dataclasses.is_dataclass(kind):
        raise TypeError(kind)
    # An order that is half understood is not carried out; of what is told the rest is worth knowing.
    return told_from_plain(kind, plain) if kinds is EVENTS else from_plain(kind, plain)
