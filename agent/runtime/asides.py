"""What this node has set aside of a module (S12): the questions of operators to its replicator, and how much there is.

It changes no decision, so the core has no part. How much there is comes with each answer; who is asked when is said
here, since the member record tells it to all nodes: the replicator's greeting, and the end of a setting aside.
"""

import asyncio
import secrets
from collections.abc import Callable

from manager.model import asides, control
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.asides import AsideList, AsideReport, NotSetAside, SetAside
from manager.model.resources import KeptAside

Ask = Callable[[control.Command], bool]
"""Sends a question to the replicator; whether there is one that could be told."""
_MIB = 1 << 20
_ENDED = "the connection to its replicator ended meanwhile"


class Asides:
    """The questions that are not answered, and how much was set aside when the replicator last said it."""

    def __init__(self, module: str, node: str, ask: Ask, on_change: Callable[[], None]) -> None:
        """``on_change``: called when :attr:`kept` has changed."""
        self._module = module
        self._node = node
        self._ask = ask
        self._on_change = on_change
        self._asked: dict[str, asyncio.Future[AsideReport]] = {}
        self.kept: KeptAside | None = None
        """``None``: it is not known, as without a replicator."""

    async def run(self, command: asides.Command) -> AsideReport:
        """Have the replicator do it. A restore or clearing takes as long as it takes.

        Args:
            command: with an id of its own.

        Raises:
            ApiError: there is no replicator, it did not do it, or it is not known whether it did.
        """
        answer: asyncio.Future[AsideReport] = asyncio.get_running_loop().create_future()
        self._asked[command.request_id] = answer
        try:
            if not self._ask(command):
                raise self._not_started()
            report = await answer
        finally:
            del self._asked[command.request_id]
        if report.error:
            raise ApiError(
                ErrorKind.REFUSED,
                f"{self._module} on {self._node}: {report.error}.",
                remedy=f"mirrorfarm aside {self._module} on {self._node} lists what is set aside there.",
            )
        return report

    def heard(self, event: control.Event) -> None:
        """The replicator has said something."""
        match event:
            case AsideReport():
                self._note(event)
                answer = self._asked.get(event.request_id)
                if answer is not None and not answer.done():
                    answer.set_result(event)
            case control.Hello():
                # What it answered while it was not connected is lost.
                self._fail(_ENDED)
                self._look()
            case SetAside():
                self._look()
            case control.Refused(command=command, reason=reason) if "Aside" in command:
                # One of another release knows no asides, and gives the line back instead of the name.
                self._fail(reason)
            case _:
                return

    def gone(self, why: str) -> None:
        """There is no replicator any more that would answer."""
        self._fail(why)
        if self.kept is not None:
            self.kept = None
            self._on_change()

    def _look(self) -> None:
        self._ask(AsideList(secrets.token_hex(8)))

    def _note(self, report: AsideReport) -> None:
        kept = KeptAside(len(report.asides), sum(one.bytes for one in report.asides))
        if kept != self.kept:
            self.kept = kept
            self._on_change()

    def _fail(self, why: str) -> None:
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(
                    ApiError(
                        ErrorKind.FAILED,
                        f"It is not known what came of it: {why}.",
                        meaning="What was set aside is as it was, unless it was to be cleared.",
                        remedy=f"See mirrorfarm aside {self._module}, on {self._node}.",
                    )
                )

    def _not_started(self) -> ApiError:
        return ApiError(
            ErrorKind.REFUSED,
            f"{self._module} is not started on {self._node}, so what is set aside there cannot be asked for.",
            meaning=UNCHANGED,
            remedy=f"Start it there: mirrorfarm start {self._module} --node {self._node}",
        )


def why_not_set_aside(refused: NotSetAside) -> str:
    """Why nothing could be set aside, for people; of a lack of room, how much there is."""
    if not refused.full:
        return refused.detail
    needed, room = refused.needed_bytes / _MIB, refused.room_bytes / _MIB
    return f"{refused.detail}; the next of it needs {needed:.1f} MiB, and there is room for {room:.1f} MiB"
