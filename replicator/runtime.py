"""The replicator as its agent steers it: commands in, events out.

Commands are carried out in the order in which they came (``replicator.commands``), but the lease's, what is said of
promises, the question for the status, and another level of the log, which wait for nothing. What is said and heard is
logged by ``replicator.control_log``.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from manager.logs.levels import Levels
from manager.model import control
from manager.model.control import Command, Event
from manager.model.replicator_spec import ReplicatorSpec
from manager.model.versions import CONTROL
from manager.pki.credentials import Unusable
from manager.time_limit import time_limit
from replicator.commands import Commands
from replicator.control_log import ControlLog
from replicator.control_server import ControlServer
from replicator.disk.volume import Volume
from replicator.parts import CopierFactory, parts_of
from replicator.roles import Role, Roles
from replicator.verification import VerifierFactory
from replicator.writeback import Writeback

_AT_ONCE: Final = (control.Lease, control.AskPromises, control.Promise, control.GetStatus, control.SetLogLevel)
"""Commands that wait for no other."""
_CHANGING: Final = (control.Serve, control.Follow, control.CloseStream)
"""Commands after which this process is not what it was."""
LAST_LOOK_S: Final = 3.0
"""For the disks, at the end, to have everything or to tell that they have not; the agent waits longer than this."""
EXIT_BROKEN: Final = 70
"""EX_SOFTWARE: an invariant was broken."""


class Runtime:
    """One module's replicator."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        spec: ReplicatorSpec,
        volumes: Sequence[Volume],
        log: Any,
        levels: Levels,
        make_verifier: VerifierFactory,
        make_copier: CopierFactory,
    ) -> None:
        """``log`` is structlog's, and logs from ``levels`` on. Nothing is opened before :meth:`run`."""
        self._loop = loop
        self._log = log
        self._control_log = ControlLog(log, levels)
        self._parts = parts_of(loop, spec, volumes, log, self._event, make_copier)
        self._control = ControlServer(self._greet, self._on_command)
        self._waiting: asyncio.Queue[Command] = asyncio.Queue()
        self._changes = 0
        """Of :data:`_CHANGING`, those that came and are not carried out yet."""
        self._loss: control.Failed | None = None
        """What was in memory here may be gone: what every agent is told, until one ends this process."""
        self._roles = Roles(self._parts, partial(self._waiting.put_nowait, control.Idle()), self._lost_memory)
        self._commands = Commands(self._parts, self._roles, make_verifier)
        self._port = 0
        self._writeback = Writeback(
            loop,
            volumes,
            self._parts.background,
            self._roles.changes,
            partial(self._roles.disk_failed, memory_lost=True),
            partial(self._roles.disk_failed, memory_lost=False),
        )

    async def run(self) -> None:
        """Serves the agent until Quit. Raises OSError when it cannot listen."""
        parts = self._parts
        self._loop.set_exception_handler(self._on_broken)
        resting = self._loop.create_task(self._collect())
        self._port = parts.secondary.listen()
        await self._control.listen(parts.spec.control_socket)
        self._writeback.start()
        self._log.info("replicator.started", port=self._port, instance=parts.instance, tls=parts.spec.tls_directory)
        if parts.credentials is not None:
            with contextlib.suppress(Unusable):  # it is told; a primary may serve alone meanwhile
                parts.credentials.contexts()
        try:
            while not isinstance(command := await self._waiting.get(), control.Quit):
                await self._commands.carry_out(command)
                self._carried_out(command)
            await self._roles.leave()
            await self._look_last()
        except Exception as error:  # the root of the task that does everything but the data path
            self._on_broken(self._loop, {"exception": error, "message": "a command"})
        resting.cancel()
        self._writeback.close()
        parts.secondary.close()
        parts.background.close()
        self._control.close()
        self._log.info("replicator.ended")

    def quit(self) -> None:
        """As the agent's Quit, by whoever sends SIGTERM: nobody has ended the application, so what serves is fenced.

        It would go on with the plain directories else, and what it changed there would be in no list (R).
        """
        if self._roles.serving is not None:
            self._roles.serving.die("the replicator was told to end by SIGTERM")
        self._waiting.put_nowait(control.Quit())

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._roles.collector.rest()

    # The agent

    def _greet(self) -> list[Event]:
        """Nothing before what a former agent has made of this process is so: the new one would not know it again."""
        if self._changes:
            return []
        self._control_log.reset_level()
        roles, secondary, vouching = self._roles, self._parts.secondary, self._parts.vouching
        try:
            identity, foreign = vouching.identity(), vouching.foreign()
            diverged, joining = vouching.is_whole_but_diverged(), vouching.joining_epoch()
            seen = vouching.seen_epoch() if identity is None else 0
        except OSError as error:
            identity, foreign, diverged, seen = None, f"the identity cannot be read: {error}", False, 0
            joining = None
        hello = control.Hello(
            pid=os.getpid(),
            instance=self._parts.instance,
            listen_port=self._port,
            role=roles.role.value,
            epoch=roles.epoch,
            identity=identity,
            foreign=foreign,
            diverged=diverged,
            seen_epoch=seen,
            joining_epoch=joining,
            oldest_version=CONTROL.oldest,
        )
        told: list[Event] = [hello]
        if roles.serving is not None:
            told += roles.serving.primary.outstanding()
        if roles.role is Role.SECONDARY and not secondary.is_following:
            told.append(secondary.stream_lost(secondary.primary, "no stream stands"))
        if roles.serving is None and self._loss is not None:
            told.append(self._loss)
        if roles.fenced is not None:
            told.append(roles.fenced)
        return told

    def _event(self, event: Event) -> None:
        self._control_log.sent(event)
        if isinstance(event, control.Failed) and event.memory_lost:
            self._loss = event
            self._lost_memory()  # before the agent is told, which may be dead
        self._control.send(event)

    def _on_command(self, command: Command) -> None:
        if not isinstance(command, _AT_ONCE):
            self._changes += isinstance(command, _CHANGING)
            self._waiting.put_nowait(command)
            return
        self._control_log.received_routine(command)
        serving = self._roles.serving
        if isinstance(command, control.Lease):
            self._roles.renew(command.deadline_ns)
        elif isinstance(command, control.AskPromises):
            if serving is not None:
                serving.primary.streams.ask_promises(command.asked_ns)
        elif isinstance(command, control.Promise):
            self._parts.secondary.promise(command)
        elif isinstance(command, control.GetStatus):
            self._control.send(self._status())
        elif isinstance(command, control.SetLogLevel):
            self._control_log.set_level(command)

    def _carried_out(self, command: Command) -> None:
        if isinstance(command, _CHANGING):
            self._changes -= 1
            self._control.greet()

    def _status(self) -> control.Status:
        counters: dict[str, int] = dict(self._parts.secondary.counters())
        refused = self._parts.refusals.standing()
        roles = self._roles
        if roles.serving is None:
            return control.Status(
                roles.role.value,
                roles.epoch,
                frozen=False,
                held=False,
                counters=counters,
                refused=refused,
                log_level=self._control_log.level,
            )
        primary = roles.serving.primary
        return control.Status(
            roles.role.value,
            roles.epoch,
            frozen=primary.frozen,
            held=primary.completions.held,
            peers=primary.streams.states(),
            counters=counters | primary.counters(),
            refused=refused,
            log_level=self._control_log.level,
        )

    # The disks

    def _lost_memory(self) -> None:
        """The copy is that of no join any more: what it lost need not be in a list, and the next boot does not know."""
        parts = self._parts
        parts.memory.distrust()

        def not_cleared(error: OSError) -> None:
            self._log.error("base.not_cleared", error=str(error))

        parts.background.run(parts.notes.clear_base, lambda _: None, not_cleared)
        try:
            parts.memory.note()
        except OSError as error:
            self._log.error("loss.unnoted", error=str(error))

    async def _look_last(self) -> None:
        """What a stream or a role was told of as it ended is told to nobody after this process."""
        try:
            async with time_limit(LAST_LOOK_S):
                await self._writeback.look_last()
                await self._parts.background.at_rest()
        except TimeoutError:
            self._log.warning("disk.not_answered", means="a loss of what was written last may stay unknown")

    # The end

    def _on_broken(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody was to catch: the process ends, after nothing is left that serves."""
        error = context.get("exception")
        self._log.critical("invariant.broken", message=context.get("message"), exc_info=error)
        if self._roles.serving is not None:
            self._roles.serving.die("the replicator is broken")
        os._exit(EXIT_BROKEN)
