"""Which rules the kernel is given, in which order, and what the core is told of it. How nft takes them: integration."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from agent.adapters import nft
from agent.adapters.netlink import Interface
from agent.core.farm import events
from agent.core.farm.commands import LoadRules
from agent.runtime import rules_hand
from agent.runtime.rules_hand import RulesHand
from agent.runtime.stranded_hand import StrandedHand
from manager.model.config import Protocol, RuleConfig
from manager.model.config.farm_config import Affinity
from manager.model.errors import DefiniteFailure
from manager.model.farm import SLOTS, SlotTable

HERE = "10.0.0.100"
LINKS = {HERE: Interface(2, "eth0", b"\2\0\0\0\0\1", ethernet=True, loopback=False, up=True)}
RULES = (RuleConfig(Protocol.TCP, 80, 80),)
BY_CONNECTION = (RuleConfig(Protocol.TCP, 80, 80, Affinity.CONNECTION),)


class Stranded(StrandedHand):
    """Notes what had been told when it was asked."""

    def __init__(self, bench: "Bench") -> None:
        super().__init__("web", "a", 1, RULES)
        self._bench = bench
        self.looks: list[tuple[dict[str, int], int]] = []
        """The tables by their numbers, and how many of the core's commands had been answered."""
        self.forgotten = 0

    async def loaded(self, tables: Mapping[str, SlotTable], links: Mapping[str, int]) -> None:
        assert tables.keys() <= links.keys()
        self.looks.append(({a: table.number for a, table in tables.items()}, len(self._bench.given)))

    def forget(self) -> None:
        self.forgotten += 1


class Bench:
    """A hand, and a kernel that takes what it is given unless it is told to refuse it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.given: list[events.Loaded | events.LoadFailed] = []
        self.refuses = 0
        self.there = {"web": frozenset({1, 2})}
        """The tables' handles, by module."""
        self.hold = asyncio.Event()
        self.hold.set()
        monkeypatch.setattr(nft, "prepare", self._prepare)
        monkeypatch.setattr(nft, "load", self._load)
        monkeypatch.setattr(nft, "unload", self._unload)
        monkeypatch.setattr(nft, "loaded", self._loaded)
        monkeypatch.setattr(rules_hand, "AGAIN_S", 0.01)
        self.stranded = Stranded(self)
        self.hand = RulesHand("web", "a", 1, RULES, self.stranded, self.given.append, self._fatal)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.001)

    def _fatal(self, what: str, error: BaseException) -> None:
        raise AssertionError(what) from error

    async def _prepare(self, commands: str) -> None:
        await self._try("prepare")

    async def _load(self, transaction: Mapping[str, Any]) -> None:
        await self._try("load")

    async def _unload(self, module: str) -> None:
        await self._try("unload")

    async def _loaded(self) -> Mapping[str, frozenset[int]]:
        return self.there

    async def _try(self, what: str) -> None:
        await self.hold.wait()
        if self.refuses:
            self.refuses -= 1
            raise DefiniteFailure("refused")
        self.done.append(what)


def play(monkeypatch: pytest.MonkeyPatch, story: Callable[[Bench], Awaitable[None]]) -> None:
    async def played() -> None:
        bench = Bench(monkeypatch)
        try:
            await story(bench)
        finally:
            bench.hold.set()
            await bench.hand.close()

    asyncio.run(played())


def table(number: int) -> LoadRules:
    nobody = "-" * SLOTS
    return LoadRules({HERE: SlotTable(number, ("a", "b"), "0" * SLOTS, nobody, nobody)}, {})


def test_what_a_former_agent_has_loaded_stays_until_the_core_has_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        await asyncio.sleep(0.02)
        assert bench.done == [] and bench.hand.at_rest
        bench.hand.load(table(1))
        await bench.until(lambda: bench.given == [events.Loaded({HERE: 1})])
        assert not bench.hand.at_rest

    play(monkeypatch, story)


def test_what_a_former_agent_has_loaded_stays_until_the_links_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules without a link share nothing: this node's own stack would take what begins for all others."""

    async def story(bench: Bench) -> None:
        bench.hand.load(table(1))
        await asyncio.sleep(0.02)
        assert bench.done == [] and bench.given == []
        bench.hand.linked(LINKS)
        await bench.until(lambda: bench.given == [events.Loaded({HERE: 1})])
        assert bench.done == ["prepare", "load"]

    play(monkeypatch, story)


def test_rules_are_taken_out_though_no_link_was_ever_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.load(table(1))
        bench.hand.unload()
        await bench.until(lambda: bench.hand.at_rest)
        assert bench.done == ["unload"] and bench.given == []

    play(monkeypatch, story)


def test_rules_that_could_not_be_taken_out_are_not_replaced_before_the_links_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(bench: Bench) -> None:
        bench.refuses = 1
        bench.hand.unload()
        await bench.until(lambda: bench.refuses == 0)
        bench.hand.load(table(1))
        await asyncio.sleep(0.05)
        assert bench.done == [] and bench.given == []
        bench.hand.linked(LINKS)
        await bench.until(lambda: bench.given == [events.Loaded({HERE: 1})])
        await bench.hand.close()
        assert bench.done == ["prepare", "load"], "the next agent finds them in use"

    play(monkeypatch, story)


def test_the_newest_wish_alone_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hold.clear()
        bench.hand.linked(LINKS)
        for number in (1, 2, 3):
            bench.hand.load(table(number))
            await asyncio.sleep(0.005)
        bench.hold.set()
        await bench.until(lambda: bool(bench.given))
        assert bench.given == [events.Loaded({HERE: 3})]

    play(monkeypatch, story)


def test_an_address_whose_link_comes_later_is_told_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.linked({})
        bench.hand.load(table(1))
        await bench.until(lambda: bench.given == [events.Loaded({})])
        bench.hand.linked(LINKS)
        await bench.until(lambda: bench.given == [events.Loaded({}), events.Loaded({HERE: 1})])

    play(monkeypatch, story)


def test_a_refusal_is_told_once_and_for_a_links_sake_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        bench.refuses = 1
        bench.hand.load(table(1))
        await bench.until(lambda: bench.given == [events.LoadFailed("refused")])
        bench.hand.load(table(1))
        await bench.until(lambda: len(bench.given) == 2)
        bench.refuses = 2
        bench.hand.linked({HERE: Interface(3, "eth0", b"\2\0\0\0\0\1", ethernet=True, loopback=False, up=True)})
        await bench.until(lambda: bench.refuses == 0 and bench.given[2:] == [events.Loaded({HERE: 1})])

    play(monkeypatch, story)


def test_they_are_gone_when_it_is_at_rest_however_often_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        bench.hand.load(table(1))
        await bench.until(lambda: bool(bench.given))
        bench.refuses = 3
        bench.hand.unload()
        assert not bench.hand.at_rest
        await bench.until(lambda: bench.hand.at_rest)
        assert bench.done[-1] == "unload" and bench.refuses == 0

    play(monkeypatch, story)


def test_a_load_under_way_does_not_come_after_the_unload(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        bench.hold.clear()
        bench.hand.load(table(1))
        await asyncio.sleep(0.005)
        bench.hand.unload()
        bench.hold.set()
        await bench.hand.close()
        assert bench.done[-1:] == ["unload"] and bench.given == []

    play(monkeypatch, story)


def test_what_outlasts_the_rules_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        for number in (1, 2, 3):
            bench.hand.load(table(number))
            await bench.until(lambda number=number: bench.given[-1:] == [events.Loaded({HERE: number})])  # type: ignore[misc]
        assert bench.done == ["prepare", "load", "load", "load"]
        bench.hand.unload()
        await bench.until(lambda: bench.hand.at_rest)
        bench.hand.load(table(4))
        await bench.until(lambda: bench.given[-1:] == [events.Loaded({HERE: 4})])
        assert bench.done[4:] == ["unload", "prepare", "load"]

    play(monkeypatch, story)


def test_where_it_has_gone_meanwhile_it_is_made_again_before_the_rules_are_called_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        bench.hand.load(table(1))
        await bench.until(lambda: bool(bench.given))
        bench.refuses = 1
        bench.hand.load(table(2))
        await bench.until(lambda: len(bench.given) == 2)
        assert bench.given == [events.Loaded({HERE: 1}), events.Loaded({HERE: 2})]
        assert bench.done == ["prepare", "load", "prepare", "load"]

    play(monkeypatch, story)


def test_another_way_needs_another_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rules by connection what is remembered of fragments is kept by the way that they go."""
    monkeypatch.setattr("tests.unit.agent.runtime.test_rules_hand.RULES", BY_CONNECTION)

    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        nobody = "-" * SLOTS
        for number, owners in enumerate(("0", "1", "0", "1"), 1):
            tables = {HERE: SlotTable(number, ("a", "b"), owners * SLOTS, nobody, nobody)}
            bench.hand.load(LoadRules(tables, {HERE: {"b": "02:00:00:00:00:0b"}}))
            await bench.until(lambda number=number: bench.given[-1:] == [events.Loaded({HERE: number})])  # type: ignore[misc]
        assert bench.done == ["prepare", "load", "prepare", "load", "load", "load"]

    play(monkeypatch, story)


def test_what_somebody_else_removed_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_hand, "KEEP_S", 0.01)

    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        bench.hand.load(table(1))
        await bench.until(lambda: bool(bench.given))
        await asyncio.sleep(0.05)
        assert bench.done == ["prepare", "load"] and bench.stranded.forgotten == 0
        bench.there = {}
        await bench.until(lambda: len(bench.done) >= 4)
        assert bench.stranded.forgotten > 0, "what began here meanwhile is not looked for"
        bench.there = {"web": frozenset({3, 4})}
        assert bench.done[:4] == ["prepare", "load", "prepare", "load"]

    play(monkeypatch, story)


def test_a_copy_of_former_rules_in_their_place_is_not_taken_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where somebody saves all rules, and a firewall's reload flushes all and loads what was saved."""
    monkeypatch.setattr(rules_hand, "KEEP_S", 0.01)

    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        bench.hand.load(table(1))
        await bench.until(lambda: bool(bench.given))
        await asyncio.sleep(0.05)
        bench.there = {"web": frozenset({3, 4})}
        await bench.until(lambda: len(bench.done) >= 4)
        await asyncio.sleep(0.05)
        assert bench.done == ["prepare", "load", "prepare", "load"] and bench.stranded.forgotten == 1

    play(monkeypatch, story)


def test_that_tables_are_taken_out_has_it_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        bench.hand.load(table(1))
        await bench.until(lambda: bool(bench.given))
        bench.hand.look()
        await asyncio.sleep(0.05)
        assert bench.done == ["prepare", "load"], "they were another module's"
        bench.there = {}
        bench.hand.look()
        await bench.until(lambda: len(bench.done) >= 4)
        bench.there = {"web": frozenset({3, 4})}
        assert bench.done[:4] == ["prepare", "load", "prepare", "load"]

    play(monkeypatch, story)


def test_what_was_under_way_while_it_looked_is_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        bench.hand.load(table(1))
        await bench.until(lambda: bool(bench.given))
        bench.hold.clear()
        bench.hand.load(table(2))
        bench.there = {}
        bench.hand.look()
        await asyncio.sleep(0.05)
        bench.hold.set()
        await bench.until(lambda: len(bench.done) >= 5)
        bench.there = {"web": frozenset({3, 4})}
        assert bench.done[:5] == ["prepare", "load", "load", "prepare", "load"]

    play(monkeypatch, story)


def test_what_a_kill_could_not_take_out_is_taken_out_as_soon_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module is never at rest before, and neither started by another configuration nor removed."""

    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        bench.hand.load(table(1))
        await bench.until(lambda: bool(bench.given))
        bench.refuses = 2
        await bench.hand.kill()
        assert not bench.hand.at_rest
        await bench.until(lambda: bench.hand.at_rest)
        assert bench.done == ["prepare", "load", "unload"]

    play(monkeypatch, story)


def test_what_became_other_nodes_is_looked_for_before_the_core_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told, it would say so to a director, which may have something new come here at once."""

    async def story(bench: Bench) -> None:
        bench.hand.linked(LINKS)
        for number in (1, 2):
            bench.hand.load(table(number))
            await bench.until(lambda number=number: len(bench.given) == number)  # type: ignore[misc]
        assert bench.stranded.looks == [({HERE: 1}, 0), ({HERE: 2}, 1)]

    play(monkeypatch, story)


def test_of_rules_that_are_not_loaded_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.refuses = 2
        bench.hand.linked(LINKS)
        bench.hand.load(table(1))
        await bench.until(lambda: bool(bench.given))
        assert bench.given == [events.LoadFailed("refused")] and bench.stranded.looks == []

    play(monkeypatch, story)
