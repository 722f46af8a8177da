"""The socket on which the agent steers this replicator: lines in, commands out; events in, lines out.

It listens for as long as the process lives, so that the next agent can adopt a replicator whose agent died (S7).
One agent at a time: a new connection replaces the old one. It decides nothing.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import cast

from manager.model.codec import DecodeError
from manager.model.control import COMMANDS, Command, Event, Refused, Status, from_line, to_line

MAX_LINE = 1 << 20
"""Bytes; a longer command line ends the connection."""


class ControlServer:
    """Takes one agent's connection at a time on a Unix stream socket."""

    def __init__(self, greet: Callable[[], Sequence[Event]], on_command: Callable[[Command], None]) -> None:
        """``greet`` says what a new agent must know; nothing: not now, and :meth:`greet` is called once it is."""
        self._greet = greet
        self._on_command = on_command
        self._server: asyncio.AbstractServer | None = None
        self._connection: _Connection | None = None
        self._is_greeted = False
        """Whether that one was told what it must know: before, it is only told that this process does not hang."""

    async def listen(self, path: str) -> None:
        """Listens on ``path``, which only root may use; a socket left there by a former process is replaced."""
        if os.path.exists(path):
            os.unlink(path)
        previous = os.umask(0o177)
        try:
            self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Connection(self), path)
        finally:
            os.umask(previous)

    def send(self, event: Event) -> None:
        """Sends ``event`` to the agent.

        Without one, and before it is greeted, that is dropped, since a new agent gets the whole state first. But
        whether this process hangs it may ask from the beginning.
        """
        if self._connection is not None and (self._is_greeted or isinstance(event, Status)):
            self._connection.send(event)

    def close(self) -> None:
        """Stops listening and ends the connection."""
        if self._server is not None:
            self._server.close()
        if self._connection is not None:
            self._connection.close()

    def connected(self, connection: "_Connection") -> None:
        """A new agent: the former connection ends, and this one is told what it must know."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._is_greeted = connection, False
        self.greet()

    def greet(self) -> None:
        """Tells an agent that waits for it what it must know."""
        if self._connection is None or self._is_greeted:
            return
        told = self._greet()
        self._is_greeted = bool(told)
        for event in told:
            self._connection.send(event)

    def disconnected(self, connection: "_Connection") -> None:
        """The agent is gone; its last deadline still holds."""
        if self._connection is connection:
            self._connection = None

    def received(self, line: bytes) -> None:
        """One line of the agent. What is no command is refused, and nothing is done."""
        try:
            command = from_line(COMMANDS, line)
        except DecodeError as error:
            self.send(Refused(command=line[:80].decode(errors="replace"), reason=str(error)))
            return
        self._on_command(command)


class _Connection(asyncio.Protocol):
    def __init__(self, server: ControlServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._server.connected(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._server.received(line)
        if len(self._pending) > MAX_LINE:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.disconnected(self)

    def send(self, event: Event) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(to_line(event))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
