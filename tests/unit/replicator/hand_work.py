"""Work that may block, done when a test says so and not in a thread."""

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def attempt(work: Callable[[], _T], done: Callable[[_T], None], failed: Callable[[OSError], None]) -> None:
    """Does it here and now, and what follows from it, as ``Background.run`` would later."""
    try:
        result = work()
    except OSError as error:
        failed(error)
    else:
        done(result)
