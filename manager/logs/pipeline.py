"""What becomes of an event that is logged: a line of JSON in a file, a line of text in the syslog, or both.

The file is the place of last resort: what the syslog has not taken is there, and so is every error, wherever the rest
is to go, since that is where it is looked up why a replicator ended.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from manager.logs.levels import Levels
from manager.logs.syslog import Syslog, text_of
from manager.model.log_words import LogTarget

QUIET_S: Final = 60.0
"""That the syslog takes nothing is told once, and of one that does so again and again no more often than this."""
_IN_THE_FILE: Final = frozenset({"error", "critical", "exception"})
"""structlog's names of what is there in any case."""
_STANDARD_ERROR: Final = 2
WriteLine = Callable[[str], None]
"""Takes a finished line; it raises nothing."""


def configure(levels: Levels, write: WriteLine, tees: Sequence[Processor] = ()) -> Any:
    """Have everything that is logged in this process go from ``levels`` on through ``tees`` to ``write``, as JSON.

    Returns a logger.
    """
    structlog.configure(
        processors=[
            levels,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            *tees,
            structlog.processors.JSONRenderer(default=str),
        ],
        # The levels change while loggers live, and the class of a logger would not.
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=lambda *_: _LineLogger(write),
        cache_logger_on_first_use=False,
    )
    return structlog.get_logger()


def syslog_tees(to: Sequence[LogTarget], path: str, program: str, node: str, write: WriteLine) -> list[Processor]:
    """What ``log.to`` asks for beside the file, or instead of it. ``write``: of the file."""
    if LogTarget.SYSLOG not in to:
        return []
    keeps = LogTarget.FILE in to
    if not keeps:
        # Also: what went wrong in former days is not the last that its file says, of whoever ends without a word.
        write(_noted("info", "log.elsewhere", syslog=path, means="errors, and what is not taken there, are here"))
    return [SyslogTee(Syslog(path, program), node, write, keeps=keeps)]


class SyslogTee:
    """As a processor of structlog: sends each event to the syslog, and decides whether it goes to the file as well."""

    def __init__(
        self, syslog: Syslog, node: str, write: WriteLine, *, keeps: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Of ``node``.

        Args:
            syslog: where they go.
            node: stands in each line.
            write: the file's; it is told there that lines are not taken, and how many were not.
            keeps: the file has everything.
            clock: in seconds.
        """
        self._syslog = syslog
        self._node = node
        self._write = write
        self._keeps = keeps
        self._clock = clock
        self._untaken = 0
        self._is_told = False
        self._quiet_until = clock()

    def __call__(self, logger: object, name: str, event: EventDict) -> EventDict:
        """The event, for the file.

        Raises:
            DropEvent: the file need not have it.
        """
        taken = self._send(event)
        if taken and not self._keeps and name not in _IN_THE_FILE:
            raise structlog.DropEvent
        return event

    def _send(self, event: EventDict) -> bool:
        try:
            self._syslog.send(event["level"], text_of({**event, "node": self._node}))
        except OSError as error:
            self._untaken += 1
            if not self._is_told and self._clock() >= self._quiet_until:
                self._is_told = True
                reason = self._syslog.why(error)
                self._write(_noted("warning", "syslog.unreached", reason=reason, means="what is logged is here alone"))
            return False
        if self._untaken and (self._is_told or self._clock() >= self._quiet_until):
            self._told_missing()
        return True

    def _told_missing(self) -> None:
        """It takes lines again: how many it lacks is said at both places."""
        missing, self._untaken, self._is_told = self._untaken, 0, False
        self._quiet_until = self._clock() + QUIET_S
        self._write(_noted("warning", "syslog.reached", lines_missing=missing))
        try:
            self._syslog.send("warning", text_of({"event": "lines.missing", "node": self._node, "lines": missing}))
        except OSError:
            self._untaken = missing


def _noted(level: str, event: str, **values: str | int) -> str:
    return str(_JSON(None, level, _STAMP(None, level, {"event": event, **values, "level": level})))


_STAMP: Final = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")
_JSON: Final = structlog.processors.JSONRenderer(default=str)


class _LineLogger:
    """What structlog hands a finished line to."""

    def __init__(self, write: WriteLine) -> None:
        self._write = write

    def msg(self, message: str) -> None:
        self._write(message)

    log = debug = info = warning = error = critical = exception = msg


def console_tee() -> Processor:
    """Shows each event on standard error too, in readable form."""
    renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())

    def show(logger: Any, name: str, event: EventDict) -> EventDict:
        to_standard_error(renderer(logger, name, dict(event)))
        return event

    return show


def to_standard_error(text: str) -> None:
    """A line that it does not take (a full disk, a terminal that is gone) is missing there: nobody ends for it."""
    with contextlib.suppress(OSError):
        os.write(_STANDARD_ERROR, f"{text}\n".encode("utf-8", "backslashreplace"))
