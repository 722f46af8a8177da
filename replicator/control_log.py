"""What a replicator logs of what it says to its agent, and hears all the time; and from which level on it logs at all.

What comes several times in a TTL is there at ``debug`` alone.
"""

from typing import Any, Final

from manager.logs.levels import LEVEL_SET, Levels
from manager.model import control
from manager.model.control import Command, Event
from manager.model.log_words import LogLevel

_ROUTINE: Final = (control.Progress, control.PromiseAsked, control.Promised)
_LISTS: Final = ("differences", "items")


class ControlLog:
    """Of one process."""

    def __init__(self, log: Any, levels: Levels) -> None:
        """``log`` is structlog's, and logs from ``levels`` on."""
        self._log = log
        self._levels = levels

    @property
    def level(self) -> LogLevel:
        """From which one on it logs now."""
        return self._levels.of()

    def sent(self, event: Event) -> None:
        """Something is said to the agent."""
        fields = {name: getattr(event, name) for name in event.__dataclass_fields__ if name not in _LISTS}
        log = self._log.debug if isinstance(event, _ROUTINE) else self._log.info
        log("event.sent", type=type(event).__name__, **fields)

    def received_routine(self, command: Command) -> None:
        """The agent wants what it wants all the time."""
        self._log.debug("command.received", type=type(command).__name__, detail=str(command))

    def set_level(self, command: control.SetLogLevel) -> None:
        """An operator wants another level, or the configured one."""
        if command.level is None:
            self._levels.reset()
        else:
            self._levels.set(command.level, command.for_ms)
        self._log.info(LEVEL_SET, to=command.level or "configured", for_ms=command.for_ms)

    def reset_level(self) -> None:
        """Another connection: a new agent knows of no other level, and one that is not new says so again."""
        self._levels.reset()
