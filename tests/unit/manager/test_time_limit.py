import asyncio

import pytest

from manager.time_limit import time_limit

NEVER_S = 3600.0


async def _wait() -> None:
    await asyncio.sleep(NEVER_S)


def test_what_cleans_up_after_a_cancellation_is_told_that_its_time_is_over() -> None:
    told: list[str] = []

    async def cleans_up() -> None:
        try:
            await _wait()
        except asyncio.CancelledError:
            try:
                async with time_limit(0.001) as limit:
                    await _wait()
            except TimeoutError:
                told.append(f"over {limit.expired()}")
            raise

    async def story() -> None:
        task = asyncio.create_task(cleans_up())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    assert told == ["over True"]


def test_what_is_cancelled_within_its_time_is_cancelled() -> None:
    async def story() -> None:
        async def waits() -> None:
            async with time_limit(NEVER_S):
                await _wait()

        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_what_is_cancelled_as_its_time_ends_is_cancelled() -> None:
    async def story() -> None:
        async def waits() -> None:
            async with time_limit(0.0):
                task.cancel()
                await _wait()

        task = asyncio.create_task(waits())
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_what_is_done_in_time_has_no_limit_any_more() -> None:
    async def story() -> str:
        async with time_limit(NEVER_S) as limit:
            await asyncio.sleep(0)
        return f"over {limit.expired()}"

    assert asyncio.run(story()) == "over False"


def test_the_inner_of_two_is_over_after_the_outer_one() -> None:
    """What an outer one has cancelled cleans up within a time of its own."""
    told: list[str] = []

    async def story() -> None:
        try:
            async with time_limit(0.001):
                try:
                    await _wait()
                finally:
                    try:
                        async with time_limit(0.001):
                            await _wait()
                    except TimeoutError:
                        told.append("inner")
        except TimeoutError:
            told.append("outer")

    asyncio.run(story())
    assert told == ["inner", "outer"]
