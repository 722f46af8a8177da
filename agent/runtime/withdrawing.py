"""Withdraws a request for which nobody waits any more: it must not be carried out hours later.

What is withdrawn and what the node that was asked takes up exclude each other: both are transactions on the request's
key. One of which it is not known whether it came to etcd at all is written anew, as withdrawn, so that the former
writing cannot succeed any more (S6). Why nobody waits is not known here.
"""

import asyncio
import dataclasses

from agent.runtime.handling import ATTEMPTS, Seat
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.codec import encode
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.reasons import Reason
from manager.model.records import RequestRecord
from manager.store.api import CreateRevisionIs, Guard, KeyAbsent, ModRevisionIs, Put, Txn

PENDING, FAILED = "pending", "failed"
AGAIN_S, SELDOM_S = 1.0, 30.0
"""How long until it is tried again, and at the most, while etcd does not take it."""


class Withdrawing:
    """Of the requests that were asked for through this agent."""

    def __init__(self, seat: Seat, on_fatal: OnFatal, again_s: float = AGAIN_S) -> None:
        self._seat = seat
        self._tasks = Tasks(on_fatal)
        self._again_s = again_s

    async def withdraw(self, module: str, asked: RequestRecord) -> RequestRecord | None:
        """What has become of ``asked``; ``None``: nobody had taken it up, and nobody will.

        Where etcd does not take it, this agent goes on trying for as long as it runs.

        Raises:
            DefiniteFailure, IndefiniteFailure: it may still be pending.
        """
        try:
            return await self._settle(module, asked)
        except (DefiniteFailure, IndefiniteFailure):
            self._tasks.start(f"withdraw {asked.request_id}", self._go_on(module, asked))
            raise

    async def _go_on(self, module: str, asked: RequestRecord) -> None:
        pause_s = self._again_s
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, SELDOM_S)
            try:
                await self._settle(module, asked)
            except (DefiniteFailure, IndefiniteFailure):
                continue
            return

    async def _settle(self, module: str, asked: RequestRecord) -> RequestRecord | None:
        seat = self._seat
        keys = seat.keys_of(module)
        key = keys.request(asked.request_id)
        for _ in range(ATTEMPTS):
            config, kv = seat.view.kvs.get(keys.config), seat.view.kvs.get(key)
            if config is None:  # The module was removed, and all its requests with it.
                return None
            record = (seat.view.keys.record(RequestRecord, key) or asked) if kv is not None else asked
            if record.status != PENDING:
                return record
            withdrawn = dataclasses.replace(record, status=FAILED, reason=str(Reason.TIMED_OUT))
            as_seen: Guard = KeyAbsent(key) if kv is None else ModRevisionIs(key, kv.mod_revision)
            guards = (CreateRevisionIs(keys.config, config.create_revision), as_seen)
            settled = await seat.store.commit(Txn(guards, (Put(key, encode(withdrawn)),)))
            await seat.wait_seen(settled.revision)
            if settled.succeeded:
                return None
        raise IndefiniteFailure("it was changed at the same time, again and again")
