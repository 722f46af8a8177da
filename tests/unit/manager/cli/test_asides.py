"""``aside`` as an operator types it: what the agent is asked, what is said, and asked before it is too late."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manager.cli.main import build_parser
from manager.cli.render import state_table, why_text
from manager.model.api import ModuleView, NodeState, StateArguments, WhyResult
from manager.model.api_asides import (
    AsideClearArguments,
    AsideGiveUpArguments,
    AsideListArguments,
    AsideRestoreArguments,
    AsideShowArguments,
)
from manager.model.asides import MAX_ITEMS, Aside, AsideItem, AsideReport, Kept
from manager.model.resources import KeptAside, with_aside
from manager.model.states import ModuleState, Readiness, Run
from tests.unit.manager.cli.test_render import shown
from tests.unit.manager.cli.typing_in import typed
from tests.unit.manager.cli.views import GONE, PRIM, SECOND, module, node, result

FIRST = Aside(1, "2026-11-25T22:10:00Z", 4, "b", 6, 3, 5 << 20)
SECOND_ASIDE = Aside(2, "2026-11-26T03:00:00Z", 8, "b", 9, 2500, 100)
NOTHING = AsideReport("r", "", False, 10 << 30, ())
SOME = replace(NOTHING, asides=(FIRST, SECOND_ASIDE))
ITEM = AsideItem("/srv/db/new", ("extra",), Kept.WHOLE, 4096, 4096)


class Agent:
    """An agent with so much set aside on its node ``a``."""

    def __init__(self, report: AsideReport, view: ModuleView | None = None) -> None:
        self.report = report
        self.view = view or module(PRIM, SECOND)
        self.asked: list[Any] = []
        self.kept: tuple[AsideItem, ...] = (ITEM,) * report.items_total
        """In the one that is shown."""

    def call(self, arguments: Any, *, timeout_s: float | None = 0) -> Any:
        if isinstance(arguments, StateArguments):
            return result(self.view)
        self.asked.append(arguments)
        if isinstance(arguments, AsideShowArguments):
            page = self.kept[arguments.skip :][: min(arguments.limit, MAX_ITEMS)]
            return replace(self.report, items=page)
        return self.report

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("words", ["aside db", "aside db list"])
def test_they_are_listed(words: str) -> None:
    agent = Agent(SOME)
    code, said = typed(agent, words)
    assert code == 0 and agent.asked == [AsideListArguments("db")]
    assert "db on a: 5.0 MiB are set aside (at most 10.0 GiB may be):" in said
    rows = [line.split() for line in said.splitlines()]
    assert ["1", "2026-11-25T22:10:00Z", "4", "b,", "epoch", "6", "3", "5.0", "MiB"] in rows
    assert "mirrorfarm aside db show 2" in said


def test_nothing_is_said_to_be_nothing_and_who_has_some_is_told() -> None:
    other = replace(SECOND, resources=with_aside({}, KeptAside(1, 5 << 20)))
    code, said = typed(Agent(NOTHING, module(PRIM, other)), "aside db")
    assert code == 0 and "db on a: nothing is set aside." in said
    assert "db: b has set aside what it alone had (once, 5.0 MiB); to see it, on b: mirrorfarm aside db" in said


def test_what_is_yet_to_be_set_aside_is_said_first() -> None:
    _, said = typed(Agent(replace(NOTHING, diverged=True, limit_bytes=0)), "aside db")
    assert said.startswith("db on a: this copy went on without the one that serves now.")
    _, said = typed(Agent(replace(SOME, limit_bytes=0)), "aside db")
    assert "(nothing more may be)" in said


@pytest.mark.parametrize("words", ["aside db --json", "aside db list --json", "aside db --json list"])
def test_json_is_one_object(words: str) -> None:
    code, said = typed(Agent(SOME), words)
    assert code == 0 and len(json.loads(said)["asides"]) == 2


def test_as_many_are_shown_as_are_asked_for() -> None:
    agent = Agent(replace(SOME, items_total=2500))
    code, said = typed(agent, "aside db show 2 /srv/db/")
    assert code == 0 and said.count("/srv/db/new") == 100 and "... and 2,400 more (--limit N names more)" in said
    assert "db, aside 2, of /srv/db: 2,500 entries" in said and "db restore 2 PATH --to TARGET" in said
    agent.asked.clear()
    _, said = typed(agent, "aside db show 2 --limit 2400 --json")
    assert len(json.loads(said)["items"]) == 2400
    assert [(a.skip, a.limit) for a in agent.asked] == [(0, 1000), (1000, 1000), (2000, 400)]


def test_what_was_cleared_meanwhile_ends_the_showing() -> None:
    agent = Agent(replace(SOME, items_total=1500))
    agent.kept = agent.kept[:1200]
    assert typed(agent, "aside db show 2 --limit 1500")[0] == 0
    assert [a.skip for a in agent.asked] == [0, 1000, 1200]


def test_each_sort_of_what_is_kept_is_said() -> None:
    agent = Agent(replace(SOME, items_total=3))
    agent.kept = (
        ITEM,
        AsideItem("/srv/db/dir", ("extra",), Kept.DIRECTORY, 0, 0),
        AsideItem("/srv/db/conf", ("mode", "owner"), Kept.ATTRIBUTES, 10, 0, "mode 0600"),
    )
    _, said = typed(agent, "aside db show 1")
    rows = [line.split("  ") for line in said.splitlines()]
    kept = [[word.strip() for word in row if word.strip()] for row in rows]
    assert ["/srv/db/new", "extra", "all of it", "4.0 KiB"] in kept
    assert ["/srv/db/dir", "extra", "the directory", "-"] in kept
    assert ["/srv/db/conf", "mode, owner", "attributes, here", "10 B", "mode 0600"] in kept


def test_names_are_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    agent = Agent(replace(SOME, items_total=1))
    code, said = typed(agent, "aside db restore 1 db/../new --to back\\slash/../found")
    assert code == 0 and "1 entry" in said
    assert agent.asked == [AsideRestoreArguments("db", 1, f"{tmp_path}/new", f"{tmp_path}/found")]
    typed(agent, "aside db restore 1 /srv/db/a\\x41 --to a\\x41")
    assert agent.asked[1] == AsideRestoreArguments("db", 1, "/srv/db/a\\x41", f"{tmp_path}/a\\\\x41")


@pytest.mark.parametrize(
    ("words", "answers", "code"),
    [
        ("aside db clear 1 --yes", (), 0),
        ("aside db clear 1", ("yes",), 0),
        ("aside db clear 1", ("y",), 1),
        ("aside db clear 1", (), 1),
    ],
)
def test_nothing_is_deleted_without_a_yes(words: str, answers: tuple[str, ...], code: int) -> None:
    agent = Agent(SOME)
    ended, said = typed(agent, words, *answers)
    assert ended == code
    assert (AsideClearArguments("db", 1) in agent.asked) is (code == 0)
    if "--yes" not in words:
        assert "aside 1 of 2026-11-25T22:10:00Z: 3 entries, 5.0 MiB" in said and "aside 2" not in said


def test_all_are_cleared_and_of_none_nobody_is_asked() -> None:
    agent = Agent(SOME)
    code, said = typed(agent, "aside db clear all", "yes")
    assert code == 0 and "aside 2 of" in said
    assert agent.asked[1:] == [AsideClearArguments("db", 1), AsideClearArguments("db", 2)], "only what was shown"
    none = Agent(NOTHING)
    code, said = typed(none, "aside db clear all")
    assert code == 0 and none.asked == [AsideListArguments("db")] and "nothing is set aside" in said


@pytest.mark.parametrize("words", ["aside db clear 7 --yes"])
def test_a_wrong_number_is_told_with_the_right_ones(words: str) -> None:
    agent = Agent(SOME)
    code, said = typed(agent, words)
    assert code == 1 and "There is no aside 7 of db on this node: there is 1, 2." in said
    assert agent.asked == [AsideListArguments("db")]


@pytest.mark.parametrize(
    ("words", "answers", "named"),
    [
        ("aside db give-up", ("a",), "a"),
        ("aside db give-up", ("b",), ""),
        ("aside db give-up", (), ""),
        ("aside db give-up --yes a", (), "a"),
        ("aside db give-up --yes b", (), "b"),
    ],
)
def test_what_a_node_alone_has_is_given_up_by_its_name(words: str, answers: tuple[str, ...], named: str) -> None:
    agent = Agent(replace(NOTHING, diverged=True))
    code, said = typed(agent, words, *answers)
    given_up = [a.node for a in agent.asked if isinstance(a, AsideGiveUpArguments)]
    assert given_up == ([named] if named else []) and code == (0 if named else 1)
    if "--yes" not in words:
        assert "what a alone has will be overwritten" in said


def test_where_nothing_is_to_be_set_aside_nothing_is_given_up() -> None:
    agent = Agent(SOME)
    code, said = typed(agent, "aside db give-up --yes a")
    assert code == 1 and "nothing has to be given up" in said and agent.asked == [AsideListArguments("db")]


@pytest.mark.parametrize("words", ["show 0", "show x", "clear 0", "clear every", "restore 1 /srv/db/x", "forget"])
def test_what_cannot_be_meant_is_a_wrong_command_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser(with_lab=False).parse_args(["aside", "db", *words.split()])
    assert ended.value.code == 2 and os.linesep in capsys.readouterr().err


def test_state_and_why_say_which_node_has_some() -> None:
    other = replace(SECOND, resources=with_aside({}, KeptAside(2, 1000)))
    words = "db: b has set aside what it alone had (2 times, 1000 B); to see it, on b: mirrorfarm aside db"
    assert words in shown(state_table(result(module(PRIM, other))))
    assert words in shown(why_text(WhyResult(module(PRIM, other), "a", True, 0)))
    assert "aside" not in shown(state_table(result(module(PRIM, SECOND))))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (node("b", ModuleState.STOP, wanted=Run.STOPPED), "unknown whether b has something set aside: the module is"),
        (node("b", ModuleState.WAIT, Readiness.BLOCKED), "unknown whether b has something set aside: its replicator"),
    ],
)
def test_of_which_node_it_is_not_known_is_said(other: NodeState, says: str) -> None:
    unknown = replace(other, resources={})
    assert says in shown(state_table(result(module(PRIM, unknown))))
    assert says in shown(why_text(WhyResult(module(PRIM, unknown), "b", True, 0)))
    assert says in typed(Agent(NOTHING, module(PRIM, unknown)), "aside db")[1]
    assert "aside" not in shown(state_table(result(module(PRIM, other)))), "nothing is"
    assert "aside" not in shown(state_table(result(module(PRIM, GONE)))), "nothing at all is known of it"
