"""What a part of ``bench/resync.py`` found: rows to be shown, and what had to be reached. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that was to be no more than a number."""

    words: str
    """What ``value`` is."""
    value: float
    most: float

    @property
    def is_missed(self) -> bool:
        """Whether it is more."""
        return self.value > self.most


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one part."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[Bar, ...]


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """The order of round ``number``: each round begins with another one."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def median_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios of the rounds."""
    return statistics.median(a / b for a, b in zip(values, base, strict=True))


def spread(values: Sequence[float], form: str = "{:,.2f}") -> str:
    """The median, and the least and the most."""
    least, most = form.format(min(values)), form.format(max(values))
    return f"{form.format(statistics.median(values))} ({least} to {most})"
