"""One client's asynchronous view of a :class:`~manager.store.fake.FakeEtcd`, with faults to order.

Several stores may share one cluster: one for each agent, each with its own link to it. It is held to the same
contract tests as the adapter over the real etcd. Time passes only when the cluster's clock is turned.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from typing import Any, Self, TypeVar

from manager.model.errors import IndefiniteFailure, MirrorfarmError
from manager.store.api import (
    Changes,
    EndpointStatus,
    KeyValue,
    LeaseExpired,
    Member,
    Snapshot,
    StoreRefused,
    StoreStatus,
    StoreUnreachable,
    Txn,
    TxnResult,
)
from manager.store.fake import FakeEtcd, Timer, below

ENDPOINT = "fake:2379"
RELIST_S = 60.0

T = TypeVar("T")


class Link(enum.Enum):
    """How a client's requests fare."""

    UP = "up"
    DOWN = "down"
    """They are refused at once: nothing is executed."""
    FROZEN = "frozen"
    """They arrive, wait, and are executed once the link is up again, long after the caller gave up."""


class Execution(enum.Enum):
    """What becomes of a request whose reply is lost."""

    DONE = "done"
    """It is executed at once."""
    LATER = "later"
    """It is executed when :meth:`FakeStore.deliver_late` is called."""
    NEVER = "never"


class FakeStore:
    """A :class:`~manager.store.api.Store` over a cluster in memory."""

    def __init__(self, etcd: FakeEtcd | None = None, *, call_timeout_s: float = 1.0) -> None:
        """A client of ``etcd``, or of a cluster of its own; its link is up."""
        self.etcd = etcd if etcd is not None else FakeEtcd()
        self._call_timeout_s = call_timeout_s
        self._link = Link.UP
        self._closed = False
        self._held: deque[Callable[[], None]] = deque()
        self._late: deque[Callable[[], object]] = deque()
        self._losses: deque[Execution] = deque()
        # Not sets: a seed must give the same order each time.
        self._watches: dict[FakeWatch, None] = {}
        self._waiting: dict[asyncio.Future[Any], None] = {}

    # --- faults -------------------------------------------------------------------------------------------

    @property
    def link(self) -> Link:
        """How this client's requests fare now."""
        return self._link

    def set_link(self, link: Link) -> None:
        """Change it. When it comes up, what was held is executed, and watches begin again with a snapshot."""
        self._link = link
        if link is Link.UP:
            while self._held:
                self._held.popleft()()
        for watch in tuple(self._watches):
            watch.link_changed()

    def lose_reply(self, execution: Execution) -> None:
        """The next request that changes something raises ``IndefiniteFailure`` at once. Orders add up."""
        self._losses.append(execution)

    def deliver_late(self) -> int:
        """Execute now what was to be executed later, in order; says how many requests that were."""
        count = len(self._late)
        while self._late:
            _execute(self._late.popleft())
        return count

    # --- the store ----------------------------------------------------------------------------------------

    @property
    def call_timeout_s(self) -> float:
        """The longest that one call takes, in seconds of the cluster's clock."""
        return self._call_timeout_s

    async def get(self, key: str) -> KeyValue | None:
        """One key, or ``None``."""
        return await self._read(lambda: self.etcd.get_now(key))

    async def range(self, prefix: str) -> Snapshot:
        """All keys below ``prefix``."""
        return await self._read(lambda: self.etcd.range_now(prefix))

    async def commit(self, txn: Txn) -> TxnResult:
        """Settle ``txn``."""
        return await self._change(lambda: self.etcd.commit_now(txn))

    async def grant(self, ttl_s: int) -> int:
        """A new lease."""
        return await self._change(lambda: self.etcd.grant_now(ttl_s))

    async def keep_alive(self, lease_id: int) -> int:
        """Renew a lease."""
        return await self._change(lambda: self.etcd.keep_alive_now(lease_id))

    async def revoke(self, lease_id: int) -> None:
        """End a lease."""
        return await self._change(lambda: self.etcd.expire(lease_id))

    def watch(self, prefix: str) -> "FakeWatch":
        """Follow everything below ``prefix``."""
        watch = FakeWatch(self, prefix)
        if not self._closed:
            self._watches[watch] = None
        return watch

    async def status(self) -> StoreStatus:
        """One endpoint, the cluster's only member and its leader."""
        if self._link is not Link.UP or self._closed:
            return StoreStatus((EndpointStatus(ENDPOINT, problem=self.problem),), ())
        status = EndpointStatus(ENDPOINT, version="3.4.23", member_id=1, leader_id=1, raft_term=2)
        return StoreStatus((status,), (Member(1, "fake", ("http://fake:2380",), ("http://fake:2379",), True),), 1)

    async def close(self) -> None:
        """End all calls and watches."""
        self._closed = True
        for watch in tuple(self._watches):
            await watch.close()
        for future in tuple(self._waiting):
            _fail(future, IndefiniteFailure("the store was closed"))

    # --- how requests fare --------------------------------------------------------------------------------

    @property
    def problem(self) -> str | None:
        """Why requests get no answer now."""
        if self._closed:
            return "the store is closed"
        return {Link.UP: None, Link.DOWN: "connection refused", Link.FROZEN: "no answer"}[self._link]

    def forget(self, watch: "FakeWatch") -> None:
        """``watch`` was closed."""
        self._watches.pop(watch, None)

    async def _read(self, operation: Callable[[], T]) -> T:
        try:
            return await self._answer(operation)
        except IndefiniteFailure as error:
            raise StoreUnreachable(str(error)) from error

    async def _change(self, operation: Callable[[], T]) -> T:
        if self._losses and self._link is Link.UP and not self._closed:
            execution = self._losses.popleft()
            await asyncio.sleep(0)
            if execution is Execution.DONE:
                _execute(operation)
            elif execution is Execution.LATER:
                self._late.append(operation)
            raise IndefiniteFailure("the reply was lost")
        return await self._answer(operation)

    async def _answer(self, operation: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        if self._closed or self._link is Link.DOWN:
            raise StoreUnreachable(f"{ENDPOINT}: {self.problem}")
        if self._link is Link.UP:
            return operation()
        return await self._hold(operation)

    async def _hold(self, operation: Callable[[], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def execute() -> None:
            try:
                result = operation()
            except MirrorfarmError as error:
                _fail(future, error)
            else:
                if not future.done():
                    future.set_result(result)

        late = IndefiniteFailure(f"{ENDPOINT}: no answer within {self._call_timeout_s} s")
        timer = self.etcd.call_later(self._call_timeout_s, lambda: _fail(future, late))
        self._held.append(execute)
        self._waiting[future] = None
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting.pop(future, None)


def _execute(operation: Callable[[], object]) -> None:
    """Execute a request whose answer nobody waits for: a refusal is as lost as a success."""
    try:
        operation()
    except (LeaseExpired, StoreRefused):
        return


def _fail(future: asyncio.Future[Any], error: MirrorfarmError) -> None:
    if not future.done():
        future.set_exception(error)


class FakeWatch:
    """A :class:`~manager.store.api.Watch` over a cluster in memory."""

    def __init__(self, store: FakeStore, prefix: str) -> None:
        """Made by :meth:`FakeStore.watch`."""
        self._store = store
        self._prefix = prefix
        self._items: deque[Snapshot | Changes] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._follows = False
        self._relist: Timer | None = None
        self._unsubscribe = store.etcd.subscribe(self._heard)
        self.link_changed()

    @property
    def problem(self) -> str | None:
        """Why nothing is being followed at this moment."""
        return "closed" if self._closed else self._store.problem

    def link_changed(self) -> None:
        """The store's link is another: begin anew, or fall silent."""
        self._follows = self._store.problem is None
        if self._follows:
            self.relist()

    def relist(self) -> None:
        """Take a snapshot now, and every minute from now on."""
        if self._relist is not None:
            self._relist.cancel()
        self._relist = self._store.etcd.call_later(RELIST_S, self.relist)
        if self._follows:
            self._append(self._store.etcd.range_now(self._prefix))

    def _heard(self, changes: Changes) -> None:
        wanted = below(changes, self._prefix)
        if wanted is not None and self._follows:
            self._append(wanted)

    def _append(self, item: Snapshot | Changes) -> None:
        self._items.append(item)
        self._arrived.set()

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> Snapshot | Changes:
        """The next item."""
        while not self._items or self._closed:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._items.popleft()

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Stop following."""
        if self._closed:
            return
        self._closed = True
        self._arrived.set()
        self._unsubscribe()
        if self._relist is not None:
            self._relist.cancel()
        self._store.forget(self)
