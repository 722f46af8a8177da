"""What the agent has this replicator do, one command after the other: in which role it is, and what it does in it."""

from functools import partial

from manager.model import asides, control
from manager.model.control import Command, Event
from replicator.diffing import begin_diff
from replicator.disk.loss import is_broken
from replicator.parts import Parts
from replicator.roles import RefusedCommand, Roles
from replicator.serving import Serving
from replicator.verification import Verification, VerifierFactory


class Commands:
    """Carried out in the order in which they came. Those that wait for nothing do not come here."""

    def __init__(self, parts: Parts, roles: Roles, make_verifier: VerifierFactory) -> None:
        """It is told when the role ends."""
        self._parts = parts
        self._event = parts.event
        self._roles = roles
        self._make_verifier = make_verifier
        self._verification: Verification | None = None
        roles.on_ending = self._end_verification

    async def carry_out(self, command: Command) -> None:
        """What is refused or fails is told, and changes nothing else."""
        name = type(command).__name__
        self._parts.log.info("command.received", type=name, detail=str(command))
        try:
            match command:
                case control.Serve():
                    await self._roles.serve(command)
                case control.Follow():
                    await self._roles.follow(command)
                case control.Idle():
                    await self._roles.leave()
                    self._event(control.Idled())
                case control.CloseStream():
                    self._parts.secondary.close_stream()
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
                    self._parts.asides.carry_out(command)
                case _:
                    self._for_primary(command)
        except RefusedCommand as refused:
            self._event(control.Refused(name, str(refused)))
        except OSError as error:
            self._event(control.Failed(str(error), name, is_broken(error)))

    def _for_primary(self, command: Command) -> None:
        serving = self._roles.serving
        if serving is None:
            if isinstance(command, control.Peer | control.Forget | control.Thaw):
                return  # meant for the role that it has just left
            raise RefusedCommand(f"this replicator is {self._roles.role.value}")
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
                begin_diff(self._parts.loop, primary, command, self._event)

    async def _settled(self, command: control.Settled) -> None:
        """Lets go what waits for this record; of one that leaves a node out the disks know before."""
        serving = self._roles.serving
        if serving is None:
            return  # meant for the role that it has just left
        primary = serving.primary
        alone, takes_out = primary.goes_on_alone(command), primary.takes_out(command)
        if alone or takes_out:
            await primary.keeper.at_rest()
            if alone:
                primary.keeper.forget_base()  # A join that comes to its end meanwhile notes one anew.
            try:
                note = partial(self._roles.notes.go_on, command.revision, alone=alone, takes_out=takes_out)
                await self._parts.loop.run_in_executor(None, note)
            except OSError as error:
                reason = f"the record without the other node cannot be noted on the disk: {error}"
                primary.fail(reason, is_broken(error))
                return
        primary.settled(command)

    def _sync(self) -> None:
        def sync() -> None:
            for volume in self._parts.volumes:
                volume.syncfs()

        def synced(_: None) -> None:
            self._event(control.Synced())

        def failed(error: OSError) -> None:
            self._event(control.Failed(str(error), "Sync", memory_lost=True))

        self._parts.background.run(sync, synced, failed)

    def _verify(self, serving: Serving, command: control.Verify) -> None:
        def report(event: Event) -> None:
            if isinstance(event, control.VerifyReport):
                self._verification = None
            self._event(event)

        if self._verification is not None:
            raise RefusedCommand("another verify is under way")
        self._verification = self._make_verifier(serving, command, report)

    def _end_verification(self, reason: str) -> None:
        if self._verification is not None:
            self._verification.end(reason)
