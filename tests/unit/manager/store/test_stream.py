"""A watch stream ends, however what it reads from ends: whoever waits for the next response is told."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from manager.store.stream import Stream

WITHIN_S = 20.0


class Call:
    """gRPC's, which gives one response and breaks."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def __iter__(self) -> Iterator[str]:
        yield "first"
        raise ValueError("no response at all")

    def cancel(self) -> None:
        self.is_cancelled = True


def test_what_breaks_in_its_thread_is_told_and_it_can_be_closed() -> None:
    async def run() -> None:
        call, ended = Call(), asyncio.Event()

        def method(requests: Iterator[Any], timeout: float, metadata: object) -> Call:
            return call

        stream = Stream(method, "request", 1.0, ())
        stream.on_end(ended.set)
        async with asyncio.timeout(WITHIN_S):
            assert await stream.next() == "first"
            with pytest.raises(ValueError, match="no response"):
                await stream.next()
            await stream.close()
        assert ended.is_set() and call.is_cancelled

    asyncio.run(run())
