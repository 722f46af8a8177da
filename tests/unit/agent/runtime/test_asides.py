"""What is set aside is asked of the replicator, each question has an end, and how much there is, is known."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.runtime.asides import Asides
from manager.model import asides
from manager.model.api import ApiError, ErrorKind
from manager.model.asides import Aside, AsideClear, AsideList, AsideReport, SetAside
from manager.model.control import Command, Hello, Refused
from manager.model.resources import KeptAside
from tests.unit.agent.runtime.bench import refusal

HELLO = Hello(1, "a1", 5, "idle", 0, None)


def aside(number: int, size: int = 100) -> Aside:
    return Aside(number, "2026-11-26T03:00:00Z", 4, "b", 6, 3, size)


def report(request: str, *found: Aside, error: str = "") -> AsideReport:
    return AsideReport(request, error, False, 1 << 30, found)


class Story:
    def __init__(self) -> None:
        self.told: list[Command] = []
        self.connected = True
        self.changes = 0
        self.asides = Asides("db", "a", self.ask, self.changed)

    def ask(self, command: Command) -> bool:
        if self.connected:
            self.told.append(command)
        return self.connected

    def changed(self) -> None:
        self.changes += 1

    async def asked(self, *commands: asides.Command) -> "list[asyncio.Task[AsideReport]]":
        tasks = [asyncio.ensure_future(self.asides.run(command)) for command in commands]
        while len(self.told) < len(commands):
            await asyncio.sleep(0)
        return tasks


def play(story: Callable[[Story], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story(Story()))


def test_each_question_gets_its_own_answer() -> None:
    async def story(s: Story) -> None:
        first, second = await s.asked(AsideList("1"), AsideClear("2", 7))
        for number in ("2", "another", "1", "1"):
            s.asides.heard(report(number))
        assert (await first, await second) == (report("1"), report("2"))

    play(story)


def test_what_was_not_done_is_an_error_in_the_replicators_words() -> None:
    async def story(s: Story) -> None:
        [task] = await s.asked(AsideClear("1", 7))
        s.asides.heard(report("1", error="there is no aside 7"))
        error = await refusal(task)
        assert (error.kind, error.message) == (ErrorKind.REFUSED, "db on a: there is no aside 7.")

    play(story)


def test_without_a_replicator_it_is_refused_with_what_to_do() -> None:
    async def story(s: Story) -> None:
        s.connected = False
        error = await refusal(s.asides.run(AsideList("1")))
        assert error.kind is ErrorKind.REFUSED and "mirrorfarm start db --node a" in error.remedy

    play(story)


ENDS: dict[str, Callable[[Story], None]] = {
    "killed": lambda s: s.asides.gone("killed by SIGKILL"),
    "refused": lambda s: s.asides.heard(Refused("AsideClear", "no")),
    "older": lambda s: s.asides.heard(Refused('{"type": "AsideClear", "request_id": "1"', "unknown type 'AsideClear'")),
    "reconnected": lambda s: s.asides.heard(HELLO),
}


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_with_the_replicator_its_refusal_or_its_connection(end: str) -> None:
    async def story(s: Story) -> None:
        [task] = await s.asked(AsideClear("1", 7))
        ENDS[end](s)
        with pytest.raises(ApiError, match="It is not known what came of it"):
            await task

    play(story)


def test_a_refusal_of_something_else_ends_no_question() -> None:
    async def story(s: Story) -> None:
        [task] = await s.asked(AsideClear("1", 7))
        s.asides.heard(Refused("Diff", "this replicator is idle"))
        s.asides.heard(report("1"))
        assert await task == report("1")

    play(story)


def test_how_much_there_is_is_asked_for_when_it_may_be_another() -> None:
    async def story(s: Story) -> None:
        for event in (HELLO, SetAside("b", 1, 3, 100)):
            s.told.clear()
            s.asides.heard(event)
            assert [type(command) for command in s.told] == [AsideList]
        s.asides.heard(report("any", aside(1), aside(2, 50)))
        assert s.asides.kept == KeptAside(2, 150) and s.changes == 1
        s.asides.heard(report("other", aside(1), aside(2, 50)))
        assert s.changes == 1
        s.asides.heard(report("cleared"))
        assert s.asides.kept == KeptAside(0, 0) and s.changes == 2

    play(story)


def test_without_its_replicator_it_is_not_known() -> None:
    async def story(s: Story) -> None:
        s.asides.gone("stopped")
        assert s.changes == 0
        s.asides.heard(report("any", aside(1)))
        s.asides.gone("stopped")
        assert s.asides.kept is None and s.changes == 2

    play(story)
