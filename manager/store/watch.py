"""A watch that never ends: list, follow from the next revision, and begin again whatever happens.

It lists again after any error, after a compaction, when nothing has come for longer than anything should take, and
every minute: a connection may be dead without anybody having been told, and a member whose disk hangs keeps its streams
open, and tells nothing by them. It does not know endpoints' addresses or tokens.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

import grpc

from manager.model.errors import IndefiniteFailure, MirrorfarmError
from manager.store import translate
from manager.store.api import Changes, Snapshot, StoreRefused, StoreUnreachable
from manager.store.endpoint import Endpoint
from manager.store.failures import failure_of
from manager.store.rounds import Answer, Rounds
from manager.store.stream import Stream
from manager.store.translate import Message
from manager.time_limit import time_limit

MOST_ITEMS = 10_000
"""More are not kept for a consumer that does not take them: a snapshot replaces them."""
_LEAST_PAUSE_S = 0.05
_MOST_PAUSE_S = 1.0

List = Callable[[str], Awaitable[Answer[Snapshot]]]


@dataclass(frozen=True, slots=True)
class WatchTiming:
    """How patient a watch is, in seconds."""

    call_timeout_s: float
    """An endpoint confirms within this that it follows."""
    relist_s: float = 60.0
    """Everything is listed anew after this, however well the stream seems to be."""
    stays_behind_s: float = 5.0
    """A store behind what it showed before for this long was restored; until then it was a stale read."""
    silence_s: float = 60.0
    """Everything is listed anew when nothing has come for this long."""


class _Behind(MirrorfarmError):
    """The store listed an older state than it showed before."""


class EtcdWatch:
    """A :class:`~manager.store.api.Watch` over a real etcd."""

    def __init__(self, rounds: Rounds, list_prefix: List, prefix: str, timing: WatchTiming) -> None:
        """Made by :meth:`EtcdStore.watch`, on the event loop."""
        self._rounds = rounds
        self._list_prefix = list_prefix
        self._prefix = prefix
        self._timing = timing
        self._items: deque[Snapshot | Changes] = deque()
        self._arrived = asyncio.Event()
        self._problem: str | None = "not listed yet"
        self._closed = False
        self._on_close: Callable[[], None] = lambda: None
        self._seen_revision = 0
        self._behind_since: float | None = None
        self._pause_s = _LEAST_PAUSE_S
        self._task = asyncio.get_running_loop().create_task(self._follow_for_ever())
        self._task.add_done_callback(lambda _: self._arrived.set())

    def on_close(self, action: Callable[[], None]) -> None:
        """Do ``action`` once this is closed."""
        self._on_close = action

    @property
    def problem(self) -> str | None:
        """Why nothing is being followed at this moment; ``None`` while the stream is up."""
        return "closed" if self._closed else self._problem

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> Snapshot | Changes:
        """The next item; may be cancelled without losing one."""
        while self._closed or not self._items:
            if self._closed:
                raise StopAsyncIteration
            if self._task.done():
                # It ends by a defect only, which must not look like silence.
                self._task.result()
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
        """Stop following; returns when the stream and its threads are gone."""
        self._closed = True
        self._arrived.set()
        self._task.cancel()
        await asyncio.wait([self._task])
        self._on_close()

    # --- following ----------------------------------------------------------------------------------------

    async def _follow_for_ever(self) -> None:
        while True:
            try:
                answer = await self._list_prefix(self._prefix)
                self._show(answer)
                await self._follow(answer.endpoint, answer.value.revision + 1)
            except MirrorfarmError as error:
                self._problem = str(error)
                await asyncio.sleep(self._pause_s)
                self._pause_s = min(2 * self._pause_s, _MOST_PAUSE_S)

    def _show(self, answer: Answer[Snapshot]) -> None:
        revision = answer.value.revision
        if revision < self._seen_revision and not self._stays_behind():
            # Another endpoint may know better.
            self._rounds.avoid(answer.endpoint)
            raise _Behind(
                f"{answer.endpoint.name}: answers as of revision {revision}, after {self._seen_revision} was shown"
            )
        self._behind_since = None
        self._seen_revision = revision
        # What has not been taken yet is folded into it.
        self._items.clear()
        self._append(answer.value)

    def _stays_behind(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._behind_since is None:
            self._behind_since = now
        return now - self._behind_since >= self._timing.stays_behind_s

    async def _follow(self, endpoint: Endpoint, revision: int) -> None:
        """Follow until it is time to list again."""
        # Not all watches of all nodes in the same moment.
        lifetime_s = self._timing.relist_s * random.uniform(0.9, 1.0)
        # The stream's own deadline is for a server and a client that both fail to end it.
        stream = endpoint.open_watch(translate.watch_request(self._prefix, revision), 2 * lifetime_s)
        try:
            await self._confirmed(stream, endpoint)
            self._problem = None
            self._pause_s = _LEAST_PAUSE_S
            async with time_limit(lifetime_s):
                await self._take(stream, endpoint)
        except TimeoutError:
            return
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.CANCELLED:
                raise StoreUnreachable(f"{endpoint.name}: it did not answer other calls in time") from error
            raise failure_of(error, endpoint.name) from error
        finally:
            await stream.close()

    async def _take(self, stream: Stream, endpoint: Endpoint) -> None:
        """Take what the stream tells until too much has not been fetched."""
        while len(self._items) <= MOST_ITEMS:
            async with time_limit(self._timing.silence_s):
                response = await stream.next()
            for changes in translate.changes(_checked(response, endpoint)):
                self._seen_revision = changes.revision
                self._append(changes)

    async def _confirmed(self, stream: Stream, endpoint: Endpoint) -> None:
        """Wait until the endpoint says that it follows."""
        try:
            async with time_limit(self._timing.call_timeout_s):
                _checked(await stream.next(), endpoint)
        except TimeoutError as error:
            self._rounds.failed(endpoint)
            raise StoreUnreachable(f"{endpoint.name}: the watch was not confirmed") from error

    def _append(self, item: Snapshot | Changes) -> None:
        self._items.append(item)
        self._arrived.set()


def _checked(response: Message | None, endpoint: Endpoint) -> Message:
    """A response of a stream that goes on.

    Raises:
        IndefiniteFailure: the server ended it, after a compaction for instance.
        StoreRefused: this user may not follow these keys.
    """
    if response is None:
        raise IndefiniteFailure(f"{endpoint.name}: the watch ended")
    if not response.canceled:
        return response
    if response.compact_revision:
        raise IndefiniteFailure(f"{endpoint.name}: compacted up to revision {response.compact_revision}")
    raise StoreRefused(f"{endpoint.name}: the watch was refused: {response.cancel_reason or 'without a reason'}")
