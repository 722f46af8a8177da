"""The messages between an agent and one of its replicators.

One JSON object a line over a Unix stream socket. The agent sends commands, the replicator sends events; no
answer is awaited, each effect is an event of its own. Each object's ``"type"`` is the class name. Instants are
``CLOCK_BOOTTIME`` nanoseconds, the same clock for both processes of a node (S11).

The replicator listens on the socket, so that it can outlive its agent and be adopted by the next one (S7): on
each connection it first sends :class:`Hello` with all that a new agent must know.
"""

import dataclasses
import enum
import json
from dataclasses import dataclass, field
from typing import Any, get_args

from manager.model import asides
from manager.model.codec import DecodeError, from_plain, to_plain
from manager.model.records import DiskIdentity
from manager.model.refused_streams import RefusedStream

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
    joining: bool = False
    """The disks are in the middle of a join: what is on them is neither the copy of before nor the primary's (S8)."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Nothing is under way any more: all is applied at both."""


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """All that came is applied; nothing more will be taken until the next Follow."""

    epoch: int


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


class Scope(enum.StrEnum):
    """How much of both copies a piece of work looks at."""

    UNKNOWN = "unknown"
    EVERYTHING = "everything"
    CHANGES = "changes"
    """What is tracked as what the peer may lack."""


class Stage(enum.StrEnum):
    """Where a piece of work is."""

    COPYING = "copying"
    SYNCING = "syncing"
    """All is at the peer, and is brought to both nodes' disks. It is said once."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long piece of work is (join, verify, set_aside): counted from its beginning."""

    work: str
    peer: str
    entries_done: int
    """Names and attributes examined."""
    bytes_done: int
    """Content examined."""
    bytes_sent: int
    """Content that was lacking."""
    bytes_total: int
    """Content to examine; 0: not known yet."""
    elapsed_ms: int
    scope: Scope = Scope.UNKNOWN
    stage: Stage = Stage.COPYING
    bytes_found: int = 0
    """Content to examine, as far as it was found yet; 0: it is not said."""
    files_done: int = 0
    """Files of which the content was examined."""
    bytes_expected: int = 0
    """An estimate of ``bytes_total``, for as long as that is not known; 0: there is none."""
    entries_expected: int = 0
    """An estimate of the names and attributes to examine; 0: there is none."""
    place: str = ""
    """Of a comparison: where another one could go on; empty: at the beginning."""
    differences: int = 0
    """Of a comparison: how many were found so far."""

    @property
    def bytes_about(self) -> int:
        """Content to examine, as well as it is known; 0: not at all."""
        if self.bytes_total or not self.bytes_expected:
            return self.bytes_total
        return max(self.bytes_expected, self.bytes_found)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the copies differ."""

    path: str
    what: str
    """``content``, ``mode``, ``owner``, ``mtime``, ``xattr``, ``link``, ``type``, ``missing``, ``extra`` …"""
    here: str
    there: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The outcome of Verify."""

    request_id: str
    error: str
    """Empty when the comparison was carried through."""
    entries: int
    bytes_compared: int
    differences_total: int
    differences: tuple[Difference, ...]
    repairing: bool = False
    """The other node is given up after this, to come back with what is the primary's."""
    repaired_total: int = 0
    """What a comparison before this one found, and was repaired since; the agent adds it."""
    repaired: tuple[Difference, ...] = ()
    place: str = ""
    """Where another comparison can go on with what this one did not come to; empty: at the beginning, or it is all."""


@dataclass(frozen=True, slots=True)
class DiffReport:
    """The answer to Diff: what a resync would look at, at the most; less will be sent."""

    request_id: str
    scope: Scope
    in_sync: bool
    """The other node lacks nothing now: it is what it would be if that were lost at this moment."""
    whole: bool
    """All was looked at; else counts of entries, files and bytes are of what was, until the time for it was over."""
    all_names: bool
    """The entries of every directory, and the attributes of every inode."""
    directories: int
    """Whose entries are to be compared, but for those that are new; 0 where it is all of them."""
    entries: int
    """In them, the new ones included."""
    inodes: int
    """Whose attributes are to be compared, beside those of ``entries`` and ``files``."""
    files: int
    """Whose content in some zones is to be compared; in EVERYTHING all that have any."""
    bytes: int
    """Of it."""
    new_files: int
    """That the other node has nothing of."""
    new_bytes: int
    unfound: int
    """Files and directories that were not found by where they were last known."""
    decided: int = 0
    """The last epoch that an operator began with a copy for which etcd could not vouch (S12): a copy that has only seen
    earlier ones sets aside what it alone has first; 0: there was none. The agent adds it."""


@dataclass(frozen=True, slots=True)
class Status:
    """Counters and gauges, by name; see docs/PROTOCOL.md for each."""

    role: str
    epoch: int
    frozen: bool
    held: bool
    """Completions wait for a record change."""
    peers: dict[str, str] = field(default_factory=dict)
    """Node to ``connecting``, ``joining``, ``complete`` or ``lost``."""
    counters: dict[str, int] = field(default_factory=dict)
    refused: tuple[RefusedStream, ...] | None = None
    """With whom connections come to nothing just now; ``None``: a former release, which does not say."""


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


def from_line(kinds: dict[str, type], line: bytes) -> Any:
    """The message in ``line``; ``kinds`` is COMMANDS or EVENTS.

    Raises:
        DecodeError: not JSON, an unknown type, a wrong field.
    """
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"control message: not JSON: {error}") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("type"), str):
        raise DecodeError("control message: an object with a string 'type' is expected")
    kind = kinds.get(plain["type"])
    if kind is None:
        raise DecodeError(f"control message: unknown type {plain['type']!r}")
    if not dataclasses.is_dataclass(kind):
        raise TypeError(kind)
    return from_plain(kind, plain)
