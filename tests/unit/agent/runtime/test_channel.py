"""This node's end of the agents' channel is opened wherever that can be."""

import asyncio
import socket

from agent.adapters.calls import Caller, Calls, Report
from agent.runtime.channel import Channel
from manager.model.api import NodeInfo, NodeInfoArguments
from tests.unit.agent.adapters.channel_ends import HERE, Client, greeting_of


async def node_info(arguments: NodeInfoArguments, caller: Caller, report: Report) -> NodeInfo:
    return NodeInfo("main", "b", caller.name, True, ())


def test_an_address_whose_port_is_taken_keeps_no_other_one_closed() -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.2", 0)) as taken:
            port = taken.getsockname()[1]
            calls = Calls("b", {"node.info": node_info}, lambda call, error: None)
            channel = Channel(calls, greeting_of("b"), None, ("127.0.0.2", HERE, HERE), port)
            opening = asyncio.create_task(channel.open())
            await asyncio.sleep(0)
            try:
                assert (await Client(None, port).ask(NodeInfoArguments())).node == "b"
                assert not opening.done(), "it is tried again where it could not be"
            finally:
                opening.cancel()
                await asyncio.wait([opening])
                await channel.close()

    asyncio.run(story())
