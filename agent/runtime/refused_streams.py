"""With whom this node's replicator has no stream just now, as it says in each of its statuses; for people.

What it has not said lately is not known: neither that somebody is refused, nor that nobody is.
"""

from collections.abc import Callable

from agent.runtime.pulse import LEAST_LIMIT_NS
from manager.model import control
from manager.model.refused_streams import RefusedStream

LASTS_NS = LEAST_LIMIT_NS
"""It is asked each second."""


class RefusedStreams:
    """Of one module."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """``clock``: in nanoseconds."""
        self._clock = clock
        self._told: tuple[RefusedStream, ...] | None = None
        self._told_ns = 0

    def heard(self, event: control.Event) -> None:
        """The replicator has said something."""
        if isinstance(event, control.Status):
            self._told, self._told_ns = event.refused, self._clock()

    def gone(self) -> None:
        """It has ended, and what it knew with it."""
        self._told = None

    @property
    def shown(self) -> tuple[RefusedStream, ...] | None:
        """As it is now; ``None``: not known."""
        return self._told if self._clock() - self._told_ns <= LASTS_NS else None
