"""What the two ends say to each other beside operations: the handshake, and the secondary's small reports.

The handshake is JSON, which may grow fields without another version; what travels while the stream stands is binary,
and is as the version says that Welcome names: the newest that both ends know. Decoding is strict: what is not exactly a
message raises :class:`PeerProtocolError`.
"""

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from manager.model.codec import DecodeError, decode, encode
from manager.model.errors import PeerProtocolError
from manager.model.ids import MAX_EPOCH
from manager.model.versions import STREAM, Spoken, said
from replicator.core.bases import is_base
from replicator.core.filesystem import Free, Limits
from replicator.wire.frames import MAX_SMALL, VERSION

MAX_VOLUMES: Final = 64
"""Directories of one module."""
_MAX_NUMBER: Final = 1 << 63
_MAX_ERRNO: Final = 4095
FSYNCED: Final = struct.Struct("<i")
"""0, or the errno with which the fsync failed."""
FREE: Final = struct.Struct("<QQ")
"""Of one directory, in the order of the module's: free bytes, free inodes."""
PROMISE_ASK: Final = struct.Struct("<Q")
"""The primary's own clock, in nanoseconds; nobody else reckons with it."""
PROMISE: Final = struct.Struct("<QI")
"""The instant of the question that is answered; for how many milliseconds the promise holds."""
MAX_PROMISE_MS: Final = 3_600_000
"""Of one promise: far more than any lease is long."""
MAX_BASES: Final = 2
"""In Welcome: the base of the last join that this copy came through, and of the one before."""
FORGET: Final = struct.Struct("<Q")
"""The sequence of a FINISH or BARRIER: both nodes have all up to it on their disks."""


class Refusal(enum.Enum):
    """Why a secondary takes no stream from who asks."""

    UNKNOWN = "unknown"
    """What another release says, and this one does not know. Never said."""
    VERSION = "version"
    """No version of the protocol in common."""
    CLUSTER = "cluster"
    MODULE = "module"
    DIRECTORIES = "directories"
    """Another number of directories: the two nodes have different configurations."""
    EPOCH_PAST = "epoch_past"
    """Lower than one that this node was told of or has seen (S3)."""
    EPOCH_AHEAD = "epoch_ahead"
    """This node's agent has not told it of this epoch yet: try again."""
    NOT_FOLLOWING = "not_following"
    """This node follows nobody: try again."""
    OTHER_PRIMARY = "other_primary"
    """This node follows another primary."""
    TLS = "tls"
    """In plain, where TLS is taken only."""
    IDENTITY = "identity"
    """The certificate is another node's than the one who says hello, or another cluster's."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The primary's first frame (FrameKind.HELLO)."""

    cluster_id: str
    module_id: str
    node: str
    boot_id: str
    instance: str
    epoch: int
    directories: int
    """How many."""
    limits: tuple[Limits, ...]
    """Of each directory."""
    version: int = VERSION
    """The newest that the primary speaks."""
    oldest_version: int = 0
    """The oldest; 0: no other one than ``version``."""
    store_id: str = ""
    """Of the etcd cluster in which the epoch was begun; empty: not known."""

    @property
    def speaks(self) -> Spoken:
        """The versions of the protocol."""
        return said(self.version, self.oldest_version)

    @property
    def agreed(self) -> int | None:
        """The version in which this release and who says this are to speak; ``None``: they have none in common."""
        return self.speaks.agree(STREAM)


@dataclass(frozen=True, slots=True)
class Welcome:
    """The secondary's answer when it takes the stream (FrameKind.WELCOME)."""

    node: str
    boot_id: str
    instance: str
    epoch: int
    limits: tuple[Limits, ...]
    free: tuple[Free, ...]
    bases: tuple[str, ...] = ()
    """Which joins this copy came through, the last one first: a list relative to one of them is of use for it."""
    diverged: bool = False
    """This copy went on by itself: what differs is to be set aside before anything of it is changed (S12)."""
    version: int = VERSION
    """That of this stream: the newest that both ends know."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The secondary's answer when it does not (FrameKind.REFUSED)."""

    reason: Refusal
    detail: str
    """For people."""


@dataclass(frozen=True, slots=True)
class _Words:
    """A :class:`Refused`, of whatever release."""

    reason: str
    detail: str


T = TypeVar("T")
M = TypeVar("M", Hello, Welcome)


def encode_handshake(message: Hello | Welcome | Refused) -> bytes:
    """The body of its frame."""
    return encode(message).encode(errors="replace")


def decode_hello(body: memoryview) -> Hello:
    """Raises PeerProtocolError."""
    return _checked(_decode(Hello, body))


def decode_welcome(body: memoryview) -> Welcome:
    """Raises PeerProtocolError."""
    return _checked(_decode(Welcome, body))


def decode_refused(body: memoryview) -> Refused:
    """One that this release does not know is UNKNOWN, with the other's word in its detail. Raises PeerProtocolError."""
    words = _decode(_Words, body)
    try:
        return Refused(Refusal(words.reason), words.detail)
    except ValueError:
        return Refused(Refusal.UNKNOWN, f"{words.reason}: {words.detail}")


def _decode(kind: type[T], body: memoryview) -> T:
    try:
        return decode(kind, bytes(body).decode())
    except (UnicodeDecodeError, DecodeError) as error:
        raise PeerProtocolError(f"bad handshake: {error}") from None


def _checked(message: M) -> M:
    """``message`` if every number is in its range. Where no version is in common, what others mean is not known."""
    if not 0 < message.epoch <= MAX_EPOCH:
        raise PeerProtocolError(f"bad handshake: epoch {message.epoch}")
    if (message.agreed if isinstance(message, Hello) else _in_common(message)) is None:
        return message
    numbers = [number for limit in message.limits for number in _numbers(limit)]
    if isinstance(message, Welcome):
        numbers += [n for free in message.free for n in (free.bytes, free.inodes)]
        if len(message.bases) > MAX_BASES or not all(map(is_base, message.bases)):
            raise PeerProtocolError("bad handshake: bases that no join has made")
    if not all(0 <= n < _MAX_NUMBER for n in numbers):
        raise PeerProtocolError("bad handshake: a number out of range")
    directories = message.directories if isinstance(message, Hello) else len(message.free)
    if not 0 < directories <= MAX_VOLUMES or len(message.limits) != directories:
        raise PeerProtocolError(f"bad handshake: {directories} directories, limits of {len(message.limits)}")
    return message


def _in_common(welcome: Welcome) -> int | None:
    return welcome.version if welcome.version in STREAM else None


def _numbers(limit: Limits) -> tuple[int, ...]:
    return (limit.largest_file, limit.symlink_target, limit.links, limit.xattr_bytes, *limit.fallocate_modes)


# While the stream stands


def encode_fsynced(error: int) -> bytes:
    """Body of FrameKind.FSYNCED: 0 or a (positive) errno."""
    return FSYNCED.pack(error)


def decode_fsynced(body: memoryview) -> int:
    """0 or a (positive) errno. Raises PeerProtocolError."""
    if len(body) != FSYNCED.size:
        raise PeerProtocolError(f"bad FSYNCED: {len(body)} bytes")
    (error,) = FSYNCED.unpack(body)
    if not 0 <= error <= _MAX_ERRNO:
        raise PeerProtocolError(f"bad FSYNCED: errno {error}")
    return int(error)


def encode_free(volumes: Sequence[Free]) -> bytes:
    """Body of FrameKind.FREE: what each directory's file system has free, in the module's order."""
    return b"".join(FREE.pack(free.bytes, free.inodes) for free in volumes)


def decode_free(body: memoryview) -> list[Free]:
    """What each directory's file system has free. Raises PeerProtocolError."""
    if not body or len(body) % FREE.size or len(body) > FREE.size * MAX_VOLUMES:
        raise PeerProtocolError(f"bad FREE: {len(body)} bytes")
    found = [Free(free, inodes) for free, inodes in FREE.iter_unpack(body)]
    if any(max(free.bytes, free.inodes) >= _MAX_NUMBER for free in found):
        raise PeerProtocolError("bad FREE: a number out of range")
    return found


def encode_failed(reason: str) -> bytes:
    """Body of FrameKind.FAILED: why, for people; cut to what a frame takes."""
    return reason.encode(errors="replace")[:MAX_SMALL]


def decode_failed(body: memoryview) -> str:
    """Why the secondary cannot go on, for people."""
    return bytes(body).decode(errors="replace")


def encode_promise_ask(asked_ns: int) -> bytes:
    """Body of FrameKind.PROMISE_ASK."""
    return PROMISE_ASK.pack(asked_ns)


def decode_promise_ask(body: memoryview) -> int:
    """When the primary asked, by its clock. Raises PeerProtocolError."""
    if len(body) != PROMISE_ASK.size:
        raise PeerProtocolError(f"bad PROMISE_ASK: {len(body)} bytes")
    (asked_ns,) = PROMISE_ASK.unpack(body)
    if not 0 < asked_ns < _MAX_NUMBER:
        raise PeerProtocolError(f"bad PROMISE_ASK: asked at {asked_ns}")
    return int(asked_ns)


def encode_promise(asked_ns: int, for_ms: int) -> bytes:
    """Body of FrameKind.PROMISE."""
    return PROMISE.pack(asked_ns, for_ms)


def decode_promise(body: memoryview) -> tuple[int, int]:
    """When the question was asked, by the primary's clock, and for how long it holds, in ms.

    Raises PeerProtocolError.
    """
    if len(body) != PROMISE.size:
        raise PeerProtocolError(f"bad PROMISE: {len(body)} bytes")
    asked_ns, for_ms = PROMISE.unpack(body)
    if not 0 < asked_ns < _MAX_NUMBER or not 0 < for_ms <= MAX_PROMISE_MS:
        raise PeerProtocolError(f"bad PROMISE: asked at {asked_ns}, for {for_ms} ms")
    return int(asked_ns), int(for_ms)


def encode_finish(base: str) -> bytes:
    """Body of FrameKind.FINISH: the base of this join point (see ``replicator.core.bases``)."""
    return base.encode("ascii")


def decode_finish(body: memoryview) -> str:
    """The base of the join point. Raises PeerProtocolError."""
    base = bytes(body).decode("latin-1")
    if not is_base(base):
        raise PeerProtocolError(f"bad FINISH: {base[:32]!r} is no base")
    return base


def encode_forget(sequence: int) -> bytes:
    """Body of FrameKind.FORGET: the sequence of the FINISH or BARRIER up to which both have all on their disks."""
    return FORGET.pack(sequence)


def decode_forget(body: memoryview) -> int:
    """The sequence of a FINISH or BARRIER of this connection. Raises PeerProtocolError."""
    if len(body) != FORGET.size:
        raise PeerProtocolError(f"bad FORGET: {len(body)} bytes")
    (sequence,) = FORGET.unpack(body)
    if not 0 < sequence < _MAX_NUMBER:
        raise PeerProtocolError(f"bad FORGET: of sequence {sequence}")
    return int(sequence)
