"""The calls for whoever looks for a fault: snapshot, and what a replicator says of itself."""

import base64

from agent.adapters.calls import Caller, Report
from agent.adapters.snapshot_program import BusyError, SnapshotProgram
from agent.runtime.handling import Seat
from agent.runtime.kind_of_module import refuse_farm
from manager.model.api import ApiError, ErrorKind
from manager.model.api_snapshot import (
    ReplicatorArguments,
    ReplicatorReport,
    SnapshotArguments,
    SnapshotPiece,
    SnapshotResult,
)
from manager.model.errors import DefiniteFailure


class SnapshotHandlers:
    """Answers for this node alone."""

    def __init__(self, seat: Seat, program: SnapshotProgram) -> None:
        self._seat = seat
        self._program = program

    async def snapshot(self, arguments: SnapshotArguments, caller: Caller, report: Report) -> SnapshotResult:
        """Have it collected, and send it."""

        async def send(piece: bytes) -> None:
            await report(SnapshotPiece(base64.b64encode(piece).decode("ascii")))

        options: tuple[str, ...] = ("--since", f"{arguments.since_ms} ms") if arguments.since_ms > 0 else ()
        if not arguments.etcd:
            options += ("--without-etcd",)
        try:
            return await self._program.run(options, send)
        except BusyError as busy:
            raise ApiError(
                ErrorKind.BUSY, f"Node {self._seat.node}: {busy}.", remedy="Ask again when that one is done."
            ) from None
        except DefiniteFailure as failure:
            raise ApiError(
                ErrorKind.FAILED,
                f"Node {self._seat.node}: its snapshot could not be begun: {failure}.",
                remedy=f"On {self._seat.node}: mirrorfarm snapshot --local",
            ) from None

    async def replicator(self, arguments: ReplicatorArguments, caller: Caller, report: Report) -> ReplicatorReport:
        """What a module's replicator has said last of itself."""
        refuse_farm(self._seat, arguments.module, "what a replicator says of itself")
        return self._seat.modules.replicator_report(arguments.module)
