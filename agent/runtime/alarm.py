"""Wakes somebody at an instant of ``CLOCK_BOOTTIME``, which the loop's own clock is not.

The loop's timers go off up to a millisecond too early, and stand still while the machine is suspended. Who asked for
an instant is never called before it, and is called once.
"""

import asyncio
from collections.abc import Callable

SECOND_NS = 1_000_000_000
LONGEST_SLEEP_S = 3600.0
"""Cut short, so that a suspension counts."""
SHORTEST_SLEEP_S = 0.001


class Alarm:
    """One instant at a time."""

    def __init__(self, clock: Callable[[], int], on_due: Callable[[], None]) -> None:
        """``clock``: CLOCK_BOOTTIME in nanoseconds."""
        self._clock = clock
        self._on_due = on_due
        self._timer: asyncio.TimerHandle | None = None

    def set(self, instant_ns: int) -> None:
        """Replaces the one before. Past instants: as soon as the loop comes to it."""
        self.cancel()
        wait_s = (instant_ns - self._clock()) / SECOND_NS
        wait_s = 0.0 if wait_s <= 0 else min(max(SHORTEST_SLEEP_S, wait_s), LONGEST_SLEEP_S)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._ring, instant_ns)

    def cancel(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, instant_ns: int) -> None:
        self._timer = None
        if self._clock() < instant_ns:
            self.set(instant_ns)
        else:
            self._on_due()
