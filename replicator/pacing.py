"""How fast a resync may go: what it may send, and when it leaves the machine to the application. Pure.

:class:`Bandwidth` is a token bucket with a schedule. :class:`Courtesy` has a resync work in pieces: as long as the
application does nothing they may overlap, as many as the caller wants. As soon as it works one batch of them is under
way at a time, and a small one; after each the application is left alone for longer than that took, so that most of its
operations meet none; but never for so long that a busy application would keep a resync from coming to its end. Moments
in which the application has to wait are rationed by its operations: so few of these wait that it does not show in
their 99th percentile.

What a piece is, and what it does, is not known here, nor what time it is: every call is told.
"""

import math
from collections.abc import Sequence
from typing import Final

from manager.model.replicator_spec import SpecWindow

BURST_BYTES: Final = 256 << 10
"""What may be sent at once however low the rate: no :meth:`Bandwidth.take` should ask for more."""
_BURST_S: Final = 0.1
"""Of a higher rate so many seconds' worth."""
_MOST_WAIT_S: Final = 1.0
"""After which it has to be asked again: another part of the schedule may have begun."""

_BUSY_S: Final = 1.0
"""An application that did something within so long works."""
BATCH_BYTES: Final = 256 << 10
"""While it works: what one batch of pieces reads at the most."""
LEAST_PIECE_BYTES: Final = 16 << 10
"""For what a piece costs beside its bytes: no piece counts as less in its batch."""
_REST: Final = 2
"""While it works: how long it is left alone after a batch, in lengths of that batch."""
_LONGEST_REST_S: Final = 0.25
"""One that hung on a slow disk is no reason to stop."""
_OPERATIONS_PER_MOMENT: Final = 200
"""While it works: operations between two moments in which it has to wait."""
_MOMENT_REST: Final = 100
"""Or, where it does less: time between them, in lengths of the former one."""
_LONGEST_MOMENT_REST_S: Final = 1.0


class Bandwidth:
    """What a resync may send: never more within any span of time than its rate gives in that span, and one burst."""

    def __init__(self, bytes_s: int, windows: Sequence[SpecWindow]) -> None:
        """``bytes_s`` counts outside of ``windows``; 0: no limit."""
        self._general = bytes_s
        self._windows = tuple(windows)
        self._bytes_s = 0
        """The rate as it was when last asked; the bucket is filled by it."""
        self._level = 0.0
        """Bytes that may be sent at once; below 0: what was spent ahead."""
        self._filled_s = -math.inf

    def bytes_s(self, minute: int) -> int:
        """The rate at this minute of the day, local time; 0: no limit."""
        for window in self._windows:
            begin, end = window.from_minute, window.to_minute
            if begin <= minute < end if begin < end else (minute >= begin or minute < end):
                return window.bytes_s
        return self._general

    def take(self, now_s: float, minute: int, count: int) -> float:
        """0.0: ``count`` bytes may be sent now, and are counted. Else nothing is, and it is to be asked again.

        That is after so many seconds. ``now_s`` is of a clock that only goes forward. What is more than a burst may be
        sent when the bucket is full, and is made up for.
        """
        if not self._fill(now_s, minute):
            return 0.0
        missing = min(count, _burst(self._bytes_s)) - self._level
        if missing > 0:
            return min(_MOST_WAIT_S, missing / self._bytes_s)
        self._level -= count
        return 0.0

    def spend(self, now_s: float, minute: int, count: int) -> None:
        """``count`` bytes are sent that could not wait, as a listing's; what is taken after that makes up for them."""
        if self._fill(now_s, minute):
            self._level -= count

    def _fill(self, now_s: float, minute: int) -> bool:
        """Whether there is a limit. What it was in between counts as the lower one of before and now."""
        before, self._bytes_s = self._bytes_s, self.bytes_s(minute)
        passed_s, self._filled_s = now_s - self._filled_s, now_s
        if not self._bytes_s:
            return False
        burst = _burst(self._bytes_s)
        if passed_s == math.inf:
            self._level = burst
        elif before:
            self._level = min(burst, self._level + passed_s * min(before, self._bytes_s))
        else:
            self._level = 0.0  # what was sent while there was no limit is not known
        return True


def _burst(bytes_s: int) -> float:
    return max(BURST_BYTES, bytes_s * _BURST_S)


class Courtesy:
    """When a resync may do its next piece, by what the application does."""

    def __init__(self) -> None:
        self.operations = 0
        """How many the application has issued: counted up by whoever sees them, which is all that it costs them."""
        self._seen = 0
        self._busy_until_s = -math.inf
        self._under_way = 0
        self._batch_bytes = 0
        self._batch_began_s = 0.0
        self._rest_until_s = -math.inf
        self._moment_until_s = -math.inf
        self._moment_until = 0
        """Operations."""

    def is_busy(self, now_s: float) -> bool:
        """Whether the application works."""
        if self.operations != self._seen:
            self._seen = self.operations
            self._busy_until_s = now_s + _BUSY_S
        return now_s < self._busy_until_s

    def piece_bytes(self, now_s: float, most: int) -> int:
        """How much the next piece may read; ``most`` when nobody is in need."""
        return min(most, BATCH_BYTES) if self.is_busy(now_s) else most

    def wait_s(self, now_s: float, count: int) -> float:
        """How long a piece of ``count`` bytes has to wait; 0.0: it may begin.

        It is to be asked about again then, or when a piece ends.
        """
        if not self.is_busy(now_s):
            return 0.0
        if self._under_way:
            return _LONGEST_REST_S if self._batch_bytes + count > BATCH_BYTES else 0.0
        return max(0.0, self._rest_until_s - now_s)

    def begin(self, now_s: float, count: int) -> None:
        """A piece of ``count`` bytes begins."""
        if not self._under_way:
            self._batch_began_s, self._batch_bytes = now_s, 0
        self._under_way += 1
        self._batch_bytes += max(count, LEAST_PIECE_BYTES)

    def end(self, now_s: float) -> None:
        """All that came of a piece is over, here and at the peer."""
        self._under_way -= 1
        if not self._under_way and self.is_busy(now_s):
            self._rest_until_s = now_s + min(_LONGEST_REST_S, _REST * (now_s - self._batch_began_s))

    def moment_wait_s(self, now_s: float) -> float:
        """As :meth:`wait_s`, for a moment in which the application has to wait; not for one that it needs itself."""
        if not self.is_busy(now_s) or self.operations >= self._moment_until:
            return 0.0
        return max(0.0, self._moment_until_s - now_s)

    def moment_ended(self, now_s: float, began_s: float) -> None:
        """The application has had to wait since then."""
        self._moment_until = self.operations + _OPERATIONS_PER_MOMENT
        self._moment_until_s = now_s + min(_LONGEST_MOMENT_REST_S, _MOMENT_REST * (now_s - began_s))
