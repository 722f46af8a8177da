"""A module's logs on one node."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogsArguments:
    """Call ``logs``: this node's logs of a module; the text comes as progress."""

    module: str
    script: str = ""
    """Empty: the replicator's log; else the last run of this script."""
    lines: int = 50
    """From the end."""
    follow: bool = False
    """Go on with what is written from now on, until the client goes away."""


@dataclass(frozen=True, slots=True)
class LogText:
    """Progress of ``logs``: some lines of a file."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class LogsResult:
    """Answer of ``logs``, when all was sent."""

    file: str
    scripts: tuple[str, ...]
    """Scripts that have logs on this node."""
