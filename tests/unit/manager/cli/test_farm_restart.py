"""``restart`` of a farm: one node after the other, who directs last, each once the one before has its share back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from manager.cli.outcomes import has_its_share
from manager.model.api import ModuleView, NodeState, StateArguments
from manager.model.api_farm import FarmTable
from manager.model.api_requests import Action, RequestArguments, RequestResult
from manager.model.farm import SLOTS
from manager.model.farm_resources import farm_resources
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Run
from tests.unit.manager.cli.farm_views import VIP, farm, table, up
from tests.unit.manager.cli.typing_in import typed
from tests.unit.manager.cli.views import result

VIP6 = "fd77::110"


class Agent:
    """``views``: what state shows in turn, the last one from then on."""

    def __init__(self, *views: ModuleView) -> None:
        self.views = [*views]
        self.asked: list[str] = []

    def call(self, arguments: Any, *, timeout_s: float = 0, on_progress: Callable[[Any], None] | None = None) -> Any:
        if isinstance(arguments, StateArguments):
            return result(self.views.pop(0) if len(self.views) > 1 else self.views[0])
        assert isinstance(arguments, RequestArguments) and arguments.action is Action.RESTART
        self.asked.append(arguments.node)
        return RequestResult("1", arguments.node, "done")

    def close(self) -> None:
        """Nothing is open."""


def started(view: ModuleView) -> ModuleView:
    return replace(view, nodes=tuple(replace(n, wanted=Run.STARTED) for n in view.nodes))


ALL = started(farm())
WITHOUT_B = started(farm(tables=(table({"a": 512, "c": 512}),)))


def test_who_directs_is_the_last_one() -> None:
    agent = Agent(ALL)
    assert typed(agent, "restart web")[0] == 0
    assert agent.asked == ["b", "c", "a"]


def test_the_next_one_waits_until_the_share_is_back() -> None:
    agent = Agent(ALL, WITHOUT_B, WITHOUT_B, ALL)
    code, said = typed(agent, "restart web")
    assert code == 0 and agent.asked == ["b", "c", "a"] and agent.views == [ALL]
    assert said.count("b runs again, and is waited for until it has its share back") == 1


def test_a_share_that_does_not_come_back_ends_it_with_a_word() -> None:
    agent = Agent(WITHOUT_B)
    code, said = typed(agent, "restart web --timeout 0s")
    assert code == 4 and agent.asked == ["b"]
    assert "b was restarted, and did not get its share of web back in time" in said
    assert "c, a were not restarted" in said and "mirrorfarm why web --node b" in said


def test_one_node_alone_is_waited_for_too_and_nobody_without_a_wait() -> None:
    assert typed(Agent(WITHOUT_B), "restart web --node b --timeout 0s")[0] == 4
    agent = Agent(WITHOUT_B)
    assert typed(agent, "restart web --node b --no-wait")[0] == 0 and agent.asked == ["b"]


def test_all_at_once_is_refused() -> None:
    agent = Agent(ALL)
    code, said = typed(agent, "restart web --no-wait")
    assert code == 1 and agent.asked == [] and "stop serving at once" in said


def test_what_is_due_to_a_drained_one_is_nothing() -> None:
    assert has_its_share(farm(tables=(table({"a": 512, "c": 512}),), b=0), "b")


@pytest.mark.parametrize(
    "b",
    [
        up("b", ModuleState.WAIT),
        up("b", reason=Reason.HANDING_OVER),
        replace(up("b"), resources=farm_resources({}, is_open=False)),
        up("b", None),
    ],
)
def test_one_that_takes_nothing_has_not_its_share(b: NodeState) -> None:
    assert not has_its_share(farm(up("a"), b, up("c")), "b")


@pytest.mark.parametrize(("slots", "enough"), [(341, True), (340, False)])
def test_the_share_is_that_of_the_weights_to_a_slot(slots: int, enough: bool) -> None:
    shares = {"a": 342, "b": slots, "c": SLOTS - 342 - slots}
    assert has_its_share(farm(tables=(table(shares),)), "b") is enough


def test_an_address_that_the_node_does_not_reach_gives_it_nothing() -> None:
    other = replace(table({"a": 512, "c": 512}), address=VIP6)
    b = replace(up("b"), resources=farm_resources({VIP: "02:00:00:00:00:0b"}))
    assert has_its_share(farm(up("a"), b, up("c"), tables=(table(), other)), "b")
    both = replace(b, resources=farm_resources(dict.fromkeys((VIP, VIP6), "02:00:00:00:00:0b")))
    assert not has_its_share(farm(up("a"), both, up("c"), tables=(table(), other)), "b")


def test_what_is_not_known_is_not_there() -> None:
    strange = FarmTable(VIP, "a", None)
    assert not has_its_share(farm(tables=(strange,)), "b")
