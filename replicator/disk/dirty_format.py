"""The bytes of the file of what the other node's copy may lack: records in, bytes out, and back.

A file is believed whole or not at all. Only its end may be torn, by an append that nobody had waited for: an append is
one group with a checksum, begun when all before it is on the disk. So a bad group was relied on when a good one is
behind it, or when the file was made with it. (A last group that the disk itself has spoilt looks like a torn one.)
What a record means is ``replicator.core.dirty_codec``'s matter; when bytes are on the disk, ``dirty_list``'s.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import xxhash

from replicator.core.bases import is_base

VERSION: Final = 1
_MAGIC: Final = b"MFdirty\n"
_HEADER: Final = struct.Struct("<8sI16s8sQ")
"""Magic, version, base, a number used once, how many bytes the file was made with."""
_CHECKSUM: Final = struct.Struct("<Q")
"""XXH3-64. Behind the header, of it; before a group, of the rest of it, with the header's as its seed."""
_GROUP_MAGIC: Final = b"\xf5mfG"
_GROUP: Final = struct.Struct("<4sII")
"""Magic, number (from 0 on), bytes of the body."""
_LENGTH: Final = struct.Struct("<I")
"""Before each record of a body."""
_FIRST: Final = _HEADER.size + _CHECKSUM.size
"""Where the first group begins."""
NONCE_BYTES: Final = 8

_digest: Final = xxhash.xxh3_64_intdigest


class Damaged(Exception):
    """The bytes are not what was written. The message says in what."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file goes on."""

    seed: int
    """Of its groups' checksums."""
    number: int
    """Of the next group."""
    offset: int


@dataclass(frozen=True, slots=True)
class Content:
    """What a file says."""

    base: str
    records: tuple[bytes, ...]
    end: Place
    """Of what can be relied on; torn bytes may follow."""


def new_file(base: str, nonce: bytes, records: Iterable[bytes], mark: int = 0) -> tuple[bytes, Place]:
    """A whole file, and where it goes on. ``nonce``: so that no group of another file passes for one of this one.

    ``mark``: a number without which it cannot be read.
    """
    body = _body(records)
    size = _FIRST + _CHECKSUM.size + _GROUP.size + len(body)
    header = _HEADER.pack(_MAGIC, VERSION, base.encode("ascii"), nonce, size)
    seed = _digest(header, mark)
    return header + _CHECKSUM.pack(seed) + _group(seed, 0, body), Place(seed, 1, size)


def group(place: Place, records: Iterable[bytes]) -> tuple[bytes, Place]:
    """What is appended at ``place``, and where the file goes on then."""
    data = _group(place.seed, place.number, _body(records))
    return data, Place(place.seed, place.number + 1, place.offset + len(data))


def _body(records: Iterable[bytes]) -> bytes:
    return b"".join(part for record in records for part in (_LENGTH.pack(len(record)), record))


def _group(seed: int, number: int, body: bytes) -> bytes:
    rest = _GROUP.pack(_GROUP_MAGIC, number, len(body)) + body
    return _CHECKSUM.pack(_digest(rest, seed)) + rest


def parse(data: bytes, mark: int = 0) -> Content:
    """What a file of these bytes says, which was made with ``mark``; a torn end is left out.

    Raises Damaged where it is not to be believed, for another version or mark too.
    """
    base, seed, made = _header(data, mark)
    records: list[bytes] = []
    number, offset = 0, _FIRST
    while (found := _group_at(data, offset, seed)) is not None:
        at, body = found
        if at != number:
            raise Damaged(f"group {at} where {number} was expected")
        records += _records(body)
        number += 1
        offset += _CHECKSUM.size + _GROUP.size + len(body)
    if offset < made or _has_group(data, offset, seed):
        raise Damaged(f"group {number} at byte {offset} is not what was written")
    return Content(base, tuple(records), Place(seed, number, offset))


def _header(data: bytes, mark: int) -> tuple[str, int, int]:
    """The base, the seed, and how many bytes the file was made with."""
    if len(data) < _FIRST or not data.startswith(_MAGIC):
        raise Damaged("it does not begin as such a file")
    _, version, base, _, made = _HEADER.unpack_from(data)
    (seed,) = _CHECKSUM.unpack_from(data, _HEADER.size)
    if version != VERSION:
        raise Damaged(f"it is of version {version}, {VERSION} is known")
    if seed != _digest(data[: _HEADER.size], mark):
        raise Damaged("its header is not what was written")
    text = base.decode("latin-1")
    if not is_base(text):
        raise Damaged(f"{text!r} is no base")
    return text, seed, made


def _group_at(data: bytes, offset: int, seed: int) -> tuple[int, memoryview] | None:
    """The number and the body of the group that begins there, if one does."""
    start = offset + _CHECKSUM.size
    inside = start + _GROUP.size
    if inside > len(data):
        return None
    magic, number, length = _GROUP.unpack_from(data, start)
    if magic != _GROUP_MAGIC or inside + length > len(data):
        return None
    view = memoryview(data)
    (checksum,) = _CHECKSUM.unpack_from(data, offset)
    if checksum != _digest(view[start : inside + length], seed):
        return None
    return number, view[inside : inside + length]


def _has_group(data: bytes, offset: int, seed: int) -> bool:
    """Whether a good group begins anywhere from there on."""
    at = data.find(_GROUP_MAGIC, offset)
    while at >= 0:
        if at >= _CHECKSUM.size and _group_at(data, at - _CHECKSUM.size, seed) is not None:
            return True
        at = data.find(_GROUP_MAGIC, at + 1)
    return False


def _records(body: memoryview) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        yield bytes(body[at : at + length])
        at += length
