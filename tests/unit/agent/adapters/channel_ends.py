"""Both ends of the agents' channel in one process, over loopback, with real certificates or in plain."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import uvloop

from agent.adapters.calls import Caller, Calls, Handler, Report
from agent.adapters.channel_client import ChannelClient
from agent.adapters.channel_server import DEFAULT_LIMITS, ChannelServer, Limits
from manager.model.api import ApiError
from manager.model.api_channel import APPLICATION, Greeting
from manager.model.api_lines import greeting_line
from tests.support.certificates import Watched

HERE = "127.0.0.1"
REACH_S = 20.0
"""Until an answer that has to come: other tests may have the processors."""


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On the loop that the agent has, and not for ever."""

    async def bounded() -> None:
        async with asyncio.timeout(4 * REACH_S):
            await story()

    uvloop.run(bounded())


async def hang(arguments: Any, caller: Caller, report: Report) -> None:
    """Answers nothing."""
    await asyncio.Event().wait()


def greeting_of(node: str, cluster: str = "main", software: str = "1") -> Greeting:
    return Greeting(cluster, node, software)


class Server:
    """Node b's end, and what it has said."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        directory: Path | None,
        limits: Limits = DEFAULT_LIMITS,
        node: str = "b",
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.refused: list[tuple[str, str]] = []
        self.asked: list[tuple[str, str]] = []
        self.failures: list[tuple[str, Exception]] = []
        self.watched = None if directory is None else Watched(directory, node, APPLICATION)
        self.channel = ChannelServer(
            Calls(node, handlers, lambda call, error: self.failures.append((call, error))),
            greeting_of(node, software="2"),
            self.watched.credentials if self.watched is not None else None,
            lambda address, reason, detail: self.refused.append((reason, detail)),
            lambda caller, call: self.asked.append((caller, call)),
            limits,
            now_s=now_s,
        )
        self.port = 0

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.refused]

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["Server"]:
        self.port = await self.channel.open(HERE, 0)
        try:
            yield self
        finally:
            await self.channel.close()
            assert not self.failures

    def client(self, directory: Path | None, node: str = "a", silence_s: float = REACH_S) -> "Client":
        return Client(directory, self.port, node, silence_s)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(REACH_S):
            while not holds():
                await asyncio.sleep(0.005)


class Client:
    """Another node's end."""

    def __init__(
        self, directory: Path | None, port: int, node: str = "a", silence_s: float = REACH_S, end_s: float = REACH_S
    ) -> None:
        self.watched = None if directory is None else Watched(directory, node, APPLICATION)
        credentials = self.watched.credentials if self.watched is not None else None
        self.channel = ChannelClient(greeting_of(node), credentials, port, silence_s, end_s)
        self.reported: list[Any] = []

    async def ask(
        self, arguments: Any, node: str = "b", addresses: tuple[str, ...] = (HERE,), reach_s: float = REACH_S
    ) -> Any:
        async def report(progress: Any) -> None:
            self.reported.append(progress)

        return await self.channel.ask(node, addresses, arguments, "root", report, reach_s)

    async def refusal(self, arguments: Any, **more: Any) -> ApiError:
        try:
            result = await self.ask(arguments, **more)
        except ApiError as error:
            return error
        raise AssertionError(f"it was answered: {result}")


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def saying(talk: Talk) -> AsyncIterator[int]:
    """A server that says whatever it wants, in plain; its port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, HERE, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: Greeting | None = None) -> bytes:
    """As node b does; the request that comes then."""
    writer.write(greeting_line(greeting or greeting_of("b", software="2")))
    await reader.readline()
    return await reader.readline()


def listening(port: int = 0) -> socket.socket:
    """Takes connections, as the kernel of a frozen process does, and says nothing."""
    return socket.create_server((HERE, port))
