"""What a farm's core wants asked and answered, and what it is told of that; the datagrams are left out."""

import asyncio

from agent.adapters.probe_messages import Answer, Module
from agent.adapters.probing import Probing
from agent.core.farm import events
from agent.core.farm.commands import AnswerProbes, Probe
from agent.runtime.members_hand import Event, MembersHand
from manager.model.config import FarmConfig, parse_module

FARM = """name = "web"
kind = "farm"
nodes = ["a", "b"]

[[address]]
ip = "10.77.0.100/24"

[[rule]]
protocol = "tcp"
ports = "80"
"""
MODULE = Module("cluster", "m")
ADDRESS = "10.77.0.100"
HERE = frozenset({ADDRESS})


class Bench:
    def __init__(self, probing: Probing | None = None) -> None:
        config = parse_module(FARM, {})
        assert isinstance(config, FarmConfig)
        self.told: list[Event] = []
        self.hurries: list[bool] = []
        self.probing = probing or Probing("a", 1, lambda what, whose: None)
        self.hand = MembersHand(config, MODULE, 7, self.probing, self.told.append, self.hurries.append, self._fatal)

    def _fatal(self, what: str, error: BaseException) -> None:
        raise AssertionError(what) from error


def test_all_that_an_answer_says_is_told_in_the_cores_units() -> None:
    bench = Bench()
    mac = {ADDRESS: "02:00:00:00:00:0b"}
    answer = Answer(True, True, {ADDRESS: 4}, mac, {ADDRESS: frozenset({7})}, HERE, {ADDRESS: 1_400})
    bench.hand.answered("b", answer, 99)
    bench.hand.asked("b", {ADDRESS: 4})
    bench.hand.refused("b", 98)
    assert bench.told == [
        events.Answered(
            "b", True, {ADDRESS: 4}, mac, {ADDRESS: frozenset({7})}, True, HERE, {ADDRESS: 1_400_000_000}, 99
        ),
        events.Asked("b", {ADDRESS: 4}),
        events.Refused("b", 98),
    ]


def test_while_it_asks_its_own_registration_is_renewed_more_often() -> None:
    bench = Bench()

    async def story() -> None:
        bench.hand.probe(Probe({"b": "10.77.0.2"}))
        bench.hand.probe(Probe({"b": "10.77.0.2"}, {ADDRESS: 4}))
        bench.hand.probe(Probe({}))
        bench.hand.probe(Probe({"b": "10.77.0.2"}, {ADDRESS: 4}))
        await bench.hand.close()

    asyncio.run(story())
    assert bench.hurries == [True, True, False, True, False]


def test_what_has_ended_here_is_taken_part_in_no_more_and_may_begin_anew() -> None:
    async def story() -> None:
        bench = Bench()
        bench.hand.linked({ADDRESS: "02:00:00:00:00:0a"})
        bench.hand.answer(AnswerProbes(True, {}, {}, promises={ADDRESS: "b"}))
        await bench.hand.close()
        next_one = Bench(bench.probing)
        next_one.hand.answer(AnswerProbes(False, {}, {}, adopting=True))
        await next_one.hand.close()

    asyncio.run(story())
