"""How much the connections of this node's replicator carry, by the counters of its statuses, one after the other.

The rate is that of the last seconds. What it has not said lately is not known, and neither is anything across a status
in which a counter is less than it was: a connection has ended, and with it what it had counted.
"""

from collections import deque
from collections.abc import Callable, Mapping

from agent.runtime.pulse import LEAST_LIMIT_NS
from manager.model import control
from manager.model.stream_rates import StreamRates

SPAN_NS = 10_000_000_000
"""The last seconds."""
LASTS_NS = LEAST_LIMIT_NS
"""It is asked each second."""
_SECOND_NS = 1_000_000_000
_SENT, _RECEIVED, _OPERATIONS = "bytes_wire", "bytes_received", "operations_completed"


class StreamFigures:
    """Of one module."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """``clock``: in nanoseconds."""
        self._clock = clock
        self._told: deque[tuple[int, str, Mapping[str, int]]] = deque()
        """When, in which role, what."""

    def heard(self, event: control.Event) -> None:
        """The replicator has said something."""
        if not isinstance(event, control.Status):
            return
        now_ns, told = self._clock(), self._told
        if told and not _goes_on(told[-1][1:], (event.role, event.counters)):
            told.clear()
        told.append((now_ns, event.role, event.counters))
        while len(told) > 2 and now_ns - told[1][0] >= SPAN_NS:
            told.popleft()

    def gone(self) -> None:
        """It has ended, and its counters with it."""
        self._told.clear()

    @property
    def shown(self) -> StreamRates | None:
        """As it is now; ``None``: not known."""
        if len(self._told) < 2:
            return None
        (first_ns, _, first), (last_ns, _, last) = self._told[0], self._told[-1]
        if self._clock() - last_ns > LASTS_NS or last_ns <= first_ns:
            return None

        def in_a_second(name: str) -> int:
            return (last.get(name, 0) - first.get(name, 0)) * _SECOND_NS // (last_ns - first_ns)

        operations = in_a_second(_OPERATIONS) if _OPERATIONS in last else None
        return StreamRates(in_a_second(_SENT), in_a_second(_RECEIVED), operations)


def _goes_on(before: tuple[str, Mapping[str, int]], now: tuple[str, Mapping[str, int]]) -> bool:
    """Whether ``now`` counts on from ``before``."""
    (former_role, former), (role, counters) = before, now
    counted = (_SENT, _RECEIVED, _OPERATIONS)
    return role == former_role and all(counters.get(name, 0) >= former.get(name, 0) for name in counted)
