"""Whether a mirror of a lab was served whenever a node could have served it, by the judge of the simulation. Pure.

Who could is decided by ``tests.support.chances``; when is looked by ``tests.robustness.watch``.
"""

from agent.core.limits import NEXT_OFFER_NS
from tests.simulation.checkers import SECOND_NS, Progress, Violation
from tests.simulation.cluster import SERVES_WITHIN_NS
from tests.support.chances import Chances, Sight
from tests.support.recorded_cluster import PEER_TIMEOUT_NS

LOADED_NS = 20 * SECOND_NS
"""For what the simulation does not know: processes that start, elections of etcd's own, and a machine that has more to
do than cores. Ten seconds of its bound are for what takes time by itself; here that may take three times as long."""


def serves_within_ns(lease_ttl_s: int) -> int:
    """While a node of the record that may stand is there, a mirror of a lab serves within this time."""
    return 2 * lease_ttl_s * SECOND_NS + SERVES_WITHIN_NS + LOADED_NS


class Judge:
    """Of one mirror."""

    def __init__(self, module: str, lease_ttl_s: int) -> None:
        """From now on; it is served."""
        self._chances = Chances(module, PEER_TIMEOUT_NS + lease_ttl_s * SECOND_NS)
        self._progress = Progress(serves_within_ns(lease_ttl_s), NEXT_OFFER_NS)
        self._told_ns: int | None = None
        """Since when nobody served, as was told."""

    @property
    def longest_ns(self) -> int:
        """For how long nobody served although one could."""
        return self._progress.longest_ns

    def look(self, at_ns: int, begun_ns: int, sight: Sight | None) -> list[str]:
        """What is wrong, once each time that nobody serves for too long; ``begun_ns``: from when its times are told.

        Without a sight: it serves.
        """
        able = self._chances.who(sight, at_ns)
        pauses = sight is not None and self._chances.pauses(sight)
        try:
            self._progress.look(at_ns, possible=bool(able), serves=sight is None, pauses=pauses, who=" ".join(able))
        except Violation as error:
            since_ns = self._progress.since_ns
            if since_ns is None or since_ns == self._told_ns:
                return []
            self._told_ns = since_ns
            since_s, at_s = ((moment_ns - begun_ns) / SECOND_NS for moment_ns in (since_ns, at_ns))
            return [f"{error}: from {since_s:.1f} to {at_s:.1f} s of the schedule"]
        return []
