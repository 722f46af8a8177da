"""The schedule begins, notes, stops and goes on; an operator goes first; what was found is in etcd whoever waits."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import pytest

from agent.runtime.verify_hand import VerifyHand
from agent.runtime.verify_notes import VerifyNotes
from manager.model.api import ApiError
from manager.model.api_verify import VerifyArguments
from manager.model.config import VerifyConfig, VerifyWindow
from manager.model.control import Command, Difference, Hello, Progress, Refused, StopVerify, Verify, VerifyReport
from manager.model.records import ModuleConfigRecord
from manager.model.states import ModuleState
from manager.model.verify_record import VerifyRecord
from manager.store.api import DeletePrefix, Txn
from tests.unit.agent.runtime.bench import KEYS, Bench

CONFIG = VerifyConfig((VerifyWindow(60, 120),), 7)
IN, OUT = datetime(2026, 11, 28, 1, 30), datetime(2026, 11, 28, 2, 30)
DB = KEYS.module("db")


class Story(Bench):
    def __init__(self, config: VerifyConfig = CONFIG) -> None:
        super().__init__("a", "b")
        self.put(DB.config, ModuleConfigRecord("m", 1, "", {}, "", ""))
        self.told: list[Command] = []
        self.state = ModuleState.PRIM
        self.now = IN
        self.fatal: list[BaseException] = []
        self.notes = VerifyNotes("db", self.store, self.view, self._fatal)
        self.hand = VerifyHand(
            "db", "a", config, self.notes, lambda: self.state, self.told.append, self._fatal, lambda: self.now, 0.0
        )

    def _fatal(self, _what: str, error: BaseException) -> None:
        self.fatal.append(error)

    @property
    def record(self) -> VerifyRecord:
        return self.view.keys.record(VerifyRecord, DB.verify) or VerifyRecord()

    async def begun(self) -> Verify:
        """The comparison that the schedule begins."""
        await self.until(lambda: any(isinstance(told, Verify) for told in self.told))
        [command] = [told for told in self.told if isinstance(told, Verify)]
        self.told.clear()
        return command

    async def rest(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


def play(story: Callable[[Story], Coroutine[Any, Any, None]], config: VerifyConfig = CONFIG) -> None:
    s = Story(config)

    async def played() -> None:
        s.hand.open()
        try:
            await story(s)
        finally:
            await s.hand.close()
        assert not s.fatal

    s.run(played)


def report(number: str, differences: int = 0, error: str = "", place: str = "") -> VerifyReport:
    found = (Difference("/srv/db/x", "content", "h", "t"),) if differences else ()
    return VerifyReport(number, error, 10, 100, differences, found, place=place)


async def unheeded(_progress: Progress) -> None:
    return


def test_one_of_the_schedule_from_begin_to_end() -> None:
    async def story(s: Story) -> None:
        s.now = OUT
        await s.rest()
        assert s.told == []
        s.now, s.state = IN, ModuleState.ALONE
        await s.rest()
        assert s.told == []
        s.state = ModuleState.PRIM
        command = await s.begun()
        assert (command.bytes_s, command.repair, command.place) == (7, False, "")
        await s.until(lambda: s.record.unfinished is not None)
        s.hand.heard(report(command.request_id))
        await s.until(lambda: s.record.last is not None)
        assert s.record.unfinished is None and s.record.window == "2026-11-28 01:00"
        await s.rest()
        assert s.told == [], "once in a window"

    play(story)


def test_what_a_former_agent_left_under_way_is_ended_first() -> None:
    async def story(s: Story) -> None:
        await s.until(lambda: bool(s.told))
        assert isinstance(s.told[0], StopVerify)

    play(story)


def test_it_ends_with_its_window_and_the_place_is_noted() -> None:
    async def story(s: Story) -> None:
        command = await s.begun()
        s.now = OUT
        await s.until(lambda: bool(s.told))
        assert s.told == [StopVerify("its window was over")]
        s.hand.heard(report(command.request_id, error="its window was over", place="p"))
        await s.until(lambda: s.record.unfinished is not None and s.record.unfinished.place == "p")

    play(story)


def test_it_goes_on_when_another_window_begins_within_its_own() -> None:
    async def story(s: Story) -> None:
        command = await s.begun()
        s.now = datetime(2026, 11, 28, 1, 45)
        await s.rest()
        assert s.told == []
        s.now = OUT
        await s.until(lambda: bool(s.told))
        assert s.told == [StopVerify("its window was over")]
        s.hand.heard(report(command.request_id, error="its window was over", place="p"))
        await s.rest()

    play(story, VerifyConfig((VerifyWindow(60, 120), VerifyWindow(100, 110)), 7))


def test_what_differs_stays_noted_although_nobody_hears_of_it() -> None:
    async def story(s: Story) -> None:
        arguments = VerifyArguments("db", 3, bytes_s=9)
        task = asyncio.ensure_future(s.hand.run(arguments, unheeded))
        command = await s.begun()
        assert (command.limit, command.bytes_s) == (3, 9)
        task.cancel()
        await s.until(lambda: bool(s.told))
        assert s.told == [StopVerify("nobody waits for it any more")]
        s.hand.heard(report(command.request_id, 1, "nobody waits for it any more"))
        await s.until(lambda: s.record.alarm is not None)
        assert s.record.last is None and s.record.alarm is not None and s.record.alarm.by == "operator"

    play(story, VerifyConfig(bandwidth_bytes_s=7))


def test_an_operator_goes_first_and_the_schedule_goes_on_later() -> None:
    async def story(s: Story) -> None:
        command = await s.begun()
        task = asyncio.ensure_future(s.hand.run(VerifyArguments("db"), unheeded))
        await s.until(lambda: bool(s.told))
        assert s.told == [StopVerify("an operator's comparison goes first")]
        s.told.clear()
        s.hand.heard(report(command.request_id, error="an operator's comparison goes first", place="p"))
        own = await s.begun()
        assert own.bytes_s == 7
        s.hand.heard(report(own.request_id, 0, "the peer was lost"))
        assert (await task).error == "the peer was lost"
        await s.rest()
        assert s.record.unfinished is not None and s.record.unfinished.place == "p" and s.record.last is None

    play(story)


HELLO = Hello(1, "i", 7789, "primary", 1, None)


def test_a_report_that_went_with_its_connection_is_not_waited_for() -> None:
    """As one that was too long: nobody was answered, and the schedule stood, for as long as that process lived."""

    async def story(s: Story) -> None:
        s.hand.heard(HELLO)
        task = asyncio.ensure_future(s.hand.run(VerifyArguments("db"), unheeded))
        await s.begun()
        s.hand.heard(HELLO)
        assert s.told == [StopVerify("the connection to its replicator ended meanwhile")]
        with pytest.raises(ApiError, match="came to no end: the connection to its replicator ended meanwhile"):
            async with asyncio.timeout(5):
                await task

    play(story, VerifyConfig(bandwidth_bytes_s=7))


@pytest.mark.parametrize("end", ["refused", "gone", "connected anew"])
def test_why_it_came_to_no_end_is_noted(end: str) -> None:
    async def story(s: Story) -> None:
        command = await s.begun()
        s.hand.heard(Progress("verify", "b", 5, 50, 0, 0, 0, place="p5", differences=1))
        if end == "gone":
            s.hand.gone("killed by SIGKILL")
        elif end == "connected anew":
            s.hand.heard(HELLO)
        else:
            s.hand.heard(Refused("Verify", "another verify is under way"))
        await s.until(lambda: s.record.unfinished is not None and bool(s.record.unfinished.stopped))
        unfinished = s.record.unfinished
        assert unfinished is not None and unfinished.place == "p5" and s.record.alarm is not None
        words = {"refused": "another verify", "gone": "SIGKILL", "connected anew": "the connection to its replicator"}
        assert words[end] in unfinished.stopped
        s.hand.heard(report(command.request_id))
        await s.rest()
        assert s.record.last is None

    play(story)


def test_an_operator_who_is_refused_leaves_nothing_behind() -> None:
    async def story(s: Story) -> None:
        task = asyncio.ensure_future(s.hand.run(VerifyArguments("db"), unheeded))
        await s.begun()
        s.hand.heard(Refused("Verify", "another verify is under way"))
        with pytest.raises(ApiError, match="another verify"):
            await task
        s.hand.gone("killed by SIGKILL")
        await s.rest()
        assert s.record == VerifyRecord()

    play(story, VerifyConfig())


def test_an_operator_who_comes_second_takes_nothing_from_the_first() -> None:
    async def story(s: Story) -> None:
        task = asyncio.ensure_future(s.hand.run(VerifyArguments("db"), unheeded))
        command = await s.begun()
        with pytest.raises(ApiError, match="runs already"):
            await s.hand.run(VerifyArguments("db"), unheeded)
        s.hand.heard(report(command.request_id, 1))
        assert (await task).differences_total == 1
        await s.until(lambda: s.record.alarm is not None)

    play(story, VerifyConfig())


def test_a_late_word_of_another_node_is_built_upon() -> None:
    async def story(s: Story) -> None:
        command = await s.begun()
        await s.until(lambda: s.record.part == command.request_id)
        s.put(DB.verify, VerifyRecord(part="of b", repaired_window="w"))
        s.hand.heard(report(command.request_id))
        await s.until(lambda: s.record.last is not None)
        assert s.record.repaired_window == "w"

    play(story)


def test_nothing_is_noted_of_a_module_that_is_gone() -> None:
    async def story(s: Story) -> None:
        command = await s.begun()
        await s.until(lambda: s.record.part == command.request_id)
        s.etcd.commit_now(Txn((), (DeletePrefix(DB.prefix),)))
        await s.rest()
        s.hand.heard(report(command.request_id))
        await s.rest()
        assert DB.verify not in s.view.kvs and s.notes.is_reachable

    play(story)
