"""``prim --force`` as an operator types it: what is asked of the agent, what is shown first, and by which names."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from manager.cli.stakes import stakes_lines
from manager.model.api import ApiError, ErrorKind, ModuleView, StateArguments
from manager.model.api_requests import RequestArguments, RequestResult, Stakes, StakesArguments
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord, LackingRecord
from manager.model.states import ModuleState, Readiness
from tests.unit.manager.cli.typing_in import CTRL_C, typed
from tests.unit.manager.cli.views import GONE, module, node, result

LACKING = LackingRecord(
    "b", "a", 4, "2026-11-26T01:00:00Z", "2026-11-26T02:00:00Z", 12, 3 << 20, 2, everything=False, whole=True
)
SERVED = (
    HistoryRecord(4, "a", "b", "primary_lost", "2026-11-26T00:30:00Z"),
    HistoryRecord(5, "a", "a", "primary_restarted", "2026-11-26T02:30:00Z"),
)
STAKES = Stakes("db", "b", True, 5, 3, "a", False, 600_000, ("10.0.0.1", "fd00::1"), "", LACKING, SERVED, True)
STALE = node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.NOT_IN_SYNC, listed=False)
VIEW = module(replace(GONE, node="a", listed=True), STALE, holders=("a",))
NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)


class Agent:
    """One whose node refuses as its core does."""

    def __init__(self, against: Reason | None = None, before: Reason | None = None, stakes: Stakes = STAKES) -> None:
        """``against``: once all is confirmed; ``before``: an objection that may be accepted by itself."""
        self.against, self.before, self.stakes = against, before, stakes
        self.view: ModuleView = VIEW
        self.asked: list[dict[str, str]] = []

    def call(self, arguments: Any, *, timeout_s: float = 0, on_progress: Callable[[Any], None] | None = None) -> Any:
        if isinstance(arguments, StateArguments):
            return result(self.view)
        if isinstance(arguments, StakesArguments):
            return self.stakes
        assert isinstance(arguments, RequestArguments)
        self.asked.append(arguments.arguments)
        reason, detail = self._refuses(arguments.arguments)
        if reason is not None:
            raise ApiError(ErrorKind.REFUSED, "b refused prim", meaning=detail, reason=str(reason))
        return RequestResult("1", "b", "done")

    def _refuses(self, said: dict[str, str]) -> tuple[Reason | None, str]:
        accepted = said.get("accept", "").split(",")
        if self.before is not None and self.before not in accepted:
            return self.before, ""
        if Reason.NOT_IN_SYNC not in accepted:
            return Reason.NOT_IN_SYNC, ""
        if not {"off", "fence"} & said.keys():
            return Reason.NOT_CONFIRMED_OFF, "a did not answer at 10.0.0.1."
        return self.against, "a: 10.0.0.1 answers a ping."

    def close(self) -> None:
        """Nothing is open."""


ACCEPTED = {"accept": "not_in_sync"}


def test_without_force_it_is_refused_and_the_last_resort_is_named() -> None:
    agent = Agent()
    code, said = typed(agent, "prim db --node b")
    assert code == 1 and agent.asked == [{}]
    assert "Start the module on the node that was primary last" in said
    assert "mirrorfarm prim db --node b --force" in said


def test_both_nodes_are_named_after_all_was_shown() -> None:
    agent = Agent()
    code, said = typed(agent, "prim db --node b --force", "a", "b")
    assert code == 0
    assert agent.asked == [{}, ACCEPTED, ACCEPTED | {"off": "a"}]
    shown, _, _ = said.partition("Type the name of the node that is off [a]: ")
    for words in (
        "b: it was in sync until 2026-11-26T01:00:00Z", "its copy is of epoch 3, the last is 5",
        "missing on b: 3.0 MiB in 12 files at the most, and the names in 2 directories", "a from", "epoch 4.",
        "epoch 5.", "a: its agent is not registered, for 10 min at the least; it was last known at 10.0.0.1, fd00::1",
        "a did not answer at 10.0.0.1.", "set aside there", "the application would run twice",
    ):  # fmt: skip
        assert words in shown, words
    assert said.index("that is off [a]") < said.index("shall count [b]")


OFF_IS_A, COUNTS_B = "the node that is off is a, not", "the node whose copy shall count is b, not"


@pytest.mark.parametrize(
    ("words", "answers", "says"),
    [
        ("", (), "the node that is off was not named"),
        ("", (CTRL_C,), "the node that is off was not named"),
        ("", ("b",), f"{OFF_IS_A} b"),
        ("", ("c x",), f"{OFF_IS_A} c x"),
        ("", ("a",), "the node whose copy shall count was not named"),
        ("", ("a", "a"), f"{COUNTS_B} a"),
        ("--off b --yes b", (), f"{OFF_IS_A} b"),
        ("--off a --yes a", (), f"{COUNTS_B} a"),
        ("--off a", (), "the node whose copy shall count was not named"),
        ("--fence --yes a", (), f"{COUNTS_B} a"),
        ("--fence", ("a",), f"{COUNTS_B} a"),
    ],
)
def test_without_both_names_nothing_is_done(words: str, answers: tuple[str, ...], says: str) -> None:
    agent = Agent()
    code, said = typed(agent, f"prim db --node b --force {words}", *answers)
    assert code == 1
    assert all("off" not in asked and "fence" not in asked for asked in agent.asked)
    assert f"nothing was changed: {says} (--force --" in said and "--yes b does not ask)" in said


def test_both_names_on_the_line_do_not_ask_and_show_it_all_the_same() -> None:
    agent = Agent()
    code, said = typed(agent, "prim db --node b --force --off a --yes b")
    assert code == 0 and agent.asked[-1] == ACCEPTED | {"off": "a"}
    assert "Type the name" not in said and "missing on b" in said


def test_a_machine_that_is_turned_off_by_the_script_is_not_asked_before() -> None:
    agent = Agent()
    assert typed(agent, "prim db --node b --force --fence --yes b")[0] == 0
    assert agent.asked == [{}, ACCEPTED | {"fence": "a"}]


def test_a_module_without_the_script_is_not_asked_to_run_it() -> None:
    agent = Agent(stakes=replace(STAKES, fence_script=False))
    code, said = typed(agent, "prim db --node b --force --fence --yes b")
    assert code == 1 and agent.asked == [{}] and "has no script fence" in said


def test_what_the_node_finds_out_after_that_ends_it() -> None:
    agent = Agent(Reason.LAST_PRIMARY_ANSWERS)
    code, said = typed(agent, "prim db --node b --force", "a", "b")
    assert code == 1 and len(agent.asked) == 3
    assert "answers on the network" in said and "a: 10.0.0.1 answers a ping." in said
    assert "turn that machine off" in said


def test_what_is_against_it_beside_that_is_accepted_one_after_the_other() -> None:
    agent = Agent(before=Reason.STORE_REPLACED)
    assert typed(agent, "prim db --node b --force", "b", "a", "b")[0] == 0
    both = {"accept": "store_replaced,not_in_sync"}
    assert agent.asked == [{}, {"accept": "store_replaced"}, both, both | {"off": "a"}]


@pytest.mark.parametrize("words", ["--off a", "--fence", "--force --fence --off a"])
def test_what_belongs_to_force_is_nothing_without_it(words: str) -> None:
    agent = Agent()
    assert typed(agent, f"prim db {words}")[0] == 2
    assert not agent.asked


# What is shown


def lines(**changes: Any) -> str:
    return "\n".join(stakes_lines(replace(STAKES, **changes), NOW))


def test_how_old_it_is_is_said_by_this_machines_clock() -> None:
    assert "until 2026-11-26T01:00:00Z (3.0 h ago)" in lines()
    assert "(told 2026-11-26T02:00:00Z (2.0 h ago); what came later is not in it)" in lines()
    assert "until 2027-01-01T00:00:00Z;" in lines(lacking=replace(LACKING, since="2027-01-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lacking": None}, "when it was last in sync, and what it lacks, was never told"),
        ({"lacking": replace(LACKING, since="")}, "how old it is is not known"),
        ({"lacking": replace(LACKING, as_of="", everything=True, whole=False)}, "missing on b: how much is not known"),
        ({"lacking": replace(LACKING, everything=True)}, "not known; that may be all there is: 3.0 MiB in 12 files"),
        ({"lacking": replace(LACKING, whole=False)}, "at least 3.0 MiB in 12 files"),
        ({"disk_epoch": None}, "its disk does not say that it has this module's data"),
        ({"registered": None, "away_ms": None}, "etcd does not answer"),
        ({"registered": True, "away_ms": None}, "its agent is registered: it is not off"),
        ({"away_ms": None}, "its agent is not registered; it was last known at"),
        ({"addresses": None}, "where it was is not known"),
        ({"addresses": ()}, "where it was is not known"),
    ],
)
def test_what_is_not_known_is_said_to_be_so(changes: dict[str, Any], says: str) -> None:
    assert says in lines(**changes)
