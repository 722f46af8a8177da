"""The machine's wall clock jumps by a little, and back: ``python -m tests.support.wall_clock MS FOR_MS``.

Wall time cannot be another one in a namespace, so it is the whole machine's. A process of its own, which ends with
nothing but SIGKILL before it has set it back, by the clock that does not jump.
"""

import signal
import subprocess
import sys
import time

LONGEST_JUMP_MS = 2000
LONGEST_MS = 5000


def jump(by_ms: int, for_ms: int) -> None:
    """Returns when it is as it was.

    Raises:
        AssertionError: it would be too far, or for too long; or the clock was not set.
    """
    assert abs(by_ms) <= LONGEST_JUMP_MS
    assert for_ms <= LONGEST_MS
    command = [sys.executable, "-m", "tests.support.wall_clock", str(by_ms), str(for_ms)]
    subprocess.run(command, check=True, start_new_session=True, timeout=LONGEST_MS / 1000 + 10)


def main() -> None:
    """As the module says."""
    by_ms, for_ms = int(sys.argv[1]), int(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ahead_ns = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    try:
        _set(ahead_ns + by_ms * 1_000_000)
        time.sleep(for_ms / 1000)
    finally:
        _set(ahead_ns)


def _set(ahead_ns: int) -> None:
    """Of CLOCK_BOOTTIME."""
    time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_BOOTTIME) + ahead_ns)


if __name__ == "__main__":
    main()
