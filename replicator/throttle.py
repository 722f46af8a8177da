"""What ``replicator.pacing`` says now, to a join or a verification: it asks the clocks, and calls when it may go on."""

import time
from collections.abc import Callable
from typing import Final

from replicator.copy_ports import Loop
from replicator.pacing import Bandwidth, Courtesy

Clock = Callable[[], int]
"""The minute of the day, local time."""
_LEAST_WAIT_S: Final = 0.001
"""The loop counts milliseconds: for less it would call at once, again and again."""


def minute_of_day() -> int:
    """The minute of the day by this node's clock, local time."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class Throttle:
    """Of one join, or verification. Whatever says "not now" has ``go_on`` called when it is to be asked again."""

    def __init__(self, loop: Loop, bandwidth: Bandwidth, minute: Clock, go_on: Callable[[], None]) -> None:
        """``bandwidth`` may be shared with the joins before."""
        self.courtesy: Final = Courtesy()
        self._loop = loop
        self._bandwidth = bandwidth
        self._minute = minute
        self._go_on = go_on
        self._due_s: float | None = None

    @property
    def is_free(self) -> bool:
        """Whether nothing limits what is read and sent at once."""
        return not self._bandwidth.bytes_s(self._minute()) and not self.courtesy.is_busy(self._loop.time())

    def may_begin(self, count: int) -> bool:
        """Whether a piece of work of so many bytes may begin now."""
        return self._allows(self.courtesy.wait_s(self._loop.time(), count))

    def begin(self, count: int) -> None:
        """It begins; :meth:`end` is to be called once."""
        self.courtesy.begin(self._loop.time(), count)

    def end(self) -> None:
        """It is over, here and at the peer."""
        self.courtesy.end(self._loop.time())

    def piece_bytes(self, most: int) -> int:
        """How much the next piece may read."""
        return self.courtesy.piece_bytes(self._loop.time(), most)

    def may_have_moment(self) -> bool:
        """Whether the application may be made to wait, for what it does not need itself."""
        return self._allows(self.courtesy.moment_wait_s(self._loop.time()))

    def moment_ended(self, began_s: float) -> None:
        """It has waited since then, in the loop's time."""
        self.courtesy.moment_ended(self._loop.time(), began_s)

    def take(self, count: int) -> bool:
        """Whether so many bytes may be sent now; they are counted."""
        return self._allows(self._bandwidth.take(self._loop.time(), self._minute(), count))

    def spend(self, count: int) -> None:
        """So many bytes are sent that could not wait."""
        self._bandwidth.spend(self._loop.time(), self._minute(), count)

    def _allows(self, wait_s: float) -> bool:
        if not wait_s:
            return True
        wait_s = max(wait_s, _LEAST_WAIT_S)
        due_s = self._loop.time() + wait_s
        if self._due_s is None or due_s < self._due_s:
            self._due_s = due_s
            self._loop.call_later(wait_s, self._wake, due_s)
        return False

    def _wake(self, due_s: float) -> None:
        if due_s == self._due_s:
            self._due_s = None
            self._go_on()
