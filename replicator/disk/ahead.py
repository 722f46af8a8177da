"""Has the disk begin with what a join is about to compare at the secondary: else disk and digests take turns.

The kernel is asked to read what will be asked for next, in its own time (measured: without that a full compare takes
twice as long). That is bounded, for what was read too early is thrown out before it is looked at, and was read for
nothing. Nothing here changes what is compared, nor says what it is.
"""

import os
from typing import Final

from replicator.disk.survey import target_of_fd

_SMALL: Final = 64 << 10
"""Bytes of a file that is read ahead as a whole."""
_MOST: Final = 16 << 20
"""Bytes of small files that were listed, and are not compared."""


class Ahead:
    """Of one join."""

    def __init__(self) -> None:
        self._listed = 0
        """Bytes that were read ahead for a listing, and are not compared; some of them may never be."""

    def listed(self, path: int, size: int) -> None:
        """A regular file, open on ``path`` (O_PATH), will be compared from its beginning on. Raises OSError."""
        if not 0 < size <= _SMALL or self._listed + size > _MOST:
            return
        file = os.open(target_of_fd(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC)
        try:
            _expect(file, 0, size)
        finally:
            os.close(file)
        self._listed += size

    def compared(self, file: int, offset: int, length: int) -> None:
        """A span of what is open on ``file`` is compared now; what follows it may be next. Raises OSError."""
        self.over(length)
        _expect(file, offset + length, length)

    def over(self, length: int) -> None:
        """So many bytes were compared, and nothing follows them."""
        self._listed = max(0, self._listed - length)


def _expect(file: int, offset: int, length: int) -> None:
    """What is beyond the end is nothing."""
    os.posix_fadvise(file, offset, length, os.POSIX_FADV_WILLNEED)
