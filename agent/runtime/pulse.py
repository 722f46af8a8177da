"""Whether a replicator that lives still answers: how long it has been silent, by its agent's own regular look.

A process that hangs or was stopped keeps its connection, and renewals of the lease go into it unheard: nobody would
ever take over. It does not know what is done about one that is silent. Pure.
"""

SECOND_NS = 1_000_000_000
PERIOD_NS = SECOND_NS
"""How often it is asked."""
_LATE_NS = SECOND_NS
"""A look that comes so much later than due: then this process was held up, and its silence may be ours."""
LEAST_LIMIT_NS = 5 * SECOND_NS
"""No replicator is taken for hung in a shorter time, whatever its module waits for a peer."""


class Pulse:
    """Counts the silence of one replicator that is asked in each period."""

    def __init__(self, limit_ns: int, now_ns: int) -> None:
        """``limit_ns``: so long it may be silent."""
        self._limit_ns = max(limit_ns, LEAST_LIMIT_NS)
        self._looked_ns = now_ns
        self._silent_ns = 0

    def heard(self) -> None:
        """It has said something."""
        self._silent_ns = 0

    def hangs(self, now_ns: int) -> bool:
        """Looks, once in each period: whether it has been silent for so long that it is taken for hung.

        Time in which this process itself did not run does not count, nor what went before it: what the replicator
        said meanwhile may still be on its way to us.
        """
        passed_ns = now_ns - self._looked_ns
        self._looked_ns = now_ns
        self._silent_ns = 0 if passed_ns > PERIOD_NS + _LATE_NS else self._silent_ns + passed_ns
        return self._silent_ns > self._limit_ns

    @property
    def silent_ns(self) -> int:
        """As of the last look."""
        return self._silent_ns
