"""The kernel's notifications of links, by the agent's own loop."""

import asyncio
import socket

import uvloop

from agent.adapters.links import LinkWatch
from tests.integration.agent.cable import Net, sh
from tests.support.inside import inside

_FLAPS = 40


def test_what_comes_after_more_than_it_could_be_told_is_told(net: Net) -> None:
    """As to an agent that was frozen for a while: libuv takes the lost ones for the end of the socket."""

    async def story() -> None:
        watch, up = LinkWatch(), list[int]()
        watch.start()
        watch.listen(up.append)
        assert watch._notices is not None
        watch._notices.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(_FLAPS):  # Nothing of the loop runs meanwhile.
            for state in ("down", "up"):
                sh("ip", "-n", net.here, "link", "set", "mfh", state)
        async with asyncio.timeout(15):
            while 0 not in up:
                await asyncio.sleep(0.01)
            up.clear()
            for state in ("down", "up"):
                await asyncio.to_thread(sh, "ip", "-n", net.here, "link", "set", "mfh", state)
            while not up:
                await asyncio.sleep(0.01)
        watch.close()

    inside(net.here, lambda: uvloop.run(story()))
