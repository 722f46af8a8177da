"""Amounts of data as people write them: one rule for every file.

A size is a string: a number, a space or none, and a unit. ``"10 GiB"``, ``"1.5 TiB"``. A bare number is refused, since
nobody can tell thousands from 1024s.
"""

import re
from decimal import Decimal

RULE = 'a size: a number and its unit (KiB, MiB, GiB or TiB), as in "10 GiB"'

_UNITS_BYTES = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(KiB|MiB|GiB|TiB)", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes in ``text``; what is less than one is left out.

    Raises:
        ValueError: not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{RULE}; found {text!r}")
    return int(Decimal(match[1]) * _UNITS_BYTES[match[2]])


def format_size(size_bytes: int) -> str:
    """``size_bytes``, whole KiB, in the largest unit that gives a whole number; :func:`parse_size` reads it back."""
    for unit, one in _UNITS_BYTES.items():
        if size_bytes >= one and size_bytes % one == 0:
            return f"{size_bytes // one} {unit}"
    return f"{size_bytes // 1024} KiB"
