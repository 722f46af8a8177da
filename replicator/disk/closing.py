"""Closes, in a thread, what the file system below takes long to be rid of: large files without a name.

The last descriptor's close gives their blocks back. That takes seconds for a file in a million pieces (measured: ext4,
1.7 s for 500,000, with all of its metadata in memory), and whoever waits for it serves nothing, and answers nobody.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterable
from typing import Final

LARGE_BYTES: Final = 16 << 20
"""On the disk; what has less is gone in milliseconds, in however many pieces it is."""
_BLOCK: Final = 512
"""Of st_blocks, whatever the file system's own are."""


def is_slow_to_close(file: int) -> bool:
    """Whether the last close of a regular file that has no name may take long. Raises OSError."""
    return os.fstat(file).st_blocks * _BLOCK >= LARGE_BYTES


class Closer:
    """Closes one descriptor after the other, in a thread that is there for as long as there are some."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._at_work = False
        self._lock = threading.Lock()

    def close(self, descriptors: Iterable[int]) -> None:
        """They are this object's from now on. Returns at once."""
        with self._lock:
            self._waiting.extend(descriptors)
            if self._at_work or not self._waiting:
                return
            self._at_work = True
        threading.Thread(target=self._work, name="closing", daemon=True).start()

    def _work(self) -> None:
        while (descriptor := self._next()) is not None:
            # An error of close(2) is about what was written to the file: nobody can read that any more.
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _next(self) -> int | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._at_work = False
            return None
