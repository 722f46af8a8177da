"""One farm module on this node: a queue of events into the core, and its commands out to the hands.

As :mod:`agent.runtime.module_runtime` for a mirror: events are given to the core one after the other, commands are
begun in its order, and none of them blocks.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from agent.adapters.address_links import AddressLinks, Links
from agent.adapters.host import now_ns
from agent.adapters.nft_watch import TableWatch
from agent.api_view import LocalState
from agent.api_view_farm import Busy
from agent.core import commands as common
from agent.core import events as told
from agent.core.farm import commands, directing, events, farm
from agent.core.farm.view import FarmView, decode_farm
from agent.runtime.alarm import Alarm
from agent.runtime.application_hand import ApplicationHand
from agent.runtime.cluster_view import ClusterView
from agent.runtime.core_queue import CoreQueue
from agent.runtime.directing_hand import DirectingHand
from agent.runtime.figures_hand import FiguresHand
from agent.runtime.holding_hand import HoldingHand
from agent.runtime.link_macs import LinkMacs
from agent.runtime.member_state import stopped_member, tell_change
from agent.runtime.members_hand import MembersHand
from agent.runtime.namesakes import without_namesake
from agent.runtime.rules_hand import RulesHand
from agent.runtime.running_config import RunningConfig
from agent.runtime.store_hand import StoreHand
from agent.runtime.tasks import OnFatal, Tasks
from agent.runtime.traffic_hand import TrafficHand
from manager.model import asides
from manager.model.api import ApiError, ErrorKind
from manager.model.api_snapshot import ReplicatorReport
from manager.model.api_verify import VerifyArguments
from manager.model.asides import AsideReport
from manager.model.control import DiffReport, Progress, VerifyReport
from manager.model.errors import MirrorfarmError
from manager.model.reasons import Reason
from manager.model.records import MemberRecord, ModuleConfigRecord
from manager.model.resources import with_unwatched
from manager.model.states import Readiness


@dataclasses.dataclass(frozen=True, slots=True)
class FarmHands:
    """What carries out the commands of one farm module."""

    store: StoreHand
    application: ApplicationHand
    rules: RulesHand
    holding: HoldingHand
    directing: DirectingHand
    members: MembersHand
    links: AddressLinks
    tables: TableWatch
    note: RunningConfig
    traffic: TrafficHand
    figures: FiguresHand


class FarmRuntime:
    """Runs the core of one farm module."""

    def __init__(
        self,
        settings: farm.Settings,
        record: ModuleConfigRecord,
        view: ClusterView,
        make_hands: Callable[["FarmRuntime"], FarmHands],
        on_fatal: OnFatal,
        *,
        left: bool,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """``record``: the configuration that ``settings`` and the hands were made of; ``left``: a former agent ran it
        here by that.
        """
        self.settings = settings
        self.of = record
        """The configuration that it was made of."""
        self.serve_until_ns = 0
        """Until when this node may answer for addresses, as the core said last."""
        self.longest_stop_s = 0.0
        """How long its application's stop may take."""
        self._view = view
        self._clock = clock
        self._on_fatal = on_fatal
        self._queue: CoreQueue[events.Event] = CoreQueue(self._note, self._step, self._broken)
        self._alarm = Alarm(clock, lambda: self.give(told.Tick()))
        self._tasks = Tasks(on_fatal)
        self._detail = ""
        self._member: MemberRecord | None = None
        """What the core wants published."""
        self._log = structlog.get_logger().bind(module=settings.module)
        self._macs = LinkMacs(self._reached_at)
        self._hands = make_hands(self)
        self._state = farm.initial(settings, left=left, traffic_open=self._hands.traffic.was_open)
        self._hands.store.open()
        self._watch_tables()
        links, stirred = self._hands.links, self._hands.holding.look
        self._tasks.start("links", links.follow(self._linked, self._trouble, stirred))

    # Facts from the agent

    def observed(self) -> None:
        """The view has changed in what concerns this module."""
        self._hands.store.look()
        self.give(events.Observed(self._decoded()))

    def store_went_back(self) -> None:
        """The view was replaced by an older one."""
        self.give(events.StoreWentBack(self._decoded()))

    def lease_renewed(self, lease_id: int, deadline_ns: int) -> None:
        """The lease lasts until ``deadline_ns``."""
        self._hands.store.look()
        self.give(told.LeaseRenewed(lease_id, deadline_ns))

    def give(self, event: events.Event) -> None:
        """Give the core an event, after those that came before it."""
        self._queue.give(event)

    def address_trouble(self, words: str) -> None:
        """A later life or an announcement of an address has failed; the next renewal tries again."""
        self._log.warning("address.troubled", error=words)

    def publish_again(self) -> None:
        """What the hands know beside the core has changed."""
        if self._member is not None:
            self._hands.store.publish(self._completed(self._member))

    # What the agent asks

    @property
    def at_rest(self) -> bool:
        """Nothing of the module is here: it is stopped, and may be taken away or made anew."""
        return self.has_stopped and self._hands.rules.at_rest

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
        member, own = self._hands.store.member, self.settings
        shown = member or stopped_member(self._view, own.module, own.node, own.boot_id)
        directed, now_ns = [a for a in own.addresses if self._state.is_director(a)], self._clock()
        return LocalState(
            shown,
            detail=self._detail if member else "",
            busy=self._busy(directed) if directed else None,
            awaited={a: directing.awaited(self._state, a, now_ns) for a in directed},
            figures=self._hands.figures.known(),
        )

    def _busy(self, directed: Sequence[str]) -> Busy:
        """Of the addresses that this node directs: in how many slots on their way each former owner has connections."""
        answers = {node: heard.answer.busy for node, heard in self._state.heard.items()}
        own = {address: count.busy for address, count in self._state.counts.items()}
        answers[self.settings.node] = own
        return {a: {node: len(busy[a]) for node, busy in answers.items() if busy.get(a)} for a in directed}

    async def verify(
        self, arguments: VerifyArguments, on_progress: Callable[[Progress], Awaitable[None]]
    ) -> VerifyReport:
        """Refused. Raises ApiError."""
        raise self._no_copies()

    async def diff(self) -> DiffReport:
        """Refused. Raises ApiError."""
        raise self._no_copies()

    async def aside(self, command: asides.Command) -> AsideReport:
        """Refused. Raises ApiError."""
        raise self._no_copies()

    def replicator_report(self) -> ReplicatorReport:
        """Refused. Raises ApiError."""
        raise self._no_copies()

    def switch_traffic(self, by: str, *, is_open: bool) -> bool:
        """Have what begins come here, or not; whether that is another state than before.

        Raises:
            ApiError: as of :meth:`TrafficHand.switch`.
        """
        return self._hands.traffic.switch(self._state, by, is_open=is_open)

    def _no_copies(self) -> ApiError:
        module = self.settings.module
        return ApiError(
            ErrorKind.REFUSED,
            f"{module} is a farm: there are no copies of data in it.",
            remedy=f"mirrorfarm farm show {module} shows who serves what.",
        )

    async def kill(self) -> None:
        """End everything of the module at once; the core has no more say."""
        self._queue.close()
        await self._kill_all()
        await self.close()

    async def close(self) -> None:
        """End the tasks; what runs of the module, runs on."""
        self._queue.close()
        self._alarm.cancel()
        self._macs.close()
        self._hands.tables.unwatch(self._hands.rules.look)
        await self._tasks.cancel()
        for hand in (self._hands.store, self._hands.members, self._hands.rules, self._hands.holding):
            await hand.close()
        await self._hands.directing.close()
        await self._hands.figures.close()
        await self._hands.application.close()

    # The core

    def _watch_tables(self) -> None:
        """Without it rules that somebody else removes are missed by the next look alone."""
        try:
            self._hands.tables.watch(self._hands.rules.look)
        except MirrorfarmError as failure:
            self._log.warning("rules.unwatched", error=str(failure))

    def _linked(self, links: Links) -> None:
        self._hands.rules.linked(links)
        self._hands.holding.look()
        self._macs.linked(links)

    def _reached_at(self, macs: Mapping[str, str]) -> None:
        self._hands.members.linked(macs)
        self.give(events.Links(macs))

    def _trouble(self, failure: MirrorfarmError) -> None:
        self._log.warning("links.unknown", error=str(failure))

    def _decoded(self) -> FarmView:
        view, own = self._view, self.settings
        seen = decode_farm(view.cluster, own.module, view.kvs, view.revision, view.store_id, own.depends)
        common = without_namesake(seen.common, own.module_id)
        return seen if common is seen.common else FarmView(common)

    def _remove_note(self) -> None:
        try:
            self._hands.traffic.forget()
            self._hands.note.remove()
        except (OSError, MirrorfarmError) as error:
            # The next agent takes the module for running, finds nothing of it, and goes on from there.
            self._log.warning("note.left", error=str(error))

    def _broken(self, error: Exception) -> None:
        self._on_fatal(f"module {self.settings.module}", error)

    def _step(self, event: events.Event) -> None:
        self._state, wanted = farm.step(self._state, event, self._clock())
        for command in wanted:
            self._begin(command)

    def _begin(self, command: commands.Command) -> None:
        """Begin one command; none of these calls waits for anything."""
        hands = self._hands
        match command:
            case commands.LoadRules():
                hands.rules.load(command)
                hands.figures.begin()
            case commands.UnloadRules():
                hands.rules.unload()
                hands.figures.end()
            case commands.HoldAddresses():
                hands.holding.hold()
            case commands.ReleaseAddresses():
                hands.holding.release()
            case commands.Direct():
                hands.directing.direct(command)
            case commands.Undirect(address):
                hands.directing.undirect(address)
            case commands.Probe():
                hands.members.probe(command)
            case commands.AnswerProbes():
                hands.members.answer(command)
            case commands.CountConnections():
                hands.members.count(command)
            case common.ServeUntil(deadline_ns):
                self.serve_until_ns = deadline_ns
                hands.directing.renew()
            case common.Commit():
                hands.store.commit(command)
            case common.PublishMember(record):
                self._published(record)
            case common.AnswerRequest():
                hands.store.answer(command)
            case common.Prepare(context):
                self._prepare(context)
            case common.Finish(context):
                hands.application.finish(context)
            case common.StartApplication(context):
                self._start(context)
            case common.AdoptApplication():
                hands.application.adopt()
            case common.StopApplication(context):
                hands.application.stop(context)
            case common.KillEverything(reason):
                self._log.error("module.killed", reason=reason)
                # Nobody goes on with what a former agent left: that had no failure, and may stop as it should.
                self._tasks.start("kill", self._kill_and_say(by_scripts=reason is Reason.STOPPED_BY_OPERATOR))
            case common.WakeAt(instant_ns):
                self._alarm.set(instant_ns)

    def _prepare(self, context: common.RunContext) -> None:
        try:
            # For an agent that finds what this one leaves.
            self._hands.note.write(self.of)
        except MirrorfarmError as failure:
            self.give(told.PrepareFailed(str(failure)))
        else:
            self._hands.application.prepare(context)

    def _start(self, context: common.RunContext) -> None:
        try:
            if self._hands.note.read() != self.of:  # It went with what was killed.
                self._hands.note.write(self.of)
            self._hands.traffic.forget()
        except MirrorfarmError as failure:
            # The next agent would find nothing to go on with, or take for open what this start has closed.
            self.give(told.ApplicationFailed(str(failure)))
        else:
            self._hands.application.start(context)

    def _published(self, record: MemberRecord | None) -> None:
        former = self._hands.store.member
        self._member = record
        self._hands.store.publish(self._completed(record) if record is not None else None)
        if tell_change(self._log, former, record) and record is not None and record.readiness is Readiness.READY:
            self._detail = ""

    def _completed(self, record: MemberRecord) -> MemberRecord:
        """With what the hands know beside the core."""
        unwatched = self._hands.application.is_unwatched
        return dataclasses.replace(record, resources=with_unwatched(record.resources, unwatched=unwatched))

    async def _kill_and_say(self, *, by_scripts: bool) -> None:
        if by_scripts:
            await asyncio.gather(self._hands.application.stop_left(self.longest_stop_s), self._let_go())
        await self._kill_all()
        self.give(told.Killed())

    async def _kill_all(self) -> None:
        await asyncio.gather(self._hands.application.kill(), self._let_go())

    async def _let_go(self) -> None:
        # The rules last: as long as frames come here, they go where they belong.
        await self._hands.directing.kill()
        await self._hands.holding.kill()
        await self._hands.rules.kill()
        self._hands.figures.end()

    def _note(self, event: events.Event) -> None:
        """Keep the words of what went wrong, for ``why``; and the note for the next agent as long as it is true."""
        match event:
            case told.PrepareFailed(detail) | told.ApplicationFailed(detail) | told.ApplicationGone(detail):
                self._detail = detail
            case events.HoldFailed(detail) | events.LoadFailed(detail) | events.DirectFailed(_, _, detail):
                self._detail = detail
            case told.Finished() | told.Killed():
                self._remove_note()
            case _:
                return
