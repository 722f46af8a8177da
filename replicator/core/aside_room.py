"""Whether there is room to set something aside: what the operator allows, and what a file system has to keep free.

Pure: what is on the disks is told to it.
"""

from dataclasses import dataclass
from typing import Final

from manager.model.errors import MirrorfarmError

ENTRY_BYTES: Final = 4096
"""What a name, and its inode, counts as beside its content."""
_FLOOR: Final = 20
"""One part of so many of a file system stays free."""


class NoRoom(MirrorfarmError):
    """Something cannot be kept: there is no room for it. The message says which room."""

    def __init__(self, why: str, needed_bytes: int, room_bytes: int) -> None:
        super().__init__(why)
        self.needed_bytes = needed_bytes
        self.room_bytes = room_bytes


@dataclass(frozen=True, slots=True)
class Space:
    """Of one file system, as one without privilege sees it."""

    size_bytes: int
    free_bytes: int
    inodes: int
    """0: the file system makes them as they are needed."""
    free_inodes: int


class Room:
    """What may still be kept, in all directories of the module together."""

    def __init__(self, limit_bytes: int, kept_bytes: int) -> None:
        """``limit_bytes`` of all asides; ``kept_bytes``: what those that are there take."""
        self._limit_bytes = limit_bytes
        self._left_bytes = max(0, limit_bytes - kept_bytes)
        self.taken_bytes = 0

    def take(self, space: Space, needed_bytes: int, new_inode: bool = True) -> None:
        """Counts so much as kept, on that file system. Raises NoRoom; nothing is counted then."""
        if needed_bytes > self._left_bytes:
            limit = f"set_aside allows {self._limit_bytes} bytes for all asides together"
            raise NoRoom(limit, needed_bytes, self._left_bytes)
        room_bytes = space.free_bytes - space.size_bytes // _FLOOR
        if needed_bytes > room_bytes:
            raise NoRoom("5 % of the file system stay free", needed_bytes, max(0, room_bytes))
        if new_inode and space.inodes and space.free_inodes <= space.inodes // _FLOOR:
            raise NoRoom("5 % of the file system's inodes stay free", needed_bytes, 0)
        self._left_bytes -= needed_bytes
        self.taken_bytes += needed_bytes
