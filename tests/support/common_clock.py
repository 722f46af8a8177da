"""One clock for the host and all machines of a lab, though each machine counts from its own start.

It knows how far this process's CLOCK_BOOTTIME is ahead of the host's (time_namespaces(7)); wall time, which may be set,
is not asked.
"""

import time
from pathlib import Path


def _offset_ns() -> int:
    """Of the namespace that this process began in."""
    for line in Path("/proc/self/timens_offsets").read_text(encoding="ascii").splitlines():
        clock, seconds, nanoseconds = line.split()
        if clock == "boottime":
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    raise AssertionError("the kernel does not tell the offset of CLOCK_BOOTTIME")


OFFSET_NS = _offset_ns()


def now_ns() -> int:
    """The host's CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - OFFSET_NS
