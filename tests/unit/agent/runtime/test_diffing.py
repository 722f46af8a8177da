"""diff: of the primary only, and never without an end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.runtime.diffing import Diffing
from manager.model.api import ApiError, ErrorKind
from manager.model.control import Command, Diff, DiffReport, Refused, Scope
from manager.model.states import ModuleState
from tests.unit.agent.runtime.bench import refusal


def report(number: str) -> DiffReport:
    return DiffReport(number, Scope.CHANGES, True, True, False, 1, 2, 3, 4, 5, 6, 7, 8)


class Story:
    def __init__(self) -> None:
        self.diffing = Diffing("db")
        self.told: list[Command] = []

    def ask(self, number: str, state: ModuleState = ModuleState.PRIM) -> Coroutine[Any, Any, DiffReport]:
        return self.diffing.run(Diff(number), state, self.told.append)

    async def asked(self, *numbers: str) -> "list[asyncio.Task[DiffReport]]":
        tasks = [asyncio.ensure_future(self.ask(number)) for number in numbers]
        while len(self.told) < len(numbers):
            await asyncio.sleep(0)
        return tasks


def play(story: Callable[[Story], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story(Story()))


def test_each_question_gets_its_own_answer() -> None:
    async def story(s: Story) -> None:
        first, second = await s.asked("1", "2")
        for number in ("2", "another", "1", "1"):
            s.diffing.heard(report(number))
        assert (await first, await second) == (report("1"), report("2"))
        s.diffing.heard(report("1"))

    play(story)


@pytest.mark.parametrize("state", [ModuleState.SECOND, ModuleState.WAIT, ModuleState.STOP])
def test_elsewhere_it_is_refused_with_what_to_do(state: ModuleState) -> None:
    async def story(s: Story) -> None:
        error = await refusal(s.ask("1", state))
        assert error.kind is ErrorKind.REFUSED and error.remedy and s.told == []

    play(story)


def test_alone_it_is_asked_too() -> None:
    async def story(s: Story) -> None:
        task = asyncio.ensure_future(s.ask("1", ModuleState.ALONE))
        while not s.told:
            await asyncio.sleep(0)
        s.diffing.heard(report("1"))
        assert await task == report("1")

    play(story)


def test_it_ends_with_the_replicators_refusal_or_end() -> None:
    async def story(s: Story) -> None:
        ends: list[Callable[[], None]] = [
            lambda: s.diffing.heard(Refused("Diff", "this replicator is idle")),
            lambda: s.diffing.gone("killed by SIGKILL"),
        ]
        for end in ends:
            s.told.clear()
            [task] = await s.asked("1")
            end()
            with pytest.raises(ApiError, match="was not found out"):
                await task

    play(story)
