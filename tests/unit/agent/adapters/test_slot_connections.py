"""A look for connections that nobody waits for any more resets none. How they are found and reset: integration."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterable
from ipaddress import ip_address

import pytest

from agent.adapters import connections, deadlines, routes, slot_connections
from agent.adapters.connections import Connection
from agent.adapters.netlink import IpAddress
from agent.adapters.slot_connections import SharedPorts
from manager.model.errors import IndefiniteFailure

HERE = ip_address("10.0.0.100")
LINK = 7
ONE = Connection(socket.AF_INET, bytes((0, 80, 156, 64)) + bytes(44))
SHARED = (SharedPorts(80, 80, lambda peer, port: 3),)


class SlowKernel:
    """It lists one connection once it is let, and says what it is to reset."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.answers = threading.Event(), threading.Event()
        self.reset: list[Connection] = []
        monkeypatch.setattr(connections, "listed", self._listed)
        monkeypatch.setattr(connections, "destroy", self._destroy)
        monkeypatch.setattr(routes, "interfaces", lambda _, peers: dict.fromkeys(peers, LINK))

    def _listed(self, address: IpAddress) -> list[Connection]:
        self.asked.set()
        assert self.answers.wait(60)
        return [ONE]

    def _destroy(self, found: Iterable[Connection]) -> int:
        self.reset += found
        return len(self.reset)

    async def is_asked(self) -> None:
        """To list them."""
        assert await asyncio.to_thread(self.asked.wait, 60)


async def _look() -> int:
    return await slot_connections.reset(HERE, frozenset({3}), SHARED, LINK)


def test_what_is_found_in_time_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = SlowKernel(monkeypatch)

    async def story() -> int:
        look = asyncio.create_task(_look())
        await kernel.is_asked()
        kernel.answers.set()
        return await look

    assert asyncio.run(story()) == 1 and kernel.reset == [ONE]


@pytest.mark.parametrize("cause", ["too late", "cancelled"])
def test_what_is_found_after_it_was_given_up_is_left_alone(monkeypatch: pytest.MonkeyPatch, cause: str) -> None:
    """It may have begun since then, and rightly: the core was told that the rules are loaded."""
    kernel = SlowKernel(monkeypatch)

    async def within_no_time(seconds: float, what: str, call: Coroutine[None, None, int]) -> int:
        look = asyncio.create_task(call)
        await kernel.is_asked()
        return await deadlines.within(0, what, look)

    if cause == "too late":
        monkeypatch.setattr(slot_connections, "within", within_no_time)

    async def story() -> None:
        look = asyncio.create_task(_look())
        await kernel.is_asked()
        if cause == "cancelled":
            look.cancel()
        with pytest.raises(IndefiniteFailure if cause == "too late" else asyncio.CancelledError):
            await look
        kernel.answers.set()
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(story())
    assert kernel.reset == []
