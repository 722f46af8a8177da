"""From which level on is logged: as it is configured, or for a while as an operator wants it, of one module or of all.

It decides by the clock alone: nothing has to be done for a level to end, and none outlives its process.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import structlog
from structlog.typing import EventDict

from manager.model.log_words import LogLevel

NUMBERS: Final[Mapping[LogLevel, int]] = MappingProxyType({level: getattr(logging, level.name) for level in LogLevel})
_NUMBER_OF: Final = {level.value: number for level, number in NUMBERS.items()} | {"critical": logging.CRITICAL}
LEVEL_SET: Final = "log.level_set"
"""The event that is logged at every level, so that none hides that it was set."""
ALL: Final = ""
"""In the place of a module: all of them, and what is of none."""
_MS_S: Final = 1_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A level that stands for a while."""

    level: LogLevel
    left_ms: int


class Levels:
    """Of one process."""

    def __init__(self, configured: LogLevel, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: in seconds."""
        self.configured = configured
        self._clock = clock
        self._wanted: dict[str, tuple[LogLevel, float]] = {}
        """Module to its level, and until when."""

    def set(self, level: LogLevel, for_ms: int, module: str = ALL) -> None:
        """Log from ``level`` on for so long; of all modules, what was set of single ones ends."""
        self.reset(module)
        self._wanted[module] = (level, self._clock() + for_ms / _MS_S)

    def reset(self, module: str = ALL) -> None:
        """End what was set of ``module``; of all: of each."""
        if module == ALL:
            self._wanted.clear()
        self._wanted.pop(module, None)

    def standing(self) -> Mapping[str, Standing]:
        """What is set and has not ended, by module."""
        now = self._clock()
        for module in [m for m, (_, until) in self._wanted.items() if until <= now]:
            del self._wanted[module]
        # One that ends within the millisecond stands until then.
        return {m: Standing(level, max(1, round((end - now) * _MS_S))) for m, (level, end) in self._wanted.items()}

    def of(self, module: str = ALL) -> LogLevel:
        """From which level on is logged of ``module`` now."""
        if not self._wanted:
            return self.configured
        standing = self.standing()
        found = standing.get(module) or standing.get(ALL)
        return found.level if found is not None else self.configured

    def __call__(self, logger: object, name: str, event: EventDict) -> EventDict:
        """As a processor of structlog: drops what is below the level of the event's module.

        Raises:
            DropEvent: it is.
        """
        if event.get("event") == LEVEL_SET:
            return event
        if _NUMBER_OF.get(name, logging.CRITICAL) < NUMBERS[self.of(event.get("module") or ALL)]:
            raise structlog.DropEvent
        return event
