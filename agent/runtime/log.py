"""The agent's log: one JSON object a line in ``agent.log``, readable lines on a terminal, and what ``[log]`` asks for.

Events are ``noun.past_participle``; values are keys with their units.
"""

import os
import threading
from typing import Any

from manager.logs.levels import Levels
from manager.logs.pipeline import configure, console_tee, syslog_tees, to_standard_error
from manager.model.config import LogConfig
from manager.model.errors import ConfigError

_MODE = 0o640
PROGRAM = "mirrorfarm-agent"
"""As the syslog has it."""


class LogFile:
    """An append-only file that can be opened anew after it was rotated away; for structlog as its file."""

    def __init__(self, path: str) -> None:
        """Opens ``path``. Where it cannot be, lines go to standard error until it is opened anew.

        As on a disk that has become read-only: what is served matters more than its log.
        """
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = -1
        self.problem = ""
        """Why it could not be opened; empty: it was."""
        try:
            self.reopen()
        except ConfigError as error:
            self.problem = str(error)

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
        self.problem = ""
        if former >= 0:
            os.close(former)

    def line(self, text: str) -> None:
        """Write one line. One that the disk does not take is missing in the log: the agent does not end for it."""
        with self._lock:
            if self._descriptor < 0:
                to_standard_error(text)
                return
            try:
                os.write(self._descriptor, f"{text}\n".encode("utf-8", "backslashreplace"))
            except OSError as error:
                to_standard_error(f"{self._path}: {error}: {text}")


def begin(file: LogFile, config: LogConfig, node: str, *, console: bool) -> tuple[Any, Levels]:
    """Have everything that the agent logs go where ``config`` says; with ``console``, also to standard error.

    Returns a logger, and from which level on that is, to be changed while it runs.
    """
    levels = Levels(config.level)
    syslog = syslog_tees(config.to, config.syslog_socket, PROGRAM, node, file.line)
    return configure(levels, file.line, [*([console_tee()] if console else []), *syslog]), levels
