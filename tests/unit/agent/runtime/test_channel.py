"""This node's end of the agents' channel is opened wherever that can be."""

import asyncio
import socket

import pytest

from agent.adapters.calls import Caller, Calls, Report
from agent.runtime import channel
from agent.runtime.channel import Channel
from manager.model.api import NodeInfo, NodeInfoArguments
from manager.model.errors import DefiniteFailure, MirrorfarmError
from tests.unit.agent.adapters.channel_ends import HERE, Client, greeting_of


async def node_info(arguments: NodeInfoArguments, caller: Caller, report: Report) -> NodeInfo:
    return NodeInfo("main", "b", caller.name, True, ())


def test_an_address_whose_port_is_taken_keeps_no_other_one_closed() -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.2", 0)) as taken:
            port = taken.getsockname()[1]
            calls = Calls("b", {"node.info": node_info}, lambda call, error: None)
            door = Channel(calls, greeting_of("b"), None, ("127.0.0.2", HERE, HERE), port)
            opening = asyncio.create_task(door.open())
            await asyncio.sleep(0)
            try:
                assert (await Client(None, port).ask(NodeInfoArguments())).node == "b"
                assert not opening.done(), "it is tried again where it could not be"
            finally:
                opening.cancel()
                await asyncio.wait([opening])
                await door.close()

    asyncio.run(story())


def test_an_address_that_comes_later_is_listened_at_and_one_that_goes_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "AGAIN_S", 0.01)
    there: list[tuple[str, ...] | MirrorfarmError] = [(), DefiniteFailure("the kernel does not say")]

    async def later() -> tuple[str, ...]:
        found = there.pop() if len(there) > 1 else there[0]
        if isinstance(found, MirrorfarmError):
            raise found
        return found

    def is_taken(address: str) -> bool:
        try:
            socket.create_server((address, port)).close()
        except OSError:
            return True
        return False

    async def until(address: str, *, taken: bool) -> None:
        async with asyncio.timeout(20):
            while is_taken(address) is not taken:
                await asyncio.sleep(0.01)

    async def story() -> None:
        calls = Calls("b", {"node.info": node_info}, lambda call, error: None)
        door = Channel(calls, greeting_of("b"), None, (HERE,), port, later)
        opening = asyncio.create_task(door.open())
        try:
            await until(HERE, taken=True)
            there[:] = [("127.0.0.3",), DefiniteFailure("the kernel does not say")]
            await until("127.0.0.3", taken=True)
            there[:] = [("127.0.0.4",), ("127.0.0.3",)]
            await until("127.0.0.4", taken=True)
            await until("127.0.0.3", taken=False)
            assert is_taken(HERE) and not opening.done()
        finally:
            opening.cancel()
            await asyncio.wait([opening])
            await door.close()

    with socket.create_server((HERE, 0)) as free:
        port = free.getsockname()[1]
    asyncio.run(story())
