"""Rates as people write them: one rule for every file.

A rate is a string: a number, a space or none, and a unit. ``"20 MiB/s"``, ``"1.5 GiB/s"``. A bare number is refused,
since nobody can tell bits from bytes, nor thousands from 1024s.
"""

import re
from decimal import Decimal

RULE = 'a rate: a number and its unit (KiB/s, MiB/s or GiB/s), as in "20 MiB/s"'

_UNITS_BYTES = {"GiB/s": 1 << 30, "MiB/s": 1 << 20, "KiB/s": 1 << 10}
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(KiB/s|MiB/s|GiB/s)", re.ASCII)


def parse_rate(text: str) -> int:
    """Bytes per second in ``text``; what is less than one is left out.

    Raises:
        ValueError: not a rate.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{RULE}; found {text!r}")
    return int(Decimal(match[1]) * _UNITS_BYTES[match[2]])


def format_rate(bytes_s: int) -> str:
    """``bytes_s``, whole KiB, in the largest unit that gives a whole number; :func:`parse_rate` reads it back."""
    for unit, size in _UNITS_BYTES.items():
        if bytes_s >= size and bytes_s % size == 0:
            return f"{bytes_s // size} {unit}"
    return f"{bytes_s // 1024} KiB/s"
