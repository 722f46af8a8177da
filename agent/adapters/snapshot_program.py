"""Runs the program that collects a snapshot of this node, and hands on what it writes.

It is a process of its own, so that looking through megabytes of logs costs the agent's loop nothing, and what hangs on
a dead disk is not the agent. One at a time; bounded in time and bytes; ended with whatever it has begun. It does not
know what is collected: that is the program's (``mirrorfarm snapshot --local``).
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from agent.adapters.signal_names import signal_name
from manager.model.api_snapshot import CALL_S, MOST_BYTES, PIECE_BYTES, SnapshotResult
from manager.model.errors import DefiniteFailure
from manager.time_limit import time_limit

END_S: Final = 1.0
"""How long the end of a killed program is waited for."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LAST_WORDS_BYTES: Final = 2048


class BusyError(DefiniteFailure):
    """A snapshot of this node is being made already."""


class SnapshotProgram:
    """The program, with its first arguments."""

    def __init__(self, command: tuple[str, ...], seconds: float = CALL_S, most_bytes: int = MOST_BYTES) -> None:
        """``seconds``: of one run; ``most_bytes``: of what it writes."""
        self._command = command
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._runs = False

    async def run(self, options: Sequence[str], send: Callable[[bytes], Awaitable[None]]) -> SnapshotResult:
        """Run it with ``options``, and ``send`` what it writes, piece by piece.

        Raises:
            BusyError: it runs already.
            DefiniteFailure: it cannot be started.
        """
        if self._runs:
            raise BusyError("a snapshot of this node is being made already")
        self._runs = True
        try:
            with open(os.memfd_create("snapshot"), "rb") as errors:
                process = await self._start(options, errors.fileno())
                try:
                    return await self._hand_on(process, errors.fileno(), send)
                finally:
                    await _end(process)
        finally:
            self._runs = False

    async def _start(self, options: Sequence[str], errors: int) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                *options,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd="/",
                env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            raise DefiniteFailure(f"{self._command[0]}: {error}") from None

    async def _hand_on(
        self, process: asyncio.subprocess.Process, errors: int, send: Callable[[bytes], Awaitable[None]]
    ) -> SnapshotResult:
        assert process.stdout is not None
        sent = 0
        try:
            async with time_limit(self._seconds):
                while piece := await process.stdout.read(PIECE_BYTES):
                    sent += len(piece)
                    if sent > self._most_bytes:
                        return SnapshotResult(sent - len(piece), f"it is more than {self._most_bytes >> 20} MiB")
                    await send(piece)
                code = await process.wait()
        except TimeoutError:
            return SnapshotResult(sent, f"it was not done within {self._seconds:g} s")
        if code == 0:
            return SnapshotResult(sent)
        return SnapshotResult(sent, f"{_how(code)}: {_last_words(errors)}")


def _how(code: int) -> str:
    return f"it was ended by {signal_name(-code)}" if code < 0 else f"it ended with exit code {code}"


def _last_words(errors: int) -> str:
    size = os.fstat(errors).st_size
    said = os.pread(errors, _LAST_WORDS_BYTES, max(0, size - _LAST_WORDS_BYTES))
    lines = said.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


async def _end(process: asyncio.subprocess.Process) -> None:
    """With all that it has begun, which is in its session. One that hangs in the kernel does not end even then."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with time_limit(END_S):
            # To its end: only then is the pipe given back.
            while await process.stdout.read(PIECE_BYTES):
                pass
            await process.wait()
