"""Compares both copies of one module: when an operator asks, and by the schedule while this node is its primary.

What is due and what is noted of it is decided in :mod:`agent.runtime.verify_plan`. An operator goes first: what the
schedule has under way stops for him, and goes on later.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

import structlog

from agent.runtime import verify_plan
from agent.runtime.handling import utc_now
from agent.runtime.tasks import OnFatal, Tasks
from agent.runtime.verify_notes import Change, VerifyNotes
from agent.runtime.verify_plan import Part
from agent.runtime.verifying import Verifying
from manager.model import control
from manager.model.api import ApiError
from manager.model.api_verify import VerifyArguments
from manager.model.config import VerifyConfig
from manager.model.control import Progress, StopVerify, Verify, VerifyReport
from manager.model.states import ModuleState
from manager.model.verify_record import MOST_EXAMPLES, OPERATOR

LOOK_S = 5.0
"""How often it is looked at whether one is due, or its window over."""
NOTE_S = 30.0
"""How often it is noted how far one is: so much is compared again when this node dies."""
AGAIN_S = 60.0
"""How long one that was cut short waits."""
STOP_S = 30.0
"""How long an operator waits for one of the schedule to stop."""
_LOST = "the connection to its replicator ended meanwhile"


def local_now() -> datetime:
    """The wall time, as the machine's owner has it."""
    return datetime.now(UTC).astimezone()


class VerifyHand:
    """The comparisons of one module."""

    def __init__(
        self,
        module: str,
        node: str,
        config: VerifyConfig,
        notes: VerifyNotes,
        state: Callable[[], ModuleState],
        tell: Callable[[control.Command], None],
        on_fatal: OnFatal,
        now: Callable[[], datetime] = local_now,
        look_s: float = LOOK_S,
    ) -> None:
        """``state``: the module's on this node; ``tell``: sends its replicator a command."""
        self._node = node
        self._config = config
        self._notes = notes
        self._state = state
        self._tell = tell
        self._now = now
        self._look_s = look_s
        self._verifying = Verifying(module)
        self._tasks = Tasks(on_fatal)
        self._part: Part | None = None
        """Of which no end was heard yet."""
        self._progress: Progress | None = None
        self._by_schedule: asyncio.Task[VerifyReport] | None = None
        self._log = structlog.get_logger().bind(module=module)

    def open(self) -> None:
        """Begin to follow the schedule."""
        self._notes.open()
        if self._config.schedule:
            self._tasks.start("verify schedule", self._follow())

    async def close(self) -> None:
        """Follow it no more; what a replicator has under way, goes on there."""
        await self._tasks.cancel()
        await self._notes.close()

    # What is heard

    def heard(self, event: control.Event) -> None:
        """The replicator has said something."""
        part = self._part
        match event:
            case Progress(work="verify"):
                self._progress = event
            case VerifyReport(request_id=number) if part is not None and number == part.command.request_id:
                self._note(part, partial(verify_plan.ended, part=part, report=event, at=utc_now()))
                self._say(part, event)
                self._part = None
            case control.Hello() if part is not None or self._verifying.is_busy:
                # Its report may have gone with the connection that has ended: then nothing would ever end it here.
                self._tell(StopVerify(_LOST))
                self.gone(_LOST)
            case _:
                pass
        self._verifying.heard(event)

    def gone(self, why: str) -> None:
        """There is no replicator any more that would report."""
        if self._part is not None:
            self._broke_off(self._part, why)
        self._verifying.gone(why)

    def _broke_off(self, part: Part, why: str) -> None:
        self._part = None
        self._note(part, partial(verify_plan.broken_off, part=part, progress=self._progress, why=why, at=utc_now()))
        self._log.warning("comparison.broken", by=part.by, reason=why)

    def _note(self, part: Part, change: Change) -> None:
        self._notes.keep(part.command.request_id, change)

    def _say(self, part: Part, report: VerifyReport) -> None:
        log = self._log.error if report.differences_total else self._log.info
        log(
            "copies.compared",
            by=part.by,
            entries=report.entries,
            bytes=report.bytes_compared,
            differences=report.differences_total,
            examples=[f"{each.path}: {each.what}" for each in report.differences[:MOST_EXAMPLES]],
            repairing=report.repairing,
            error=report.error,
        )

    def _begins(self, part: Part) -> None:
        self._part, self._progress = part, None

    # An operator's

    async def run(self, arguments: VerifyArguments, on_progress: Callable[[Progress], Awaitable[None]]) -> VerifyReport:
        """Compare both copies, and repair if that is asked; it ends with whoever asked.

        Raises:
            ApiError: this node is not PRIM, a comparison runs already, or it came to no end.
        """
        scheduled = self._by_schedule
        if scheduled is not None:
            self._tell(StopVerify("an operator's comparison goes first"))
            await asyncio.wait((scheduled,), timeout=STOP_S)
        bytes_s = self._config.bandwidth_bytes_s if arguments.bytes_s is None else arguments.bytes_s
        command = Verify(secrets.token_hex(8), arguments.limit, arguments.repair, bytes_s)

        def tell(told: control.Command) -> None:
            self._begins(Part(command, self._node, OPERATOR, utc_now()))
            self._tell(told)

        try:
            return await self._verifying.run(command, self._state, tell, on_progress)
        except ApiError:
            if self._part is not None and self._part.command.request_id == command.request_id:
                self._part = None  # Else it is another's, which goes on.
            raise
        except asyncio.CancelledError:
            self._tell(StopVerify("nobody waits for it any more"))
            raise

    # The schedule's

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        not_before_s, first = loop.time(), True
        while True:
            await asyncio.sleep(self._look_s)
            window = verify_plan.window_at(self._config.schedule, self._now())
            may = loop.time() >= not_before_s and self._state() is ModuleState.PRIM
            if not may or self._verifying.is_busy or not self._notes.is_reachable:
                continue
            if not verify_plan.is_due(self._notes.record, window):
                continue
            if first:
                self._tell(StopVerify("the agent was started anew"))  # of a former one's nobody would hear
                first = False
            else:
                await self._go_on(window)
                not_before_s = loop.time() + AGAIN_S

    async def _go_on(self, window: str) -> None:
        """One part: to its end, or the window's."""
        record = self._notes.record
        part = verify_plan.part_of(record, self._config, window, self._node, secrets.token_hex(8), utc_now())
        self._begins(part)
        self._note(part, partial(verify_plan.under_way, part=part, progress=None, at=utc_now()))
        self._log.info("comparison.begun", by=part.by, window=window, place=part.command.place)
        running = self._by_schedule = asyncio.ensure_future(self._verifying.once(part.command, self._state, self._tell))
        try:
            await self._watch(part, running)
            await running
        except ApiError as error:
            if self._part is part:
                self._broke_off(part, error.message)
        finally:
            running.cancel()
            self._by_schedule = None

    async def _watch(self, part: Part, running: "asyncio.Task[VerifyReport]") -> None:
        """Note how far it is, and end it with its window."""
        loop = asyncio.get_running_loop()
        noted_s, stopped = loop.time(), False
        while not (await asyncio.wait((running,), timeout=self._look_s))[0]:
            if not stopped and not verify_plan.is_open(self._config.schedule, part.window, self._now()):
                stopped = True
                self._tell(StopVerify("its window was over"))
            if self._part is part and self._progress is not None and loop.time() - noted_s >= NOTE_S:
                noted_s = loop.time()
                self._note(part, partial(verify_plan.under_way, part=part, progress=self._progress, at=utc_now()))
