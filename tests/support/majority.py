"""Times that are promised, measured on a machine that others use: most of a few measurements hold, not one of them.

Who is run late where cores are short misses a time now and then; what is too slow by itself misses most of them.
"""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
TIMES = 3


def hold_mostly(measure: Callable[[], T], holds: Callable[[T], bool], times: int = TIMES) -> list[T]:
    """Measures until it is certain whether most of so many ``times`` hold, an odd number: they do. What was measured.

    Raises:
        AssertionError: they do not.
    """
    found: list[T] = []
    held = 0
    while 2 * held < times:
        found.append(measure())
        held += holds(found[-1])
        assert 2 * (len(found) - held) < times, f"most do not hold: {found}"
    return found
