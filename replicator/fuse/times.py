"""Whose mtime the two copies do not yet have in common.

A write, a new name or a removed one sets mtime on each node by its own clock. The primary's is shipped when the file
is closed or synced, or has been at rest for a while; until then the inode is remembered here.
"""

import time
from typing import Final

_COARSE_CLOCK: Final = 5  # CLOCK_REALTIME_COARSE
_TICK_NS: Final = 20_000_000


def now_ns(previous_ns: int) -> int:
    """The time to set as "now" on a file whose mtime is ``previous_ns``, so that its times do not go backwards.

    By the clock that file systems stamp with, which stands still between its ticks; since Linux 6.13 they stamp by a
    finer one where somebody has looked, so the mtime may be a tick ahead.
    """
    coarse_ns = time.clock_gettime_ns(_COARSE_CLOCK)
    return previous_ns if coarse_ns < previous_ns < coarse_ns + _TICK_NS else coarse_ns


class TouchedInodes:
    """The inodes whose mtime differs, by when they were last touched."""

    def __init__(self) -> None:
        self._recent: dict[int, None] = {}
        self._settling: dict[int, None] = {}
        self._under_way: set[int] = set()

    def __contains__(self, inode: int) -> bool:
        """Whether its mtime may differ."""
        return self.is_due(inode) or inode in self._under_way

    def is_due(self, inode: int) -> bool:
        """Whether its mtime is to be shipped."""
        return inode in self._recent or inode in self._settling

    def add(self, inode: int) -> None:
        """Its mtime differs from now on."""
        self._recent[inode] = None

    def discard(self, inode: int) -> None:
        """Its mtime is the same on both, or is of no interest any more."""
        self._recent.pop(inode, None)
        self._settling.pop(inode, None)

    def ship(self, inode: int) -> None:
        """Its mtime is issued. It may differ until :meth:`shipped`: what is issued may have to wait."""
        self.discard(inode)
        self._under_way.add(inode)

    def shipped(self, inode: int) -> None:
        """What was issued is applied."""
        self._under_way.discard(inode)

    def all(self) -> list[int]:
        """All that are to be shipped."""
        return list({**self._settling, **self._recent})

    def rested(self) -> list[int]:
        """Those that nothing touched since the last call but one; they stay until they are discarded."""
        rested = [inode for inode in self._settling if inode not in self._recent]
        self._settling = {**dict.fromkeys(rested), **self._recent}
        self._recent = {}
        return rested
