import pytest

from manager.cli.outcomes import has_reached, of_start, of_stop
from manager.model.api import NodeState
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness
from tests.unit.manager.cli.views import ALONE, GONE, PRIM, SECOND, module, node

BOTH = ("a", "b")
STOP_B = node("b", ModuleState.STOP)


def wait_b(readiness: Readiness, reason: Reason) -> NodeState:
    return node("b", ModuleState.WAIT, readiness, reason)


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (SECOND, "done"),
        (wait_b(Readiness.TRANSIENT, Reason.CATCHING_UP), "done"),
        (wait_b(Readiness.TRANSIENT, Reason.SETTING_ASIDE), "done"),
        (wait_b(Readiness.BLOCKED, Reason.NO_DATA_NAMED), "done"),
        (wait_b(Readiness.TRANSIENT, Reason.NOT_IN_SYNC), "pending"),
        (wait_b(Readiness.READY, Reason.NOT_IN_SYNC), "pending"),
        (wait_b(Readiness.BLOCKED, Reason.DISK_OF_OTHER_CLUSTER), "failed"),
        (STOP_B, "pending"),
        (node("b", ModuleState.STOP, Readiness.BLOCKED, Reason.INTERNAL_ERROR), "failed"),
        (GONE, "unknown"),
        (node("b", None), "pending"),
        (node("b", None, registered=None), "pending"),
        (node("b", ModuleState.SECOND, Readiness.TRANSIENT), "pending"),
    ],
)
def test_a_start_is_judged_node_by_node(second: NodeState, verdict: str) -> None:
    outcome = of_start(module(PRIM, second), BOTH)
    found = {"pending": outcome.pending, "failed": outcome.failed, "unknown": outcome.unknown}
    assert {k for k, v in found.items() if v} == ({verdict} - {"done"})
    assert outcome.settled is (verdict != "pending")
    assert of_start(module(PRIM, second), ("a",)).settled, "the other node was not asked for"


@pytest.mark.parametrize(
    ("second", "pending", "unknown"),
    [(STOP_B, False, False), (SECOND, True, False), (GONE, False, True), (node("b", None), True, False)],
)
def test_a_stop_is_done_when_it_is_known_to_be(second: NodeState, pending: bool, unknown: bool) -> None:
    outcome = of_stop(module(node("a", ModuleState.STOP), second), BOTH)
    assert (bool(outcome.pending), bool(outcome.unknown)) == (pending, unknown)


def test_a_state_is_reached_at_rest() -> None:
    assert has_reached(module(PRIM, SECOND), ModuleState.SECOND, "")
    assert not has_reached(module(PRIM, SECOND), ModuleState.SECOND, "a")
    starting = node("a", ModuleState.PRIM, Readiness.TRANSIENT)
    assert not has_reached(module(starting, SECOND), ModuleState.PRIM, "")
    waiting = node("b", ModuleState.WAIT, Readiness.BLOCKED)
    assert has_reached(module(ALONE, waiting), ModuleState.WAIT, "b")
    assert not has_reached(module(ALONE, GONE), ModuleState.STOP, "b"), "unknown is no state"
