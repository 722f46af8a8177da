"""Time and chance of a simulated cluster: one seed is one run.

Everything that happens is an action at an instant of one true clock. Two actions of one instant happen in the order
in which they were asked for, so that a run is the same each time. An action belongs to an :class:`Actor`, a process or
a machine, or to nobody (a cable, the store): what is due to a frozen actor waits, and comes late, at once, in order.
Nobody in the cluster reads the true clock: each machine has a :class:`LocalClock` of its own, as fast as it is.
"""

import heapq
import itertools
import random
from collections.abc import Callable

from tests.simulation.etcd import SimulatedEtcd

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
_MILLION = 1_000_000

Action = Callable[[], None]


class Actor:
    """What runs, and may be frozen."""

    __slots__ = ("frozen", "held")

    def __init__(self) -> None:
        """It runs."""
        self.frozen = 0
        """For how many reasons it is frozen."""
        self.held: list[Action] = []


class Clockwork:
    """The true clock, what is due on it, and the source of chance."""

    def __init__(self, seed: int, *, steady: bool = False) -> None:
        """At time 0, with an empty store. ``steady``: no chance at all, every delay is the middle one."""
        self.random = random.Random(seed)
        self.steady = steady
        self.etcd = SimulatedEtcd()
        self.now_ns = 0
        self.happened = 0
        """How many actions there were."""
        self._due: list[tuple[int, int, Action, Actor | None]] = []
        self._numbers = itertools.count()

    def after(self, delay_ns: int, action: Action, actor: Actor | None = None) -> None:
        """Let ``actor`` do ``action`` in ``delay_ns``, or as soon as it runs again."""
        at_ns = self.now_ns + delay_ns if delay_ns > 0 else self.now_ns
        heapq.heappush(self._due, (at_ns, next(self._numbers), action, actor))

    def freeze(self, actor: Actor) -> None:
        """Nothing of it runs any more."""
        actor.frozen += 1

    def thaw(self, actor: Actor) -> None:
        """It runs again, once it is thawed as often as it was frozen: what was due comes at once."""
        actor.frozen -= 1
        if not actor.frozen:
            held, actor.held = actor.held, []
            for action in held:
                self.after(0, action, actor)

    def between(self, least_ms: float, most_ms: float) -> int:
        """A random time, in nanoseconds."""
        share = 0.5 if self.steady else self.random.random()
        return round((least_ms + (most_ms - least_ms) * share) * MS_NS)

    def chance(self, share: float) -> bool:
        """True in that share of the cases."""
        return not self.steady and self.random.random() < share

    def run_for(self, span_ns: int) -> None:
        """Let time pass."""
        end_ns = self.now_ns + span_ns
        due, etcd, pop = self._due, self.etcd, heapq.heappop
        while True:
            at_ns = due[0][0] if due else end_ns
            if etcd.quiet_until_ns < at_ns:
                lease_ns = etcd.next_event_ns()
                if lease_ns is not None and lease_ns < at_ns:
                    at_ns = max(lease_ns, self.now_ns)
            if at_ns >= end_ns:
                break
            self.now_ns = at_ns
            etcd.advance_to(at_ns)
            if due and due[0][0] <= at_ns:
                self.happened += 1
                _, _, action, actor = pop(due)
                if actor is not None and actor.frozen:
                    actor.held.append(action)
                else:
                    action()
        self.now_ns = end_ns
        etcd.advance_to(end_ns)


class LocalClock:
    """One machine's CLOCK_BOOTTIME: it begins at some instant, runs a little too fast or too slow, jumps, and stops."""

    __slots__ = ("_anchor_ns", "_clockwork", "_local_ns", "_stopped", "rate_ppm")

    def __init__(self, clockwork: Clockwork, local_ns: int, rate_ppm: int) -> None:
        """``rate_ppm``: how much too fast it runs, in millionths."""
        self._clockwork = clockwork
        self._local_ns, self._anchor_ns = local_ns, clockwork.now_ns
        self._stopped = False
        self.rate_ppm = rate_ppm

    @property
    def now_ns(self) -> int:
        """What it shows."""
        if self._stopped:
            return self._local_ns
        span_ns = self._clockwork.now_ns - self._anchor_ns
        return self._local_ns + span_ns + span_ns * self.rate_ppm // _MILLION

    def truly(self, span_ns: int) -> int:
        """How long a span of this clock truly takes, rounded up so that it has passed then."""
        return span_ns * _MILLION // (_MILLION + self.rate_ppm) + 1 if span_ns > 0 else 0

    def jump(self, span_ns: int) -> None:
        """It shows so much more from now on."""
        self._local_ns, self._anchor_ns = self.now_ns + span_ns, self._clockwork.now_ns

    def stop(self) -> None:
        """It shows the same until :meth:`go_on`."""
        self._local_ns, self._stopped = self.now_ns, True

    def go_on(self) -> None:
        """It runs again, from what it shows."""
        self._anchor_ns, self._stopped = self._clockwork.now_ns, False
