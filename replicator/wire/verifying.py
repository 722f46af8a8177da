"""Bodies of the frames that verify, or keep what a copy has of its own: bytes in, objects out, and back.

As :mod:`replicator.wire.copying`, whose words they use.
"""

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from manager.model.errors import PeerProtocolError
from replicator.wire.bodies import COUNT, SHORT, Body, check_volume
from replicator.wire.copying import encode_path, read_digests

MAX_NAMED: Final = 500
"""Differences of one VERIFY_ANSWER."""
_MAX_TEXT: Final = 200

_SPAN = struct.Struct("<QQ")  # offset, length
_CHECKED = struct.Struct("<BI")  # state, bitmap


class What(enum.IntEnum):
    """In what an entry differs."""

    MISSING = 1
    EXTRA = 2
    TYPE = 3
    MODE = 4
    OWNER = 5
    SIZE = 6
    MTIME = 7
    XATTR = 8
    LINK = 9
    """Names that are one file here and two there, or a symbolic link's target."""
    DEVICE = 10
    IDENTITY = 11
    """Another file stands there than the stream has put there."""
    CONTENT = 12


class CheckState(enum.IntEnum):
    """What became of a VERIFY_COMPARE."""

    COMPARED = 0
    ABSENT = 1
    """No regular file is there."""


@dataclass(frozen=True, slots=True)
class VerifyCompare:
    """As Compare, of the file that stands at ``path``."""

    volume: int
    path: tuple[bytes, ...]
    offset: int
    length: int
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """All that stands at ``path``, which is not a root."""

    volume: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """One difference in a directory, as the secondary tells it."""

    name: bytes
    """Empty: the directory itself."""
    what: What
    here: str
    """At the primary."""
    there: str
    """At the secondary."""


# Encoding


def encode_verify_compare(compare: VerifyCompare) -> bytes:
    """Body of VERIFY_COMPARE. Raises ValueError when the path is too long."""
    head = bytes((compare.volume,)) + encode_path(compare.path) + _SPAN.pack(compare.offset, compare.length)
    return head + b"".join(compare.digests)


def encode_keep(keep: Keep) -> bytes:
    """Body of KEEP. Raises ValueError when the path is too long."""
    return bytes((keep.volume,)) + encode_path(keep.path)


def encode_checked(state: CheckState, bitmap: int) -> bytes:
    """Body of VERIFY_ANSWER to a VERIFY_COMPARE: which blocks differ."""
    return _CHECKED.pack(state, bitmap)


def encode_found(total: int, found: Sequence[Found]) -> bytes:
    """Body of VERIFY_ANSWER to a VERIFY_LISTING: how many differences, and the first of them.

    To KEEP and SET_ASIDE: none.
    """
    parts = [COUNT.pack(total), COUNT.pack(min(len(found), MAX_NAMED))]
    for each in found[:MAX_NAMED]:
        for field in (each.name, _text(each.here), _text(each.there)):
            parts += (SHORT.pack(len(field)), field)
        parts.append(bytes((each.what,)))
    return b"".join(parts)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")[:_MAX_TEXT]


# Decoding


def decode_verify_compare(body: memoryview, volumes: int) -> VerifyCompare:
    """VERIFY_COMPARE. Raises PeerProtocolError."""
    reader = Body(body)
    (volume,) = reader.take(1)
    check_volume(volume, volumes)
    path = reader.path()
    offset, length = reader.unpack(_SPAN)
    return VerifyCompare(volume, path, offset, length, read_digests(reader, offset, length))


def decode_keep(body: memoryview, volumes: int) -> Keep:
    """KEEP. Raises PeerProtocolError."""
    reader = Body(body)
    (volume,) = reader.take(1)
    check_volume(volume, volumes)
    path = reader.path()
    reader.end()
    if not path:
        raise PeerProtocolError("bad copy frame: a root is never gone")
    return Keep(volume, path)


def decode_checked(body: memoryview, blocks: int) -> tuple[CheckState, int]:
    """VERIFY_ANSWER to a VERIFY_COMPARE of so many blocks. Raises PeerProtocolError."""
    reader = Body(body)
    state, bitmap = reader.unpack(_CHECKED)
    reader.end()
    if bitmap >> blocks or state not in tuple(CheckState):
        raise PeerProtocolError("bad copy frame: no answer to what was asked")
    return CheckState(state), bitmap


def decode_found(body: memoryview) -> tuple[int, tuple[Found, ...]]:
    """VERIFY_ANSWER to a VERIFY_LISTING: how many differences, and some of them. Raises PeerProtocolError."""
    reader = Body(body)
    (total,) = reader.unpack(COUNT)
    (count,) = reader.unpack(COUNT)
    if count > MAX_NAMED or count > total:
        raise PeerProtocolError("bad copy frame: more differences than allowed")
    found = []
    for _ in range(count):
        name, here, there = reader.short(), reader.short(), reader.short()
        (what,) = reader.take(1)
        if what not in tuple(What):
            raise PeerProtocolError("bad copy frame: an unknown difference")
        found.append(Found(name, What(what), _plain(here), _plain(there)))
    reader.end()
    return total, tuple(found)


def _plain(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")
