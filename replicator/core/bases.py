"""What the base of a join point is: a random id by which a list of changes finds the copies that it is of use for.

A copy notes the base of the last join that it came through, and of the one before. A list of what the other node may
lack is relative to one base. Who makes bases, and where they are noted, is not known here.
"""

import re
from typing import Final

BASE_BYTES: Final = 8
"""Random bytes of a base; it is written as twice as many hexadecimal digits."""
_BASE: Final = re.compile(rf"[0-9a-f]{{{2 * BASE_BYTES}}}", re.ASCII)


def is_base(text: str) -> bool:
    """Whether ``text`` is the base of a join point: 16 hexadecimal digits, lower case."""
    return _BASE.fullmatch(text) is not None
