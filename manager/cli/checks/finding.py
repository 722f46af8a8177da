"""One thing that was looked at, and how it is."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing."""
    UNKNOWN = "unknown"
    """It could not be looked at."""
    WARNING = "warning"
    """It works, and will hurt on a bad day."""
    ERROR = "error"
    """It does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do."""

    level: Level
    subject: str
    says: str
    remedy: str = ""


def ok(subject: str, says: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, subject, says)


def note(subject: str, says: str, remedy: str = "") -> Finding:
    """Worth knowing."""
    return Finding(Level.NOTE, subject, says, remedy)


def unknown(subject: str, says: str, remedy: str = "") -> Finding:
    """Could not be looked at."""
    return Finding(Level.UNKNOWN, subject, says, remedy)


def warning(subject: str, says: str, remedy: str) -> Finding:
    """Will hurt on a bad day."""
    return Finding(Level.WARNING, subject, says, remedy)


def error(subject: str, says: str, remedy: str) -> Finding:
    """Does not work."""
    return Finding(Level.ERROR, subject, says, remedy)


def worst(findings: Iterable[Finding]) -> Level:
    """The highest level among ``findings``; OK when there are none."""
    order = list(Level)
    return max((f.level for f in findings), key=order.index, default=Level.OK)
