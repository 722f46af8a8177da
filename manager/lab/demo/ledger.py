"""What the client of the demonstration was told, kept on the host; and what must be true of it. Pure.

The rule: what the client was told is done is in the database, exactly once; what it never heard the end of may be
there or not; nothing else is there; and no money was made or lost.
"""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """One line of the client."""

    kind: str
    """``done``: it was told that this transfer is committed; ``unknown``: it never heard the end of it;
    ``unreachable``: it could not connect."""
    number: int
    """Of the transfer; 0: none."""
    begun: float
    """Wall time when it was sent, in seconds."""
    at: float
    """Wall time when this was said, in seconds."""
    why: str


def parse(line: str) -> Said:
    """One line of the client.

    Raises:
        ValueError: it is none.
    """
    plain = json.loads(line)
    return Said(str(plain["kind"]), int(plain["number"]), float(plain["begun"]), float(plain["at"]), str(plain["why"]))


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that the client said."""

    lines: tuple[Said, ...]

    @property
    def done(self) -> list[Said]:
        """The transfers that it remembers as committed."""
        return [s for s in self.lines if s.kind == "done"]

    @property
    def unknown(self) -> list[Said]:
        """The transfers whose end it never heard."""
        return [s for s in self.lines if s.kind == "unknown"]

    def in_flight_at(self, moment: float) -> list[Said]:
        """The transfers that had been sent at ``moment``, and were never answered."""
        return [s for s in self.unknown if s.begun <= moment < s.at]

    def first_done_after(self, moment: float) -> Said | None:
        """The first transfer that was begun after ``moment`` and committed."""
        return min((s for s in self.done if s.begun > moment), key=lambda s: s.at, default=None)

    def longest_silence(self, start: float, end: float) -> float:
        """The longest time between two commits from ``start`` to ``end``, in seconds."""
        times = sorted([start, end, *(s.at for s in self.done if start < s.at < end)])
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def missing_from(self, stored: Iterable[int]) -> list[int]:
        """What the client remembers and the database has not: lost writes."""
        return sorted({s.number for s in self.done} - set(stored))

    def never_sent(self, stored: Iterable[int]) -> list[int]:
        """What the database has and the client never sent."""
        return sorted(set(stored) - {s.number for s in (*self.done, *self.unknown)})
