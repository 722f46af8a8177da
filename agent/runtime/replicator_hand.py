"""Carries out what one module's core wants of its replicator: start or adopt, tell, stop, kill.

Events of a replicator that was killed or replaced are not given on. When one is gone, what is left of it is ended and
unmounted before the core hears of it (S7). One that lives and does not answer counts as gone, too.

The application goes before the file systems that it stands on: below them are plain directories, where it would go on,
and what it changed there would be on this node alone, in no list of what the other one lacks (R).
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable

import structlog

from agent.adapters.cgroups import Cgroup
from agent.adapters.host import now_ns, remove_leftover_mounts
from agent.adapters.replicator_process import COMMAND, ReplicatorProcess, RunFiles
from agent.adapters.replicators import Replicator
from agent.core import events
from agent.runtime.memory import Memory
from agent.runtime.pulse import PERIOD_NS, SECOND_NS, Pulse
from agent.runtime.replicator_levels import ReplicatorLevels
from agent.runtime.tasks import OnFatal, Tasks
from manager.model import control
from manager.model.errors import DefiniteFailure, MirrorfarmError
from manager.model.replicator_spec import ReplicatorSpec

KILL_SECONDS = 5.0
KILL_ROUNDS = 3
"""How often what does not go after SIGKILL is killed again, before it is left to the kernel."""
APPLICATION_SECONDS = 1.0
"""How long the killed application may take to be gone before it is unmounted all the same: it hangs in the kernel."""


def differing(running: ReplicatorSpec, wanted: ReplicatorSpec) -> list[str]:
    """In what a replicator that was started with ``running`` is none that serves what is wanted; empty: it is one.

    That is the same module, over the same directories, in the same memory, with the same application. The rest, as
    limits, logs and what a newer release knows beyond, counts from the replicator's next start: a new agent's
    configuration or release is no reason to end an application that runs.
    """
    return [name for name in _WHAT_IT_IS if getattr(running, name) != getattr(wanted, name)]


_WHAT_IT_IS = ("cluster_id", "module", "module_id", "node", "boot_id", "directories", "control_socket", "cgroup")


class ReplicatorHand:
    """One module's replicator, whichever process that is."""

    def __init__(
        self,
        spec: ReplicatorSpec,
        run_directory: str,
        cgroup: Cgroup,
        memory: Memory,
        give: Callable[[events.Event], None],
        hear: Callable[[control.Event], None],
        starting: Callable[[], None],
        kill_application: Callable[[], Awaitable[None]],
        on_fatal: OnFatal,
        command: tuple[str, ...] = COMMAND,
        levels: ReplicatorLevels | None = None,
    ) -> None:
        """``hear``: takes each event; ``starting``: called before a new one is started, may raise DefiniteFailure.

        ``kill_application``: called before one is ended that serves, or may serve; does not wait until it is gone.

        ``levels``: of this node's replicators; ``None``: it logs as its spec says.
        """
        self._spec = spec
        self._run_directory = run_directory
        self._cgroup = cgroup
        self._memory = memory
        self._give = give
        self._hear = hear
        self._starting = starting
        self._kill_application = kill_application
        self._may_serve = True
        """It has not said that it is no primary."""
        self._command = command
        self._level = levels.of_module(spec.module, self.ask) if levels is not None else None
        self._tasks = Tasks(on_fatal)
        self._current: Replicator | None = None
        self._pulse = self._new_pulse()
        self._log = structlog.get_logger()

    @property
    def present(self) -> bool:
        """Whether one is there, or is coming or going."""
        return self._current is not None or any(self._tasks.running(t) for t in ("start", "stop", "end"))

    @property
    def is_there(self) -> bool:
        """It has not begun to be ended."""
        return self._current is not None

    def start(self, boot_id: str) -> None:
        """Adopt it or start it, as one of ``boot_id``; answered by Hello, or ReplicatorGone."""
        self._spec = dataclasses.replace(self._spec, boot_id=boot_id)
        self._tasks.start("start", self._start())

    def tell(self, command: control.Command) -> None:
        """Send a command; one that cannot be sent means that it is gone."""
        current = self._current
        if current is None:
            return  # Its end is told already, or on its way.
        try:
            current.send(command)
        except DefiniteFailure as failure:
            self._gone(current, str(failure))

    def ask(self, command: control.Command) -> bool:
        """Send an operator's question; whether it went out. Nothing follows for the module if it did not."""
        try:
            if self._current is not None:
                self._current.send(command)
                return True
        except DefiniteFailure:
            pass  # It is not connected at this moment.
        return False

    def stop(self) -> None:
        """End it in order; answered by ReplicatorStopped."""
        self._tasks.start("stop", self._stop())

    async def kill(self) -> None:
        """End it at once; returns when it and its mounts are gone. Answers nothing."""
        await self._tasks.cancel()
        await self._end(in_order=False)

    async def release(self) -> None:
        """Let it live on, for the agent's end."""
        await self._tasks.cancel()
        if self._current is not None:
            self._current.release()
            self._current = None

    async def _start(self) -> None:
        spec = self._spec
        files = RunFiles(self._run_directory)
        try:
            running = files.read_spec()
            if running is not None and (others := differing(running, spec)):
                self._log.warning("replicator.not_adopted", module=spec.module, differs=others)
            elif running is not None and await self._adopt():
                return
            await end_replicator(self._run_directory, spec.cgroup, prepared=True)
            # One whose pid nobody had written down yet.
            await self._cgroup.kill(KILL_SECONDS)
            await self._unmount()
            self._require_memory(spec.boot_id)
            self._starting()
            current = self._new()
            await current.start(spec)
            self._log.info("replicator.started", module=spec.module, pid=current.pid)
            if current.unlogged:
                self._log.error("replicator.unlogged", module=spec.module, error=current.unlogged)
            await self._watch(current)
        except MirrorfarmError as failure:
            await self._end(in_order=False)
            self._give(events.ReplicatorGone(str(failure)))

    def _require_memory(self, boot_id: str) -> None:
        """What ended here, before this agent was connected to it, may have lost its memory unheard (S8).

        Raises:
            DefiniteFailure: so it has, or that cannot be known; the module is told the boot id as this one is gone.
        """
        left = self._memory.boot_id()
        if left != boot_id:
            raise DefiniteFailure(f"it is gone, and had lost its memory: the boot id is {left} now, not {boot_id}")

    async def _adopt(self) -> bool:
        current = self._new()
        try:
            adopted = await current.adopt()
        except MirrorfarmError as failure:
            self._log.warning("replicator.refused", module=self._spec.module, error=str(failure))
            adopted = None
        if adopted is None:
            self._current = None
            current.release()  # Its files name the application, which goes first.
            return False
        self._log.info("replicator.adopted", module=adopted.module, pid=current.pid)
        await self._watch(current)
        return True

    def _new(self) -> Replicator:
        replicator: Replicator

        def heard(event: control.Event) -> None:
            if self._current is replicator:
                self._pulse.heard()
                self._note_role(event)
                if self._level is not None:
                    self._level.heard(event)
                self._hear(event)

        def gone(how: str) -> None:
            if self._current is replicator:
                self._gone(replicator, how)

        def unknown(kind: str) -> None:
            self._log.warning("event.unknown", module=self._spec.module, type=kind)

        replicator = Replicator(self._run_directory, self._cgroup, heard, gone, self._command, unknown)
        self._current = replicator
        self._may_serve = True
        self._pulse = self._new_pulse()
        return replicator

    def _note_role(self, event: control.Event) -> None:
        if isinstance(event, control.Hello):
            self._may_serve = event.role == "primary"
        elif isinstance(event, control.Serving):
            self._may_serve = True

    def _new_pulse(self) -> Pulse:
        return Pulse(self._spec.peer_timeout_ms * 1_000_000, now_ns())

    async def _watch(self, replicator: Replicator) -> None:
        """From now on it has to answer."""
        await self._tasks.cancel("pulse")
        self._pulse = self._new_pulse()
        self._tasks.start("pulse", self._ask(replicator))

    async def _ask(self, replicator: Replicator) -> None:
        while self._current is replicator:
            with contextlib.suppress(DefiniteFailure):  # It is not connected now: that is silence as well.
                replicator.send(control.GetStatus())
            await asyncio.sleep(PERIOD_NS / SECOND_NS)
            if self._pulse.hangs(now_ns()):
                self._gone(replicator, f"it has not answered for {self._pulse.silent_ns / SECOND_NS:.1f} s")
                return

    def _gone(self, replicator: Replicator, how: str) -> None:
        if self._current is not replicator or self._tasks.running("end") or self._tasks.running("stop"):
            return
        self._log.warning("replicator.gone", module=self._spec.module, how=how)
        self._tasks.start("end", self._end_and_say(how))

    async def _end_and_say(self, how: str) -> None:
        await self._end(in_order=False)
        self._give(events.ReplicatorGone(how))

    async def _stop(self) -> None:
        await self._tasks.cancel("start", "end")
        await self._end(in_order=True)
        self._give(events.ReplicatorStopped())

    async def _end(self, *, in_order: bool) -> None:
        """End the application, the process and its mounts. What hangs in the kernel executes nothing any more."""
        current, self._current = self._current, None
        if self._level is not None:
            self._level.gone()
        for _ in range(KILL_ROUNDS):
            try:
                await self._end_both(current, in_order=in_order)
                if self._may_serve and self._spec.cgroup:
                    # Not before: what waits in its mounts is freed by its end.
                    await Cgroup(self._spec.cgroup).emptied(APPLICATION_SECONDS)
                await self._unmount()
            except MirrorfarmError as failure:
                self._log.error("replicator.left", module=self._spec.module, error=str(failure))
            else:
                return

    async def _end_both(self, current: Replicator | None, *, in_order: bool) -> None:
        try:
            if self._may_serve:
                await self._kill_application()
        except MirrorfarmError:
            await self._end_process(current, in_order=False)  # What cannot be killed stands before a dead mount then.
            raise
        await self._end_process(current, in_order=in_order)

    async def _end_process(self, current: Replicator | None, *, in_order: bool) -> None:
        if current is None:
            await end_replicator(self._run_directory, self._spec.cgroup, prepared=True)
        else:
            await (current.terminate() if in_order else current.kill())

    async def _unmount(self) -> None:
        removed = await remove_leftover_mounts(self._spec.directories)
        if removed:
            self._log.info("mounts.removed", module=self._spec.module, mounts=removed)


async def end_replicator(run_directory: str, cgroup: str, *, prepared: bool = False) -> bool:
    """Kills what a former agent started there, the application first, and removes its files; whether one lived.

    ``cgroup``: the application's, where the file that names it cannot be read; empty: it is not known.
    ``prepared``: that one stays, for the application's next start.

    Raises:
        ProcessesLeft: something hangs in the kernel.
        DefiniteFailure: a control group cannot be removed, or the kernel refused to kill it.
    """
    files = RunFiles(run_directory)
    spec, record = files.read_spec(), files.read_pid()
    left = spec.cgroup if spec is not None else cgroup if record is not None else ""
    application = Cgroup(left) if left else None
    if application is not None:
        with contextlib.suppress(DefiniteFailure):  # The kill below says so, once the process is gone.
            application.send_kill()
    process = ReplicatorProcess.find(files)
    if process is not None:
        await process.kill(KILL_SECONDS)
    if record is not None:
        Cgroup(record.cgroup).remove()
    if application is not None:
        await application.kill(KILL_SECONDS)
        if not prepared or left != cgroup:
            application.remove()
    files.remove()
    return process is not None


def lives(run_directory: str) -> bool:
    """Whether a replicator that a former agent started there is still running."""
    process = ReplicatorProcess.find(RunFiles(run_directory))
    if process is None:
        return False
    process.release()
    return True


async def answers(run_directory: str, cgroup: Cgroup) -> bool:
    """Whether a replicator that a former agent started there runs and says something; it is left as it is.

    It is given as long as one that this agent has started. For as long as that nobody else may be connected to it.
    """
    said = asyncio.get_running_loop().create_future()

    def say(living: bool) -> None:
        if not said.done():
            said.set_result(living)

    replicator = Replicator(run_directory, cgroup, lambda _: say(True), lambda _: say(False))
    try:
        spec = await replicator.adopt()
        if spec is None:
            return False
        pulse = Pulse(spec.peer_timeout_ms * 1_000_000, now_ns())
        while not said.done() and not pulse.hangs(now_ns()):
            with contextlib.suppress(DefiniteFailure):  # It is not connected now: that is silence as well.
                replicator.send(control.GetStatus())
            await asyncio.wait([said], timeout=PERIOD_NS / SECOND_NS)
        return said.done() and said.result()
    except MirrorfarmError as failure:
        structlog.get_logger().warning("replicator.silent", run=run_directory, error=str(failure))
        return False
    finally:
        replicator.release()
