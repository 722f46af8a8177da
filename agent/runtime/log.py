"""The agent's log: structlog, one JSON object a line in ``agent.log``, or readable lines on a terminal.

Events are ``noun.past_participle``; values are keys with their units (STYLE.md).
"""

import logging
import os
import sys
import threading
from typing import Any

import structlog

from manager.model.config import LogLevel
from manager.model.errors import ConfigError

_MODE = 0o640
_LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


class LogFile:
    """An append-only file that can be opened anew after it was rotated away; for structlog as its file."""

    def __init__(self, path: str) -> None:
        """Opens ``path``.

        Raises:
            ConfigError: it cannot be opened.
        """
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = -1
        self.reopen()

    def reopen(self) -> None:
        """Go on in the file that ``path`` names now.

        Raises:
            ConfigError: it cannot be opened; the former one stays.
        """
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o750, exist_ok=True)
            new = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise ConfigError(f"{self._path}: found {error}; allowed: a file that can be written") from None
        with self._lock:
            former, self._descriptor = self._descriptor, new
        if former >= 0:
            os.close(former)

    def line(self, text: str) -> None:
        """Write one line. One that the disk does not take is missing in the log: the agent does not end for it."""
        with self._lock:
            try:
                os.write(self._descriptor, f"{text}\n".encode("utf-8", "backslashreplace"))
            except OSError as error:
                sys.stderr.write(f"{self._path}: {error}: {text}\n")


class _FileLogger:
    """What structlog hands a finished line to."""

    def __init__(self, file: LogFile) -> None:
        self._file = file

    def msg(self, message: str) -> None:
        self._file.line(message)

    log = debug = info = warning = error = critical = exception = msg


def configure(file: LogFile, level: LogLevel, *, console: bool) -> None:
    """Send everything to ``file``; with ``console``, also to standard error, in readable form."""
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    if console:
        shared.append(_Tee(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())))
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(default=str)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _FileLogger(file),
        cache_logger_on_first_use=False,
    )


class _Tee:
    """Shows each event on standard error too."""

    def __init__(self, renderer: structlog.dev.ConsoleRenderer) -> None:
        self._renderer = renderer

    def __call__(self, logger: Any, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        sys.stderr.write(f"{self._renderer(logger, name, dict(event))}\n")
        return event
