"""What this node's replicator has said last of itself, as it does each second; for people.

With whom it has no stream just now is shown for as long as it says so. What it has not said lately is not known:
neither that somebody is refused, nor that nobody is.
"""

from collections.abc import Callable

from agent.runtime.pulse import LEAST_LIMIT_NS
from manager.model import control
from manager.model.api import ApiError, ErrorKind
from manager.model.api_snapshot import ReplicatorReport
from manager.model.refused_streams import RefusedStream

LASTS_NS = LEAST_LIMIT_NS
"""It is asked each second."""
_MS_NS = 1_000_000


class ReplicatorStatus:
    """Of one module."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """``clock``: in nanoseconds."""
        self._clock = clock
        self._told: control.Status | None = None
        self._told_ns = 0

    def heard(self, event: control.Event) -> None:
        """The replicator has said something."""
        if isinstance(event, control.Status):
            self._told, self._told_ns = event, self._clock()

    def gone(self) -> None:
        """It has ended, and what it knew with it."""
        self._told = None

    @property
    def refused(self) -> tuple[RefusedStream, ...] | None:
        """With whom there is no stream now; ``None``: not known."""
        is_fresh = self._clock() - self._told_ns <= LASTS_NS
        return self._told.refused if self._told is not None and is_fresh else None

    def report(self, module: str) -> ReplicatorReport:
        """The last status, however old.

        Raises:
            ApiError: there is none.
        """
        if self._told is None:
            raise ApiError(
                ErrorKind.NOT_FOUND,
                f"No replicator of {module} has said anything of itself on this node.",
                remedy=f"mirrorfarm why {module} says whether there is one.",
            )
        return ReplicatorReport(module, (self._clock() - self._told_ns) // _MS_NS, self._told)
