"""The calls behind ``mirrorfarm loglevel``: from which level on a node's agent and replicators log, for a while."""

from dataclasses import dataclass
from typing import Final

from manager.model.log_words import LogLevel

DEFAULT_FOR_MS: Final = 600_000
LEAST_FOR_MS: Final = 1_000
MOST_FOR_MS: Final = 86_400_000
"""For how long a level stands. Who wants it for longer writes it into ``agent.toml``."""


@dataclass(frozen=True, slots=True)
class LogLevelsArguments:
    """Call ``log.levels``: from which level on this node logs now."""


@dataclass(frozen=True, slots=True)
class LogLevelArguments:
    """Call ``log.level``: another level for a while. Answered as ``log.levels``."""

    level: LogLevel | None
    """``None``: as it is configured, from now on."""
    module: str = ""
    """Of its replicator, and of what the agent says of it; empty: of all, and of the agent."""
    for_ms: int = DEFAULT_FOR_MS


@dataclass(frozen=True, slots=True)
class StandingLevel:
    """What an operator wants for a while; it ends by itself, and with the agent."""

    module: str
    """Empty: of all, and of the agent."""
    level: LogLevel | None
    """``None``: one that this release does not know."""
    left_ms: int


@dataclass(frozen=True, slots=True)
class ReplicatorLevel:
    """From which level on a replicator logs, as it says itself."""

    module: str
    level: LogLevel | None
    """``None``: it has not said so."""
    refused: str = ""
    """Why it does not do what is wanted; empty: it does, or has not answered."""


@dataclass(frozen=True, slots=True)
class LogLevels:
    """Answer of ``log.levels`` and of ``log.level``."""

    node: str
    configured: LogLevel | None
    """By ``log.level`` of ``agent.toml``, when the agent was started."""
    standing: tuple[StandingLevel, ...] = ()
    replicators: tuple[ReplicatorLevel, ...] = ()
    """Of those that run here."""

    def of(self, module: str) -> StandingLevel | None:
        """What stands of ``module`` (empty: of the agent), its own or that of all."""
        found = {one.module: one for one in self.standing}
        return found.get(module) or found.get("")
