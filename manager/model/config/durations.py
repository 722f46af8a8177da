"""Durations as people write them: one rule for every file and command.

A duration is a string: a number, a space or none, and a unit. ``"10 s"``, ``"500 ms"``, ``"1.5 min"``, ``"24 h"``.
A bare number is refused, since nobody can tell seconds from milliseconds.
"""

import re
from decimal import Decimal

RULE = 'a duration: a number and its unit (ms, s, min or h), as in "10 s"'

_UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|min|h)", re.ASCII)


def parse_duration_ms(text: str) -> int:
    """Milliseconds in ``text``.

    Raises:
        ValueError: not a duration, or not a whole number of milliseconds.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{RULE}; found {text!r}")
    amount = Decimal(match[1]) * _UNITS_MS[match[2]]
    if amount != int(amount):
        raise ValueError(f"whole milliseconds are the finest; found {text!r}")
    return int(amount)


def format_duration(milliseconds: int) -> str:
    """``milliseconds`` in the largest unit that gives a whole number; :func:`parse_duration_ms` reads it back."""
    for unit in ("h", "min", "s"):
        if milliseconds >= _UNITS_MS[unit] and milliseconds % _UNITS_MS[unit] == 0:
            return f"{milliseconds // _UNITS_MS[unit]} {unit}"
    if milliseconds < _UNITS_MS["s"]:
        return f"{milliseconds} ms"
    seconds, rest = divmod(milliseconds, _UNITS_MS["s"])
    return f"{seconds}.{rest:03d}".rstrip("0") + " s"
