"""loglevel: what is asked of the agent, and what the operator reads."""

from dataclasses import replace
from typing import Any

import pytest

from manager.model.api import StateArguments
from manager.model.api_log_levels import (
    LogLevelArguments,
    LogLevels,
    LogLevelsArguments,
    ReplicatorLevel,
    StandingLevel,
)
from manager.model.log_words import LogLevel
from tests.unit.manager.cli.typing_in import typed
from tests.unit.manager.cli.views import PRIM, SECOND, module, result

QUIET = LogLevels("a", LogLevel.INFO, (), (ReplicatorLevel("db", LogLevel.INFO), ReplicatorLevel("web", LogLevel.INFO)))
DEBUG = StandingLevel("", LogLevel.DEBUG, 599_500)


class Agent:
    def __init__(self, found: LogLevels = QUIET) -> None:
        self.found = found
        self.asked: list[tuple[Any, str]] = []

    def call(self, arguments: Any, *, node: str = "", **_: Any) -> Any:
        self.asked.append((arguments, node))
        if isinstance(arguments, StateArguments):
            return replace(result(module(PRIM, SECOND)), log_levels=self.found.standing)
        return self.found

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("loglevel", LogLevelsArguments()),
        ("loglevel debug", LogLevelArguments(LogLevel.DEBUG, "", 600_000)),
        ("loglevel warning -m db --for 2h", LogLevelArguments(LogLevel.WARNING, "db", 7_200_000)),
        ("loglevel configured", LogLevelArguments(None)),
        ("loglevel configured --module db", LogLevelArguments(None, "db")),
    ],
)
def test_what_is_typed_is_asked(words: str, asked: Any) -> None:
    agent = Agent()
    assert typed(agent, words)[0] == 0 and agent.asked == [(asked, "")]
    assert typed(agent, f"{words} --node b")[0] == 0 and agent.asked[-1] == (asked, "b")


@pytest.mark.parametrize("words", ["loglevel --for 5s", "loglevel configured --for 5s"])
def test_a_duration_is_that_of_a_level(words: str) -> None:
    agent = Agent()
    code, said = typed(agent, words)
    assert code == 2 and agent.asked == [] and "--for goes with a level" in said


@pytest.mark.parametrize("words", ["loglevel loud", "loglevel debug --for 1ms", "loglevel debug --for 25h"])
def test_what_is_no_level_or_too_long_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        typed(Agent(), words)
    assert "loglevel" in capsys.readouterr().err


def test_as_configured() -> None:
    assert typed(Agent(), "loglevel")[1].splitlines() == [
        "a: the agent logs from info on, as configured",
        "db: its replicator logs from info on, as configured",
        "web: its replicator logs from info on, as configured",
    ]
    assert typed(Agent(), "loglevel -m db")[1].splitlines() == ["db: its replicator logs from info on, as configured"]


def test_what_stands_is_shown_with_how_long_it_does_so_and_what_comes_after_it() -> None:
    standing = (DEBUG, StandingLevel("web", LogLevel.ERROR, 60_000))
    told = (ReplicatorLevel("db", LogLevel.DEBUG), ReplicatorLevel("web", LogLevel.ERROR))
    assert typed(Agent(replace(QUIET, standing=standing, replicators=told)), "loglevel")[1].splitlines() == [
        "a: the agent logs from debug on for another 10 min; then as configured, from info on",
        "db: its replicator logs from debug on for another 10 min; then as configured, from info on",
        "web: its replicator logs from error on for another 60 s; then as configured, from info on",
    ]


@pytest.mark.parametrize(
    ("standing", "told", "said"),
    [
        ((DEBUG,), ReplicatorLevel("db", None), "from which level on its replicator logs is not known"),
        ((DEBUG,), ReplicatorLevel("db", LogLevel.INFO), "logs from info on, and has not taken debug yet"),
        (
            (DEBUG,),
            ReplicatorLevel("db", None, "unknown type"),
            "does not change its level while it runs: unknown type",
        ),
        ((), ReplicatorLevel("db", LogLevel.ERROR), "logs from error on, as was configured when it was started"),
    ],
)
def test_a_replicator_that_does_otherwise_is_shown_as_it_is(
    standing: tuple[StandingLevel, ...], told: ReplicatorLevel, said: str
) -> None:
    assert said in typed(Agent(replace(QUIET, standing=standing, replicators=(told,))), "loglevel -m db")[1]


def test_of_what_has_no_replicator_the_agent_logs() -> None:
    found = replace(QUIET, replicators=(), standing=(StandingLevel("web", LogLevel.DEBUG, 5_000),))
    assert "web: the agent logs of it from debug on for another 5 s" in typed(Agent(found), "loglevel -m web")[1]
    assert "web: the agent logs of it from debug on" in typed(Agent(found), "loglevel")[1]
    assert (
        "db: no replicator of it runs on a; the agent logs of it from info on"
        in typed(Agent(found), "loglevel -m db")[1]
    )


def test_state_says_that_a_level_stands_and_what_ends_it() -> None:
    assert "logs from" not in typed(Agent(), "state")[1]
    standing = (DEBUG, StandingLevel("web", LogLevel.ERROR, 60_000))
    said = typed(Agent(replace(QUIET, standing=standing)), "state")[1]
    assert "a logs from debug on for another 10 min (mirrorfarm loglevel configured ends it)." in said
    assert "a logs of web from error on for another 60 s (mirrorfarm loglevel configured -m web ends it)." in said
