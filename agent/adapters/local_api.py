"""The local socket: answers the CLI of this node (manager/model/api_calls.py has the calls).

It knows lines, credentials and limits, and hands each call on (``calls``); it decides nothing. Who may
connect: root, and the members of the group in ``agent.toml``; the kernel says who it is (SO_PEERCRED, SO_PEERGROUPS:
unix(7), socket(7)), not the client.
"""

import asyncio
import contextlib
import errno
import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass
from typing import Any

from agent.adapters.calls import Calls
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_lines import (
    MAX_REQUEST_BYTES,
    error_line,
    progress_line,
    read_request,
    request_id_of,
    result_line,
)
from manager.model.errors import ConfigError

MAX_CONNECTIONS = 32
MAX_CALLS = 4
"""Under way at once on one connection."""

_SO_PEERGROUPS = 59
"""include/uapi/asm-generic/socket.h; Python has no name for it."""
_GROUPS_BYTES = 1024
"""What Python's getsockopt takes at the most: 256 groups."""
_PEERCRED = struct.Struct("iII")


@dataclass(frozen=True, slots=True)
class LocalCaller:
    """Who is at the other end of a connection, as the kernel says."""

    uid: int
    gid: int
    groups: frozenset[int]
    """Supplementary groups of the process."""

    @property
    def name(self) -> str:
        """For the records: the user's name, or the number of one that has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"


class LocalApi:
    """The server."""

    def __init__(self, calls: Calls, group: str) -> None:
        """``group``: whose members may connect, beside root.

        Raises:
            ConfigError: there is no group of that name.
        """
        self._calls = calls
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._path = ""
        try:
            self._gid = grp.getgrnam(group).gr_gid
        except KeyError:
            raise ConfigError(f"agent.toml: socket.group: there is no group {group!r} on this machine") from None

    async def listen(self, path: str) -> None:
        """Listen on ``path``; a socket that a former agent left there is replaced.

        Raises:
            OSError: the path cannot be used.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            listener.bind(path)
            # Until here nobody but root could connect: the directory is root's, and nothing listens yet.
            os.chown(path, -1, self._gid)
            os.chmod(path, 0o660)
            self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=MAX_REQUEST_BYTES)
        except BaseException:
            listener.close()
            raise
        self._path = path

    async def close(self) -> None:
        """Stop listening, give up the calls under way, and take the socket away."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        full = len(self._connections) >= MAX_CONNECTIONS
        self._connections.add(task)
        connection = _Connection(self._calls, reader, writer)
        try:
            if full:
                await connection.refuse(_TOO_MANY)
            elif not self._may(connection.caller):
                await connection.refuse(_not_allowed(connection.caller))
            else:
                await connection.serve()
        except (OSError, asyncio.CancelledError):
            # The client is gone, or the agent stops: either way there is nobody to tell.
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    def _may(self, caller: LocalCaller) -> bool:
        return caller.uid in (0, os.geteuid()) or self._gid in (caller.groups | {caller.gid})


class _Connection:
    def __init__(self, calls: Calls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._calls = calls
        self._reader = reader
        self._writer = writer
        self._under_way: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()
        self.caller = _caller(writer.get_extra_info("socket"))

    async def serve(self) -> None:
        """Answer requests until the client goes away."""
        try:
            while True:
                line = await self._reader.readuntil(b"\n")
                if len(self._under_way) >= MAX_CALLS:
                    await self._send(error_line(request_id_of(line), _TOO_MANY))
                    continue
                call = asyncio.create_task(self._answer(line))
                self._under_way.add(call)
                call.add_done_callback(self._under_way.discard)
        except asyncio.LimitOverrunError:
            await self.refuse(_TOO_LONG)
        except asyncio.IncompleteReadError:
            pass
        finally:
            for call in tuple(self._under_way):
                call.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def refuse(self, error: ApiError) -> None:
        """Say why this connection ends."""
        await self._send(error_line(0, error))

    async def _answer(self, line: bytes) -> None:
        number = request_id_of(line)

        async def report(progress: Any) -> None:
            await self._send(progress_line(number, progress))

        try:
            request, arguments = read_request(line)
            answer = result_line(number, await self._calls.answer(request, arguments, self.caller, report))
        except ApiError as error:
            answer = error_line(number, error)
        with contextlib.suppress(OSError):
            await self._send(answer)

    async def _send(self, line: bytes) -> None:
        async with self._sending:
            self._writer.write(line)
            await self._writer.drain()


def _caller(connection: socket.socket) -> LocalCaller:
    _, uid, gid = _PEERCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    return LocalCaller(uid, gid, _groups(connection))


def _groups(connection: socket.socket) -> frozenset[int]:
    try:
        packed = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        # In more groups than that: such a user needs ours as the first one.
        return frozenset()
    return frozenset(struct.unpack(f"{len(packed) // 4}I", packed))


def _not_allowed(caller: LocalCaller) -> ApiError:
    return ApiError(
        ErrorKind.FORBIDDEN,
        f"User {caller.name} may not steer Mirrorfarm on this node.",
        remedy="Be root, or a member of the group that agent.toml names as socket.group.",
    )


_TOO_MANY = ApiError(
    ErrorKind.BUSY,
    f"More than {MAX_CONNECTIONS} connections, or {MAX_CALLS} calls on one, are open on the agent's socket.",
    remedy="Close some, as mirrorfarm state --watch or logs --follow, and ask again.",
)
_TOO_LONG = ApiError(
    ErrorKind.BAD_REQUEST,
    f"The request is longer than {MAX_REQUEST_BYTES >> 20} MiB.",
    meaning=UNCHANGED,
    remedy="A module may have 512 KiB, scripts included: larger files belong into the replicated directories.",
)
