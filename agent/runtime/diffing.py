"""How much a coming resync would look at, for the operator who asked: only the replicator that serves knows."""

import asyncio
from collections.abc import Callable
from typing import Final

from manager.model import control
from manager.model.api import ApiError, ErrorKind
from manager.model.control import Diff, DiffReport
from manager.model.reasons import Reason
from manager.model.states import ModuleState
from manager.time_limit import time_limit

ANSWER_S: Final = 30.0
"""The replicator looks for ten seconds at the most; its disk may be slow."""


class Diffing:
    """The questions that are not answered."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._asked: dict[str, asyncio.Future[DiffReport]] = {}

    async def run(self, command: Diff, state: ModuleState, tell: Callable[[control.Command], None]) -> DiffReport:
        """Ask the replicator.

        Args:
            command: with an id of its own.
            state: of the module on this node.
            tell: sends a command to the replicator.

        Raises:
            ApiError: this node is neither PRIM nor ALONE, or there was no answer.
        """
        if state not in (ModuleState.PRIM, ModuleState.ALONE):
            raise ApiError(
                ErrorKind.REFUSED,
                f"This node is not the primary of {self._module}: it is {state}.",
                reason=str(Reason.NOT_PRIMARY),
                remedy="Ask the node that mirrorfarm state shows as PRIM or ALONE, there or from here: "
                f"mirrorfarm --node NODE diff {self._module}",
            )
        answer = self._asked[command.request_id] = asyncio.get_running_loop().create_future()
        try:
            tell(command)
            async with time_limit(ANSWER_S):
                report: DiffReport = await answer
                return report
        except TimeoutError:
            raise self._unanswered(f"nothing came within {ANSWER_S:.0f} s") from None
        finally:
            del self._asked[command.request_id]

    def heard(self, event: control.Event) -> None:
        """The replicator has said something."""
        match event:
            case DiffReport(request_id=number) if number in self._asked:
                if not self._asked[number].done():
                    self._asked[number].set_result(event)
            case control.Refused(command="Diff", reason=reason):
                self.gone(reason)
            case _:
                return

    def gone(self, why: str) -> None:
        """There is no replicator any more that would answer."""
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(self._unanswered(why))

    def _unanswered(self, why: str) -> ApiError:
        return ApiError(
            ErrorKind.FAILED,
            f"How much a resync of {self._module} would look at was not found out: {why}.",
            remedy="Ask the primary again.",
        )
