"""Work that hangs keeps nobody waiting, is done once at a time, and comes to its end all the same."""

import asyncio
import threading

import pytest

from agent.adapters.one_thread import OneThread
from manager.model.errors import IndefiniteFailure

LONG_S = 30.0


def test_what_it_gives_and_what_it_raises_comes_back() -> None:
    async def story() -> None:
        thread = OneThread()
        assert await thread.run(lambda: 7, LONG_S) == 7
        with pytest.raises(OSError, match="full"):
            await thread.run(_full, LONG_S)
        assert await thread.run(lambda: 8, LONG_S) == 8

    asyncio.run(story())


def _full() -> None:
    raise OSError("full")


def test_one_that_hangs_is_left_and_nothing_is_begun_beside_it_until_it_has_come_back() -> None:
    held, begun = threading.Event(), list[str]()

    def hang() -> None:
        begun.append("first")
        held.wait(LONG_S)

    async def story() -> None:
        thread = OneThread()
        with pytest.raises(IndefiniteFailure, match=r"no answer within 0\.05 s"):
            await thread.run(hang, 0.05)
        with pytest.raises(IndefiniteFailure, match="has not come back"):
            await thread.run(lambda: begun.append("second"), LONG_S)
        held.set()
        while any(one.name == "look" for one in threading.enumerate()):
            await asyncio.sleep(0.01)
        await thread.run(lambda: begun.append("third"), LONG_S)
        assert begun == ["first", "third"]

    asyncio.run(story())


def test_two_at_once_come_one_after_the_other() -> None:
    under_way, most = 0, 0

    def work() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        threading.Event().wait(0.02)
        under_way -= 1

    async def story() -> None:
        thread = OneThread()
        await asyncio.gather(*(thread.run(work, LONG_S) for _ in range(4)))

    asyncio.run(story())
    assert most == 1


def test_one_that_comes_back_when_nobody_is_there_any_more_harms_nobody() -> None:
    held = threading.Event()

    async def story() -> None:
        with pytest.raises(IndefiniteFailure):
            await OneThread().run(lambda: held.wait(LONG_S), 0.01)

    asyncio.run(story())
    (left,) = [one for one in threading.enumerate() if one.name == "look"]
    held.set()
    left.join(LONG_S)
    assert not left.is_alive()
