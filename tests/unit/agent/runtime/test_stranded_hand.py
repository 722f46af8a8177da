"""When it is looked for connections in slots that other nodes serve. How they are found and reset: integration."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address

import pytest

from agent.adapters import slot_connections
from agent.runtime.stranded_hand import StrandedHand
from manager.model.config import Protocol, RuleConfig
from manager.model.errors import DefiniteFailure
from manager.model.farm import NOBODY, SLOTS, SlotTable

HERE = "10.0.0.100"
LINK = 7
RULES = (RuleConfig(Protocol.TCP, 80, 80),)


def table(owners: str, coming: str = "", leaving: str = "", number: int = 1) -> SlotTable:
    """Its first slots; of the others nobody has any."""
    owners, coming, leaving = (row.ljust(SLOTS, NOBODY) for row in (owners, coming, leaving))
    return SlotTable(number, ("a", "b"), owners, coming, leaving)


class Bench:
    """Node a's hand, and a kernel that says what it is asked to reset."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[frozenset[int], int]] = []
        self.refuses = False
        self.number = 0
        self.hand = StrandedHand("web", "a", 1, RULES)
        monkeypatch.setattr(slot_connections, "reset", self._reset)

    async def loaded(
        self, owners: str, coming: str = "", leaving: str = "", link: int = LINK, number: int = 0
    ) -> list[frozenset[int]]:
        """What is reset when the kernel has loaded this table: the next one, unless it is told by ``number``."""
        before = len(self.asked)
        self.number = number or self.number + 1
        await self.hand.loaded({HERE: table(owners, coming, leaving, self.number)}, {HERE: link})
        return [slots for slots, _ in self.asked[before:]]

    async def _reset(self, address: IPv4Address, slots: frozenset[int], shared: object, link: int) -> int:
        assert str(address) == HERE and shared
        self.asked.append((slots, link))
        if self.refuses:
            raise DefiniteFailure("refused")
        return 0


def play(monkeypatch: pytest.MonkeyPatch, story: Callable[[Bench], Awaitable[None]]) -> None:
    async def played() -> None:
        await story(Bench(monkeypatch))

    asyncio.run(played())


def test_what_is_given_to_others_at_once_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        assert await bench.loaded("0011") == [{2, 3}]
        assert await bench.loaded("0011") == []
        assert await bench.loaded("0111") == [{1, 2, 3}]
        assert await bench.loaded("0011") == []
        assert bench.asked[-1][1] == LINK

    play(monkeypatch, story)


def test_slots_that_it_leaves_are_its_own_still(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        await bench.loaded("0001")
        assert await bench.loaded("0011", leaving="--0-") == []
        assert await bench.loaded("0011") == [{2, 3}]

    play(monkeypatch, story)


def test_before_slots_come_it_is_looked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have missed the table that gave them away, or have taken what was sent by a former one."""

    async def story(bench: Bench) -> None:
        await bench.loaded("0011")
        assert await bench.loaded("0011", coming="--0-") == [{2, 3}]
        assert await bench.loaded("0001", leaving="--1-") == []

    play(monkeypatch, story)


def test_by_a_table_that_is_loaded_again_what_comes_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A director that has the next table already sends what begins in a slot that comes."""

    async def story(bench: Bench) -> None:
        assert await bench.loaded("0011", coming="--0-", number=5) == [{2, 3}]
        assert await bench.loaded("0011", coming="--0-", number=5) == []
        assert await bench.loaded("0011", coming="--00", number=6) == [{2, 3}]

    play(monkeypatch, story)


def test_a_look_that_failed_is_made_again_by_the_next_table(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bench.refuses = True
        assert await bench.loaded("0011") == [{2, 3}]
        bench.refuses = False
        assert await bench.loaded("0011") == [{2, 3}]
        assert await bench.loaded("0011") == []

    play(monkeypatch, story)


def test_by_another_link_and_after_the_rules_were_gone_all_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        await bench.loaded("0011")
        assert await bench.loaded("0011", link=LINK + 1) == [{2, 3}]
        bench.hand.forget()
        assert await bench.loaded("0011", link=LINK + 1) == [{2, 3}]

    play(monkeypatch, story)


def test_of_an_address_without_a_link_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        await bench.hand.loaded({HERE: table("11")}, {})
        assert bench.asked == []

    play(monkeypatch, story)
