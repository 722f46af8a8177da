"""What a base is: an id by which a list of changes finds the copies that it is of use for.

A join point has a random one; each barrier past it makes the next one of it, the same on both nodes. A copy notes the
base of the last join point or barrier that it came through, and of the one before. A list of what the other node may
lack is relative to one base: that of the last barrier which both came through. Where bases are noted is not known here.
"""

import re
from hashlib import blake2b
from typing import Final

BASE_BYTES: Final = 8
"""Random bytes of a base; it is written as twice as many hexadecimal digits."""
_BASE: Final = re.compile(rf"[0-9a-f]{{{2 * BASE_BYTES}}}", re.ASCII)


def is_base(text: str) -> bool:
    """Whether ``text`` is a base: 16 hexadecimal digits, lower case."""
    return _BASE.fullmatch(text) is not None


def after_barrier(base: str, sequence: int) -> str:
    """The base of a copy that was of ``base`` and came through the barrier of that sequence."""
    return blake2b(f"{base} {sequence}".encode(), digest_size=BASE_BYTES).hexdigest()
