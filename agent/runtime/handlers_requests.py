"""The call ``request``: writes an operator's request into etcd, and follows what the node that is asked answers.

A request that nobody has taken up when its time is over, or when whoever asked waits no longer, is withdrawn; what has
become of it is told in either case, for as long as there is somebody to tell.
"""

import asyncio
import secrets
import time

from agent.adapters.calls import Caller, Report
from agent.runtime.handling import Seat, unknown_node, utc_now
from agent.runtime.kind_of_module import refuse_farm
from agent.runtime.withdrawing import FAILED, PENDING, Withdrawing
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_requests import Action, RequestArguments, RequestProgress, RequestResult
from manager.model.codec import encode
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.reasons import Reason
from manager.model.records import RequestRecord
from manager.store.api import CreateRevisionIs, Delete, KeyAbsent, Put, Txn
from manager.time_limit import time_limit

KEPT = 20
"""Answered requests of a module that are kept."""

LONGEST_MS = 86_400_000
_ACCEPTED, _REFUSED, _DONE = "accepted", "refused", "done"
_LOOK_S = 0.5
"""The view brings each change by itself; so often the module's state is told anyway."""
_WHAT_THERE_IS = "mirrorfarm state shows the modules that there are."


class RequestHandlers:
    """Writes requests and waits for their answers."""

    def __init__(self, seat: Seat, withdrawing: Withdrawing) -> None:
        self._seat = seat
        self._withdrawing = withdrawing

    async def request(self, arguments: RequestArguments, caller: Caller, report: Report) -> RequestResult:
        """Ask one node for something, and wait for its answer.

        Cancelled, it ends as one whose time is over: what has become of the request is said, not that it was cancelled.
        """
        seat, module = self._seat, arguments.module
        node = arguments.node or seat.node
        if arguments.action is not Action.RESTART:
            refuse_farm(seat, module, str(arguments.action))
        view = seat.module_view(module)
        known = view.on(node)
        if known is None:
            raise unknown_node(module, node, tuple(n.node for n in view.nodes))
        if known.registered is False:
            raise ApiError(
                ErrorKind.REFUSED,
                f"The agent of {node} is not registered: nobody there would do it.",
                meaning=UNCHANGED,
                remedy=f"Start the agent on {node}, or name another node.",
            )
        record = RequestRecord(
            request_id=f"{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(4)}",
            action=str(arguments.action),
            node=node,
            asked_at=utc_now(),
            asked_by=caller.name,
            arguments=arguments.arguments,
        )
        return self._judge(await self._answer_to(arguments, record, report))

    async def _answer_to(self, arguments: RequestArguments, record: RequestRecord, report: Report) -> RequestRecord:
        """What the node answers; where that is waited for no longer, what it has answered by then.

        Raises:
            ApiError: no answer is there; or it cannot be asked.
        """
        module = arguments.module
        try:
            await self._write(module, record, arguments.timeout_ms / 1000)
            async with time_limit(min(arguments.timeout_ms, LONGEST_MS) / 1000):
                return await self._follow(arguments, record, report)
        except TimeoutError:
            return await self._end(module, record, "in time")
        except IndefiniteFailure:
            return await self._end(module, record, "before etcd failed to answer")
        except (asyncio.CancelledError, OSError):  # Whoever asked has gone away, or closes; or this agent stops.
            return await asyncio.shield(self._end(module, record, "before it was given up"))

    async def _write(self, module: str, record: RequestRecord, seconds: float) -> None:
        seat = self._seat
        key = seat.keys_of(module).request(record.request_id)
        config = seat.keys_of(module).config
        old = [r for r in seat.view.keys.requests(module) if r.status not in (PENDING, _ACCEPTED)]
        trimmed = tuple(Delete(seat.keys_of(module).request(r.request_id)) for r in old[: max(0, len(old) - KEPT + 1)])
        created = seat.view.kvs[config].create_revision
        txn = Txn((CreateRevisionIs(config, created), KeyAbsent(key)), (Put(key, encode(record)), *trimmed))
        settled = await seat.commit(txn, seconds)
        if not settled.succeeded:
            raise ApiError(ErrorKind.NOT_FOUND, f"Module {module} was removed at this moment.", remedy=_WHAT_THERE_IS)
        await seat.wait_seen(settled.revision)

    async def _follow(self, arguments: RequestArguments, asked: RequestRecord, report: Report) -> RequestRecord:
        """Report what changes, until the answer is there."""
        seat, module = self._seat, arguments.module
        enough = {_REFUSED, _DONE, FAILED} | (set() if arguments.wait else {_ACCEPTED})
        told: RequestProgress | None = None
        while True:
            seen = seat.view.revision
            record = self._read(module, asked)
            nodes = seat.module_view(module).nodes
            progress = RequestProgress(record.status, nodes)
            if progress != told:
                await report(progress)
                told = progress
            if record.status in enough:
                return record
            if seat.view.revision == seen:
                await seat.view.next_change(_LOOK_S)

    def _read(self, module: str, asked: RequestRecord) -> RequestRecord:
        key = self._seat.keys_of(module).request(asked.request_id)
        if key in self._seat.view.kvs:
            found = self._seat.view.keys.record(RequestRecord, key)
            if found is not None:
                return found
        elif not self._seat.is_applied(module):
            raise ApiError(ErrorKind.FAILED, f"Module {module} was removed meanwhile.", remedy=_WHAT_THERE_IS)
        return asked

    async def _end(self, module: str, asked: RequestRecord, when: str) -> RequestRecord:
        """Withdraw what nobody has taken up; what else has become of it. ``when``: until when it was waited for.

        Raises:
            ApiError: it was not answered yet.
        """
        action, node = asked.action, asked.node
        try:
            record = await self._withdrawing.withdraw(module, asked)
        except (DefiniteFailure, IndefiniteFailure) as error:
            raise ApiError(
                ErrorKind.OUTCOME_UNKNOWN,
                f"{node} has not taken up {action} of {module} {when}, and it was not withdrawn: {error}",
                meaning=f"It may stand in etcd, and be carried out as soon as etcd answers {node}. The agent of "
                f"{self._seat.node} goes on trying to withdraw it before, for as long as it runs.",
                remedy=f"When etcd answers again, mirrorfarm why {module} --node {node} shows what has become of it.",
            ) from None
        if record is None:
            raise ApiError(
                ErrorKind.TIMED_OUT,
                f"{node} has not taken up {action} of {module} {when}.",
                meaning="The request was withdrawn: it will not be carried out later.",
                remedy=f"See mirrorfarm why {module} --node {node}",
                reason=str(Reason.TIMED_OUT),
            )
        if record.status == _ACCEPTED:
            raise ApiError(
                ErrorKind.TIMED_OUT,
                f"{node} has not finished {action} of {module} {when}.",
                meaning="It stands, and goes on.",
                remedy=f"See mirrorfarm why {module} --node {node}",
            )
        return record

    def _judge(self, answered: RequestRecord) -> RequestResult:
        if answered.status == _REFUSED:
            raise ApiError(
                ErrorKind.REFUSED,
                f"{answered.node} refused {answered.action}: {answered.reason}.",
                meaning=answered.detail or UNCHANGED,
                reason=answered.reason,
            )
        if answered.status == FAILED:
            raise ApiError(
                ErrorKind.FAILED,
                f"{answered.node} could not carry out {answered.action}: {answered.reason}.",
                meaning=answered.detail,
                reason=answered.reason,
            )
        return RequestResult(answered.request_id, answered.node, answered.status)
