"""The release of completions written as the rules say it, without a thought for cost: to test the real one against.

Everything is kept for ever: who was sent what, who acknowledged what; each question is answered from the whole of it.
"""

from dataclasses import dataclass, field


@dataclass
class NaiveStream:
    """One that stood, and whether it stands still."""

    node: str
    begins_after: int
    acknowledged: set[int] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)
    complete: bool = False
    stands: bool = True


@dataclass
class Naive:
    """All that has happened."""

    issued: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    streams: list[NaiveStream] = field(default_factory=list)
    settled: tuple[int, frozenset[str]] | None = None
    since: set[str] = field(default_factory=set)
    """Nodes that passed their join point since the record was settled."""
    fenced: bool = False

    def stream(self, node: str) -> NaiveStream | None:
        return next((s for s in self.streams if s.node == node and s.stands), None)

    def required(self) -> set[str]:
        """Who has to have everything."""
        if self.settled is None:
            return set(self.since)
        return set(self.settled[1]) | self.since

    def may_be_released(self, place: int) -> bool:
        """By itself, not looking at those before it."""
        if self.fenced or self.settled is None:
            return False
        for node in self.required():
            stream = self.stream(node)
            if stream is None or not stream.complete:
                return False
        for stream in self.streams:
            if stream.stands and place > stream.begins_after:
                reached = stream.acknowledged if stream.complete else stream.sent
                if place not in reached:
                    return False
        return True

    def release(self) -> list[int]:
        """What is to be released now."""
        new: list[int] = []
        for place in self.issued[len(self.released) :]:
            if not self.may_be_released(place):
                break
            new.append(place)
        self.released += new
        return new
