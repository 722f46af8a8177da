"""What has another copy overwritten is shown and asked for first: the very first ``prim``, and a repair."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from manager.model.api import ModuleView, StateArguments
from manager.model.api_requests import RequestArguments, RequestResult
from manager.model.api_verify import VerifyArguments
from manager.model.reasons import Reason
from manager.model.reports import VerifyReport
from manager.model.states import ModuleKind, ModuleState, Readiness
from tests.unit.manager.cli.typing_in import CTRL_C, typed
from tests.unit.manager.cli.views import PRIM, SECOND, module, node, result

UNNAMED = module(
    node("a", ModuleState.WAIT, Readiness.BLOCKED, Reason.NO_DATA_NAMED, listed=None),
    node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.NO_DATA_NAMED, listed=None),
    primary="",
    holders=None,
)
REPLACED = replace(UNNAMED, nodes=(replace(UNNAMED.nodes[0], reason=Reason.STORE_REPLACED), UNNAMED.nodes[1]))
PAIR = module(PRIM, SECOND)


class Agent:
    """One of node a, which does whatever it is asked."""

    def __init__(self, view: ModuleView) -> None:
        self.view = view
        self.did: list[str] = []

    def call(
        self, arguments: Any, *, timeout_s: float | None = 0, on_progress: Callable[[Any], None] | None = None
    ) -> Any:
        if isinstance(arguments, StateArguments):
            return result(self.view)
        if isinstance(arguments, VerifyArguments):
            self.did.append("repair" if arguments.repair else "verify")
            return VerifyReport("1", "", 3, 0, 0, ())
        assert isinstance(arguments, RequestArguments)
        self.did.append(f"{arguments.action} {arguments.node}".strip())
        return RequestResult("1", arguments.node, "done")

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("node", ["", "b"])
def test_at_the_first_start_it_is_shown_which_copy_goes_and_the_other_ones_name_is_no_answer(node: str) -> None:
    agent = Agent(UNNAMED)
    counts, goes = (node, "a") if node else ("a", "b")
    line = f"prim db --node {node}" if node else "prim db"
    for answer in (goes, "", "yes", CTRL_C):
        code, said = typed(agent, line, answer)
        assert code == 1 and not agent.did, said
        assert f"what only {goes} has in them is deleted" in said
        assert "nothing was changed: the node whose copy shall count" in said and f"--yes {counts} does not" in said
    code, said = typed(agent, line)
    assert code == 1 and not agent.did, "nobody is there to be asked"
    code, said = typed(agent, line, counts)
    assert code == 0 and agent.did == [f"prim {node}".strip()], said


def test_at_the_first_start_the_name_may_be_said_on_the_line_and_has_to_be_the_right_one() -> None:
    agent = Agent(UNNAMED)
    code, said = typed(agent, "prim db --yes b")
    assert code == 1 and not agent.did and "is a, not b" in said
    code, said = typed(agent, "prim db --node b --yes b")
    assert code == 0 and agent.did == ["prim b"] and "what only a has in them is deleted" in said


@pytest.mark.parametrize(
    ("view", "line"),
    [
        (PAIR, "prim db"),
        (replace(UNNAMED, kind=ModuleKind.FARM), "prim db"),
        (UNNAMED, "prim db --node c"),
        (REPLACED, "prim db"),
    ],
)
def test_where_no_copy_goes_or_the_agent_refuses_first_it_is_asked_at_once(view: ModuleView, line: str) -> None:
    agent = Agent(view)
    code, said = typed(agent, line)
    assert code == 0 and len(agent.did) == 1 and "deleted" not in said


def test_a_repair_is_shown_and_agreed_to() -> None:
    agent = Agent(PAIR)
    for answers in ((), ("",), ("y",), (CTRL_C,)):
        code, said = typed(agent, "verify db --repair", *answers)
        assert code == 1 and not agent.did, said
        assert "what b has instead is overwritten or deleted" in said and "mirrorfarm swap db" in said
        assert "nothing was compared" in said and "--yes does not ask" in said
    assert typed(agent, "verify db --repair", "yes")[0] == 0 and agent.did == ["repair"]
    assert typed(agent, "verify db --repair --yes")[0] == 0 and agent.did == ["repair", "repair"]


def test_a_comparison_is_not_asked_for() -> None:
    agent = Agent(PAIR)
    assert typed(agent, "verify db")[0] == 0 and agent.did == ["verify"]


def test_a_repair_where_the_primary_is_not_is_refused_before_it_is_asked_for() -> None:
    agent = Agent(module(replace(SECOND, node="a"), replace(PRIM, node="b"), primary="b"))
    code, said = typed(agent, "verify db --repair", "yes")
    assert code == 1 and not agent.did
    assert "a is not the primary of db" in said and "Run it on b itself: mirrorfarm verify db --repair" in said
    nobody = Agent(replace(agent.view, primary=""))
    code, said = typed(nobody, "verify db --repair", "yes")
    assert code == 1 and not nobody.did and "mirrorfarm why db" in said


def test_a_repair_that_another_node_is_asked_for_is_left_to_its_agent_which_refuses_it() -> None:
    agent = Agent(PAIR)
    code, said = typed(agent, "--node b verify db --repair")
    assert code == 0 and agent.did == ["repair"] and "overwritten" not in said
