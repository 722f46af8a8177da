"""A socket that had an error is heard on, by the agent's own loop."""

import asyncio
import errno
import socket
from collections.abc import Callable

import pytest
import uvloop

from agent.adapters.wakes import Wakes


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_error_is_heard_and_so_is_what_comes_after_it(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as heard:
            heard.bind(("127.0.0.1", 0))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
                gone.bind(("127.0.0.1", 0))
                there = gone.getsockname()
            heard.connect(there)
            found: list[bytes | int | None] = []
            more = asyncio.Event()

            def readable() -> None:
                try:
                    found.append(heard.recv(100))
                except OSError as error:
                    found.append(error.errno)
                more.set()

            wakes = Wakes(heard, readable)
            heard.send(b"nobody is there")
            async with asyncio.timeout(5):
                await more.wait()
            assert found == [errno.ECONNREFUSED]
            more.clear()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
                back.bind(there)
                back.sendto(b"somebody is", heard.getsockname())
                async with asyncio.timeout(5):
                    await more.wait()
            assert found == [errno.ECONNREFUSED, b"somebody is"]
            wakes.close()
            wakes.close()

    loop = new_loop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
