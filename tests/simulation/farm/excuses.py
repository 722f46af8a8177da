"""Who of a simulated farm may answer for an address though its key is another's: two directors for a while, by right.

An agent that is frozen cannot take back what its kernel answers for; one that reaches neither etcd nor the others
cannot know that it should. Both only until their lease ends, or a moment after they are well again.
"""

from tests.simulation.clockwork import SECOND_NS, Clockwork

NOTICED_NS = 3 * SECOND_NS
"""So long after it is well again it has heard of everything."""


class Excuses:
    """By node."""

    def __init__(self, clock: Clockwork) -> None:
        """Nobody has any."""
        self._clock = clock
        self._until_ns: dict[str, int] = {}
        self._frozen_until_ns: dict[str, int] = {}

    def give(self, node: str, for_ns: int) -> None:
        """It is unwell for so long."""
        self._until_ns[node] = max(self._until_ns.get(node, 0), self._clock.now_ns + for_ns + NOTICED_NS)

    def freeze(self, node: str, for_ns: int) -> None:
        """Its agent is frozen, and its kernel answers for so long; healed links do not end that."""
        self._frozen_until_ns[node] = self._clock.now_ns + for_ns + NOTICED_NS

    def end(self) -> None:
        """All links are well again."""
        end_ns = self._clock.now_ns + NOTICED_NS
        self._until_ns = {node: min(until_ns, end_ns) for node, until_ns in self._until_ns.items()}

    def has(self, node: str) -> bool:
        """Now."""
        return self._clock.now_ns < max(self._until_ns.get(node, 0), self._frozen_until_ns.get(node, 0))
