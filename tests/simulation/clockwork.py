"""Time and chance of a simulated cluster: one seed is one run.

Everything that happens is an action at an instant of one clock. Two actions of one instant happen in the order in
which they were asked for, so that a run is the same each time.
"""

import heapq
import itertools
import random
from collections.abc import Callable

from manager.store.fake import FakeEtcd

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000


class Clockwork:
    """The clock, what is due on it, and the source of chance."""

    def __init__(self, seed: int) -> None:
        """At time 0, with an empty store."""
        self.random = random.Random(seed)
        self.etcd = FakeEtcd()
        self.now_ns = 0
        self.happened = 0
        """How many actions there were."""
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Do ``action`` in ``delay_ns``."""
        heapq.heappush(self._due, (self.now_ns + max(0, delay_ns), next(self._numbers), action))

    def between(self, least_ms: float, most_ms: float) -> int:
        """A random time, in nanoseconds."""
        return round(self.random.uniform(least_ms, most_ms) * MS_NS)

    def chance(self, share: float) -> bool:
        """True in that share of the cases."""
        return self.random.random() < share

    def run_for(self, span_ns: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, until ``until`` at the most; whether it came about."""
        end_ns = self.now_ns + span_ns
        while not until():
            at_ns = self._next_ns(end_ns)
            if at_ns is None:
                break
            self._turn(at_ns)
        else:
            return True
        self.now_ns = end_ns
        self.etcd.advance_to(end_ns)
        return until()

    def _next_ns(self, end_ns: int) -> int | None:
        moments = [self._due[0][0]] if self._due else []
        lease_ns = self.etcd.next_event_ns()
        if lease_ns is not None:
            moments.append(max(lease_ns, self.now_ns))
        at_ns = min(moments, default=end_ns)
        return at_ns if at_ns < end_ns else None

    def _turn(self, at_ns: int) -> None:
        self.now_ns = at_ns
        self.etcd.advance_to(at_ns)
        if self._due and self._due[0][0] <= at_ns:
            self.happened += 1
            heapq.heappop(self._due)[2]()


class Violation(AssertionError):
    """A promise was broken."""
