"""Keeps in etcd what is known of the comparisons of one module's copies, until etcd has it.

Each change is one of the record as etcd has it by then, guarded by that: a former primary's late word may come in
between, and is not written over unread. A part that has written before begins with what was there before it.
"""

import asyncio
from collections.abc import Callable

import structlog

from agent.runtime.cluster_view import ClusterView
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.codec import encode
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.verify_record import VerifyRecord
from manager.store.api import CreateRevisionIs, KeyAbsent, ModRevisionIs, Put, Store, Txn

RETRY_S = 1.0
SEE_S = 2.0
"""How long the view may take to show what was written, or what came in between."""

Change = Callable[[VerifyRecord], VerifyRecord]
"""The record after a part of a comparison, from the one before that part."""


class VerifyNotes:
    """Of one module."""

    def __init__(self, module: str, store: Store, view: ClusterView, on_fatal: OnFatal) -> None:
        self._store = store
        self._view = view
        self._keys = view.cluster.module(module)
        self._tasks = Tasks(on_fatal)
        self._log = structlog.get_logger().bind(module=module)
        self._wanted: dict[str, Change] = {}
        """By the part, the oldest first; the last one of each."""
        self._base: tuple[str, VerifyRecord] = ("", VerifyRecord())
        """The part that wrote last, and the record before it."""
        self._wake = asyncio.Event()

    def open(self) -> None:
        """Begin to write."""
        self._tasks.start("verify notes", self._write_all())

    async def close(self) -> None:
        """Stop; what was not written yet is not."""
        await self._tasks.cancel()

    @property
    def is_reachable(self) -> bool:
        """Whether :attr:`record` is what etcd has now, and nothing waits to be written."""
        return self._view.reachable and not self._wanted

    @property
    def record(self) -> VerifyRecord:
        """As etcd was last heard."""
        return self._view.keys.record(VerifyRecord, self._keys.verify) or VerifyRecord()

    def keep(self, part: str, change: Change) -> None:
        """Write what ``change`` makes of the record, instead of what was to be written of the same part."""
        self._wanted[part] = change
        self._wake.set()

    async def _write_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._wanted:
                part, change = next(iter(self._wanted.items()))
                if await self._write(part, change) and self._wanted[part] is change:
                    del self._wanted[part]

    async def _write(self, part: str, change: Change) -> bool:
        """Whether nothing is left to be done for it."""
        config, kv = self._view.kvs.get(self._keys.config), self._view.kvs.get(self._keys.verify)
        if self._view.revision and config is None:
            return True  # the module is gone, and all that is known of it
        if config is None:
            await asyncio.sleep(RETRY_S)
            return False
        seen = self.record
        if seen.part != part or self._base[0] != part:
            self._base = (part, seen)
        record = change(self._base[1])
        if record == seen:
            return True
        key = self._keys.verify
        guard = KeyAbsent(key) if kv is None else ModRevisionIs(key, kv.mod_revision)
        same = CreateRevisionIs(self._keys.config, config.create_revision)
        try:
            result = await self._store.commit(Txn((same, guard), (Put(key, encode(record)),)))
        except (DefiniteFailure, IndefiniteFailure) as failure:
            self._log.debug("verify.unnoted", error=str(failure))
            await asyncio.sleep(RETRY_S)
            return False
        await self._view.reach(result.revision, SEE_S)
        return result.succeeded
