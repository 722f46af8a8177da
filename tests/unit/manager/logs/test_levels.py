"""From which level on is logged, now and in a while."""

import pytest
import structlog

from manager.logs.levels import Levels, Standing
from manager.model.config import LogLevel

MINUTE_MS = 60_000


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def passes(levels: Levels, name: str, **event: object) -> bool:
    try:
        levels(None, name, {"event": "x", **event})
    except structlog.DropEvent:
        return False
    return True


def test_without_an_operator_it_is_as_configured() -> None:
    levels = Levels(LogLevel.WARNING)
    assert levels.of() is levels.of("db") is LogLevel.WARNING and levels.standing() == {}
    assert [passes(levels, name) for name in ("debug", "info", "warning", "error", "critical", "exception")] == [
        False, False, True, True, True, True,
    ]  # fmt: skip


def test_a_level_ends_by_itself() -> None:
    clock = Clock()
    levels = Levels(LogLevel.INFO, clock)
    levels.set(LogLevel.DEBUG, MINUTE_MS)
    assert passes(levels, "debug") and passes(levels, "debug", module="db")
    clock.now_s += 59
    assert levels.standing() == {"": Standing(LogLevel.DEBUG, 1_000)}
    clock.now_s += 1
    assert not passes(levels, "debug") and levels.standing() == {} and levels.of("db") is LogLevel.INFO


def test_one_module_has_its_own_which_counts_before_that_of_all() -> None:
    clock = Clock()
    levels = Levels(LogLevel.INFO, clock)
    levels.set(LogLevel.WARNING, 2 * MINUTE_MS)
    levels.set(LogLevel.DEBUG, MINUTE_MS, "db")
    assert passes(levels, "debug", module="db")
    assert not passes(levels, "info", module="web") and not passes(levels, "info")
    clock.now_s += 61
    assert levels.of("db") is LogLevel.WARNING
    levels.set(LogLevel.DEBUG, MINUTE_MS, "db")
    levels.reset("db")
    assert levels.of("db") is LogLevel.WARNING


def test_that_of_all_ends_those_of_single_modules() -> None:
    levels = Levels(LogLevel.INFO)
    levels.set(LogLevel.DEBUG, MINUTE_MS, "db")
    levels.set(LogLevel.ERROR, MINUTE_MS)
    assert levels.of("db") is LogLevel.ERROR
    levels.set(LogLevel.DEBUG, MINUTE_MS, "db")
    levels.reset()
    assert levels.standing() == {}


@pytest.mark.parametrize("level", list(LogLevel))
def test_every_level_of_the_configuration_is_one_of_structlog(level: LogLevel) -> None:
    assert passes(Levels(level), level.value)
