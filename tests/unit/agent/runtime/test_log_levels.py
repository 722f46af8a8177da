"""From which level on a node logs: what an operator sets, what the replicators are told, and what they say."""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog

from agent.runtime.handlers_log_levels import LogLevelHandlers
from agent.runtime.module_runtime import _refuses_a_question
from agent.runtime.replicator_levels import ModuleLevel, ReplicatorLevels
from manager.logs.levels import LEVEL_SET, Levels
from manager.model import control
from manager.model.api import ApiError, ErrorKind
from manager.model.api_log_levels import (
    MOST_FOR_MS,
    LogLevelArguments,
    LogLevels,
    LogLevelsArguments,
    ReplicatorLevel,
    StandingLevel,
)
from manager.model.log_words import LogLevel
from manager.model.records import ModuleConfigRecord
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, refusal, toml

MINUTE_MS = 60_000
HELLO = control.Hello(7, "i", 1, "idle", 0, None)
NO_SUCH = control.Refused('{"type": "SetLogLevel", "level": "debug"', "control message: unknown type 'SetLogLevel'")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Replicator:
    """One that does as it is told, as soon as it is asked; or is of a former release."""

    def __init__(self, module: str, levels: ReplicatorLevels, *, former: bool = False) -> None:
        self.told: list[control.Command] = []
        self.level: ModuleLevel = levels.of_module(module, self._ask)
        self._logs_from: LogLevel = levels.levels.configured
        self._former = former
        self.connected = True

    def hello(self) -> None:
        self.level.heard(HELLO)

    def _ask(self, command: control.Command) -> bool:
        if not self.connected:
            return False
        self.told.append(command)
        if isinstance(command, control.SetLogLevel):
            self._logs_from = command.level or LogLevel.INFO
            if self._former:
                self.level.heard(NO_SUCH)
        else:
            said = None if self._former else self._logs_from
            self.level.heard(control.Status("idle", 0, False, False, log_level=said))
        return True

    @property
    def wanted(self) -> list[control.SetLogLevel]:
        return [command for command in self.told if isinstance(command, control.SetLogLevel)]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def levels(clock: Clock) -> ReplicatorLevels:
    return ReplicatorLevels(Levels(LogLevel.INFO, clock))


def played(levels: ReplicatorLevels, story: Callable[[LogLevelHandlers, Bench], Coroutine[Any, Any, None]]) -> None:
    bench = Bench("a", "b")
    bench.put(KEYS.module("db").config, ModuleConfigRecord("m", 1, toml(), {}, "", ""))
    handlers = LogLevelHandlers(replace(bench.seat, levels=levels.levels), levels)

    async def whole() -> None:
        await bench.until(lambda: KEYS.module("db").config in bench.view.kvs)
        await story(handlers, bench)

    bench.run(whole)


def test_a_level_of_all_is_the_agents_and_every_replicators(levels: ReplicatorLevels, clock: Clock) -> None:
    db, web = Replicator("db", levels), Replicator("web", levels)

    async def story(handlers: LogLevelHandlers, bench: Bench) -> None:
        db.hello()
        web.hello()
        found = await handlers.set(LogLevelArguments(LogLevel.DEBUG, for_ms=MINUTE_MS), ROOT, bench.report)
        assert found == LogLevels(
            "a",
            LogLevel.INFO,
            (StandingLevel("", LogLevel.DEBUG, MINUTE_MS),),
            (ReplicatorLevel("db", LogLevel.DEBUG), ReplicatorLevel("web", LogLevel.DEBUG)),
        )
        assert levels.levels.of() is LogLevel.DEBUG
        clock.now_s += 20
        found = await handlers.set(LogLevelArguments(LogLevel.ERROR, "web", 5_000), ROOT, bench.report)
        assert [one.left_ms for one in found.standing] == [40_000, 5_000]
        assert db.wanted[-1] == control.SetLogLevel(LogLevel.DEBUG, 40_000)
        assert web.wanted[-1] == control.SetLogLevel(LogLevel.ERROR, 5_000)
        found = await handlers.set(LogLevelArguments(None), ROOT, bench.report)
        assert found.standing == () and {one.level for one in found.replicators} == {LogLevel.INFO}
        assert db.wanted[-1] == control.SetLogLevel(None)

    played(levels, story)


def test_when_its_own_level_ends_that_of_all_counts_again(levels: ReplicatorLevels, clock: Clock) -> None:
    db = Replicator("db", levels)

    async def story(handlers: LogLevelHandlers, bench: Bench) -> None:
        db.hello()
        await handlers.set(LogLevelArguments(LogLevel.DEBUG, for_ms=MINUTE_MS), ROOT, bench.report)
        await handlers.set(LogLevelArguments(LogLevel.ERROR, "db", 5_000), ROOT, bench.report)
        clock.now_s += 5
        for said in (LogLevel.INFO, LogLevel.DEBUG):
            db.level.heard(control.Status("idle", 0, False, False, log_level=said))
        assert db.wanted[2:] == [control.SetLogLevel(LogLevel.DEBUG, 55_000)]
        found = await handlers.levels(LogLevelsArguments(), ROOT, bench.report)
        assert found.replicators == (ReplicatorLevel("db", LogLevel.DEBUG),)
        clock.now_s += 55
        db.level.heard(control.Status("idle", 0, False, False, log_level=LogLevel.ERROR))
        assert len(db.wanted) == 3, "what it was started with is its own matter"

    played(levels, story)


def test_one_that_comes_later_is_told_and_one_that_goes_is_not_shown(levels: ReplicatorLevels, clock: Clock) -> None:
    db = Replicator("db", levels)

    async def story(handlers: LogLevelHandlers, bench: Bench) -> None:
        db.connected = False
        found = await handlers.set(LogLevelArguments(LogLevel.DEBUG), ROOT, bench.report)
        assert found.replicators == () and db.told == []
        db.connected = True
        clock.now_s += 60
        db.hello()
        assert db.wanted == [control.SetLogLevel(LogLevel.DEBUG, 540_000)]
        db.level.gone()
        assert (await handlers.levels(LogLevelsArguments(), ROOT, bench.report)).replicators == ()
        clock.now_s += 540
        db.hello()
        assert len(db.wanted) == 1, "what has ended is not told"

    played(levels, story)


def test_of_a_former_release_it_is_said_that_it_does_not_do_so(levels: ReplicatorLevels) -> None:
    db = Replicator("db", levels, former=True)

    async def story(handlers: LogLevelHandlers, bench: Bench) -> None:
        db.hello()
        found = await handlers.set(LogLevelArguments(LogLevel.DEBUG), ROOT, bench.report)
        assert found.replicators == (ReplicatorLevel("db", None, NO_SUCH.reason),)

    played(levels, story)
    assert _refuses_a_question(NO_SUCH), "its core would take the refusal of it for a failure of the replicator"


def test_one_that_says_nothing_is_not_waited_for_long(
    levels: ReplicatorLevels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.runtime.replicator_levels.ANSWER_S", 0.01)
    level = levels.of_module("db", lambda command: True)

    async def story(handlers: LogLevelHandlers, bench: Bench) -> None:
        level.heard(HELLO)
        found = await handlers.set(LogLevelArguments(LogLevel.DEBUG), ROOT, bench.report)
        assert found.replicators == (ReplicatorLevel("db", None),)

    played(levels, story)


def test_what_makes_no_sense_is_refused_and_changes_nothing(levels: ReplicatorLevels) -> None:
    async def story(handlers: LogLevelHandlers, bench: Bench) -> None:
        for for_ms in (0, MOST_FOR_MS + 1):
            arguments = LogLevelArguments(LogLevel.DEBUG, for_ms=for_ms)
            error: ApiError = await refusal(handlers.set(arguments, ROOT, bench.report))
            assert error.kind is ErrorKind.BAD_REQUEST and "log.level in agent.toml" in error.remedy
        error = await refusal(handlers.set(LogLevelArguments(LogLevel.DEBUG, "none"), ROOT, bench.report))
        assert error.kind is ErrorKind.NOT_FOUND
        assert (await handlers.levels(LogLevelsArguments(), ROOT, bench.report)).standing == ()

    played(levels, story)


def test_the_log_says_who_has_set_it_whatever_its_level(levels: ReplicatorLevels) -> None:
    logged: list[dict[str, Any]] = []

    def keep(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        logged.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[levels.levels, keep], wrapper_class=structlog.make_filtering_bound_logger(0))

    async def story(handlers: LogLevelHandlers, bench: Bench) -> None:
        await handlers.set(LogLevelArguments(LogLevel.ERROR), ROOT, bench.report)
        structlog.get_logger().warning("not.logged")
        await handlers.set(LogLevelArguments(LogLevel.ERROR, "db"), ROOT, bench.report)

    played(levels, story)
    assert [event["event"] for event in logged] == [LEVEL_SET, LEVEL_SET]
    assert logged[0]["to"] == "error" and logged[0]["by"] == ROOT.name and logged[1]["module"] == "db"
