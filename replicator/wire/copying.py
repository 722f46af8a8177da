"""Bodies of the frames that copy: bytes in, objects out, and back. VERIFY_LISTING has the body of a LISTING.

A body is exactly what is described here, else :class:`PeerProtocolError`; every length is bounded by the frame's. What
the fields mean for files is in ``replicator.disk.survey``; when a frame may be sent, in ``replicator.joiner``.

All integers are little-endian. Strings have their length before them; a path is its names from the root of the
replicated directory, none for the root itself.
"""

import enum
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from manager.model.errors import PeerProtocolError
from replicator.core.filesystem import PRIVATE_NAME
from replicator.wire.bodies import COUNT, SHORT, Body, check_volume

BLOCK: Final = 32 << 10
"""Bytes of a block that is compared and copied as one."""
MAX_BLOCKS: Final = 32
"""Blocks of one COMPARE."""
DIGEST: Final = 16
"""Bytes of the XXH3-128 of a block."""
MAX_LISTING: Final = 64 << 10
"""Bytes of entries after which a listing goes on in the next frame."""
MAX_ENTRY: Final = 1 << 20
"""Bytes of one entry, extended attributes and all."""
MAX_PATH: Final = 60 << 10
"""Bytes of an encoded path."""
MAX_XATTRS: Final = 448 << 10
"""Bytes of the extended attributes of one inode: so much of a directory, and of what is in it, go into one listing."""
_LISTING = struct.Struct("<BB")  # volume, part
_ATTRIBUTES = struct.Struct("<QIIIQQqIIBHH")
# inode, mode, uid, gid, rdev, size, mtime (seconds, nanoseconds), nlink, flags, bytes of target, number of xattrs
_COMPARE = struct.Struct("<BQQQ")  # volume, inode, offset, length
_WANT = struct.Struct("<I")
_LISTED = struct.Struct("<BI")  # unfindable, number of indexes
_MADE: Final = 1 << 31
"""Beside an index."""
MAX_ENTRIES: Final = MAX_LISTING // (SHORT.size + 1 + _ATTRIBUTES.size)
"""Entries of one listing frame: no more of the shortest fit."""
_MAX_OFFSET: Final = (1 << 63) - 1
_S: Final = 1_000_000_000


class Part(enum.IntFlag):
    """Which part of a directory's listing a frame is."""

    FIRST = 1
    LAST = 2
    TRACKED = 4
    """Of a join that lists some directories only: what is not found here may stand in one that is not listed."""


class EntryFlag(enum.IntFlag):
    """What else is known of an entry."""

    PROTECTED = 1
    """chattr +i or +a on the primary."""
    UNSETTLED = 2
    """Its mtime is not shipped yet: not to be compared."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an inode is, but for the content of a regular file and the names in a directory."""

    inode: int
    mode: int
    """With the type bits."""
    uid: int
    gid: int
    rdev: int
    size: int
    """Of a regular file, else 0."""
    mtime_ns: int
    nlink: int
    """Of what is no directory, else 1."""
    flags: int
    target: bytes
    """Of a symbolic link, else empty."""
    xattrs: tuple[tuple[bytes, bytes], ...]
    """Sorted by name; those of this system and of the file system's inside left out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory and what it stands for."""

    name: bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory, or a part of it."""

    volume: int
    part: Part
    path: tuple[bytes, ...]
    own: Attributes
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """What a part of a listing found at the secondary."""

    unfindable: bool
    """An entry with other names was not made: its file may stand in a directory that is not listed."""
    anew: tuple[int, ...]
    """Indexes of the entries that were made anew or adopted with another id, ascending."""
    made: frozenset[int] = frozenset()
    """Those of them that were made: a file has its length, and no content."""


@dataclass(frozen=True, slots=True)
class Equalise:
    """The attributes of an inode that is bound."""

    volume: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Compare:
    """Digests of the blocks of a span of a file; none: the span is a hole."""

    volume: int
    inode: int
    offset: int
    length: int
    digests: tuple[bytes, ...]


# Encoding


def encode_entry(entry: Entry) -> bytes:
    """Bytes of one entry. Raises ValueError for one that no frame can hold."""
    data = SHORT.pack(len(entry.name)) + entry.name + _encode_attributes(entry.attributes)
    if len(data) > MAX_ENTRY - MAX_PATH:
        raise ValueError(f"{entry.name!r}: {len(data)} bytes of extended attributes are more than can be sent")
    return data


def _encode_attributes(a: Attributes) -> bytes:
    parts = [
        _ATTRIBUTES.pack(
            a.inode,
            a.mode,
            a.uid,
            a.gid,
            a.rdev,
            a.size,
            *divmod(a.mtime_ns, _S),
            a.nlink,
            a.flags,
            len(a.target),
            len(a.xattrs),
        ),
        a.target,
    ]
    for name, value in a.xattrs:
        parts += (SHORT.pack(len(name)), name, COUNT.pack(len(value)), value)
    return b"".join(parts)


def xattr_bytes(name: bytes, value: bytes) -> int:
    """What an extended attribute takes."""
    return SHORT.size + len(name) + COUNT.size + len(value)


def encode_listing(
    volume: int, path: Sequence[bytes], own: Attributes, entries: Iterable[bytes], tracked: bool = False
) -> list[bytes]:
    """The bodies that list one directory; ``entries`` are encoded. Raises ValueError when it cannot be told.

    ``tracked``: each part is marked as one of a join that lists some directories only.
    """
    chunks = split_entries(entries)
    encoded = []
    for index, chunk in enumerate(chunks):
        part = Part.TRACKED if tracked else Part(0)
        part |= Part.FIRST if index == 0 else Part(0)
        part |= Part.LAST if index == len(chunks) - 1 else Part(0)
        encoded.append(encode_part(volume, part, path, own, chunk))
    return encoded


def encode_part(volume: int, part: Part, path: Sequence[bytes], own: Attributes, entries: Sequence[bytes]) -> bytes:
    """One part of a listing, of no more entries than :func:`split_entries` gives. Raises ValueError."""
    head = _LISTING.pack(volume, part)
    body = b"".join((head, encode_path(path), _encode_attributes(own), COUNT.pack(len(entries)), *entries))
    if len(body) > MAX_ENTRY:
        raise ValueError("extended attributes are more than can be sent")
    return body


def split_entries(entries: Iterable[bytes]) -> list[list[bytes]]:
    """Encoded entries as the parts of a listing have them, at least one part."""
    chunks: list[list[bytes]] = [[]]
    size = 0
    for entry in entries:
        if size and size + len(entry) > MAX_LISTING:
            chunks.append([])
            size = 0
        chunks[-1].append(entry)
        size += len(entry)
    return chunks


def encode_path(path: Sequence[bytes]) -> bytes:
    """A path. Raises ValueError when it is too long for a frame."""
    data = SHORT.pack(len(path)) + b"".join(SHORT.pack(len(name)) + name for name in path)
    if len(data) > MAX_PATH:
        raise ValueError(f"a path of {len(path)} directories is longer than can be sent")
    return data


def encode_listed(listed: Listed) -> bytes:
    """Body of LISTED."""
    indexes = (index | _MADE if index in listed.made else index for index in listed.anew)
    return _LISTED.pack(listed.unfindable, len(listed.anew)) + b"".join(map(COUNT.pack, indexes))


def encode_equalise(equalise: Equalise) -> bytes:
    """Body of EQUALISE. Raises ValueError for attributes that no frame can hold."""
    body = bytes((equalise.volume,)) + _encode_attributes(equalise.attributes)
    if len(body) > MAX_ENTRY:
        raise ValueError("extended attributes are more than can be sent")
    return body


def encode_compare(compare: Compare) -> bytes:
    """Body of COMPARE."""
    return _COMPARE.pack(compare.volume, compare.inode, compare.offset, compare.length) + b"".join(compare.digests)


def encode_want(bitmap: int) -> bytes:
    """Body of WANT: bit 0 is the first block."""
    return _WANT.pack(bitmap)


# Decoding


class _Reader(Body):
    """With attributes."""

    def attributes(self) -> Attributes:
        inode, mode, uid, gid, rdev, size, mtime, nanoseconds, nlink, flags, target, count = self.unpack(_ATTRIBUTES)
        if not inode or mode >> 16 or size > _MAX_OFFSET or nanoseconds >= _S or flags > 3:
            raise PeerProtocolError("bad copy frame: attributes that no inode has")
        where = self.take(target)
        if b"\0" in where:
            raise PeerProtocolError("bad copy frame: a symbolic link with a zero byte")
        xattrs = tuple((self._xattr_name(), self.take(self.unpack(COUNT)[0])) for _ in range(count))
        return Attributes(inode, mode, uid, gid, rdev, size, mtime * _S + nanoseconds, nlink, flags, where, xattrs)

    def _xattr_name(self) -> bytes:
        name = self.short()
        if not 0 < len(name) <= 255 or b"\0" in name or b"." not in name:
            raise PeerProtocolError("bad copy frame: the name of an extended attribute")
        return name


def decode_listing(body: memoryview, volumes: int) -> Listing:
    """LISTING and VERIFY_LISTING, for a module of so many directories. Raises PeerProtocolError."""
    reader = _Reader(body)
    volume, part = reader.unpack(_LISTING)
    check_volume(volume, volumes)
    if part > Part.FIRST | Part.LAST | Part.TRACKED:
        raise PeerProtocolError("bad copy frame: an unknown part")
    path = reader.path()
    own = reader.attributes()
    (count,) = reader.unpack(COUNT)
    if count > MAX_ENTRIES:
        raise PeerProtocolError(f"bad copy frame: {count} entries in one listing")
    entries = tuple(Entry(reader.name(), reader.attributes()) for _ in range(count))
    reader.end()
    if not path and any(entry.name == PRIVATE_NAME for entry in entries):
        raise PeerProtocolError("bad copy frame: the reserved name")
    return Listing(volume, Part(part), path, own, entries)


def decode_listed(body: memoryview, entries: int) -> Listed:
    """LISTED for a part of so many entries. Raises PeerProtocolError."""
    reader = _Reader(body)
    unfindable, count = reader.unpack(_LISTED)
    if unfindable > 1 or count > entries:
        raise PeerProtocolError("bad copy frame: no answer to a listing")
    found = [reader.unpack(COUNT)[0] for _ in range(count)]
    anew = tuple(index & ~_MADE for index in found)
    reader.end()
    if any(index >= entries for index in anew) or any(a >= b for a, b in pairwise(anew)):
        raise PeerProtocolError("bad copy frame: entries were made that were not listed")
    return Listed(bool(unfindable), anew, frozenset(index & ~_MADE for index in found if index & _MADE))


def decode_equalise(body: memoryview, volumes: int) -> Equalise:
    """EQUALISE. Raises PeerProtocolError."""
    reader = _Reader(body)
    (volume,) = reader.take(1)
    check_volume(volume, volumes)
    attributes = reader.attributes()
    reader.end()
    return Equalise(volume, attributes)


def decode_compare(body: memoryview, volumes: int) -> Compare:
    """COMPARE. Raises PeerProtocolError."""
    reader = _Reader(body)
    volume, inode, offset, length = reader.unpack(_COMPARE)
    check_volume(volume, volumes)
    return Compare(volume, inode, offset, length, read_digests(reader, offset, length))


def decode_want(body: memoryview, blocks: int) -> int:
    """WANT for a COMPARE of so many blocks: the bitmap. Raises PeerProtocolError."""
    reader = _Reader(body)
    (bitmap,) = reader.unpack(_WANT)
    reader.end()
    if bitmap >> blocks:
        raise PeerProtocolError("bad copy frame: blocks are wanted that were not offered")
    return bitmap


def read_digests(reader: Body, offset: int, length: int) -> tuple[bytes, ...]:
    """All that is left: the digests of a span's blocks, or none. Raises PeerProtocolError."""
    if not length or offset + length > _MAX_OFFSET:
        raise PeerProtocolError("bad copy frame: an impossible span")
    data = reader.rest()
    count = -(-length // BLOCK)
    if data and (count > MAX_BLOCKS or len(data) != count * DIGEST):
        raise PeerProtocolError("bad copy frame: the digests do not fit the span")
    return tuple(data[at : at + DIGEST] for at in range(0, len(data), DIGEST))
