"""What a node counts of a farm's traffic: what went where, in all and in a second, and what others have told."""

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

from agent.adapters.nft import Counted
from agent.adapters.probe_messages import Module
from agent.adapters.probing import Probing
from agent.core.farm.nft_ways import counter_name
from agent.runtime.figures_hand import FiguresHand, Sample, flows_of
from manager.model.farm_figures import Flow, NodeFigures
from tests.unit.agent.core.farm.desk import CONFIG, TWO, VIP, VIP6

SECOND_NS = 1_000_000_000
TO_A, TO_B, TO_B6 = counter_name("a", VIP), counter_name("b", VIP), counter_name("b", VIP6)


def sample(second: float, **packets: int) -> Sample:
    names = {"a": TO_A, "b": TO_B, "b6": TO_B6, "nobody": counter_name("", VIP)}
    return Sample(round(second * SECOND_NS), {names[to]: Counted(n, 100 * n) for to, n in packets.items()})


def test_at_first_there_is_no_rate() -> None:
    assert flows_of(TWO, None, sample(5, a=7, b=0, b6=3, nobody=9)) == {
        VIP: {"a": Flow(7, 700, None, None)},
        VIP6: {"b": Flow(3, 300, None, None)},
    }


def test_then_it_is_what_came_since_the_look_before() -> None:
    assert flows_of(TWO, sample(5, a=7), sample(10, a=57, b6=1)) == {
        VIP: {"a": Flow(57, 5_700, 10, 1_000)},
        VIP6: {"b": Flow(1, 100, 0, 20)},
    }


@pytest.mark.parametrize("last", [sample(5, a=70), sample(10, a=7)])
def test_counters_that_began_anew_and_time_that_stood_still_give_none(last: Sample) -> None:
    assert flows_of(CONFIG, last, sample(10, a=57)) == {VIP: {"a": Flow(57, 5_700, None, None)}}


class NoSocket:
    """Takes the place of what tells other nodes."""

    def listen(self, module: Module, told: object) -> None:
        """Nobody says anything."""


@pytest.fixture
def hand() -> Iterator[FiguresHand]:
    def on_fatal(what: str, error: BaseException) -> None:
        raise AssertionError(what) from error

    made = FiguresHand(CONFIG, "a", Module("c", "m"), cast(Probing, NoSocket()), tuple, on_fatal)
    yield made
    asyncio.run(made.close())


def test_what_others_tell_grows_old(hand: FiguresHand) -> None:
    hand.told("b", NodeFigures({VIP: 3}, {}, 40))
    known = hand.known()["b"]
    assert known.connections == {VIP: 3} and 40 <= known.age_ms < 10_000


@pytest.mark.parametrize("node", ["a", "z"])
def test_of_itself_and_of_strangers_nobody_tells_it_anything(hand: FiguresHand, node: str) -> None:
    hand.told(node, NodeFigures({VIP: 3}, {}, 0))
    assert hand.known() == {}
