"""What the replicator asks of the kernel and of Python for its own process. It decides nothing.

A process that serves writeback must not wait for its own pages, nor be the one that is killed when memory is short;
and the collector of cycles must not pause it in the middle of the data path.
"""

import errno
import gc
import resource
import threading
from collections.abc import Callable
from typing import Final

from manager.capabilities import Capability
from replicator.disk import linux

_STACK_BYTES: Final = 512 << 10
"""Of a thread: locked memory is taken in whole."""
_OTHER_FILES: Final = 1024
"""Descriptors beside those of the volumes."""
_MOST_FILES: Final = 1 << 20
_OLDER_EVERY: Final = 60
_ALL_EVERY: Final = 3600


def protect() -> list[str]:
    """Asks for all protection; what was refused, in words. Before other threads are made."""
    threading.stack_size(_STACK_BYTES)
    refused = []
    for what, action in (
        ("oom score", _leave_alive),
        ("io flusher", linux.set_io_flusher),
        ("lock", _lock_memory),
    ):
        try:
            action()
        except OSError as error:
            refused.append(f"{what}: {error.strerror or error}")
    return refused


def _leave_alive() -> None:
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("-1000")


def _lock_memory() -> None:
    """Only where there is no limit to it: one that is met later would fail an allocation."""
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError as error:
        with open("/proc/self/status", encoding="ascii") as lines:
            capabilities = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
        if not capabilities >> Capability.IPC_LOCK & 1:
            raise OSError(errno.EPERM, "memory that can be locked is limited") from error
    linux.lock_memory()


def raise_files(volumes: int, wanted_each: int) -> int:
    """Raises the limit of open files for ``volumes`` volumes; how many of either sort each may have.

    Raises OSError when there is not even room for a few.
    """
    wanted = min(_MOST_FILES, 2 * volumes * wanted_each + _OTHER_FILES)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for target in ((wanted, max(hard, wanted)), (min(wanted, hard), hard)):
        if soft >= wanted:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, target)
        except (ValueError, OSError):
            continue  # not allowed to: as many as may be
        soft = target[0]
    each = min(wanted_each, (soft - _OTHER_FILES) // (2 * volumes))
    if each < 16:
        raise OSError(f"{soft} open files are too few for {volumes} directories")
    return each


class Collector:
    """Collects cycles at moments of its own choice: the data path makes none."""

    def __init__(self, idle: Callable[[], bool]) -> None:
        """From here on only :meth:`rest` collects. ``idle`` tells whether a longer pause hurts nobody now."""
        self._idle = idle
        self._seconds = 0
        gc.disable()
        self.settle()

    def settle(self) -> None:
        """What there is now stays: it is not looked at again."""
        gc.collect()
        gc.freeze()

    def rest(self) -> None:
        """To be called every second."""
        self._seconds += 1
        if self._seconds % _ALL_EVERY == 0 and self._idle():
            gc.collect()
        elif self._seconds % _OLDER_EVERY == 0 and self._idle():
            gc.collect(1)
        else:
            gc.collect(0)
