"""One comparison of both copies at a time, for the operator who asked, or the schedule.

It changes nothing, so the core has no part. Nor has it in a repair: the replicator gives the other node up as lost, and
what follows is what follows of every loss, until both copies are compared again.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Iterator

from manager.model import control
from manager.model.api import ApiError, ErrorKind
from manager.model.control import PeerComplete, PeerLost, Progress, Verify, VerifyReport
from manager.model.reasons import Reason
from manager.model.states import ModuleState
from manager.time_limit import time_limit

_WORK = ("verify", "join")
_LOOK_S = 0.2
"""How often the state is looked at, for the other node to be listed again."""
_Said = Progress | VerifyReport | PeerComplete | PeerLost | str
"""What the replicator said; a string: why there will be no more of it."""


async def _unheeded(_progress: Progress) -> None:
    """Nobody waits for it."""


class Verifying:
    """What runs now, if anything does."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._request = ""
        self._said: asyncio.Queue[_Said] | None = None

    async def run(
        self,
        command: Verify,
        state: Callable[[], ModuleState],
        tell: Callable[[control.Command], None],
        on_progress: Callable[[Progress], Awaitable[None]],
    ) -> VerifyReport:
        """Have the replicator compare, and wait for its report; of a repair, for that of the comparison after it.

        Args:
            command: with an id of its own.
            state: says the module's on this node.
            tell: sends a command to the replicator.
            on_progress: told how far it is.

        Raises:
            ApiError: this node is not PRIM, a comparison runs already, or it came to no end.
        """
        with self._saying(command, state()) as said:
            tell(command)
            report = await self._report(said, on_progress)
            if not report.repairing:
                return report
            await self._listed_again(said, state, on_progress)
            tell(dataclasses.replace(command, repair=False))
            after = await self._report(said, on_progress)
            return dataclasses.replace(after, repaired_total=report.differences_total, repaired=report.differences)

    async def once(
        self, command: Verify, state: Callable[[], ModuleState], tell: Callable[[control.Command], None]
    ) -> VerifyReport:
        """As :meth:`run`, of one comparison: what is repaired after it is not compared again.

        Raises:
            ApiError: as :meth:`run`.
        """
        with self._saying(command, state()) as said:
            tell(command)
            return await self._report(said, _unheeded)

    @property
    def is_busy(self) -> bool:
        """Whether one runs."""
        return self._said is not None

    @contextlib.contextmanager
    def _saying(self, command: Verify, state: ModuleState) -> "Iterator[asyncio.Queue[_Said]]":
        """What the replicator says meanwhile. Raises ApiError: this node is not PRIM, or one runs already."""
        if state is not ModuleState.PRIM:
            raise self._not_primary(state)
        if self._said is not None:
            raise ApiError(
                ErrorKind.REFUSED, f"A comparison of {self._module} runs already.", reason=str(Reason.BUSY),
                remedy="Wait for its end; mirrorfarm state shows how far it is.",
            )  # fmt: skip
        self._said = asyncio.Queue()
        self._request = command.request_id
        try:
            yield self._said
        finally:
            self._said = None

    async def _report(
        self, saying: "asyncio.Queue[_Said]", on_progress: Callable[[Progress], Awaitable[None]]
    ) -> VerifyReport:
        while True:
            said = await saying.get()
            if isinstance(said, VerifyReport):
                return said
            if isinstance(said, str):
                raise self._broken(said)
            if isinstance(said, Progress):
                await on_progress(said)

    async def _listed_again(
        self,
        saying: "asyncio.Queue[_Said]",
        state: Callable[[], ModuleState],
        on_progress: Callable[[Progress], Awaitable[None]],
    ) -> None:
        """The other node has what is this one's, and counts again; it may come and go meanwhile.

        Raises:
            ApiError: this node does not serve any more.
        """
        complete = False
        while not (complete and saying.empty() and state() is ModuleState.PRIM):
            if state() not in (ModuleState.PRIM, ModuleState.ALONE):
                raise self._not_repaired(f"this node is {state()} now")
            try:
                async with time_limit(_LOOK_S):
                    said = await saying.get()
            except TimeoutError:
                continue
            if isinstance(said, str):
                raise self._not_repaired(said)
            if isinstance(said, Progress):
                await on_progress(said)
            elif not isinstance(said, VerifyReport):
                complete = isinstance(said, PeerComplete)

    def heard(self, event: control.Event) -> None:
        """The replicator has said something."""
        if self._said is None:
            return
        match event:
            case Progress(work=work) if work in _WORK:
                self._said.put_nowait(event)
            case PeerComplete() | PeerLost():
                self._said.put_nowait(event)
            case VerifyReport(request_id=number) if number == self._request:
                self._said.put_nowait(event)
            case control.Refused(command="Verify", reason=reason):
                self._said.put_nowait(reason)
            case _:
                return

    def gone(self, why: str) -> None:
        """There is no replicator any more that would report."""
        if self._said is not None:
            self._said.put_nowait(why)

    def _not_primary(self, state: ModuleState) -> ApiError:
        if state is ModuleState.ALONE:
            return ApiError(
                ErrorKind.REFUSED,
                f"{self._module} has one copy only: this node is ALONE.",
                reason=str(Reason.NO_SECONDARY),
                remedy=f"Compare when it is PRIM here: mirrorfarm wait {self._module} PRIM",
            )
        return ApiError(
            ErrorKind.REFUSED,
            f"This node is not the primary of {self._module}: it is {state}.",
            reason=str(Reason.NOT_PRIMARY),
            remedy="Ask the node that mirrorfarm state shows as PRIM, there or from here: "
            f"mirrorfarm --node NODE verify {self._module}",
        )

    def _broken(self, why: str) -> ApiError:
        return ApiError(
            ErrorKind.FAILED,
            f"The comparison of {self._module} came to no end: {why}.",
            meaning="Nothing was found out, and nothing was changed.",
            remedy="Ask again when the node is PRIM.",
        )

    def _not_repaired(self, why: str) -> ApiError:
        return ApiError(
            ErrorKind.FAILED,
            f"The copies of {self._module} differ, and it is not known whether they were made equal: {why}.",
            meaning="The other node was taken out of the in-sync record, to come back with what is this node's.",
            remedy="See mirrorfarm state, and ask the primary again when it is PRIM.",
        )
