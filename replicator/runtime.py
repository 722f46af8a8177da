"""The replicator as its agent steers it: commands in, events out, one role at a time.

Idle, primary (``replicator.serving``) or secondary (``replicator.secondary``). Commands are carried out in the order
in which they came, but the lease's, what is said of promises, and the question for the status, which wait for nothing.
It decides no role: the agent does; it refuses what would break a rule that it can check itself, and puts an epoch on
the disk before it uses it (S8). It is where the replicator logs, but what comes several times in a TTL.
"""

import asyncio
import contextlib
import enum
import os
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from manager.model import asides, control
from manager.model.control import Command, Event
from manager.model.node_identity import NodeIdentity
from manager.model.replicator_spec import ReplicatorSpec
from manager.model.versions import CONTROL
from manager.pki.credentials import Credentials, Unusable
from replicator.applier import Copier
from replicator.asides import Asides
from replicator.background import Background
from replicator.control_server import ControlServer
from replicator.diffing import begin_diff
from replicator.dirty_keeper import DirtyKeeper
from replicator.disk.loss import is_broken
from replicator.disk.volume import Volume
from replicator.disk_notes import DiskNotes
from replicator.fuse import mounting
from replicator.link import Link
from replicator.memory_loss import MemoryLoss
from replicator.occupied import why_occupied
from replicator.peers import PrimarySettings
from replicator.process import Collector
from replicator.refusals import Refusals
from replicator.role_notes import RoleNotes
from replicator.secondary import Secondary
from replicator.securing import APPLICATION
from replicator.serving import Serving
from replicator.verification import Verification, VerifierFactory
from replicator.vouching import Vouching
from replicator.warden import boottime_ns
from replicator.writeback import Writeback

_UNLOGGED: Final = (control.Progress, control.Status, control.PromiseAsked, control.Promised)
"""Events that come all the time."""
LAST_LOOK_S: Final = 3.0
"""For the disks, at the end, to have everything or to tell that they have not; the agent waits longer than this."""
EXIT_BROKEN: Final = 70
"""EX_SOFTWARE: an invariant was broken."""


class Role(enum.Enum):
    """What this process is."""

    IDLE = "idle"
    PRIMARY = "primary"
    SECONDARY = "secondary"


class RefusedCommand(Exception):
    """A command that cannot be done; nothing was changed."""


def _refuse(why: str) -> None:
    if why:
        raise RefusedCommand(why)


class Runtime:
    """One module's replicator."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        spec: ReplicatorSpec,
        volumes: Sequence[Volume],
        log: Any,
        make_verifier: VerifierFactory,
        make_copier: Callable[[Sequence[Volume], Link, Background], Copier],
    ) -> None:
        """``log`` is structlog's. Nothing is opened before :meth:`run`."""
        self._loop = loop
        self._spec = spec
        self._volumes = volumes
        self._log = log
        self._make_verifier = make_verifier
        self._instance = secrets.token_hex(8)
        self._background = Background(loop)
        self._vouching = Vouching(volumes, spec)
        self._notes = DiskNotes(volumes, spec.peers, log.warning)
        self._control = ControlServer(self._greet, self._on_command)
        self._asides = Asides(
            loop, volumes, spec, self._background, self._vouching, self._event,
            lambda reason: self._secondary.end_diverged(reason),
        )  # fmt: skip
        self._role_notes = RoleNotes(volumes, self._vouching, self._notes, self._asides)
        self._credentials = (
            Credentials(spec.tls_directory, spec.node, APPLICATION, self._on_files_taken, self._on_files_refused)
            if spec.tls_directory
            else None
        )
        self._refusals = Refusals(peer_timeout_s=spec.peer_timeout_ms / 1000)
        self._secondary = Secondary(
            loop,
            volumes,
            spec,
            self._instance,
            self._background,
            self._event,
            lambda link: make_copier(volumes, link, self._background),
            lambda address, reason: log.warning("stream.refused", address=address, reason=reason),
            self._notes.new_tracker(),
            self._notes.list,
            self._asides,
            self._credentials,
            self._refusals,
        )
        self._role = Role.IDLE
        self._epoch = 0
        self._port = 0
        self._deadline_ns = 0
        self._serving: Serving | None = None
        self._fenced: control.Fenced | None = None
        """What was told of the role that is being put away."""
        self._verification: Verification | None = None
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._memory = MemoryLoss(spec, volumes)
        self._covered = False
        self._changed = 0
        """By former roles as a primary."""
        self._collector = Collector(self._is_idle)
        self._writeback = Writeback(
            loop,
            volumes,
            self._background,
            self._changes,
            partial(self._on_disk_failed, memory_lost=True),
            partial(self._on_disk_failed, memory_lost=False),
        )

    async def run(self) -> None:
        """Serves the agent until Quit. Raises OSError when it cannot listen."""
        self._loop.set_exception_handler(self._on_broken)
        resting = self._loop.create_task(self._collect())
        self._port = self._secondary.listen()
        await self._control.listen(self._spec.control_socket)
        self._writeback.start()
        self._log.info("replicator.started", port=self._port, instance=self._instance, tls=self._spec.tls_directory)
        if self._credentials is not None:
            with contextlib.suppress(Unusable):  # it is told; a primary may serve alone meanwhile
                self._credentials.contexts()
        try:
            while not isinstance(command := await self._commands.get(), control.Quit):
                await self._carry_out(command)
            await self._leave_role()
            await self._look_last()
        except Exception as error:  # the root of the task that does everything but the data path
            self._on_broken(self._loop, {"exception": error, "message": "a command"})
        resting.cancel()
        self._writeback.close()
        self._secondary.close()
        self._background.close()
        self._control.close()
        self._log.info("replicator.ended")

    def quit(self) -> None:
        """As the agent's Quit."""
        self._commands.put_nowait(control.Quit())

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._collector.rest()

    def _is_idle(self) -> bool:
        return self._serving is None or self._serving.primary.completions.idle

    # The agent

    def _greet(self) -> list[Event]:
        try:
            identity, foreign = self._vouching.identity(), self._vouching.foreign()
            diverged = self._vouching.is_diverged() and not self._vouching.is_joining()
            seen = self._vouching.seen_epoch() if identity is None else 0
        except OSError as error:
            identity, foreign, diverged, seen = None, f"the identity cannot be read: {error}", False, 0
        hello = control.Hello(
            pid=os.getpid(),
            instance=self._instance,
            listen_port=self._port,
            role=self._role.value,
            epoch=self._epoch,
            identity=identity,
            foreign=foreign,
            diverged=diverged,
            seen_epoch=seen,
            oldest_version=CONTROL.oldest,
        )
        told: list[Event] = [hello]
        if self._serving is not None:
            told += self._serving.primary.outstanding()
        if self._role is Role.SECONDARY and not self._secondary.is_following:
            told.append(self._secondary.stream_lost(self._secondary.primary, "no stream stands"))
        if self._role is Role.SECONDARY and self._secondary.loss is not None:
            told.append(self._secondary.loss)
        if self._fenced is not None:
            told.append(self._fenced)
        return told

    def _event(self, event: Event) -> None:
        if not isinstance(event, _UNLOGGED):
            fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
            for name in ("differences", "items"):
                fields.pop(name, None)
            self._log.info("event.sent", type=type(event).__name__, **fields)
        if isinstance(event, control.Failed) and event.memory_lost:
            self._lost_memory()  # before the agent is told, which may be dead
        self._control.send(event)

    def _lost_memory(self) -> None:
        """The copy is that of no join any more: what it lost need not be in a list, and the next boot does not know."""
        self._memory.distrust()

        def not_cleared(error: OSError) -> None:
            self._log.error("base.not_cleared", error=str(error))

        self._background.run(self._notes.clear_base, lambda _: None, not_cleared)
        try:
            self._memory.note()
        except OSError as error:
            self._log.error("loss.unnoted", error=str(error))

    def _on_command(self, command: Command) -> None:
        if isinstance(command, control.Lease):
            self._deadline_ns = command.deadline_ns
            if self._serving is not None:
                self._serving.warden.renew(command.deadline_ns)
                self._serving.primary.drain()  # It waits where the renewal was late.
        elif isinstance(command, control.AskPromises):
            if self._serving is not None:
                self._serving.primary.streams.ask_promises(command.asked_ns)
        elif isinstance(command, control.Promise):
            self._secondary.promise(command)
        elif isinstance(command, control.GetStatus):
            self._control.send(self._status())
        else:
            self._commands.put_nowait(command)

    async def _carry_out(self, command: Command) -> None:
        name = type(command).__name__
        self._log.info("command.received", type=name, detail=str(command))
        try:
            match command:
                case control.Serve():
                    await self._serve(command)
                case control.Follow():
                    await self._follow(command)
                case control.Idle():
                    await self._leave_role()
                    self._event(control.Idled())
                case control.CloseStream():
                    self._secondary.close_stream()
                case control.Sync():
                    self._sync()
                case control.Settled():
                    await self._settled(command)
                case (
                    asides.AsideList()
                    | asides.AsideShow()
                    | asides.AsideRestore()
                    | asides.AsideClear()
                    | asides.AsideGiveUp()
                ):
                    self._asides.carry_out(command)
                case _:
                    self._for_primary(command)
        except RefusedCommand as refused:
            self._event(control.Refused(name, str(refused)))
        except OSError as error:
            self._event(control.Failed(str(error), name, is_broken(error)))

    def _for_primary(self, command: Command) -> None:
        serving = self._serving
        if serving is None:
            if isinstance(command, control.Peer | control.Forget | control.Thaw):
                return  # meant for the role that it has just left
            raise RefusedCommand(f"this replicator is {self._role.value}")
        primary = serving.primary
        match command:
            case control.Peer(node, host, port):
                primary.streams.connect(node, host, port)
            case control.Forget(node):
                primary.streams.forget(node)
            case control.Freeze():
                serving.freeze()
            case control.Thaw():
                serving.thaw()
            case control.Verify():
                self._verify(serving, command)
            case control.StopVerify(reason):
                if self._verification is not None:
                    self._verification.stop(reason)
            case control.Diff():
                begin_diff(self._loop, primary, command, self._event)

    # TLS

    def _on_files_taken(self, identity: NodeIdentity) -> None:
        self._log.info("tls.files_taken", directory=self._spec.tls_directory, identity=identity.uri)

    def _on_files_refused(self, why: str, former: bool) -> None:
        means = "the former ones stay in use" if former else "there is no stream until they are good"
        self._log.error("tls.files_refused", reason=why, means=means)

    # Roles

    async def _serve(self, command: control.Serve) -> None:
        if self._role is Role.PRIMARY:
            raise RefusedCommand(f"it is the primary of epoch {self._epoch}")
        if self._deadline_ns <= boottime_ns():
            raise RefusedCommand("no lease is valid")
        if self._memory.is_noted:  # It was told, and stood before it heard of that.
            raise RefusedCommand("what it had in memory was lost: another process is to be asked")
        _refuse(self._role_notes.why_not_serve(command, idle=self._role is Role.IDLE))
        missing = [path for path in self._spec.must_exist if not os.path.lexists(path)]
        if missing:
            raise RefusedCommand(f"{missing[0]} is not there (must_exist)")
        await self._refuse_occupied()
        await self._leave_role()
        tracker = await self._loop.run_in_executor(None, self._role_notes.serve, command)
        notes = self._notes
        keeper = DirtyKeeper(
            self._loop, tracker, notes.list, notes.write_base, notes.advance_base, self._background, self._log.info,
            tracks=notes.tracks,
        )  # fmt: skip
        settings = PrimarySettings(
            cluster_id=self._spec.cluster_id,
            module_id=self._spec.module_id,
            node=self._spec.node,
            boot_id=self._spec.boot_id,
            instance=self._instance,
            epoch=command.epoch,
            peer_timeout_ms=self._spec.peer_timeout_ms,
            compression=self._spec.compression,
            credentials=self._credentials,
            refusals=self._refusals,
        )
        serving = Serving(
            self._loop, self._volumes, self._spec, settings, self._event, self._log.info, self._background,
            self._on_fenced, partial(self._on_disk_failed, memory_lost=True), keeper,
        )  # fmt: skip
        serving.begin(self._deadline_ns)
        self._serving = serving
        self._role, self._epoch = Role.PRIMARY, command.epoch
        self._collector.settle()
        self._event(control.Serving(command.epoch))

    async def _refuse_occupied(self) -> None:
        """Somebody may have begun to work in the directories since this process was started."""
        if self._role is Role.IDLE and not self._covered:
            _refuse(await self._loop.run_in_executor(None, why_occupied, self._spec.directories))

    async def _follow(self, command: control.Follow) -> None:
        _refuse(self._role_notes.why_not_follow(command))
        if self._role is Role.PRIMARY:
            await self._leave_role()
        await self._refuse_occupied()
        bases = await self._loop.run_in_executor(None, self._role_notes.follow, command)
        if not self._covered:
            for volume in self._volumes:
                await self._loop.run_in_executor(None, mounting.cover, volume.path)
            self._covered = True
        self._role, self._epoch = Role.SECONDARY, command.epoch
        self._collector.settle()
        self._secondary.follow(command, bases)

    async def _leave_role(self) -> None:
        """The directories are plain when this returns. Raises OSError."""
        serving, self._serving = self._serving, None
        if serving is not None:
            if self._verification is not None:
                self._verification.end("the role ended")
            await serving.end()
            self._changed += serving.primary.changes
            if serving.primary.untold_loss:
                self._on_disk_failed(serving.primary.untold_loss, memory_lost=True)
        if self._role is Role.SECONDARY:
            self._secondary.stop_following()
            await self._loop.run_in_executor(None, self._notes.keep, self._secondary.tracker)
        if self._covered:
            for volume in self._volumes:
                await self._loop.run_in_executor(None, mounting.uncover, volume.path)
            self._covered = False
        for volume in self._volumes:
            volume.number_from(None)
        self._role, self._fenced = Role.IDLE, None

    def _on_fenced(self, reason: str) -> None:
        """The mounts are dead: what is left of the role is put away."""
        self._fenced = control.Fenced(reason)
        self._event(self._fenced)
        self._commands.put_nowait(control.Idle())

    # The disks

    def _changes(self) -> int:
        """Differs when something may have been changed."""
        return self._changed + self._secondary.changes + (self._serving.primary.changes if self._serving else 0)

    def _on_disk_failed(self, reason: str, *, memory_lost: bool) -> None:
        """This node's own; whatever it is now, the agent has to know what it may still vouch for."""
        self._log.error("disk.failed", reason=reason)
        if memory_lost:
            self._memory.distrust()
        if self._serving is not None:
            self._serving.primary.disk_failed(reason, memory_lost)
        else:
            self._secondary.fail(reason, memory_lost)

    async def _look_last(self) -> None:
        """What a stream or a role was told of as it ended is told to nobody after this process."""
        try:
            async with asyncio.timeout(LAST_LOOK_S):
                await self._writeback.look_last()
                await self._background.at_rest()
        except TimeoutError:
            self._log.warning("disk.not_answered", means="a loss of what was written last may stay unknown")

    # Other commands

    async def _settled(self, command: control.Settled) -> None:
        """Lets go what waits for this record; of one that leaves a node out the disks know before."""
        serving = self._serving
        if serving is None:
            return  # meant for the role that it has just left
        primary = serving.primary
        alone, takes_out = primary.goes_on_alone(command), primary.takes_out(command)
        if alone or takes_out:
            await primary.keeper.at_rest()
            if alone:
                primary.keeper.forget_base()  # A join that comes to its end meanwhile notes one anew.
            try:
                note = partial(self._role_notes.go_on, command.revision, alone=alone, takes_out=takes_out)
                await self._loop.run_in_executor(None, note)
            except OSError as error:
                reason = f"the record without the other node cannot be noted on the disk: {error}"
                primary.fail(reason, is_broken(error))
                return
        primary.settled(command)

    def _sync(self) -> None:
        def sync() -> None:
            for volume in self._volumes:
                volume.syncfs()

        def synced(_: None) -> None:
            self._event(control.Synced())

        def failed(error: OSError) -> None:
            self._event(control.Failed(str(error), "Sync", memory_lost=True))

        self._background.run(sync, synced, failed)

    def _verify(self, serving: Serving, command: control.Verify) -> None:
        def report(event: Event) -> None:
            if isinstance(event, control.VerifyReport):
                self._verification = None
            self._event(event)

        if self._verification is not None:
            raise RefusedCommand("another verify is under way")
        self._verification = self._make_verifier(serving, command, report)

    def _status(self) -> control.Status:
        counters: dict[str, int] = dict(self._secondary.counters())
        refused = self._refusals.standing()
        if self._serving is None:
            return control.Status(
                self._role.value, self._epoch, frozen=False, held=False, counters=counters, refused=refused
            )
        primary = self._serving.primary
        return control.Status(
            self._role.value,
            self._epoch,
            frozen=primary.frozen,
            held=primary.completions.held,
            peers=primary.streams.states(),
            counters=counters | primary.counters(),
            refused=refused,
        )

    # The end

    def _on_broken(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody was to catch: the process ends, after nothing is left that serves."""
        error = context.get("exception")
        self._log.critical("invariant.broken", message=context.get("message"), exc_info=error)
        if self._serving is not None:
            self._serving.die("the replicator is broken")
        os._exit(EXIT_BROKEN)
