"""verify: of the primary in PRIM only, one at a time, and never without an end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.runtime.verifying import Verifying
from manager.model.api import ApiError, ErrorKind
from manager.model.control import Command, Progress, Refused, Verify, VerifyReport
from manager.model.states import ModuleState
from tests.unit.agent.runtime.bench import refusal

REPORT = VerifyReport("r", "", 3, 10, 0, ())
PROGRESS = Progress("verify", "b", 1, 2, 3, 4, 5)


class Story:
    def __init__(self) -> None:
        self.verifying = Verifying("db")
        self.told: list[Command] = []
        self.progress: list[Progress] = []

    async def report(self, progress: Progress) -> None:
        self.progress.append(progress)

    def ask(self, state: ModuleState = ModuleState.PRIM) -> Coroutine[Any, Any, VerifyReport]:
        return self.verifying.run(Verify("r"), state, self.told.append, self.report)

    async def asked(self) -> "asyncio.Task[VerifyReport]":
        task = asyncio.ensure_future(self.ask())
        while not self.told:
            await asyncio.sleep(0)
        return task


def play(story: Callable[[Story], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story(Story()))


def test_progress_comes_on_the_way_and_the_report_at_the_end() -> None:
    async def story(s: Story) -> None:
        task = await s.asked()
        s.verifying.heard(Progress("join", "b", 0, 0, 0, 0, 0))
        s.verifying.heard(PROGRESS)
        s.verifying.heard(VerifyReport("another", "", 0, 0, 0, ()))
        s.verifying.heard(REPORT)
        assert await task == REPORT and s.progress == [PROGRESS] and s.told == [Verify("r")]

    play(story)


@pytest.mark.parametrize("state", [ModuleState.SECOND, ModuleState.WAIT, ModuleState.STOP, ModuleState.ALONE])
def test_elsewhere_it_is_refused_with_what_to_do(state: ModuleState) -> None:
    async def story(s: Story) -> None:
        error = await refusal(s.ask(state))
        assert error.kind is ErrorKind.REFUSED and error.remedy and s.told == []

    play(story)


def test_a_second_one_is_refused_and_the_first_goes_on() -> None:
    async def story(s: Story) -> None:
        task = await s.asked()
        assert (await refusal(s.ask())).reason == "busy"
        s.verifying.heard(REPORT)
        assert await task == REPORT

    play(story)


def test_it_ends_with_the_replicators_refusal_or_end() -> None:
    async def story(s: Story) -> None:
        ends: list[Callable[[], None]] = [
            lambda: s.verifying.heard(Refused("Verify", "not primary")),
            lambda: s.verifying.gone("killed by SIGKILL"),
        ]
        for end in ends:
            s.told.clear()
            task = await s.asked()
            end()
            with pytest.raises(ApiError, match="came to no end"):
                await task
        # And the next one may begin.
        s.told.clear()
        task = await s.asked()
        s.verifying.heard(REPORT)
        assert await task == REPORT

    play(story)
