"""One module on this node: a queue of events into the core, and its commands out to the hands.

Events are given to the core one after the other, in the order in which they came; commands are begun in the core's
order, and none of them blocks: what takes time is a task of its hand's, and its end is an event.
"""

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable

import structlog

from agent.adapters.host import now_ns
from agent.api_view import LocalState
from agent.core import commands, events, mirror
from agent.core.view import ModuleView, decode_view
from agent.runtime.address_hand import AddressHand
from agent.runtime.alarm import Alarm
from agent.runtime.application_hand import ApplicationHand
from agent.runtime.asides import Asides, why_not_set_aside
from agent.runtime.cluster_view import ClusterView
from agent.runtime.core_queue import CoreQueue
from agent.runtime.diffing import Diffing
from agent.runtime.lacking_hand import LackingHand
from agent.runtime.member_state import stopped_member, tell_change
from agent.runtime.memory import Memory
from agent.runtime.namesakes import without_namesake
from agent.runtime.probe_hand import ProbeHand
from agent.runtime.replicator_hand import ReplicatorHand
from agent.runtime.replicator_levels import is_about_levels
from agent.runtime.replicator_status import ReplicatorStatus
from agent.runtime.store_hand import StoreHand
from agent.runtime.stream_figures import StreamFigures
from agent.runtime.tasks import OnFatal, Tasks
from agent.runtime.verify_hand import VerifyHand
from manager.model import asides, control
from manager.model.api import ApiError, ErrorKind
from manager.model.api_snapshot import ReplicatorReport
from manager.model.api_verify import VerifyArguments
from manager.model.asides import AsideReport, NotSetAside
from manager.model.control import DiffReport, Progress, Stage, VerifyReport
from manager.model.pace import Pace, PaceMeter
from manager.model.reasons import WITH_WORDS
from manager.model.records import MemberRecord, ModuleConfigRecord
from manager.model.resources import with_aside, with_missing, with_unwatched
from manager.model.states import ModuleState, Readiness

SECOND_NS = 1_000_000_000
_PROGRESS_LASTS_NS = 3 * SECOND_NS
"""A replicator tells its progress each second: without any for so long, it is not busy any more.

That all is at the peer it tells once: it lasts until the peer is complete, or lost.
"""

_ROUTINE = (control.PromiseAsked, control.Promised)
"""Said all the time: no news."""

_ANSWERS = (control.Status, VerifyReport, DiffReport, AsideReport, Progress)
"""To questions, or told all the time: nothing is decided from them."""

_ENDS_OF_WORK = (
    control.PeerComplete,
    control.PeerLost,
    control.Idled,
    control.Fenced,
    control.Failed,
    VerifyReport,
)
"""After these there is no progress to show."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hands:
    """What carries out the commands of one module."""

    store: StoreHand
    replicator: ReplicatorHand
    application: ApplicationHand
    addresses: AddressHand
    memory: Memory
    verify: VerifyHand
    probing: ProbeHand
    lacking: LackingHand


class ModuleRuntime:
    """Runs the core of one module."""

    def __init__(
        self,
        settings: mirror.Settings,
        record: ModuleConfigRecord,
        view: ClusterView,
        make_hands: Callable[["ModuleRuntime"], Hands],
        on_fatal: OnFatal,
        clock: Callable[[], int] = now_ns,
        *,
        left: bool = False,
    ) -> None:
        """``record``: the configuration that ``settings`` and the hands were made of.

        ``left``: a former agent has left it running here.
        """
        self.settings = settings
        self.of = record
        """The configuration that it was made of."""
        self.serve_until_ns = 0
        """Until when this node may serve, as the core said last."""
        self.longest_stop_s = 0.0
        """How long its application's stop may take."""
        self._view = view
        self._on_fatal = on_fatal
        self._clock = clock
        self._state = mirror.initial(settings, left=left)
        self._queue = CoreQueue(self._note, self._step, self._broken)
        self._alarm = Alarm(clock, lambda: self.give(events.Tick()))
        self._tasks = Tasks(on_fatal)
        self._progress: Progress | None = None
        self._progress_ns = 0
        self._meter = PaceMeter()
        self._pace: Pace | None = None
        self._detail = ""
        self._diffing = Diffing(settings.module)
        self._status = ReplicatorStatus(clock)
        self._figures = StreamFigures(clock)
        self._log = structlog.get_logger().bind(module=settings.module)
        self._record: MemberRecord | None = None
        """What the core wants published, without what is set aside."""
        self._hands = make_hands(self)
        self._asides = Asides(settings.module, settings.node, self._hands.replicator.ask, self.publish_again)
        self._hands.store.open()
        self._hands.verify.open()
        self._hands.lacking.open()

    # Facts from the agent

    def observed(self) -> None:
        """The view has changed in what concerns this module."""
        self._hands.store.look()
        self._hands.lacking.look()
        self.give(events.Observed(self._decoded()))

    def store_went_back(self) -> None:
        """The view was replaced by an older one."""
        self.give(events.StoreWentBack(self._decoded()))

    def lease_renewed(self, lease_id: int, deadline_ns: int) -> None:
        """The lease lasts until ``deadline_ns``."""
        self._hands.store.look()
        self.give(events.LeaseRenewed(lease_id, deadline_ns))

    def give(self, event: events.Event) -> None:
        """Give the core an event, after those that came before it."""
        self._queue.give(event)

    def _broken(self, error: Exception) -> None:
        self._on_fatal(f"module {self.settings.module}", error)

    def heard(self, event: control.Event) -> None:
        """The replicator has said something; not everything is the core's business."""
        self._hands.verify.heard(event)
        self._diffing.heard(event)
        self._asides.heard(event)
        self._status.heard(event)
        self._figures.heard(event)
        if isinstance(event, Progress):
            self._progress, self._progress_ns = event, self._clock()
            self._pace = self._meter.heard(event)
        elif isinstance(event, _ENDS_OF_WORK):
            self._progress = None
        if not isinstance(event, _ANSWERS) and not _refuses_a_question(event):
            log = self._log.debug if isinstance(event, _ROUTINE) else self._log.info
            log("replicator.said", said=type(event).__name__, **_values(event))
            self.give(events.ReplicatorSaid(event))

    def address_trouble(self, words: str) -> None:
        """A later life or an announcement of an address has failed; the next renewal tries again."""
        self._log.warning("address.troubled", error=words)

    def publish_again(self) -> None:
        """What the hands know beside the core has changed."""
        if self._record is not None:
            self._hands.store.publish(self._completed(self._record))

    # What the agent asks

    @property
    def at_rest(self) -> bool:
        """Nothing of the module is here: it is stopped, and may be taken away or made anew."""
        return self.has_stopped and not self._hands.replicator.present

    @property
    def has_stopped(self) -> bool:
        """The core is at rest; what it let go of may not be gone yet."""
        return self._queue.is_empty and self._state.is_at_rest

    @property
    def settled(self) -> bool:
        """What etcd shall have of it, it has, as far as etcd answers."""
        return self._hands.store.settled

    def local_state(self) -> LocalState:
        """What only this node knows."""
        member, progress = self._hands.store.member, self._progress
        if progress is not None and progress.stage is not Stage.SYNCING:
            progress = progress if self._clock() - self._progress_ns < _PROGRESS_LASTS_NS else None
        pace = self._pace if progress is not None else None
        own = self.settings
        shown = member or stopped_member(self._view, own.module, own.node, self._state.boot_id)
        detail = self._detail if member else ""
        return LocalState(shown, progress, detail, pace, refused=self._status.refused, stream=self._figures.shown)

    async def verify(
        self, arguments: VerifyArguments, on_progress: Callable[[Progress], Awaitable[None]]
    ) -> VerifyReport:
        """Compare both copies, and repair if that is asked.

        Raises:
            ApiError: this node is not PRIM, a comparison runs already, or it came to no end.
        """
        return await self._hands.verify.run(arguments, on_progress)

    async def diff(self) -> DiffReport:
        """How much a resync would look at.

        Raises:
            ApiError: this node is neither PRIM nor ALONE, or there was no answer.
        """
        command = control.Diff(secrets.token_hex(8))
        return await self._diffing.run(command, self._member_state(), self._hands.replicator.tell)

    async def aside(self, command: asides.Command) -> AsideReport:
        """Do something about what is set aside here.

        Raises:
            ApiError: the module is not started here, it was not done, or it is not known whether it was.
        """
        return await self._asides.run(command)

    def replicator_report(self) -> ReplicatorReport:
        """What its replicator has said last of itself. Raises ApiError: nothing."""
        return self._status.report(self.settings.module)

    def switch_traffic(self, by: str, *, is_open: bool) -> bool:
        """Refused. Raises ApiError."""
        module = self.settings.module
        raise ApiError(
            ErrorKind.REFUSED,
            f"{module} runs as a mirror here: it shares no traffic.",
            remedy=f"Clients come to its primary: mirrorfarm state {module} shows where that is.",
        )

    def _member_state(self) -> ModuleState:
        member = self._hands.store.member
        return member.state if member is not None else ModuleState.STOP

    async def kill(self) -> None:
        """End everything of the module at once; the core has no more say."""
        self._queue.close()
        await self._kill_all()
        await self.close()

    async def close(self) -> None:
        """End the tasks; what runs of the module, runs on."""
        self._queue.close()
        self._alarm.cancel()
        await self._tasks.cancel()
        await self._hands.verify.close()
        await self._hands.probing.close()
        await self._hands.lacking.close()
        await self._hands.store.close()
        await self._hands.addresses.close()
        await self._hands.application.close()
        await self._hands.replicator.release()

    # The core

    def _decoded(self) -> ModuleView:
        view, own = self._view, self.settings
        seen = decode_view(view.cluster, own.module, view.kvs, view.revision, view.store_id, own.depends)
        return without_namesake(seen, own.module_id)

    def _step(self, event: events.Event) -> None:
        if isinstance(event, events.ReplicatorGone | events.ReplicatorStopped | events.Killed):
            # It may have lost its memory on its way out, when it is not listened to any more (S8).
            event = dataclasses.replace(event, boot_id=self._hands.memory.boot_id())
        before = self._state.boot_id
        self._state, wanted = mirror.step(self._state, event, self._clock())
        if self._state.boot_id != before:
            # First of all: whatever ends this agent from here on, the next one knows that memory was lost (S8).
            self._hands.memory.keep(self._state.boot_id)
        for command in wanted:
            self._begin(command)

    def _begin(self, command: commands.Command) -> None:
        """Begin one command; none of these calls waits for anything."""
        hands = self._hands
        match command:
            case commands.Commit():
                hands.store.commit(command)
            case commands.PublishMember(record):
                self._published(record)
            case commands.AnswerRequest():
                hands.store.answer(command)
            case commands.Tell(told):
                self._log.debug("replicator.told", told=type(told).__name__, **_values(told))
                hands.replicator.tell(told)
            case commands.ServeUntil(deadline_ns):
                self.serve_until_ns = deadline_ns
                hands.replicator.tell(control.Lease(deadline_ns))
                hands.addresses.renew()
            case commands.StartReplicator():
                hands.replicator.start(self._state.boot_id)
            case commands.StopReplicator():
                hands.replicator.stop()
            case commands.Prepare(context):
                hands.application.prepare(context)
            case commands.Finish(context):
                hands.application.finish(context)
            case commands.StartApplication() | commands.StopApplication() if not hands.replicator.is_there:
                # Its scripts would be at work in plain directories: it was killed, and what the core is about to hear
                # answers this, too.
                self._log.info("command.abandoned", command=type(command).__name__)
            case commands.StartApplication(context):
                hands.application.start(context)
            case commands.AdoptApplication():
                hands.application.adopt()
            case commands.StopApplication(context):
                hands.application.stop(context)
            case commands.AddAddresses():
                hands.addresses.add()
            case commands.DropAddresses():
                hands.addresses.drop()
            case commands.ProbeNode():
                hands.probing.probe(command)
            case commands.Fence():
                hands.application.fence(command)
            case commands.KillEverything(reason):
                self._log.error("module.killed", reason=reason)
                self._tasks.start("kill", self._kill_and_say())
            case commands.WakeAt(instant_ns):
                self._alarm.set(instant_ns)

    def _published(self, record: MemberRecord | None) -> None:
        former = self._hands.store.member
        self._record = record
        self._hands.store.publish(self._completed(record) if record is not None else None)
        changed = tell_change(self._log, former, record)
        if changed and record is not None and (record.readiness is Readiness.READY or record.reason not in WITH_WORDS):
            self._detail = ""

    def _completed(self, record: MemberRecord) -> MemberRecord:
        """With what the hands know beside the core."""
        resources = with_unwatched(record.resources, unwatched=self._hands.application.is_unwatched)
        resources = with_missing(resources, missing=self._hands.addresses.are_missing)
        return dataclasses.replace(record, resources=with_aside(resources, self._asides.kept))

    async def _kill_and_say(self) -> None:
        await self._kill_all()
        self.give(events.Killed())

    async def _kill_all(self) -> None:
        hands = self._hands
        # The application first, and at once; then the replicator, whose end frees what hangs in its mounts.
        await asyncio.gather(hands.application.kill(), hands.addresses.kill(), hands.replicator.kill())

    def _note(self, event: events.Event) -> None:
        """Keep the words of what went wrong, for ``why``; what a replicator was busy with ends with it."""
        match event:
            case events.PrepareFailed(detail) | events.ApplicationFailed(detail) | events.ApplicationGone(detail):
                self._detail = detail
            case events.AddressesFailed(_, detail):
                self._detail = detail
            case events.ReplicatorGone(reason):
                self._detail = reason
                self._progress = None
                self._replicator_gone(reason)
            case events.ReplicatorSaid(control.Failed(reason)) | events.ReplicatorSaid(control.Fenced(reason)):
                self._detail = reason
            case events.ReplicatorSaid(NotSetAside() as refused):
                self._detail = why_not_set_aside(refused)
            case events.ReplicatorStopped():
                self._progress = None
                self._replicator_gone("the module was stopped")
            case events.Killed():
                self._replicator_gone("this node stopped serving")
            case _:
                return

    def _replicator_gone(self, why: str) -> None:
        self._hands.verify.gone(why)
        self._diffing.gone(why)
        self._asides.gone(why)
        self._status.gone()
        self._figures.gone()


def _refuses_a_question(event: control.Event) -> bool:
    """Whether an operator's question is refused, or that its answer is to end: it has no part in what goes on."""
    if not isinstance(event, control.Refused):
        return False
    # A replicator of a former release does not know what is set aside, and gives the line back instead of the name.
    return (
        event.command in ("Verify", "StopVerify", "Diff") or "Aside" in event.command or is_about_levels(event.command)
    )


def _values(message: control.Event | control.Command) -> dict[str, object]:
    return {f.name: getattr(message, f.name) for f in dataclasses.fields(message) if f.name != "limit"}
