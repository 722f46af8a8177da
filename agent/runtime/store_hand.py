"""Carries out what one module's core wants of the store: its transactions, its member record, answers to requests.

A transaction is sent once and answered by exactly one event. The member record and the answers are kept at until the
store has them: nothing is decided from their being there a moment later.
"""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from agent.core import events
from agent.core.commands import AnswerRequest, Commit
from agent.runtime.cluster_view import ClusterView
from agent.runtime.handling import utc_now
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.codec import encode
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.records import HistoryRecord, MemberRecord, RequestRecord
from manager.store.api import (
    Change,
    CreateRevisionIs,
    Delete,
    Get,
    Guard,
    KeyAbsent,
    KeyValue,
    ModRevisionIs,
    Put,
    Store,
    StorePoint,
    Txn,
)

KEPT_HISTORY = 100
RETRY_S = 0.2
SEE_S = 2.0
"""How long the view may take to show what was written, before it is looked at again anyway."""

_OPEN = ("pending", "accepted")


class Registration(Protocol):
    """The lease keeper, as far as a module's keys hang on it."""

    lease_id: int
    created_revision: int


class _Stands(NamedTuple):
    """The member record in etcd."""

    text: str
    lease: int
    mod_revision: int

    @classmethod
    def of(cls, kv: KeyValue | None) -> "_Stands | None":
        return None if kv is None else cls(kv.value, kv.lease, kv.mod_revision)


class _Told(NamedTuple):
    """What an answer has told of the member record."""

    at: StorePoint
    stands: _Stands | None
    seen: StorePoint
    """How far the view had come by then."""


class StoreHand:
    """One module's writes."""

    def __init__(
        self,
        module: str,
        node: str,
        store: Store,
        view: ClusterView,
        registration: Registration,
        give: Callable[[events.TxnEvent], None],
        on_fatal: OnFatal,
    ) -> None:
        """``give``: takes the events."""
        self._store = store
        self._view = view
        self._keys = view.cluster.module(module)
        self._node = node
        self._registration = registration
        self._give = give
        self._tasks = Tasks(on_fatal)
        self._log = structlog.get_logger().bind(module=module)
        self._wanted: MemberRecord | None = None
        self._has_wish = False
        self._told: _Told | None = None
        """Until the view shows it, or another etcd."""
        self._wake = asyncio.Event()
        self._answers: asyncio.Queue[AnswerRequest] = asyncio.Queue()
        self._answering = False

    @property
    def member(self) -> MemberRecord | None:
        """What was published last, or shall be."""
        return self._wanted

    def open(self) -> None:
        """Begin to keep the member record and to write answers."""
        self._tasks.start("member", self._keep_member())
        self._tasks.start("answers", self._write_answers())

    async def close(self) -> None:
        """Stop; what was under way has an unknown outcome."""
        await self._tasks.cancel()

    def commit(self, command: Commit) -> None:
        """Send a transaction."""
        self._tasks.start("commit", self._commit(command))

    def publish(self, record: MemberRecord | None) -> None:
        """Keep the member record so from now on."""
        self._wanted = record
        self._has_wish = True
        self._wake.set()

    def look(self) -> None:
        """The view or the lease has changed."""
        self._wake.set()

    def answer(self, command: AnswerRequest) -> None:
        """Write an answer, after those before it."""
        self._answers.put_nowait(command)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be written."""
        return not self._differs() and self._answers.empty() and not self._answering

    async def _commit(self, command: Commit) -> None:
        txn = command.txn
        if command.history is not None:
            txn = dataclasses.replace(txn, then=(*txn.then, *self._history(command.history)))
        try:
            result = await self._store.commit(txn)
        except IndefiniteFailure as failure:
            self._log.warning("transaction.unanswered", tag=command.tag, error=str(failure))
            self._give(events.TxnUnknown(command.tag))
        except DefiniteFailure as failure:
            self._log.warning("transaction.failed", tag=command.tag, error=str(failure))
            self._give(events.TxnFailed(command.tag, str(failure)))
        else:
            self._log.info("transaction.settled", tag=command.tag, succeeded=result.succeeded, revision=result.revision)
            self._give(events.TxnSettled(command.tag, result.succeeded, result.revision, result.found, result.store_id))

    def _history(self, record: HistoryRecord) -> tuple[Change, ...]:
        key = self._keys.history(record.epoch)
        prefix = self._keys.history(0)[:-10]
        known = sorted(k for k in self._view.kvs if k.startswith(prefix) and k != key)
        old = known[: max(0, len(known) - KEPT_HISTORY + 1)]
        return (Put(key, encode(dataclasses.replace(record, at=utc_now()))), *map(Delete, old))

    async def _keep_member(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._differs():
                if not await self._write_member():
                    await asyncio.sleep(RETRY_S)

    def _differs(self) -> bool:
        """Whether etcd has, as far as known, something else than wanted, and it can be written now."""
        if not self._has_wish or not self._registration.created_revision:
            return False
        stands = self._stands()
        if stands is None or self._wanted is None:
            return stands is not None or self._wanted is not None
        return (stands.text, stands.lease) != (encode(self._wanted), self._registration.lease_id)

    def _stands(self) -> _Stands | None:
        """The member record as etcd has it, as far as known; ``None``: it has none."""
        told, seen = self._told, self._view.point
        if told is not None:
            # What one that was restored since has is older, and all there is.
            another = seen.store_id != told.seen.store_id or seen.revision < told.seen.revision
            shown = seen.store_id == told.at.store_id and seen.revision >= told.at.revision
            if not another and not shown:
                return told.stands
            self._told = None
        return _Stands.of(self._view.kvs.get(self._keys.member(self._node)))

    async def _write_member(self) -> bool:
        """Guarded by this agent's own registration: what another agent of this node wants is its own business.

        And by what stands there: a write that was not answered may be executed long after, over later ones.
        """
        key = self._keys.member(self._node)
        wanted, lease, stands = self._wanted, self._registration.lease_id, self._stands()
        text = encode(wanted) if wanted is not None else None
        change: Change = Put(key, text, lease) if text is not None else Delete(key)
        own = CreateRevisionIs(self._view.cluster.node(self._node), self._registration.created_revision)
        unchanged: Guard = KeyAbsent(key) if stands is None else ModRevisionIs(key, stands.mod_revision)
        try:
            result = await self._store.commit(Txn((own, unchanged), (change,), (Get(key),)))
        except (DefiniteFailure, IndefiniteFailure) as failure:
            self._log.debug("member.unwritten", error=str(failure))
            return False
        written = None if text is None else _Stands(text, lease, result.revision)
        stands = written if result.succeeded else _Stands.of(result.found.get(key))
        self._told = _Told(StorePoint(result.store_id, result.revision), stands, self._view.point)
        return result.succeeded

    async def _write_answers(self) -> None:
        while True:
            command = await self._answers.get()
            self._answering = True
            while not await self._write_answer(command):
                await asyncio.sleep(RETRY_S)
            self._answering = False

    async def _write_answer(self, command: AnswerRequest) -> bool:
        """Whether nothing is left to be done for it."""
        key = self._keys.request(command.request_id)
        kv, record = self._view.kvs.get(key), self._view.keys.record(RequestRecord, key)
        if kv is None or record is None or record.status not in _OPEN:
            return True
        answered = dataclasses.replace(
            record,
            status=command.status,
            reason=str(command.reason) if command.reason is not None else "",
            detail=command.detail,
        )
        try:
            result = await self._store.commit(
                Txn((ModRevisionIs(key, kv.mod_revision),), (Put(key, encode(answered)),))
            )
        except (DefiniteFailure, IndefiniteFailure) as failure:
            self._log.debug("answer.unwritten", request=command.request_id, error=str(failure))
            return False
        # Written, or changed by someone else: the next look must see it.
        await self._view.reach(result.revision, SEE_S)
        if result.succeeded:
            self._log.info("request.answered", request=command.request_id, status=command.status)
        return result.succeeded
