"""verify: of the primary in PRIM only, one at a time, and never without an end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.runtime.verifying import Verifying
from manager.model.api import ApiError, ErrorKind
from manager.model.control import (
    Command,
    Difference,
    PeerComplete,
    PeerLost,
    Progress,
    Refused,
    Verify,
    VerifyReport,
)
from manager.model.states import ModuleState
from tests.unit.agent.runtime.bench import refusal

REPORT = VerifyReport("r", "", 3, 10, 0, ())
PROGRESS = Progress("verify", "b", 1, 2, 3, 4, 5)


class Story:
    def __init__(self) -> None:
        self.verifying = Verifying("db")
        self.told: list[Command] = []
        self.progress: list[Progress] = []
        self.command = Verify("r")
        self.state = ModuleState.PRIM

    async def report(self, progress: Progress) -> None:
        self.progress.append(progress)

    def ask(self, state: ModuleState = ModuleState.PRIM) -> Coroutine[Any, Any, VerifyReport]:
        self.state = state
        return self.verifying.run(self.command, lambda: self.state, self.told.append, self.report)

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
        s.verifying.heard(Progress("another", "b", 0, 0, 0, 0, 0))
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


DIFFERENCE = Difference("/srv/db/f", "mode", "0o644", "0o600")
DIFFERENT = VerifyReport("r", "", 3, 10, 5, (DIFFERENCE,), repairing=True)
LOST, COMPLETE = PeerLost("b", "its copy differs"), PeerComplete("b", "boot", "i", 1)


async def repairing(s: Story) -> "asyncio.Task[VerifyReport]":
    s.command = Verify("r", 7, repair=True, bytes_s=5)
    task = await s.asked()
    s.verifying.heard(DIFFERENT)
    s.verifying.heard(LOST)
    s.state = ModuleState.ALONE
    return task


async def beside(task: "asyncio.Task[VerifyReport]") -> None:
    """The task does what it can."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()


def test_what_was_repaired_is_compared_again_when_the_other_node_is_listed() -> None:
    async def story(s: Story) -> None:
        task = await repairing(s)
        s.verifying.heard(COMPLETE)
        s.verifying.heard(LOST)
        s.verifying.heard(Progress("join", "b", 1, 1, 1, 1, 1))
        await beside(task)
        s.state = ModuleState.PRIM
        await beside(task)
        assert len(s.told) == 1, "it is listed, and was lost again since it was complete"
        s.verifying.heard(COMPLETE)
        while len(s.told) < 2:
            await asyncio.sleep(0)
        assert s.told == [s.command, Verify("r", 7, bytes_s=5)]
        s.verifying.heard(REPORT)
        report = await task
        assert (report.differences_total, report.repaired_total, report.repaired) == (0, 5, (DIFFERENCE,))
        assert [progress.work for progress in s.progress] == ["join"]

    play(story)


def test_a_repair_ends_when_this_node_is_no_primary_any_more_or_its_replicator_is_gone() -> None:
    async def story(s: Story) -> None:
        task = await repairing(s)
        await beside(task)
        s.state = ModuleState.SECOND
        with pytest.raises(ApiError, match="is SECOND now") as refused:
            await task
        assert "come back" in refused.value.meaning
        s = Story()
        task = await repairing(s)
        s.verifying.gone("killed by SIGKILL")
        with pytest.raises(ApiError, match="killed by SIGKILL"):
            await task

    play(story)
