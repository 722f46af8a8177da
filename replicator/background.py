"""Threads for what may block beside the loop: fsync, cold reads, statfs, unmounting.

It decides nothing. Threads are made when there is work and none is free, up to a number; what waits is bounded by
what the callers have under way. They are daemons: one that hangs on a dead disk must not keep the process alive.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
DEFAULT_THREADS: Final = 16


class Background:
    """Runs work in threads and answers on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int = DEFAULT_THREADS) -> None:
        self._loop = loop
        self._most = threads
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[Callable[[], Callable[[], None]] | None] = SimpleQueue()
        self._under_way = 0
        self._closed = False

    @property
    def under_way(self) -> int:
        """How many pieces of work were given and are not answered."""
        return self._under_way

    def run(self, work: Callable[[], _T], done: Callable[[_T], None], failed: Callable[[OSError], None]) -> None:
        """Calls ``work`` in a thread, then on the loop ``done`` with its result or ``failed`` with its OSError.

        Called on the loop. Any other exception of ``work`` is raised on the loop, as a broken invariant. After
        :meth:`close` nothing is run nor answered.
        """
        if self._closed:
            return
        self._under_way += 1

        def attempt() -> Callable[[], None]:
            try:
                result = work()
            except OSError as error:
                return _call(failed, error)
            except BaseException as error:
                return _raise(error)
            return _call(done, result)

        if self._under_way > len(self._threads) < self._most:
            name = f"background-{len(self._threads)}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._work.put(attempt)

    def close(self) -> None:
        """Ends the threads when each has finished what it does; answers that are not given by then are dropped."""
        self._closed = True
        for _ in self._threads:
            self._work.put(None)

    def _serve(self) -> None:
        while (attempt := self._work.get()) is not None:
            answer = attempt()
            try:
                self._loop.call_soon_threadsafe(self._answer, answer)
            except RuntimeError:  # the loop is closed: nobody is there to be answered
                return

    def _answer(self, answer: Callable[[], None]) -> None:
        self._under_way -= 1
        if not self._closed:
            answer()


def _call(function: Callable[[Any], None], argument: Any) -> Callable[[], None]:
    return lambda: function(argument)


def _raise(error: BaseException) -> Callable[[], None]:
    def answer() -> None:
        raise error

    return answer
