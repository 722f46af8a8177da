"""The links between the machines, and from each to the store: they delay, keep order, are cut, each way by itself."""

from collections.abc import Callable, Iterable

from tests.simulation.clockwork import Action, Actor, Clockwork

STORE = "store"
CLIENT = "client"


class Network:
    """Who reaches whom."""

    def __init__(self, clock: Clockwork) -> None:
        """Everyone reaches everyone."""
        self._clock = clock
        self.cuts: set[tuple[str, str]] = set()
        """From whom to whom nothing goes."""
        self.slow_ms: dict[tuple[str, str], float] = {}
        """What a slow link adds, one way."""

    def passes(self, sender: str, receiver: str) -> bool:
        """Whether what ``sender`` sends comes to ``receiver``."""
        return (sender, receiver) not in self.cuts

    def reaches(self, one: str, other: str) -> bool:
        """Whether the link between them is up, both ways."""
        return (one, other) not in self.cuts and (other, one) not in self.cuts

    def cut(self, one: str, other: str, *, one_way: bool = False) -> None:
        """Nothing goes from ``one`` to ``other``, nor back unless ``one_way``."""
        self.cuts.add((one, other))
        if not one_way:
            self.cuts.add((other, one))

    def isolate(self, node: str, others: Iterable[str]) -> None:
        """Cut it off from everyone, the store and the clients too."""
        for other in (*others, STORE, CLIENT):
            if other != node:
                self.cut(node, other)

    def heal(self) -> None:
        """All links are up, and quick."""
        self.cuts.clear()
        self.slow_ms.clear()

    def delay_ns(self, sender: str, receiver: str) -> int:
        """How long one message takes."""
        delay_ns = self._clock.between(0.1, 3)
        slow_ms = self.slow_ms.get((sender, receiver)) if self.slow_ms else None
        return delay_ns if slow_ms is None else delay_ns + self._clock.between(slow_ms / 2, slow_ms)


class Channel:
    """One direction of a connection: in order, and delayed. What was sent over a cut link is kept for its healing."""

    __slots__ = ("_actor", "_clock", "_ends", "_kept", "_network", "_not_before_ns", "last_heard_ns")

    def __init__(self, clock: Clockwork, network: Network, sender: str, receiver: str, actor: Actor) -> None:
        """Open; ``actor``: the process at the receiver's end."""
        self._clock = clock
        self._network = network
        self._ends = (sender, receiver)
        self._actor = actor
        self._not_before_ns = 0
        self._kept: list[Action] = []
        self.last_heard_ns = clock.now_ns
        """When something arrived last."""

    def send(self, arrive: Callable[[], None]) -> None:
        """Call ``arrive`` when it has come through."""
        at_ns = max(self._not_before_ns, self._clock.now_ns + self._network.delay_ns(*self._ends))
        self._not_before_ns = at_ns
        self._clock.after(at_ns - self._clock.now_ns, lambda: self._come(arrive))

    def _come(self, arrive: Action) -> None:
        if self._kept or not self._network.passes(*self._ends):
            if not self._kept:
                self._clock.after(self._clock.between(50, 200), self._flush)
            self._kept.append(arrive)
            return
        self._give(arrive)

    def _give(self, arrive: Action) -> None:
        actor = self._actor
        if actor.frozen:
            actor.held.append(lambda: self._read(arrive))
        else:
            self._read(arrive)

    def _read(self, arrive: Action) -> None:
        self.last_heard_ns = self._clock.now_ns
        arrive()

    def _flush(self) -> None:
        """TCP sends again once the link is back."""
        if not self._network.passes(*self._ends):
            self._clock.after(self._clock.between(50, 200), self._flush)
            return
        kept, self._kept = self._kept, []
        for arrive in kept:
            self._give(arrive)
