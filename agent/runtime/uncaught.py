"""Errors that nobody catches, in a callback of the loop or a task that nobody waits for: the log is told of them.

They end nothing. What a module rests on is a task whose failure ends the agent (``tasks``), or is taken by its core's
queue, which does so too. What is left is about one connection, one packet or one answer: an agent that ended for that
could be ended by whoever sends it, again and again.
"""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

QUIET_S: Final = 60.0
"""What comes from one place again and again is told no more often than this."""
MAX_REMEMBERED: Final = 256
"""Places."""


class Uncaught:
    """The loop's handler of exceptions."""

    def __init__(self, log: Any, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock_s = clock_s
        self._told_s: dict[str, float] = {}
        """By place, the one that was told longest ago first."""

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """See :meth:`asyncio.loop.set_exception_handler`."""
        error, message = context.get("exception"), str(context.get("message", ""))
        place, now_s = _place(error) or message, self._clock_s()
        if now_s < self._told_s.get(place, -QUIET_S) + QUIET_S:
            return
        self._told_s.pop(place, None)
        self._told_s[place] = now_s
        if len(self._told_s) > MAX_REMEMBERED:
            del self._told_s[next(iter(self._told_s))]
        self._log.error("error.uncaught", what=message, exc_info=error)


def _place(error: BaseException | None) -> str:
    """Of the line that has raised it; empty: it was raised nowhere."""
    last: TracebackType | None = None if error is None else error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "" if last is None else f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}"
