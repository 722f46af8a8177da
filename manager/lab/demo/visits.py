"""Who answered the visitor of the demonstration's page, and who did not. Pure."""

import json
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, on a connection of its own."""

    node: str
    """Who answered; empty: nobody."""
    begun: float
    """Wall time when the connection was begun, in seconds."""
    at: float
    """Wall time when the answer was there, or given up, in seconds."""
    why: str
    """Why there is no answer."""


def parse(line: str) -> Visit:
    """One line of the visitor.

    Raises:
        ValueError: it is none.
    """
    plain = json.loads(line)
    return Visit(str(plain["node"]), float(plain["begun"]), float(plain["at"]), str(plain["why"]))


@dataclass(frozen=True, slots=True)
class Visits:
    """All that the visitor said."""

    lines: tuple[Visit, ...]

    def between(self, start: float, end: float = float("inf")) -> "Visits":
        """Those that were begun from ``start`` on, and before ``end``."""
        return Visits(tuple(v for v in self.lines if start <= v.begun < end))

    def answered_by(self) -> Counter[str]:
        """Node to how many requests it answered."""
        return Counter(v.node for v in self.lines if v.node)

    @property
    def unanswered(self) -> tuple[Visit, ...]:
        """Those that nobody answered."""
        return tuple(v for v in self.lines if not v.node)

    def told(self) -> str:
        """Who answered how many of them."""
        answered = self.answered_by()
        parts = [f"{node} answered {answered[node]}" for node in sorted(answered)]
        if self.unanswered:
            parts.append(f"nobody {len(self.unanswered)}")
        return f"of {len(self.lines)} requests {', '.join(parts)}" if parts else "no requests"
