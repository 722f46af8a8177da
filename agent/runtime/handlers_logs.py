"""The calls that this node's files and replicators answer: logs, verify and diff."""

from dataclasses import replace

from agent.adapters.calls import Caller, Report
from agent.adapters.log_files import LogFiles, send_log
from agent.runtime.handling import Seat, unknown_module
from agent.runtime.kind_of_module import is_farm, refuse_farm
from manager.model.api import ApiError, ErrorKind
from manager.model.api_log_files import LogsArguments, LogsResult, LogText
from manager.model.api_verify import DiffArguments, VerifyArguments
from manager.model.control import DiffReport, VerifyReport
from manager.model.ids import is_name

MOST_DIFFERENCES = 10_000


class LogHandlers:
    """Answers from this node's log files and its replicators."""

    def __init__(self, seat: Seat, files: LogFiles) -> None:
        self._seat = seat
        self._files = files

    async def logs(self, arguments: LogsArguments, caller: Caller, report: Report) -> LogsResult:
        """The end of a log, and with ``follow`` what is added to it."""
        module = arguments.module
        if not is_name(module):
            raise unknown_module(module)
        scripts = self._files.scripts(module)
        path = scripts.get(arguments.script, "") if arguments.script else self._files.replicator(module)
        has = f"Scripts with logs here: {', '.join(scripts)}" if scripts else "None of its scripts has run here yet."
        if not path:
            raise ApiError(
                ErrorKind.NOT_FOUND,
                f"No log of script {arguments.script} of {module} is on this node.",
                remedy=has,
            )
        if not arguments.script and is_farm(self._seat, module):
            raise ApiError(
                ErrorKind.NOT_FOUND,
                f"{module} is a farm: nothing replicates it, so that it has the logs of its scripts alone (--script).",
                remedy=has,
            )

        async def send(text: str) -> None:
            await report(LogText(path, text))

        try:
            await send_log(path, max(0, arguments.lines), send, follow=arguments.follow)
        except FileNotFoundError:
            raise ApiError(
                ErrorKind.NOT_FOUND,
                f"{module} has no log on this node: there is no {path}.",
                remedy="It has one from its first start here on; mirrorfarm state lists the modules.",
            ) from None
        return LogsResult(path, tuple(scripts))

    async def verify(self, arguments: VerifyArguments, caller: Caller, report: Report) -> VerifyReport:
        """Compare both copies, and repair if that is asked; to be asked of the node that is PRIM."""
        refuse_farm(self._seat, arguments.module, "verify")
        limit = max(0, min(arguments.limit, MOST_DIFFERENCES))
        bytes_s = None if arguments.bytes_s is None else max(0, arguments.bytes_s)
        return await self._seat.modules.verify(replace(arguments, limit=limit, bytes_s=bytes_s), report)

    async def diff(self, arguments: DiffArguments, caller: Caller, report: Report) -> DiffReport:
        """How much a coming resync would look at; to be asked of the node that serves."""
        refuse_farm(self._seat, arguments.module, "diff")
        found = await self._seat.modules.diff(arguments.module)
        insync = self._seat.view.keys.insync(arguments.module)
        return replace(found, decided=0 if insync is None else insync.decided)
