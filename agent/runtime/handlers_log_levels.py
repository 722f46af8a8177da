"""The calls about the levels of this node's log: ``log.levels``, and ``log.level``, which changes them for a while."""

import structlog

from agent.adapters.calls import Caller, Report
from agent.runtime.handling import Seat, unknown_module
from agent.runtime.replicator_levels import ReplicatorLevels
from manager.logs.levels import LEVEL_SET
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_log_levels import (
    LEAST_FOR_MS,
    MOST_FOR_MS,
    LogLevelArguments,
    LogLevels,
    LogLevelsArguments,
    StandingLevel,
)


class LogLevelHandlers:
    """Answers for this node alone; etcd has no part in it."""

    def __init__(self, seat: Seat, replicators: ReplicatorLevels) -> None:
        self._seat = seat
        self._replicators = replicators

    async def levels(self, arguments: LogLevelsArguments, caller: Caller, report: Report) -> LogLevels:
        """From which level on is logged here."""
        return self._shown()

    async def set(self, arguments: LogLevelArguments, caller: Caller, report: Report) -> LogLevels:
        """Another level for a while, or no other any more. The log says so, whatever its level."""
        module, level, levels = arguments.module, arguments.level, self._replicators.levels
        if module and not self._is_known(module):
            raise unknown_module(module)
        if level is not None and not LEAST_FOR_MS <= arguments.for_ms <= MOST_FOR_MS:
            raise ApiError(
                ErrorKind.BAD_REQUEST,
                f"A level stands for {LEAST_FOR_MS // 1000} s at the least, for {MOST_FOR_MS // 3_600_000} h at the "
                f"most; found {arguments.for_ms} ms.",
                meaning=UNCHANGED,
                remedy="For good it is set by log.level in agent.toml.",
            )
        log = structlog.get_logger()
        log = log.bind(module=module) if module else log
        if level is None:
            levels.reset(module)
            log.info(LEVEL_SET, to="configured", by=caller.name)
        else:
            levels.set(level, arguments.for_ms, module)
            log.info(LEVEL_SET, to=level.value, for_ms=arguments.for_ms, by=caller.name)
        await self._replicators.tell()
        return self._shown()

    def _is_known(self, module: str) -> bool:
        """Here, or in the cluster as etcd was last heard."""
        here = (one.module for one in self._replicators.shown)
        return module in self._seat.view.keys.modules() or module in here

    def _shown(self) -> LogLevels:
        levels = self._replicators.levels
        return LogLevels(self._seat.node, levels.configured, standing_in(self._seat), self._replicators.shown)


def standing_in(seat: Seat) -> tuple[StandingLevel, ...]:
    """What stands for a while on this node."""
    return tuple(StandingLevel(m, one.level, one.left_ms) for m, one in sorted(seat.levels.standing().items()))
