"""One comparison of both copies at a time, for the operator who asked: it changes nothing, so the core has no part."""

import asyncio
from collections.abc import Awaitable, Callable

from manager.model import control
from manager.model.api import ApiError, ErrorKind
from manager.model.control import Progress, Verify, VerifyReport
from manager.model.reasons import Reason
from manager.model.states import ModuleState

_WORK = "verify"


class Verifying:
    """What runs now, if anything does."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._request = ""
        self._said: asyncio.Queue[Progress | VerifyReport | str] | None = None

    async def run(
        self,
        command: Verify,
        state: ModuleState,
        tell: Callable[[control.Command], None],
        on_progress: Callable[[Progress], Awaitable[None]],
    ) -> VerifyReport:
        """Have the replicator compare, and wait for its report.

        Args:
            command: with an id of its own.
            state: of the module on this node.
            tell: sends a command to the replicator.
            on_progress: told how far it is.

        Raises:
            ApiError: this node is not PRIM, a comparison runs already, or it came to no end.
        """
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
            tell(command)
            while True:
                said = await self._said.get()
                if isinstance(said, VerifyReport):
                    return said
                if isinstance(said, str):
                    raise self._broken(said)
                await on_progress(said)
        finally:
            self._said = None

    def heard(self, event: control.Event) -> None:
        """The replicator has said something."""
        if self._said is None:
            return
        match event:
            case Progress(work=work) if work == _WORK:
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
            remedy="Run mirrorfarm verify on the node that mirrorfarm state shows as PRIM.",
        )

    def _broken(self, why: str) -> ApiError:
        return ApiError(
            ErrorKind.FAILED,
            f"The comparison of {self._module} came to no end: {why}.",
            meaning="Nothing was found out, and nothing was changed.",
            remedy="Ask again when the node is PRIM.",
        )
