"""The links between the nodes, and from each to the store: they delay, keep order, and may be cut."""

from collections.abc import Callable

from tests.simulation.clockwork import Clockwork

STORE = "store"


class Network:
    """Who reaches whom."""

    def __init__(self, clock: Clockwork) -> None:
        """Everyone reaches everyone."""
        self._clock = clock
        self.cuts: set[frozenset[str]] = set()

    def reaches(self, one: str, other: str) -> bool:
        """Whether the link between them is up."""
        return frozenset((one, other)) not in self.cuts


class Channel:
    """One direction of a connection: in order, and delayed. What was sent over a cut link is kept for its healing."""

    def __init__(self, clock: Clockwork, network: Network, sender: str, receiver: str) -> None:
        """Open."""
        self._clock = clock
        self._network = network
        self._ends = (sender, receiver)
        self._not_before_ns = 0
        self._kept: list[Callable[[], None]] = []
        self.last_heard_ns = clock.now_ns
        """When something arrived last."""

    def send(self, arrive: Callable[[], None]) -> None:
        """Call ``arrive`` when it has come through."""
        at_ns = max(self._not_before_ns, self._clock.now_ns + self._clock.between(0.1, 3))
        self._not_before_ns = at_ns
        self._clock.after(at_ns - self._clock.now_ns, lambda: self._come(arrive))

    def _come(self, arrive: Callable[[], None]) -> None:
        if self._kept or not self._network.reaches(*self._ends):
            self._kept.append(arrive)
            self._clock.after(self._clock.between(50, 200), self._flush)
            return
        self.last_heard_ns = self._clock.now_ns
        arrive()

    def _flush(self) -> None:
        """TCP sends again once the link is back."""
        if not self._network.reaches(*self._ends):
            if self._kept:
                self._clock.after(self._clock.between(50, 200), self._flush)
            return
        kept, self._kept = self._kept, []
        for arrive in kept:
            self.last_heard_ns = self._clock.now_ns
            arrive()
