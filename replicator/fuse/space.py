"""Whether there is room: the smaller free space of both nodes, as one without privilege sees it.

While there is plenty a write costs one subtraction here. Only when it gets low is it asked what is free now, and how
much of the range has its blocks already, so that what overwrites goes on working on a full disk. It knows the peer's
numbers by what the stream last reported, and what is under way since by its own account.

Directories on one file system take from the same room: they have one account (:func:`guards_of`).
"""

import fcntl
import os
import struct
from collections.abc import Callable, Sequence
from typing import Final

from replicator.core.filesystem import Free
from replicator.disk.volume import Volume

RESERVE_BYTES: Final = 1 << 20
"""Kept free for what cannot be refused: the metadata of renames and of blocks that are already given."""
RESERVE_INODES: Final = 16
RESERVE_NAMES: Final = 1000
"""Of an inode: a resync gives it others, and one more, before it takes those away that went."""
LOW_BYTES: Final = 64 << 20
LOW_INODES: Final = 4096
ENTRY_BYTES: Final = 16384
"""What a new name may need: a block for the directory and some for the inode."""
PLENTY: Final = Free(1 << 62, 1 << 62)

_FIEMAP: Final = 0xC020660B  # FS_IOC_FIEMAP
_FIEMAP_HEAD = struct.Struct("<QQIIII")
_EXTENT = struct.Struct("<QQQ16xI12x")
_EXTENTS: Final = 64
_UNKNOWN_OR_SHARED: Final = 0x2 | 0x2000  # FIEMAP_EXTENT_UNKNOWN, _SHARED
_DELAYED: Final = 0x4  # FIEMAP_EXTENT_DELALLOC: counted as used already


def guards_of(volumes: Sequence[Volume]) -> Sequence["SpaceGuard"]:
    """Each volume's guard: one for all that take from the same room here.

    They are taken to do so on the peers, too: their reports do not say.
    """
    shared: dict[tuple[int, int], SpaceGuard] = {}
    return [shared.setdefault(volume.room, SpaceGuard(volume.free)) for volume in volumes]


class SpaceGuard:
    """Answers whether what is about to be issued will find room on one file system."""

    def __init__(self, free: Callable[[], Free]) -> None:
        self._measure = free
        self._reported: dict[int, Free] = {}
        """By volume, what the peers have free there; PLENTY while there is none."""
        self._peers = PLENTY
        self._under_way = 0
        self._issued = 0
        self._bytes = -1
        self._inodes = -1

    @property
    def under_way(self) -> int:
        """Bytes of writes that were issued and are not done."""
        return self._under_way

    def set_peer_free(self, volume: int, free: Free | None) -> None:
        """What the peers have free for that volume, the smallest of them; ``None`` while there is no peer."""
        self._reported[volume] = PLENTY if free is None else free
        known = self._reported.values()
        self._peers = Free(min(f.bytes for f in known), min(f.inodes for f in known))
        self._issued = self._under_way
        self._bytes = min(self._bytes, self._peers.bytes - self._issued)
        self._inodes = min(self._inodes, self._peers.inodes)

    def free(self) -> Free:
        """What is free on both now, without the reserve. Raises OSError."""
        here = self._measure()
        return Free(
            bytes=max(0, min(here.bytes - self._under_way, self._peers.bytes - self._issued) - RESERVE_BYTES),
            inodes=max(0, min(here.inodes, self._peers.inodes) - RESERVE_INODES),
        )

    def refresh(self) -> None:
        """Measures anew: called every second. Raises OSError."""
        free = self.free()
        self._bytes, self._inodes = free.bytes, free.inodes

    def refuses_write(self, size: int, allocated: Callable[[], int]) -> bool:
        """Whether ``size`` bytes find no room; ``allocated`` tells how many of them have it already."""
        self._bytes -= size
        if self._bytes > LOW_BYTES:
            return False
        self.refresh()
        self._bytes -= size
        if self._bytes > LOW_BYTES:
            return False
        needed = size - allocated()
        return needed > 0 and needed > self.free().bytes

    def refuses_entry(self) -> bool:
        """Whether a new inode or name finds no room."""
        self._bytes -= ENTRY_BYTES
        self._inodes -= 1
        if self._bytes > LOW_BYTES and self._inodes > LOW_INODES:
            return False
        self.refresh()
        return self._bytes < ENTRY_BYTES or self._inodes < 1

    def started(self, size: int) -> None:
        """A write of ``size`` bytes was issued."""
        self._under_way += size
        self._issued += size

    def finished(self, size: int) -> None:
        """It is done, or has failed."""
        self._under_way -= size


def allocated_bytes(file: int, offset: int, length: int) -> int:
    """How many bytes of the range have blocks of their own on the disk, preallocated ones included.

    Where the file system does not tell (no FIEMAP), what SEEK_HOLE shows as data. Raises OSError.
    """
    try:
        return _mapped(file, offset, length)
    except OSError:
        return _data(file, offset, length)


def _mapped(file: int, offset: int, length: int) -> int:
    end = offset + length
    found = 0
    while offset < end:
        request = bytearray(_FIEMAP_HEAD.pack(offset, end - offset, 0, 0, _EXTENTS, 0) + bytes(_EXTENTS * _EXTENT.size))
        fcntl.ioctl(file, _FIEMAP, request)
        count = _FIEMAP_HEAD.unpack_from(request)[3]
        if not count:
            break
        for index in range(count):
            start, _, size, flags = _EXTENT.unpack_from(request, _FIEMAP_HEAD.size + index * _EXTENT.size)
            if flags & _DELAYED or not flags & _UNKNOWN_OR_SHARED:
                found += max(0, min(end, start + size) - max(offset, start))
        offset = start + size
    return found


def _data(file: int, offset: int, length: int) -> int:
    end = offset + length
    found = 0
    while offset < end:
        try:
            start = os.lseek(file, offset, os.SEEK_DATA)
        except OSError:
            break
        if start >= end:
            break
        offset = min(end, os.lseek(file, start, os.SEEK_HOLE))
        found += offset - start
    return found
