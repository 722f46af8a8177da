"""Starts, adopts, steers and ends one module's replicator (S7).

Commands go out as they are given, events come in by a callback. It decides nothing: not what to command, and not
what to do about a replicator that is gone.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import cast

from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay, wait_exponential

from agent.adapters.cgroups import Cgroup
from agent.adapters.log_files import last_error
from agent.adapters.replicator_process import COMMAND, ReplicatorProcess, RunFiles
from manager.model.codec import DecodeError
from manager.model.control import EVENTS, Command, Event, Hello, Quit, UnknownMessage, from_line, to_line
from manager.model.errors import DefiniteFailure, IndefiniteFailure, MirrorfarmError
from manager.model.replicator_spec import ReplicatorSpec
from manager.model.versions import CONTROL
from manager.time_limit import time_limit

CONNECT_SECONDS = 10.0
"""From its start to its taking our connection: Python and its modules have to be read from the disk."""
RECONNECT_SECONDS = 2.0
CALL_SECONDS = 2.0
KILL_SECONDS = 10.0
LONGEST_LINE = 16 << 20
"""Bytes; a longer event ends the connection. A report of differences may have a hundred long paths."""
_RETRY_S = 0.02
_LONGEST_RETRY_S = 0.2

OnEvent = Callable[[Event], None]
OnGone = Callable[[str], None]
OnUnknown = Callable[[str], None]


class Replicator:
    """One module's replicator process, as its agent sees it."""

    def __init__(
        self,
        run_directory: str,
        cgroup: Cgroup,
        on_event: OnEvent,
        on_gone: OnGone,
        command: tuple[str, ...] = COMMAND,
        on_unknown: OnUnknown | None = None,
    ) -> None:
        """``run_directory``: ``/run/mirrorfarm/<module>``; ``on_gone``: told once, how a replicator ended or why it
        cannot be talked to any more (then it may live), unless it was ended by this object; ``command``: what runs it;
        ``on_unknown``: told of the kinds of events that were passed over, each once: it is of a newer release.
        """
        self._on_unknown = on_unknown
        self._unknown: set[str] = set()
        self._files = RunFiles(run_directory)
        self._cgroup = cgroup
        self._on_event = on_event
        self._on_gone = on_gone
        self._command = command
        self._process: ReplicatorProcess | None = None
        self._spec: ReplicatorSpec | None = None
        self._channel: _Channel | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._expected = False
        """Its end is our doing."""

    @property
    def pid(self) -> int | None:
        """Of the process that lives."""
        return self._process.pid if self._process is not None and self._process.alive else None

    @property
    def unlogged(self) -> str:
        """Why what it says goes nowhere, if it was started here; empty: it goes to its log."""
        return self._process.unlogged if self._process is not None else ""

    @property
    def spec(self) -> ReplicatorSpec | None:
        """What it was started with."""
        return self._spec

    async def start(self, spec: ReplicatorSpec) -> None:
        """Starts it and connects; its first event is Hello.

        Raises:
            DefiniteFailure: one lives already, or it cannot be started, or it ended at once.
            IndefiniteFailure: it does not take our connection; it was killed.
        """
        if self.pid is not None:
            raise DefiniteFailure(f"the replicator of {spec.module} runs already, as process {self.pid}")
        self._remove_socket(spec.control_socket)
        process = ReplicatorProcess.launch(spec, self._files, self._cgroup, self._command)
        self._take(process, spec)
        try:
            await self._connect(CONNECT_SECONDS)
        except MirrorfarmError:
            await self.kill()
            raise
        process.on_end(self._ended)

    async def adopt(self) -> ReplicatorSpec | None:
        """Takes over the one that a former agent started; ``None``: none lives. Its first event is Hello.

        Raises:
            DefiniteFailure, IndefiniteFailure: it lives and does not take our connection; :meth:`kill` ends it.
        """
        spec = self._files.read_spec()
        process = ReplicatorProcess.find(self._files)
        if process is None:
            return None
        self._take(process, spec)
        if spec is None:
            raise DefiniteFailure(f"process {process.pid} is a replicator without a readable {self._files.spec}")
        await self._connect(RECONNECT_SECONDS)
        process.on_end(self._ended)
        return spec

    def send(self, command: Command) -> None:
        """Sends a command.

        Raises:
            DefiniteFailure: there is no connection now; on_gone is told if it stays so.
        """
        if self._channel is None:
            raise DefiniteFailure("the replicator is not connected")
        self._channel.send(to_line(command))

    async def terminate(self, seconds: float = KILL_SECONDS) -> None:
        """Lets it end by itself (Quit, or SIGTERM without a connection), and kills it when it does not.

        Raises:
            ProcessesLeft: it hangs in the kernel even after SIGKILL.
        """
        self._expected = True
        if self._process is None:
            return
        if self._channel is not None:
            self._channel.send(to_line(Quit()))
        else:
            self._process.signal(signal.SIGTERM)
        await self._process.ended(seconds)
        await self.kill()

    async def kill(self, seconds: float = KILL_SECONDS) -> None:
        """SIGKILL to it and all that it started; returns when they are gone, and their files.

        Raises:
            ProcessesLeft: it hangs in the kernel.
        """
        self._expected = True
        self._disconnect()
        process, spec = self._process, self._spec
        if process is None:
            return
        await process.kill(seconds)
        process.cgroup.remove()
        self._files.remove()
        if spec is not None:
            self._remove_socket(spec.control_socket)
        self._process = None

    def release(self) -> None:
        """Ends the connection and lets the replicator live on: for the agent's end."""
        self._expected = True
        self._disconnect()
        if self._process is not None:
            self._process.release()
            self._process = None

    def _take(self, process: ReplicatorProcess, spec: ReplicatorSpec | None) -> None:
        self._process = process
        self._spec = spec
        self._expected = False

    def _disconnect(self) -> None:
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            self._reconnecting = None
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _remove_socket(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    async def _connect(self, seconds: float) -> None:
        """Connects to the control socket; tries again until ``seconds`` have passed or the process has ended."""
        assert self._process is not None and self._spec is not None
        trying = AsyncRetrying(
            retry=retry_if_exception_type((OSError, TimeoutError)), stop=stop_after_delay(seconds),
            wait=wait_exponential(_RETRY_S, max=_LONGEST_RETRY_S), sleep=self._pause,
        )  # fmt: skip
        try:
            await trying(self._connect_once, self._spec.control_socket)
        except RetryError as error:
            raise IndefiniteFailure(
                f"the replicator of {self._spec.module} (process {self._process.pid}) does not take our "
                f"connection: {error.last_attempt.exception()}"
            ) from None

    async def _connect_once(self, path: str) -> None:
        async with time_limit(CALL_SECONDS):
            await asyncio.get_running_loop().create_unix_connection(
                lambda: _Channel(self._made, self._heard, self._lost, self._passed_over), path
            )

    async def _pause(self, seconds: float) -> None:
        """Between two tries, unless the process ends meanwhile."""
        assert self._process is not None and self._spec is not None
        if await self._process.ended(seconds):
            why = last_error(self._spec.log_file)
            raise DefiniteFailure(f"the replicator of {self._spec.module} ended: {why or 'its log does not say why'}")

    def _made(self, channel: "_Channel") -> None:
        """Before its first event, which may be answered at once: that can be there before our call returns."""
        self._channel = channel

    def _heard(self, event: Event) -> None:
        if isinstance(event, Hello) and event.speaks.agree(CONTROL) is None:
            self._disconnect()
            self._gone(f"it speaks version {event.speaks} of the control messages, this agent {CONTROL}")
            return
        self._on_event(event)

    def _passed_over(self, kind: str) -> None:
        if kind not in self._unknown:
            self._unknown.add(kind)
            if self._on_unknown is not None:
                self._on_unknown(kind)

    def _lost(self, channel: "_Channel", reason: str) -> None:
        """The connection ended, and not by us."""
        if self._channel is not channel:
            return
        self._channel = None
        if not self._expected:
            self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect(reason))

    async def _reconnect(self, reason: str) -> None:
        try:
            await self._connect(RECONNECT_SECONDS)
        except DefiniteFailure:
            return  # It has ended: that is told by its pidfd.
        except MirrorfarmError as failure:
            self._gone(f"{reason}; {failure}")

    def _ended(self, how: str) -> None:
        self._disconnect()
        why = last_error(self._spec.log_file) if self._spec is not None and not self._expected else ""
        self._gone(f"{how}: {why}" if why else how)

    def _gone(self, how: str) -> None:
        if not self._expected:
            self._expected = True
            self._on_gone(how)


class _Channel(asyncio.Protocol):
    """The control connection: lines in, events out."""

    def __init__(
        self,
        made: "Callable[[_Channel], None]",
        heard: OnEvent,
        lost: "Callable[[_Channel, str], None]",
        unknown: OnUnknown,
    ) -> None:
        self._unknown = unknown
        self._made = made
        self._heard = heard
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._pending = b""
        self._trouble = "the connection ended"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._made(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            try:
                event = from_line(EVENTS, line)
            except UnknownMessage as message:
                self._unknown(message.kind)
                continue
            except DecodeError as error:
                self._break(f"it sent what is no event: {error}")
                return
            self._heard(event)
        if len(self._pending) > LONGEST_LINE:
            self._break(f"it sent a line longer than {LONGEST_LINE} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self, self._trouble if exc is None else str(exc))

    def send(self, line: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(line)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _break(self, trouble: str) -> None:
        self._trouble = trouble
        self.close()


async def find_modules(run_directory: str) -> tuple[str, ...]:
    """The modules that have a replicator's files below ``/run/mirrorfarm``, at agent start: adopt or end each."""
    try:
        names = sorted(os.listdir(run_directory))
    except FileNotFoundError:
        return ()
    return tuple(n for n in names if os.path.exists(RunFiles(os.path.join(run_directory, n)).pid))
