"""From which level on is logged, and where: words of ``agent.toml``, of commands and of what is shown."""

import enum


class LogTarget(enum.StrEnum):
    """Where the agent and its replicators log."""

    FILE = "file"
    """``agent.log``, and each replicator's ``replicator.log``, below ``paths.log``."""
    SYSLOG = "syslog"
    """The local syslog, or journald in its place."""


class LogLevel(enum.StrEnum):
    """From which level on the agent and its replicators log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
