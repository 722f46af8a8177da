"""Keeps in etcd what the copies of nodes that are not in the in-sync record are known to lack, while this node serves.

It is for the day when this node is gone, and an operator has to decide whether another copy goes on without it (S12).
Nothing is decided from it. That a node is out of the record is written at once, without numbers; they come from the
replicator, which is asked seldom: looking takes time, and the disk.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable

import structlog

from agent.runtime.cluster_view import ClusterView
from agent.runtime.handling import utc_now
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.api import ApiError
from manager.model.codec import encode
from manager.model.control import DiffReport, Scope
from manager.model.errors import MirrorfarmError
from manager.model.records import InsyncRecord, LackingRecord, PrimaryRecord
from manager.store.api import Change, CreateRevisionIs, Delete, Put, Store, Txn
from manager.time_limit import time_limit

LOOK_S = 5.0
EVERY_S = 30.0
"""The replicator is asked no more often than this, but for a node that has just left,"""
SOON_S = 2.0
"""after which it is asked so soon;"""
TIMES_AS_LONG = 60
"""and in no case before so many times as long as its last answer took."""
SEE_S = 2.0


class LackingHand:
    """One module's other nodes."""

    def __init__(
        self,
        module: str,
        node: str,
        nodes: tuple[str, ...],
        store: Store,
        view: ClusterView,
        ask: Callable[[], Awaitable[DiffReport]],
        on_fatal: OnFatal,
    ) -> None:
        """``ask``: has the replicator look; it raises ApiError where this node does not serve."""
        self._module = module
        self._keys = view.cluster.module(module)
        self._node = node
        self._nodes = nodes
        self._store = store
        self._view = view
        self._ask = ask
        self._tasks = Tasks(on_fatal)
        self._wake = asyncio.Event()
        self._before: frozenset[str] = frozenset()
        """The nodes of the last record before this node served."""
        self._since: frozenset[str] = frozenset()
        """Those of all records since."""
        self._ask_after_s = 0.0
        self._spared_until_s = 0.0
        self._log = structlog.get_logger().bind(module=module)

    def open(self) -> None:
        """Begin."""
        self._tasks.start("lacking", self._keep())

    def look(self) -> None:
        """The view has changed."""
        self._wake.set()

    async def close(self) -> None:
        """End."""
        await self._tasks.cancel()

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with time_limit(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.see()
            except MirrorfarmError as failure:
                self._log.debug("lacking.unwritten", error=str(failure))
                await asyncio.sleep(LOOK_S)

    async def see(self) -> None:
        """Bring the keys up to what is known now.

        Raises:
            DefiniteFailure, IndefiniteFailure: etcd did not take it.
        """
        record = self._view.keys.record(InsyncRecord, self._keys.insync)
        if record is None:
            return
        if not self._serves(record):
            self._before, self._since = record.nodes, frozenset()
            return
        self._since |= record.nodes
        for node in sorted(record.nodes & set(self._nodes)):
            if self._keys.lacking(node) in self._view.kvs:
                await self._write(Delete(self._keys.lacking(node)))
        missing = [n for n in self._nodes if n not in record.nodes]
        for node in missing:
            if self._known(node) is None:
                self._ask_after_s = min(self._ask_after_s, asyncio.get_running_loop().time() + SOON_S)
                since = utc_now() if self._has_just_left(node, record) else ""
                await self._put(LackingRecord(node, self._node, record.epoch, since, "", 0, 0, 0, True, whole=False))
        if missing and asyncio.get_running_loop().time() >= max(self._ask_after_s, self._spared_until_s):
            await self._number(missing)

    def _has_just_left(self, node: str, record: InsyncRecord) -> bool:
        """Its copy was equal to this one's until now: not so where an operator has had this one go on without it."""
        return node in self._since or (node in self._before and record.decided != record.epoch)

    def _serves(self, record: InsyncRecord) -> bool:
        primary = self._view.keys.record(PrimaryRecord, self._keys.primary)
        return primary is not None and (primary.node, primary.epoch) == (self._node, record.epoch)

    async def _number(self, missing: list[str]) -> None:
        """Ask the replicator, and write what is new."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        self._ask_after_s = begun_s + EVERY_S
        try:
            report = await self._ask()
        except ApiError:
            self._ask_after_s = begun_s + LOOK_S
            return  # It does not serve yet, or does no more.
        self._spared_until_s = loop.time() + TIMES_AS_LONG * (loop.time() - begun_s)
        if report.in_sync:
            return
        for node in missing:
            known = self._known(node)
            if known is None or (not known.since and report.scope is not Scope.EVERYTHING):
                continue  # A list of what was changed since is of no use where nobody knows since when.
            told = dataclasses.replace(
                known,
                by=self._node,
                files=report.files + report.new_files,
                bytes=report.bytes + report.new_bytes,
                directories=report.directories,
                everything=report.scope is Scope.EVERYTHING,
                whole=report.whole,
            )
            if told != known or not known.as_of:
                await self._put(dataclasses.replace(told, as_of=utc_now()))

    def _known(self, node: str) -> LackingRecord | None:
        return self._view.keys.record(LackingRecord, self._keys.lacking(node))

    async def _put(self, record: LackingRecord) -> None:
        await self._write(Put(self._keys.lacking(record.node), encode(record)))

    async def _write(self, change: Change) -> None:
        """Guarded by this primary's own key: another one writes what it knows itself."""
        primary = self._view.kvs.get(self._keys.primary)
        if primary is None:
            return
        settled = await self._store.commit(
            Txn((CreateRevisionIs(self._keys.primary, primary.create_revision),), (change,))
        )
        await self._view.reach(settled.revision, SEE_S)
