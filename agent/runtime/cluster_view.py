"""The cluster's keys as this agent last had them from etcd, and how long ago that was.

It follows one watch of the whole cluster and decides nothing: what it holds may be old, and every decision that is made
from it is a transaction with guards (S11).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agent.adapters.host import now_ns
from agent.api_view import Keys
from manager.model.keys import ClusterKeys
from manager.store.api import Changes, KeyValue, Snapshot, Store, StorePoint, Watch
from manager.time_limit import time_limit

MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Changed:
    """What an item of the watch has brought: the keys that differ, and the revision since which they stand."""

    keys: frozenset[str]
    revision: int
    replaced: bool = False
    """It is another etcd cluster than before."""

    def concerns(self, cluster: ClusterKeys, modules: Iterable[str]) -> bool:
        """Whether it is news to who looks at ``modules``: their keys, what is shared by all modules, or everything."""
        prefixes = (*(cluster.module(name).prefix for name in modules), cluster.nodes_prefix, cluster.known_prefix)
        return self.replaced or any(k.startswith(prefixes) or k == cluster.identity for k in self.keys)


Listener = Callable[[Changed], None]


class ClusterView:
    """The last known state of every key of the cluster."""

    def __init__(self, keys: ClusterKeys, silent_after_ms: int, clock: Callable[[], int] = now_ns) -> None:
        """``silent_after_ms``: without an item for so long, etcd counts as unreachable; there are renewals to see."""
        self.cluster = keys
        self.revision = 0
        """0: etcd has never been heard."""
        self.store_id = ""
        """The etcd cluster's own id; empty: not known."""
        self._silent_after_ms = silent_after_ms
        self._clock = clock
        self._began_ns = clock()
        self._heard_ns = 0
        self._kvs: dict[str, KeyValue] = {}
        self._watch: Watch | None = None
        self._listeners: list[Listener] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self._absent_ns: dict[str, int] = {}
        """Since when each node that is known has been seen not to be registered."""

    @property
    def kvs(self) -> Mapping[str, KeyValue]:
        """Every key with its value and revisions; do not keep it, it changes."""
        return self._kvs

    @property
    def keys(self) -> Keys:
        """The same as the operator's view wants it."""
        return Keys(self.cluster, {k: kv.value for k, kv in self._kvs.items()})

    @property
    def point(self) -> StorePoint:
        """The etcd that all this is of, and how far it has been seen."""
        return StorePoint(self.store_id, self.revision)

    @property
    def age_ms(self) -> int:
        """How long ago etcd was last heard; since this agent's start, when it never was."""
        return max(0, self._clock() - (self._heard_ns or self._began_ns)) // MS_NS

    @property
    def reachable(self) -> bool:
        """Whether what is shown is how etcd has it now."""
        heard = self._watch is not None and self._watch.problem is None
        return heard and self.revision > 0 and self.age_ms <= self._silent_after_ms

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after each change, on the loop; it must not block nor raise."""
        self._listeners.append(listener)

    async def follow(self, store: Store) -> None:
        """Follow the store until cancelled."""
        async with store.watch(self.cluster.prefix) as watch:
            self._watch = watch
            try:
                async for item in watch:
                    self.take(item)
            finally:
                self._watch = None

    def take(self, item: Snapshot | Changes) -> None:
        """Take in one item of the watch and tell the listeners."""
        self._heard_ns = self._clock()
        if isinstance(item, Snapshot):
            former, self.store_id = self.store_id, item.store_id
            changed = self._replace(item.kvs)
            replaced = former not in ("", item.store_id)
        else:
            changed, replaced = self._change(item), False
        self.revision = item.revision
        self._count_absent()
        for listener in self._listeners:
            listener(Changed(changed, item.revision, replaced))
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def absent_ms(self, node: str) -> int | None:
        """How long a known ``node`` has not been registered, as far as this agent has seen; ``None``: it is."""
        since_ns = self._absent_ns.get(node)
        return None if since_ns is None else (self._clock() - since_ns) // MS_NS

    def _count_absent(self) -> None:
        prefix = self.cluster.known_prefix
        known = [k.removeprefix(prefix) for k in self._kvs if k.startswith(prefix)]
        absent = [node for node in known if self.cluster.node(node) not in self._kvs]
        self._absent_ns = {node: self._absent_ns.get(node, self._heard_ns) for node in absent}

    async def next_change(self, seconds: float) -> bool:
        """Wait for the next item, for ``seconds`` at the most; whether one came."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with time_limit(max(0.0, seconds)):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
        return True

    async def reach(self, revision: int, seconds: float) -> bool:
        """Wait until what happened at ``revision`` is seen here; whether that came within ``seconds``."""
        return await self.until(lambda: self.revision >= revision, seconds)

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until ``holds``, which is asked after each item; whether that came within ``seconds``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not holds():
            if not await self.next_change(end - loop.time()):
                return False
        return True

    def _replace(self, kvs: Mapping[str, KeyValue]) -> frozenset[str]:
        former, self._kvs = self._kvs, dict(kvs)
        both = former.keys() | self._kvs.keys()
        return frozenset(k for k in both if former.get(k) != self._kvs.get(k))

    def _change(self, changes: Changes) -> frozenset[str]:
        for event in changes.events:
            if event.kv is not None:
                self._kvs[event.key] = event.kv
            else:
                with contextlib.suppress(KeyError):
                    del self._kvs[event.key]
        return frozenset(e.key for e in changes.events)
