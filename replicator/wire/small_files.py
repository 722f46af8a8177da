"""Bodies of COMPARE_SMALL and WANT_SMALL: many small files compared at once, whole, each by one of its names.

A full compare of a tree of small files would cost three frames each otherwise: to bind it, to compare it, to unbind it.
A file that the stream has bound already is told by its id alone. As in ``wire.copying`` a body is exactly what is
described here, else :class:`PeerProtocolError`.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from manager.model.errors import PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import PRIVATE_NAME
from replicator.wire.bodies import SHORT, Body, check_volume
from replicator.wire.copying import BLOCK, DIGEST

MAX_SMALL_BLOCKS: Final = 2
"""Blocks of a file that is compared so."""
SMALL: Final = MAX_SMALL_BLOCKS * BLOCK
"""Bytes of it."""
MAX_SMALL_FILES: Final = 64
"""Files of one COMPARE_SMALL."""
NOT_THERE: Final = 0x80
"""Answers for a file of which the name, or the id, says something else there: it is to be bound and compared alone."""

_COMPARE_SMALL = struct.Struct("<BB")  # volume, number of files
_SMALL_FILE = struct.Struct("<QQI")  # inode, parent, length


@dataclass(frozen=True, slots=True)
class SmallFile:
    """The digests of the blocks of a file, from its beginning on."""

    inode: int
    parent: int
    """A bound directory; 0: the inode itself is bound."""
    name: bytes
    """In ``parent``; empty where the inode is bound."""
    length: int
    """Bytes that are compared."""
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CompareSmall:
    """Small files of one replicated directory."""

    volume: int
    files: tuple[SmallFile, ...]


def encode_compare_small(compare: CompareSmall) -> bytes:
    """Body of COMPARE_SMALL."""
    parts = [_COMPARE_SMALL.pack(compare.volume, len(compare.files))]
    for file in compare.files:
        parts += (_SMALL_FILE.pack(file.inode, file.parent, file.length), SHORT.pack(len(file.name)), file.name)
        parts += file.digests
    return b"".join(parts)


def decode_compare_small(body: memoryview, volumes: int) -> CompareSmall:
    """COMPARE_SMALL, for a module of so many directories. Raises PeerProtocolError."""
    reader = Body(body)
    volume, count = reader.unpack(_COMPARE_SMALL)
    check_volume(volume, volumes)
    if not 0 < count <= MAX_SMALL_FILES:
        raise PeerProtocolError(f"bad copy frame: {count} small files")
    files = tuple(_small_file(reader) for _ in range(count))
    reader.end()
    return CompareSmall(volume, files)


def _small_file(reader: Body) -> SmallFile:
    inode, parent, length = reader.unpack(_SMALL_FILE)
    if not 0 < length <= SMALL or not inode:
        raise PeerProtocolError(f"bad copy frame: {length} bytes of small inode {inode:x}")
    name = b""
    if parent:
        name = reader.name()
        if parent == ROOT_INODE and name == PRIVATE_NAME:
            raise PeerProtocolError("bad copy frame: the reserved name")
    elif reader.unpack(SHORT)[0]:
        raise PeerProtocolError("bad copy frame: a name in no directory")
    data = reader.take(-(-length // BLOCK) * DIGEST)
    return SmallFile(inode, parent, name, length, tuple(data[at : at + DIGEST] for at in range(0, len(data), DIGEST)))


def encode_want_small(wanted: Sequence[int]) -> bytes:
    """Body of WANT_SMALL: for each file a bitmap of blocks, bit 0 the first, or NOT_THERE."""
    return bytes(wanted)


def decode_want_small(body: memoryview, lengths: Sequence[int]) -> bytes:
    """WANT_SMALL for files of which so many bytes were told. Raises PeerProtocolError."""
    if len(body) != len(lengths):
        raise PeerProtocolError(f"bad copy frame: {len(body)} answers for {len(lengths)} small files")
    wanted = bytes(body)
    for bitmap, length in zip(wanted, lengths, strict=True):
        if bitmap != NOT_THERE and bitmap >> -(-length // BLOCK):
            raise PeerProtocolError("bad copy frame: blocks are wanted that were not offered")
    return wanted
