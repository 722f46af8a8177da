"""The call ``request``: writes an operator's request into etcd, and follows what the node that is asked answers.

A request that nobody has taken up when its time is over is withdrawn: it must not be carried out hours later.
"""

import asyncio
import dataclasses
import secrets
import time

from agent.adapters.local_api import Caller, Report
from agent.runtime.handling import Seat, unknown_node, utc_now
from manager.model.api import ApiError, ErrorKind, RequestArguments, RequestProgress, RequestResult
from manager.model.codec import encode
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.reasons import Reason
from manager.model.records import RequestRecord
from manager.store.api import CreateRevisionIs, Delete, KeyAbsent, ModRevisionIs, Put, Txn

KEPT = 20
"""Answered requests of a module that are kept."""

LONGEST_MS = 86_400_000
_PENDING, _ACCEPTED, _REFUSED, _DONE, _FAILED = "pending", "accepted", "refused", "done", "failed"
_LOOK_S = 0.5
"""The view brings each change by itself; so often the module's state is told anyway."""


class RequestHandlers:
    """Writes requests and waits for their answers."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def request(self, arguments: RequestArguments, caller: Caller, report: Report) -> RequestResult:
        """Ask one node for something, and wait for its answer."""
        seat, module = self._seat, arguments.module
        node = arguments.node or seat.node
        view = seat.module_view(module)
        known = view.on(node)
        if known is None:
            raise unknown_node(module, node, tuple(n.node for n in view.nodes))
        if known.registered is False:
            raise ApiError(
                ErrorKind.REFUSED,
                f"The agent of {node} is not registered: nobody there would do it.",
                meaning="Nothing was changed.",
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
        try:
            await self._write(module, record)
            async with asyncio.timeout(min(arguments.timeout_ms, LONGEST_MS) / 1000):
                answered = await self._follow(arguments, record, report)
        except TimeoutError:
            raise await self._out_of_time(module, record) from None
        except asyncio.CancelledError:
            # Whoever asked has gone away, and will not learn of it: it must not be carried out later.
            await asyncio.shield(self._withdraw(module, record))
            raise
        return self._judge(answered)

    async def _write(self, module: str, record: RequestRecord) -> None:
        seat = self._seat
        key = seat.keys_of(module).request(record.request_id)
        config = seat.keys_of(module).config
        old = [r for r in seat.view.keys.requests(module) if r.status not in (_PENDING, _ACCEPTED)]
        trimmed = tuple(Delete(seat.keys_of(module).request(r.request_id)) for r in old[: max(0, len(old) - KEPT + 1)])
        created = seat.view.kvs[config].create_revision
        txn = Txn((CreateRevisionIs(config, created), KeyAbsent(key)), (Put(key, encode(record)), *trimmed))
        settled = await seat.store.commit(txn)
        if not settled.succeeded:
            raise ApiError(ErrorKind.NOT_FOUND, f"Module {module} was removed at this moment.")
        await seat.wait_seen(settled.revision)

    async def _follow(self, arguments: RequestArguments, asked: RequestRecord, report: Report) -> RequestRecord:
        """Report what changes, until the answer is there."""
        seat, module = self._seat, arguments.module
        enough = {_REFUSED, _DONE, _FAILED} | (set() if arguments.wait else {_ACCEPTED})
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
        elif self._seat.view.keys.config(module) is None:
            raise ApiError(ErrorKind.FAILED, f"Module {module} was removed meanwhile.")
        return asked

    async def _withdraw(self, module: str, asked: RequestRecord) -> bool:
        """Withdraw it, if nobody has taken it up; whether it was withdrawn."""
        seat = self._seat
        key = seat.keys_of(module).request(asked.request_id)
        record, kv = self._read(module, asked), seat.view.kvs.get(key)
        if record.status != _PENDING or kv is None:
            return False
        withdrawn = dataclasses.replace(record, status=_FAILED, reason=str(Reason.TIMED_OUT))
        txn = Txn((ModRevisionIs(key, kv.mod_revision),), (Put(key, encode(withdrawn)),))
        return (await seat.store.commit(txn)).succeeded

    async def _out_of_time(self, module: str, asked: RequestRecord) -> ApiError:
        """Withdraw what nobody has taken up; what to tell the operator."""
        try:
            withdrawn = await self._withdraw(module, asked)
        except (DefiniteFailure, IndefiniteFailure) as error:
            return ApiError(
                ErrorKind.OUTCOME_UNKNOWN,
                f"{asked.node} has not taken up {asked.action} of {module} in time, and it was not withdrawn: {error}",
                meaning="It stands in etcd, and may be carried out when etcd answers again.",
                remedy=f"Then see mirrorfarm state and mirrorfarm why {module} --node {asked.node}",
            )
        if withdrawn:
            return ApiError(
                ErrorKind.TIMED_OUT,
                f"{asked.node} has not taken up {asked.action} of {module} in time.",
                meaning="The request was withdrawn: it will not be carried out later.",
                remedy=f"See mirrorfarm why {module} --node {asked.node}",
                reason=str(Reason.TIMED_OUT),
            )
        return ApiError(
            ErrorKind.TIMED_OUT,
            f"{asked.node} has not finished {asked.action} of {module} in time.",
            meaning="It stands, and goes on.",
            remedy=f"See mirrorfarm why {module} --node {asked.node}",
        )

    def _judge(self, answered: RequestRecord) -> RequestResult:
        if answered.status == _REFUSED:
            raise ApiError(
                ErrorKind.REFUSED,
                f"{answered.node} refused {answered.action}: {answered.reason}.",
                meaning=answered.detail or "Nothing was changed.",
                reason=answered.reason,
            )
        if answered.status == _FAILED:
            raise ApiError(
                ErrorKind.FAILED,
                f"{answered.node} could not carry out {answered.action}: {answered.reason}.",
                meaning=answered.detail,
                reason=answered.reason,
            )
        return RequestResult(answered.request_id, answered.node, answered.status)
