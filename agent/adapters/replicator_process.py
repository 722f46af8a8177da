"""One replicator process, by its pid and start: found again by a later agent, ended for certain.

It is in a cgroup and a session of its own, so that it outlives its agent (S7).
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from agent.adapters.cgroups import Cgroup, ProcessesLeft, read_process
from agent.adapters.signal_names import signal_name
from manager.model.codec import DecodeError, decode, encode
from manager.model.errors import DefiniteFailure
from manager.model.replicator_spec import ReplicatorSpec
from manager.note_file import read_note, write_note

COMMAND = (sys.executable, "-I", "-m", "replicator.main")
"""Isolated: neither PYTHONPATH and its like, nor what lies in the directory where it begins, takes a module's place."""


@dataclass(frozen=True, slots=True)
class PidRecord:
    """The file that names a replicator's process."""

    pid: int
    started_ticks: int
    cgroup: str
    """Directory of its own cgroup, which is where its agent was."""

    def lives(self) -> bool:
        """Whether there is a process of that pid, and it is this one."""
        process = read_process(self.pid)
        return process is not None and process.started_ticks == self.started_ticks


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files in ``/run/mirrorfarm/<module>``."""

    directory: str

    @property
    def spec(self) -> str:
        """What the replicator was started with."""
        return os.path.join(self.directory, "replicator.json")

    @property
    def pid(self) -> str:
        """Its :class:`PidRecord`."""
        return os.path.join(self.directory, "replicator.pid")

    def read_spec(self) -> ReplicatorSpec | None:
        """``None``: there is none, or it is not whole."""
        try:
            return decode(ReplicatorSpec, read_note(self.spec))
        except (OSError, DecodeError):
            return None

    def read_pid(self) -> PidRecord | None:
        """``None``: there is none, or it is not whole."""
        try:
            return decode(PidRecord, read_note(self.pid))
        except (OSError, DecodeError):
            return None

    def live_pid(self) -> int | None:
        """The process that they name, if it lives; it may end at any time."""
        record = self.read_pid()
        return record.pid if record is not None and record.lives() else None

    def write(self, path: str, record: ReplicatorSpec | PidRecord) -> None:
        """Replaces a file as a whole.

        Raises:
            DefiniteFailure: it cannot be written.
        """
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            write_note(path, encode(record) + "\n", 0o600)
        except OSError as error:
            raise DefiniteFailure(f"writing {path}: {error}") from None

    def remove(self) -> None:
        """Removes them; the spec last, since it says what there was."""
        for path in (self.pid, self.spec):
            if os.path.exists(path):
                os.unlink(path)


class ReplicatorProcess:
    """A live process, held by a pidfd: no other process can be meant, and its end is noticed."""

    def __init__(self, pid: int, pidfd: int, cgroup: Cgroup, child: "subprocess.Popen[bytes] | None") -> None:
        """``child``: when this process started it, and has to reap it."""
        self.pid = pid
        self.unlogged = ""
        """Why what it says goes nowhere; empty: it goes to its log."""
        self.cgroup = cgroup
        self._pidfd = pidfd
        self._child = child
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(pidfd, self._end)

    @classmethod
    def launch(
        cls, spec: ReplicatorSpec, files: RunFiles, cgroup: Cgroup, command: tuple[str, ...]
    ) -> "ReplicatorProcess":
        """Starts it with ``spec``, which is written to its file first. Blocks for some milliseconds.

        Where its log cannot be opened, as on a disk that has become read-only, it is started without.

        Raises:
            DefiniteFailure: it cannot be started; or its pid cannot be noted, and it was killed: no other agent would
                find it.
        """
        files.write(files.spec, spec)
        cgroup.make()
        argv = cgroup.entering((*command, "--spec", files.spec))
        log, unlogged = _open_log(spec.log_file)
        try:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            raise DefiniteFailure(f"starting the replicator of {spec.module}: {error}") from None
        finally:
            if log >= 0:
                os.close(log)
        process = read_process(child.pid)
        launched = cls(child.pid, os.pidfd_open(child.pid), cgroup, child)
        launched.unlogged = unlogged
        if process is not None:
            try:
                files.write(files.pid, PidRecord(child.pid, process.started_ticks, cgroup.directory))
            except DefiniteFailure:
                launched.signal(signal.SIGKILL)
                raise
        return launched

    @classmethod
    def find(cls, files: RunFiles) -> "ReplicatorProcess | None":
        """The one that a former agent started, if it lives."""
        record = files.read_pid()
        if record is None:
            return None
        try:
            pidfd = os.pidfd_open(record.pid)
        except OSError:
            return None
        # Looked at after the pidfd was opened: so it is about the process that the pidfd holds.
        if not record.lives():
            os.close(pidfd)
            return None
        return cls(record.pid, pidfd, Cgroup(record.cgroup), None)

    @property
    def alive(self) -> bool:
        """It has not ended, as far as this loop has noticed."""
        return not self._ended.done()

    def on_end(self, call: Callable[[str], None]) -> None:
        """Calls ``call`` with how it ended."""
        self._ended.add_done_callback(lambda ended: None if ended.cancelled() else call(ended.result()))

    async def ended(self, seconds: float) -> bool:
        """Waits for its end, for ``seconds`` at the most; whether it came."""
        done, _ = await asyncio.wait([self._ended], timeout=seconds)
        return bool(done)

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal; nothing happens when it has ended."""
        if self.alive:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return  # It has ended just now: its pidfd says so.

    async def kill(self, seconds: float) -> None:
        """SIGKILL to it and to all that it started; returns when they are gone.

        Raises:
            ProcessesLeft: they hang in the kernel.
        """
        self.signal(signal.SIGKILL)
        await self.cgroup.kill(seconds)
        if not await self.ended(seconds):
            left = read_process(self.pid)
            raise ProcessesLeft(self.cgroup.directory, [left] if left else [])

    def release(self) -> None:
        """Let it live on without us: for the agent's end."""
        if self.alive:
            self._close()
            self._ended.cancel()

    def _end(self) -> None:
        self._close()
        code = self._child.poll() if self._child is not None else None
        self._ended.set_result(_how(code))

    def _close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)


def _open_log(path: str) -> tuple[int, str]:
    """A descriptor that appends to it, or what Popen takes for none; and why there is none."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666), ""
    except OSError as error:
        return subprocess.DEVNULL, str(error)


def _how(code: int | None) -> str:
    if code is None:
        return "ended"
    return f"killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
