"""The frame that everything between two replicators travels in: its layout, kinds and bounds.

A frame is a header of fixed size and a body. This module packs and checks headers; it knows neither what a body
means (``operations``, ``messages``, ``copying``) nor whence bytes come (``replicator.link``). Whatever is not a frame
of this protocol raises :class:`PeerProtocolError`, and nothing else.
"""

import enum
import struct
from typing import Final

import xxhash

from manager.model.errors import PeerProtocolError
from manager.model.ids import MAX_EPOCH
from manager.model.versions import STREAM
from replicator.core.operations import Kind

MAGIC: Final = 0x464D
"""``MF``, in each frame."""
VERSION: Final = STREAM.newest
"""Of the protocol, in Hello; the two ends speak the newest that both know, and where there is none it is refused."""
OLDEST_VERSION: Final = STREAM.oldest
"""That this release speaks, in Hello too."""
MAX_WRITE: Final = 1 << 20
"""Bytes of data in one write: the file system's max_write."""
MAX_BODY: Final = MAX_WRITE + (64 << 10)
"""Of any frame, plain."""
MAX_HANDSHAKE: Final = 64 << 10
"""Body of Hello, Welcome and Refused: all that is taken from who is not known yet."""
MAX_NAMES: Final = 8 << 10
"""Body of an operation on names: two names and a symbolic link's target at the most."""
MAX_XATTR: Final = 66 << 10
"""Body of SETXATTR: a name and 64 KiB of value."""
MAX_PATH_AND_DIGESTS: Final = 64 << 10
"""Body of VERIFY_COMPARE: a whole path and digests; of KEEP: a whole path."""
MAX_LISTED: Final = 8 << 10
"""Body of LISTED: an index for each entry of the fullest LISTING."""
MAX_COMPARED: Final = 20 << 10
"""Body of COMPARE_SMALL: as many files as one has, with the longest names."""
MAX_SMALL: Final = 4 << 10
"""Body of what is neither data nor names."""
MIN_COMPRESSED: Final = 4 << 10
"""Plain bytes below which a body is never compressed; a compressed frame that says less is refused."""

TLS_IN_PLAIN: Final = "TLS, and this node takes plain connections only (tls.mode in agent.toml of both)"
"""Why who begins with TLS is sent away."""

HEADER: Final = struct.Struct("<QQIIIBBH")
"""Checksum, sequence, epoch, bytes of the body as it travels, plain bytes of the body, kind, flags, MAGIC."""
CHECKSUM: Final = struct.Struct("<Q")
"""XXH3-64 of all that follows it in the frame: the rest of the header, then the body as it travels."""


class FrameKind(enum.IntEnum):
    """What a body is. 1 to 31 are operations and have the numbers of :class:`Kind`."""

    WRITE = 1
    CREATE = 2
    UNLINK = 3
    RMDIR = 4
    RENAME = 5
    LINK = 6
    SETATTR = 7
    SETXATTR = 8
    REMOVEXATTR = 9
    FALLOCATE = 10
    FSYNC = 11
    BIND = 12
    UNBIND = 13
    HELLO = 32
    """Primary: who it is; first on the connection, sequence 0."""
    WELCOME = 33
    """Secondary: the stream stands."""
    REFUSED = 34
    """Secondary: why not; it closes then."""
    PING = 35
    """Primary: nothing else was to be sent; in order, acknowledged like any frame."""
    ACK = 36
    """Secondary: all frames up to this sequence are applied."""
    FSYNCED = 37
    """Secondary: the FSYNC of this sequence is on the disk, or failed."""
    FREE = 38
    """Secondary: the space of its disks; sequence 0."""
    FAILED = 39
    """Secondary: it cannot go on; it closes then; sequence 0."""
    PROMISE_ASK = 40
    """Primary: asks it not to stand; sequence 0, outside of the order: it may overtake what waits to be sent."""
    PROMISE = 41
    """Secondary: it does not stand for so long; sequence 0."""
    LISTING = 48
    """Primary: one directory as it is at this point of the stream."""
    COMPARE = 49
    """Primary: digests of blocks."""
    WANT = 50
    """Secondary: which of those blocks differ; the sequence is the COMPARE's."""
    VERIFY_LISTING = 51
    """Primary: as LISTING, to be answered with differences."""
    VERIFY_COMPARE = 52
    """Primary: as COMPARE, to be answered with differences."""
    VERIFY_ANSWER = 53
    """Secondary: the differences; the sequence is that of the frame which it answers."""
    FINISH = 54
    """Primary: nothing is left to copy: the join point, and the base that it makes."""
    DURABLE = 55
    """Secondary: all up to the FINISH of this sequence is on its disks."""
    BARRIER = 56
    """Primary: all up to here is to come to the disks, so that what is tracked of it can be forgotten."""
    BARRIER_DONE = 57
    """Secondary: all up to the BARRIER of this sequence is on its disks."""
    FORGET = 58
    """Primary: all up to a FINISH or BARRIER is on the disks of both."""
    LISTED = 59
    """Secondary: what it had to make anew for the LISTING of this sequence."""
    EQUALISE = 60
    """Primary: the attributes of an inode as they are at this point of the stream."""
    KEEP = 61
    """Primary: what the secondary has at this path cannot be compared: all of it is to be set aside."""
    SET_ASIDE = 62
    """Primary: everything was compared; what was set aside is to come to the disks."""
    COMPARE_SMALL = 63
    """Primary: digests of whole small files, many of them."""
    WANT_SMALL = 64
    """Secondary: which of their blocks differ; the sequence is the COMPARE_SMALL's."""


class Flag(enum.IntFlag):
    """Of a frame."""

    COMPRESSED = 1
    """The body is one zstd frame."""


OPERATIONS: Final = frozenset(int(kind) for kind in Kind)
"""Kinds that are operations."""
COPYING: Final = frozenset(
    {
        FrameKind.LISTING,
        FrameKind.COMPARE,
        FrameKind.COMPARE_SMALL,
        FrameKind.EQUALISE,
        FrameKind.VERIFY_LISTING,
        FrameKind.VERIFY_COMPARE,
        FrameKind.FINISH,
    }
)
"""Kinds that a primary sends in order to copy or to verify."""
SETTING_ASIDE: Final = frozenset(
    {FrameKind.VERIFY_LISTING, FrameKind.VERIFY_COMPARE, FrameKind.KEEP, FrameKind.SET_ASIDE}
)
"""Kinds that a primary sends while the secondary keeps what differs: nothing else but a PING, and what is ASIDE."""
TRACKING: Final = frozenset({FrameKind.BARRIER, FrameKind.FORGET})
"""Kinds that a primary sends so that both forget what both have on their disks."""
FROM_PRIMARY: Final = OPERATIONS | COPYING | TRACKING | SETTING_ASIDE | {FrameKind.PING}
"""Kinds with consecutive sequences, from 1 on each connection."""
ASIDE: Final = frozenset({FrameKind.PROMISE_ASK})
"""Kinds that a primary sends outside of the order, with sequence 0: nothing is acknowledged of them."""
COPY_ANSWERS: Final = frozenset(
    {FrameKind.WANT, FrameKind.WANT_SMALL, FrameKind.LISTED, FrameKind.VERIFY_ANSWER, FrameKind.DURABLE}
)
"""Kinds that answer COPYING and SETTING_ASIDE."""
FROM_SECONDARY: Final = COPY_ANSWERS | {
    FrameKind.ACK,
    FrameKind.FSYNCED,
    FrameKind.FREE,
    FrameKind.FAILED,
    FrameKind.PROMISE,
    FrameKind.BARRIER_DONE,
}
"""Kinds that a secondary sends on a stream that stands."""

BODY_BOUNDS: Final[dict[FrameKind, tuple[int, int]]] = {
    FrameKind.WRITE: (20, 20 + MAX_WRITE),
    FrameKind.CREATE: (0, MAX_NAMES),
    FrameKind.UNLINK: (0, MAX_SMALL),
    FrameKind.RMDIR: (0, MAX_SMALL),
    FrameKind.RENAME: (0, MAX_SMALL),
    FrameKind.LINK: (0, MAX_SMALL),
    FrameKind.SETATTR: (0, MAX_SMALL),
    FrameKind.SETXATTR: (0, MAX_XATTR),
    FrameKind.REMOVEXATTR: (0, MAX_SMALL),
    FrameKind.FALLOCATE: (0, MAX_SMALL),
    FrameKind.FSYNC: (0, MAX_SMALL),
    FrameKind.BIND: (0, MAX_SMALL),
    FrameKind.UNBIND: (0, MAX_SMALL),
    FrameKind.HELLO: (1, MAX_HANDSHAKE),
    FrameKind.WELCOME: (1, MAX_HANDSHAKE),
    FrameKind.REFUSED: (1, MAX_HANDSHAKE),
    FrameKind.PING: (0, 0),
    FrameKind.ACK: (0, 0),
    FrameKind.FSYNCED: (4, 4),
    FrameKind.FREE: (0, MAX_SMALL),
    FrameKind.FAILED: (0, MAX_SMALL),
    FrameKind.PROMISE_ASK: (8, 8),
    FrameKind.PROMISE: (12, 12),
    FrameKind.LISTING: (0, MAX_BODY),
    FrameKind.COMPARE: (0, MAX_SMALL),
    FrameKind.WANT: (0, MAX_SMALL),
    FrameKind.VERIFY_LISTING: (0, MAX_BODY),
    FrameKind.VERIFY_COMPARE: (0, MAX_PATH_AND_DIGESTS),
    FrameKind.VERIFY_ANSWER: (0, MAX_BODY),
    FrameKind.FINISH: (16, 16),
    FrameKind.DURABLE: (0, 0),
    FrameKind.BARRIER: (0, 0),
    FrameKind.BARRIER_DONE: (0, 0),
    FrameKind.FORGET: (8, 8),
    FrameKind.LISTED: (5, MAX_LISTED),
    FrameKind.EQUALISE: (0, MAX_BODY),
    FrameKind.KEEP: (1, MAX_PATH_AND_DIGESTS),
    FrameKind.SET_ASIDE: (0, 0),
    FrameKind.COMPARE_SMALL: (2, MAX_COMPARED),
    FrameKind.WANT_SMALL: (1, MAX_SMALL),
}
"""Least and most plain bytes of a body, by kind."""

_MOST: Final = [-1] * 256
_LEAST: Final = [0] * 256
for _kind, (_least, _most) in BODY_BOUNDS.items():
    _LEAST[_kind], _MOST[_kind] = _least, _most

digest: Final = xxhash.xxh3_64_intdigest
Digest: Final = xxhash.xxh3_64
_REST: Final = struct.Struct("<QIIIBBH")
"""HEADER without its checksum."""


def pack(kind: int, epoch: int, sequence: int, *parts: bytes | memoryview) -> bytes:
    """The header of a frame whose plain body is ``parts`` one after the other."""
    length = sum(map(len, parts))
    return seal(_REST.pack(sequence, epoch, length, length, kind, 0, MAGIC), *parts)


def pack_bare(kind: int, epoch: int, sequence: int) -> bytes:
    """A frame without a body."""
    rest = _REST.pack(sequence, epoch, 0, 0, kind, 0, MAGIC)
    return CHECKSUM.pack(digest(rest)) + rest


def pack_compressed(kind: int, epoch: int, sequence: int, plain: int, body: bytes) -> bytes:
    """The header of a frame whose body of ``plain`` bytes is compressed to ``body``."""
    return seal(_REST.pack(sequence, epoch, len(body), plain, kind, Flag.COMPRESSED, MAGIC), body)


def seal(rest: bytes, *parts: bytes | memoryview) -> bytes:
    """The checksum of ``rest`` (a header behind its checksum, and what follows) and ``parts``; then ``rest``."""
    state = Digest(rest)
    for part in parts:
        state.update(part)
    return CHECKSUM.pack(state.intdigest()) + rest


def refuse_header(buffer: bytearray | memoryview, start: int, epoch: int, most: int) -> None:
    """Raises for a header that :func:`is_sound` does not take, or of more than ``most``: the reason, in words.

    Raises:
        PeerProtocolError: always.
    """
    _, _, found, length, plain, kind, flags, magic = HEADER.unpack_from(buffer, start)
    if magic != MAGIC and looks_like_tls(bytes(buffer[start : start + 6])):
        raise PeerProtocolError(TLS_IN_PLAIN)
    if magic != MAGIC:
        raise PeerProtocolError("not a frame: wrong magic")
    if _MOST[kind] < 0:
        raise PeerProtocolError(f"bad frame: unknown kind {kind}")
    if not _LEAST[kind] <= plain <= _MOST[kind]:
        raise PeerProtocolError(f"bad frame: a body of {plain} bytes for kind {kind}")
    if plain > most:
        raise PeerProtocolError(f"bad frame: a body of {plain} bytes before the handshake")
    if found != epoch and epoch:
        raise PeerProtocolError(f"a frame of epoch {found} on a stream of epoch {epoch}")
    raise PeerProtocolError(f"bad frame: flags {flags:#x}, {length} of {plain} bytes, epoch {found}")


def looks_like_tls(beginning: bytes | bytearray | memoryview) -> bool:
    """Whether a connection that begins so, with six bytes or less, begins TLS: a ClientHello in a handshake record.

    A frame begins with its checksum, which may look so one time in sixteen million.
    """
    record, version, kind = beginning[:1], beginning[1:2], beginning[5:6]
    return record == b"\x16" and version in (b"\x03", b"") and kind in (b"\x01", b"")


def is_sound(epoch: int, found: int, length: int, plain: int, kind: int, flags: int, magic: int) -> bool:
    """Whether a header can be one of this protocol and of the agreed ``epoch`` (0: none is agreed yet)."""
    if magic != MAGIC or not _LEAST[kind] <= plain <= _MOST[kind]:
        return False
    if found != epoch if epoch else not 0 < found <= MAX_EPOCH:
        return False
    if flags:
        return flags == Flag.COMPRESSED and 0 < length < plain and plain >= MIN_COMPRESSED
    return length == plain
