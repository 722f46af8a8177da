"""A core's queue: its events one after the other, in the order in which they came, whoever gives them from where.

What a step wants done is begun within it; an event that is given by that waits for its turn.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

E = TypeVar("E")


class CoreQueue(Generic[E]):
    """The events of one module."""

    def __init__(self, note: Callable[[E], None], step: Callable[[E], None], broken: Callable[[Exception], None]):
        """``note`` is called for each event as it comes, ``step`` when it is its turn.

        ``broken``: a step has failed. Nothing may go on from there, and nothing is taken any more.
        """
        self._note = note
        self._step = step
        self._broken = broken
        self._events: deque[E] = deque()
        self._stepping = False
        self._closed = False

    @property
    def is_empty(self) -> bool:
        """Every event had its turn."""
        return not self._events

    def close(self) -> None:
        """Take nothing more, and do nothing about what waits."""
        self._closed = True

    def give(self, event: E) -> None:
        """Give the core an event, after those that came before it."""
        if self._closed:
            return
        self._note(event)
        self._events.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._events and not self._closed:
                self._step(self._events.popleft())
        except Exception as error:  # the core, or the begin of a command, broke: nothing may go on from here
            self._closed = True
            self._broken(error)
        finally:
            self._stepping = False
