"""Runs one module's application: its scripts, or services of the system, in a cgroup of their own.

Whatever a script starts is in that cgroup, daemons too, so that nothing is left when it has been killed (S7).
It does not know when a script is due: the runtime says that.
"""

import asyncio
import contextlib
import enum
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

from agent.adapters import run_logs, scripts
from agent.adapters.cgroups import NOT_ENTERED, Cgroup, Process, reads_pipe
from agent.adapters.orphans import Ended, reap
from agent.adapters.scripts import Context
from agent.adapters.services import ServiceManager
from manager.model.config import ApplicationConfig, variable_of
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.time_limit import time_limit

KILL_SECONDS = 10.0
"""How long processes that were sent SIGKILL may take to go."""
LEAVE_SECONDS = 1.0
"""How long what a stop script has ended may take to be gone."""
FENCE_MS = 60_000
"""How long the script ``fence`` may take: a machine's management board needs seconds to turn it off, and to be sure."""
_END_SECONDS = 2.0
_REAP_SECONDS = 0.1
"""So often what a stop script has ended is waited for."""
_NO_MORE: Mapping[str, str] = MappingProxyType({})


class Outcome(enum.StrEnum):
    """How a run ended."""

    DONE = "done"
    ABSENT = "absent"
    """There is no such script: nothing was to be done."""
    FAILED = "failed"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a script or of a service's command."""

    script: str
    outcome: Outcome
    exit_code: int | None = None
    """Negative: the signal that ended it; ``None``: it did not end."""
    duration_ms: int = 0
    log: str = ""
    """The file with its output; empty: none could be written."""
    detail: str = ""
    """The last lines of its output when it failed."""

    @property
    def succeeded(self) -> bool:
        """It did what it should, or there was nothing to do."""
        return self.outcome in (Outcome.DONE, Outcome.ABSENT)


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a stop went."""

    runs: tuple[Run, ...]
    killed: tuple[Process, ...]
    """What was left after the scripts and was sent SIGKILL."""

    @property
    def clean(self) -> bool:
        """The first run did it, and nothing was left."""
        return not self.killed and len(self.runs) == 1 and self.runs[0].succeeded


@dataclass(frozen=True, slots=True)
class Places:
    """Where a module's application has its files."""

    scripts: str
    logs: str


class Application:
    """One module's application on this node. One script at a time; :meth:`kill` may come at any moment."""

    def __init__(
        self,
        config: ApplicationConfig,
        node: str,
        cgroup: Cgroup,
        places: Places,
        services: ServiceManager | None = None,
    ) -> None:
        """``services``: who starts services of the system; needed when the configuration has some."""
        self._config = config
        self._node = node
        self._cgroup = cgroup
        self._places = places
        self._services = services
        home = services.home() if services is not None and config.services else None
        self._homes = (cgroup,) if home is None else (cgroup, home)
        self._waited_for: list[asyncio.subprocess.Process] = []
        self._stopping = False

    @property
    def cgroup(self) -> str:
        """Directory of the cgroup that the warden kills at the deadline (ReplicatorSpec.cgroup)."""
        return self._homes[-1].directory

    @property
    def has_start(self) -> bool:
        """Whether a script, or services, start it."""
        return bool(self._config.services) or self._config.start in self._config.scripts

    async def prepare(self) -> None:
        """Writes the scripts, makes the cgroup, and sees that the services are there and do not start at boot.

        Raises:
            ConfigError: a service does not exist; a script's name leaves the folder.
            DefiniteFailure: the scripts or the cgroup cannot be made, or the system refused.
            IndefiniteFailure: the system did not answer.
        """
        scripts.write(self._places.scripts, self._config.scripts)
        self._cgroup.make()
        if self._config.services:
            await self._manager().prepare(self._config.services)

    async def prestart(self, context: Context) -> Run:
        """Runs ``prestart``.

        Raises:
            DefiniteFailure: it could not be started.
        """
        return await self._script("prestart", context, self._start_ms)

    async def start(self, context: Context) -> Run:
        """Runs the script that starts it, or starts the services in order; the first that fails is returned.

        A script that runs out of time is ended; what it had started lives on until :meth:`stop` or :meth:`kill`.

        Raises:
            ConfigError: a service does not exist any more.
            DefiniteFailure: it could not be started.
            IndefiniteFailure: the system did not answer.
        """
        if not self._config.services:
            return await self._script(self._config.start, context, self._start_ms)
        await self._manager().look_again(self._config.services)
        return await self._each_service("start", self._config.services, context, self._start_ms)

    async def stop(self, context: Context) -> Stopped:
        """Stops the application: the stop script, that again with ``force``, then SIGKILL to what is left.

        Without a stop script, SIGTERM takes its place. Twice ``stop_timeout`` at the most (for each service), and
        what killing takes.

        Raises:
            ProcessesLeft: some do not even go after SIGKILL.
            DefiniteFailure: a script could not be started, or the kernel refused.
        """
        with self._in_the_end():
            first = await self._stop_once(context, forced=False)
            if first.succeeded and await self._emptied(LEAVE_SECONDS):
                return Stopped((first,), ())
            second = await self._stop_once(context, forced=True)
        await self._emptied(LEAVE_SECONDS)
        left = tuple(self.processes())
        await self.kill()
        return Stopped((first, second), left)

    async def poststop(self, context: Context) -> Run:
        """Runs ``poststop``; nothing that it starts outlives it.

        Raises:
            ProcessesLeft: something does not go.
            DefiniteFailure: it could not be started.
        """
        with self._in_the_end():
            run = await self._script("poststop", context, self._stop_ms)
        await self.kill()
        return run

    async def fence(self, context: Context, node: str) -> Run:
        """Runs ``fence``, which turns ``node`` off and succeeds only if it is off; nothing that it starts outlives it.

        Raises:
            ProcessesLeft: something does not go.
            DefiniteFailure: it could not be started.
        """
        run = await self._script("fence", context, FENCE_MS, {"FENCE_NODE": node})
        await self.kill()
        return run

    async def kill(self, seconds: float = KILL_SECONDS) -> None:
        """SIGKILL to all at once, the script that runs included; returns when none is left.

        Raises:
            ProcessesLeft: some are still there after ``seconds``: they hang in the kernel.
            DefiniteFailure: the kernel refused.
        """
        self.send_kill()
        try:
            for home in self._homes:
                await home.kill(seconds)
        finally:
            self.ended()

    def send_kill(self) -> None:
        """SIGKILL to all at once; does not wait.

        Raises:
            DefiniteFailure: the kernel refused.
        """
        for home in self._homes:
            home.send_kill()

    def remove(self) -> None:
        """Removes the scripts and the cgroup, which is empty.

        Raises:
            DefiniteFailure: a process is in it, or the scripts cannot be removed.
        """
        scripts.remove(self._places.scripts)
        self._cgroup.remove()

    def processes(self) -> list[Process]:
        """What lives of the application."""
        return [process for home in self._homes for process in home.processes()]

    def populated(self) -> bool:
        """Whether anything lives of it."""
        return any(home.populated() for home in self._homes)

    def ended(self) -> list[Ended]:
        """What has ended since it was asked last of what a script has left to itself, in no certain order.

        What had ended before this agent, and a service that is a child of systemd, is not among it.
        """
        self._waited_for = [process for process in self._waited_for if process.returncode is None]
        return reap(self._cgroup.directory, {process.pid for process in self._waited_for})

    def runs_by_itself(self) -> bool:
        """Whether anything lives of it but what reads a pipe, such as the ``tee`` of a script's output."""
        return any(not reads_pipe(process.pid) for process in self.processes())

    @property
    def _start_ms(self) -> int:
        return self._config.limits.start_timeout_ms

    @property
    def _stop_ms(self) -> int:
        return self._config.limits.stop_timeout_ms

    def _manager(self) -> ServiceManager:
        if self._services is None:
            raise DefiniteFailure(f"module {self._config.module}: nothing here can start services")
        return self._services

    async def _stop_once(self, context: Context, *, forced: bool) -> Run:
        if self._config.services:
            backwards = tuple(reversed(self._config.services))
            return await self._each_service("stop", backwards, context, self._stop_ms, forced=forced)
        run = await self._script(self._config.stop, context, self._stop_ms, forced=forced)
        if run.outcome is Outcome.ABSENT and not forced:
            await self._terminate(self._stop_ms / 1000)
        return run

    @contextlib.contextmanager
    def _in_the_end(self) -> Iterator[None]:
        """Nobody asks how what ends now has ended."""
        self._stopping = True
        try:
            yield
        finally:
            self._stopping = False

    async def _terminate(self, seconds: float) -> None:
        """SIGTERM to all, and time to follow it."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        await self._emptied(seconds)

    async def _emptied(self, seconds: float) -> bool:
        return all([await home.emptied(seconds) for home in self._homes])

    async def _each_service(
        self, action: str, names: Sequence[str], context: Context, limit_ms: int, *, forced: bool = False
    ) -> Run:
        """Starting ends at the first failure; stopping goes through all and returns the first failure."""
        worst: Run | None = None
        run = Run("services", Outcome.ABSENT)
        for name in names:
            argv = self._manager().command(name, action)
            run = await self._run(f"{action}_{name}", argv, context, limit_ms, forced=forced)
            if not run.succeeded:
                worst = worst or run
                if action == "start":
                    break
        return worst or run

    async def _script(
        self, name: str, context: Context, limit_ms: int, more: Mapping[str, str] = _NO_MORE, *, forced: bool = False
    ) -> Run:
        if name not in self._config.scripts:
            return Run(name, Outcome.ABSENT)
        argv = (os.path.join(self._places.scripts, name), *(("force",) if forced else ()))
        return await self._run(name, argv, context, limit_ms, more, forced=forced)

    async def _run(
        self,
        name: str,
        argv: tuple[str, ...],
        context: Context,
        limit_ms: int,
        more: Mapping[str, str] = _NO_MORE,
        *,
        forced: bool = False,
    ) -> Run:
        """``more``: variables that only this script gets."""
        config = self._config
        env = scripts.environment(
            config.module, self._node, config.directories, config.env, context, depends=config.depends, forced=forced
        ) | dict(more)
        begun = time.monotonic()
        with contextlib.ExitStack() as stack:
            log, path = self._open_log(name, stack)
            if not _note(log, f"{name} begins: {_told(env, config.depends)}"):
                log, path = None, ""  # Else its first word would be a failure of its own, where the disk is full.
            code = await self._to_the_end(self._cgroup.entering(argv), env, log, limit_ms / 1000)
            duration_ms = round((time.monotonic() - begun) * 1000)
            _note(log, f"{name} ended after {duration_ms} ms: {_how(code)}")
        if code == NOT_ENTERED and not os.path.exists(self._cgroup.directory):
            raise DefiniteFailure(f"{name}: its cgroup {self._cgroup.directory} is gone")
        outcome = Outcome.TIMED_OUT if code is None else Outcome.FAILED if code else Outcome.DONE
        detail = run_logs.last_lines(path) if code != 0 else ""
        return Run(name, outcome, code, duration_ms, path, detail)

    def _open_log(self, name: str, stack: contextlib.ExitStack) -> tuple[BinaryIO | None, str]:
        try:
            file, path = run_logs.open_log(self._places.logs, name)
        except OSError:
            # The application matters more than its log: Run.log says that there is none.
            return None, ""
        return stack.enter_context(file), path

    async def _to_the_end(
        self, argv: tuple[str, ...], env: Mapping[str, str], log: BinaryIO | None, seconds: float
    ) -> int | None:
        """The exit code; ``None``: it was still running after ``seconds`` and was ended."""
        output = asyncio.subprocess.DEVNULL if log is None else log
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd="/",
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise DefiniteFailure(f"{argv[-1]}: {error}") from None
        self._waited_for.append(process)
        try:
            async with time_limit(seconds):
                return await self._code_of(process)
        except TimeoutError:
            await self._end(process)
            return None
        except asyncio.CancelledError:
            _kill_group(process.pid)
            raise

    async def _code_of(self, process: asyncio.subprocess.Process) -> int:
        """Its exit code, once it has ended.

        What stops may wait until what it ends is gone (``start-stop-daemon --retry``): that has lost its parent, and is
        there until this process has waited for it.
        """
        if not self._stopping:
            return await process.wait()
        waiting = asyncio.ensure_future(process.wait())
        try:
            while not waiting.done():
                self.ended()
                await asyncio.wait({waiting}, timeout=_REAP_SECONDS)
            return waiting.result()
        finally:
            waiting.cancel()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Ends a script with its own process group; daemons that it started are in groups of their own."""
        _kill_group(process.pid)
        try:
            async with time_limit(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            raise IndefiniteFailure(f"script {process.pid} does not end after SIGKILL") from None


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _told(env: Mapping[str, str], depends: Iterable[str]) -> str:
    names = ("MODULE", "NODE", "STATE", "NEXT_STATE", "ACTION", "EPOCH", "FORCE", "FENCE_NODE")
    told = (*names, *map(variable_of, depends))
    return " ".join(f"{n}={env[n]}" for n in told if n in env)


def _how(code: int | None) -> str:
    if code is None:
        return "it ran out of time"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _note(log: BinaryIO | None, text: str) -> bool:
    """A line of ours in a log; whether it is there: the script runs in any case."""
    if log is None:
        return False
    line = f"# {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n".encode()
    try:
        return log.write(line) == len(line)
    except OSError:
        return False
