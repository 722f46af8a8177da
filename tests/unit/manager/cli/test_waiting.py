"""What an operator reads of a node that waits for a module that its own one depends on."""

from dataclasses import replace

import pytest

from manager.cli.advice import remedy
from manager.cli.node_words import why_words
from manager.cli.outcomes import of_start
from manager.cli.render import state_table, why_text
from manager.model.api import ModuleView, NodeState, WhyResult
from manager.model.reasons import Reason
from manager.model.resources import with_waited
from manager.model.states import ModuleState, Readiness
from tests.unit.manager.cli.farm_views import farm, up
from tests.unit.manager.cli.test_render import shown
from tests.unit.manager.cli.views import SECOND, module, node, result


def waiting(name: str, state: ModuleState, *modules: str) -> NodeState:
    one = node(name, state, Readiness.TRANSIENT, Reason.WAITING_FOR_MODULE)
    return replace(one, resources=with_waited(one.resources, modules))


MIRROR = module(waiting("a", ModuleState.PRIM, "store"), SECOND)
FARM = farm(waiting("a", ModuleState.WAIT, "store", "queue"), up("b"), up("c"))


@pytest.mark.parametrize(
    ("view", "says", "todo"),
    [
        (MIRROR, "once store serves.", "Else mirrorfarm why store says what is missing."),
        (FARM, "once store and queue serve.", "Else mirrorfarm why store and mirrorfarm why queue says"),
    ],
)
def test_the_modules_are_named_in_state_and_why(view: ModuleView, says: str, todo: str) -> None:
    assert f"Its application is started {says}" in shown(state_table(result(view)))
    told = shown(why_text(WhyResult(view, "a", True, 0, here="b")))
    assert f"Its application is started {says}" in told and todo in told


def test_where_they_are_not_told_the_cause_is() -> None:
    silent = waiting("a", ModuleState.PRIM)
    assert why_words("db", silent) == "Its application is started once each module that it depends on serves."
    assert "mirrorfarm state" in remedy(module(silent, SECOND), silent, here=silent.node, store_reachable=True)


def test_what_was_waited_for_is_not_said_of_another_cause() -> None:
    serving = replace(waiting("a", ModuleState.PRIM, "store"), reason=Reason.SERVING)
    assert "store" not in why_words("db", serving)


def test_a_start_has_done_what_it_can() -> None:
    assert of_start(FARM, ("a",)).settled and not of_start(FARM, ("a",)).failed
