"""Work that may block, one piece after the other, in the order in which it was asked for. It decides nothing."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from replicator.copy_ports import Background

_T = TypeVar("_T")


class Serial:
    """One at a time of what is given to it, in the threads of a Background."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._waiting: deque[tuple[Callable[[], Any], Callable[[Any], None], Callable[[OSError], None]]] = deque()
        self._busy = False

    def run(self, work: Callable[[], _T], done: Callable[[_T], None], failed: Callable[[OSError], None]) -> None:
        """As Background.run, after all that was given before was answered."""
        self._waiting.append((work, done, failed))
        self._next()

    def _next(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        work, done, failed = self._waiting.popleft()
        self._background.run(work, partial(self._answer, done), partial(self._answer, failed))

    def _answer(self, answer: Callable[[Any], None], result: Any) -> None:
        self._busy = False
        self._next()
        answer(result)
