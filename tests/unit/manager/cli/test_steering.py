"""``prim``, ``maintenance``, ``boot -m`` as an operator types them: what the agent is asked, and what is said first."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from manager.cli.client import Interrupted
from manager.model.api import ApiError, ErrorKind, ModuleView, StateArguments
from manager.model.api_modules import DesiredArguments, DesiredResult, Switch, SwitchArguments, SwitchResult
from manager.model.api_requests import Action, RequestArguments, RequestResult
from manager.model.api_verify import VerifyArguments
from manager.model.reasons import Reason
from manager.model.records import DiskIdentity
from manager.model.states import ModuleState, Readiness, Run, Setting
from tests.unit.manager.cli.typing_in import CTRL_C, typed
from tests.unit.manager.cli.views import GONE, PRIM, SECOND, module, node, result

BLOCKED = replace(
    node("a", ModuleState.WAIT, Readiness.BLOCKED, Reason.STORE_REPLACED),
    disk=DiskIdentity("c", "m", 7, 900, "old"),
)


class Agent:
    """An agent that refuses ``prim`` until its reason is accepted."""

    def __init__(self, refuses: Reason | None, view: ModuleView) -> None:
        self.refuses = refuses
        self.view = view
        self.asked: list[Any] = []

    def call(self, arguments: Any, *, timeout_s: float = 0, on_progress: Callable[[Any], None] | None = None) -> Any:
        if isinstance(arguments, StateArguments):
            return result(self.view)
        self.asked.append(arguments)
        if isinstance(arguments, SwitchArguments):
            return SwitchResult(arguments.module, arguments.nodes or ("a", "b"))
        assert isinstance(arguments, RequestArguments)
        if self.refuses is not None and arguments.arguments.get("accept") != self.refuses:
            raise ApiError(ErrorKind.REFUSED, "a refused prim", reason=str(self.refuses))
        return RequestResult("1", arguments.node or "a", "done")

    def close(self) -> None:
        """Nothing is open."""


def accepted(agent: Agent) -> list[str]:
    return [a.arguments.get("accept", "") for a in agent.asked if isinstance(a, RequestArguments)]


def test_a_prim_that_loses_nothing_is_not_asked_about() -> None:
    agent = Agent(None, module(BLOCKED, GONE))
    code, said = typed(agent, "prim db --node a")
    assert code == 0 and accepted(agent) == [""] and "Type the name" not in said


@pytest.mark.parametrize("reason", [Reason.STORE_REPLACED, Reason.STORE_WENT_BACK, Reason.REBOOTED_SINCE_LISTED])
def test_what_may_be_lost_is_said_before_it_is_accepted_by_name(reason: Reason) -> None:
    agent = Agent(reason, module(BLOCKED, GONE))
    code, said = typed(agent, "prim db", "a")
    assert code == 0 and accepted(agent) == ["", str(reason)]
    assert agent.asked[-1].action is Action.PRIM and agent.asked[-1].node == "a"
    assert "made equal to the one of a" in said
    assert "a: its copy is of epoch 7; it has seen revision 900 of etcd" in said
    assert "b: nothing is known of its copy" in said


@pytest.mark.parametrize(
    ("words", "answers", "says"),
    [
        ("prim db", ("b",), "is a, not b"),
        ("prim db", (), "was not named"),
        ("prim db --yes b", ("a",), "is a, not b"),
    ],
)
def test_without_the_nodes_name_nothing_is_done(words: str, answers: tuple[str, ...], says: str) -> None:
    agent = Agent(Reason.STORE_REPLACED, module(BLOCKED, GONE))
    code, said = typed(agent, words, *answers)
    assert code == 1 and accepted(agent) == [""]
    assert f"nothing was changed: the node whose copy shall count {says} (--yes a does not ask)" in said


def test_yes_with_the_nodes_name_does_not_ask() -> None:
    agent = Agent(Reason.STORE_REPLACED, module(BLOCKED, GONE))
    assert typed(agent, "prim db --node a --yes a")[0] == 0
    assert accepted(agent) == ["", "store_replaced"]


@pytest.mark.parametrize("reason", [Reason.NOT_IN_SYNC, Reason.PRIMARY_ALIVE, Reason.DISK_OF_OTHER_CLUSTER])
def test_what_nobody_may_accept_stays_refused(reason: Reason) -> None:
    agent = Agent(reason, module(BLOCKED, GONE))
    code, said = typed(agent, "prim db --node a --yes a")
    assert code == 1 and accepted(agent) == [""] and "a refused prim" in said


def test_maintenance_is_switched_for_all_nodes_and_shown() -> None:
    agent = Agent(None, module(PRIM, SECOND))
    assert "in maintenance" in typed(agent, "maintenance db on")[1]
    assert typed(agent, "maintenance db off")[0] == 0
    assert agent.asked == [
        SwitchArguments("db", Switch.FAILOVER, Setting.OFF),
        SwitchArguments("db", Switch.FAILOVER, Setting.ON),
    ]
    assert "no maintenance" in typed(agent, "maintenance db")[1]
    agent.view = replace(module(PRIM, replace(SECOND, boot=Setting.OFF)), maintenance=True)
    shown = typed(agent, "maintenance db")[1]
    assert "no node takes over" in shown and "boot off: it is not started with the agent of b" in shown
    for words in ("state db", "state"):
        assert "db: maintenance: no node takes over" in typed(agent, words)[1]


def test_whether_a_module_is_started_at_boot_is_switched_on_all_nodes_or_one_and_shown() -> None:
    agent = Agent(None, module(PRIM, SECOND))
    for words, asked, says in (
        ("boot on -m db", (Setting.ON, ()), "db: started with the machine from now on, on a and b"),
        ("boot off -m db --node b", (Setting.OFF, ("b",)), "db: not started with the agent from now on, on b"),
        ("boot prev --module db", (Setting.PREV, ()), "where it was not stopped"),
    ):
        code, said = typed(agent, words)
        assert code == 0 and says in said
        assert agent.asked[-1] == SwitchArguments("db", Switch.BOOT, *asked)
    stopped = replace(SECOND, wanted=Run.STOPPED, boot=Setting.PREV)
    agent.view = module(replace(PRIM, boot=Setting.ON), stopped)
    shown = typed(agent, "boot -m db")[1].splitlines()
    assert shown == [
        "db on a: on: it is started with the machine, where somebody has stopped it, too",
        "db on b: prev: with the agent it is as it was: stopped",
    ]
    assert typed(agent, "boot -m db --node b")[1].splitlines() == shown[1:]
    assert len(agent.asked) == 3


def test_of_which_machine_a_start_at_boot_is_has_to_be_said_there() -> None:
    agent = Agent(None, module(PRIM, SECOND))
    code, said = typed(agent, "boot off --node b")
    assert code == 1 and agent.asked == [] and "Run mirrorfarm boot on b." in said
    code, said = typed(agent, "boot -m db --node z")
    assert code == 1 and "db has no node z" in said


class GivenUp:
    """An agent at whose call the operator gives up."""

    def __init__(self, at: type, end: BaseException) -> None:
        self.at, self.end = at, end

    def call(self, arguments: Any, **_options: Any) -> Any:
        if isinstance(arguments, self.at):
            raise self.end
        if isinstance(arguments, DesiredArguments):
            return DesiredResult(arguments.module, ("a", "b"))
        return result(module(PRIM, SECOND))

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("words", "at", "end", "says", "says_not"),
    [
        ("swap db", RequestArguments, Interrupted("request"), "has not answered request", "stands"),
        ("start db", DesiredArguments, Interrupted("desired"), "has not answered desired", "stands"),
        ("start db", StateArguments, Interrupted("state"), "the start stands and goes on", "answered"),
        ("stop db", StateArguments, KeyboardInterrupt(), "the stop stands and goes on", "answered"),
        ("state db", StateArguments, Interrupted("state"), "given up", "answered"),
        ("verify db", VerifyArguments, Interrupted("verify"), "the comparison is ended", "answered"),
    ],
)
def test_who_gives_up_is_told_what_stands(words: str, at: type, end: BaseException, says: str, says_not: str) -> None:
    code, said = typed(GivenUp(at, end), words)
    assert code == 5 and says in said and says_not not in said


def test_who_gives_up_at_a_question_has_changed_nothing() -> None:
    agent = Agent(Reason.STORE_REPLACED, module(BLOCKED, GONE))
    code, said = typed(agent, "prim db", CTRL_C)
    assert code == 1 and accepted(agent) == [""] and "nothing was changed" in said
