"""An etcd in memory, with a clock turned by hand: the whole of it synchronous.

``FakeEtcd`` is the cluster: keys, revisions, leases, history. It decides exactly what etcd decides, at the moment
it is asked, and knows nothing of networks: a simulation delays, drops and repeats the requests itself.
:class:`~manager.store.fake_store.FakeStore` is one client's asynchronous view of it, with faults of its own.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from manager.store.api import (
    Change,
    Changes,
    CreateRevisionIs,
    Delete,
    DeletePrefix,
    Event,
    Get,
    Guard,
    KeyAbsent,
    KeyValue,
    LeaseExpired,
    ModRevisionIs,
    Put,
    Range,
    Read,
    Snapshot,
    StoreRefused,
    Txn,
    TxnResult,
    ValueIs,
)

NS_PER_S = 1_000_000_000
LEAST_TTL_S = 2
"""etcd makes shorter leases this long, at its default election timeout."""
MOST_OPERATIONS = 128
MOST_REQUEST_BYTES = 1_572_864

Listener = Callable[[Changes], None]


@dataclass(slots=True)
class _Lease:
    ttl_s: int
    deadline_ns: int
    keys: set[str] = field(default_factory=set)


@dataclass(order=True, slots=True)
class Timer:
    """Something to be done at a moment of the fake's clock."""

    at_ns: int
    number: int
    action: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        """Do not do it; nothing happens when it is done already."""
        self.action = None


class Compacted(Exception):
    """The history asked for is not kept any more."""


class FakeEtcd:
    """One etcd cluster. All methods act at once, at one revision, and do not wait."""

    def __init__(self) -> None:
        """Empty, at revision 1, at time 0."""
        self.store_id = "1"
        """The cluster's own id."""
        self._revision = 1
        self._now_ns = 0
        self._kvs: dict[str, KeyValue] = {}
        self._leases: dict[int, _Lease] = {}
        self._lease_ids = itertools.count(0x1000)
        self._log: list[Changes] = []
        self._compacted = 0
        self._listeners: list[Listener] = []
        self._timers: list[Timer] = []
        self._timer_numbers = itertools.count()

    # --- time ---------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The cluster's clock, in nanoseconds since it began."""
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """Turn the clock forward: leases end and timers go off at their own moments, in order."""
        self.advance_to(self._now_ns + round(seconds * NS_PER_S))

    def advance_to(self, now_ns: int) -> None:
        """As :meth:`advance`, to a moment; a past one changes nothing."""
        while (moment := self.next_event_ns()) is not None and moment <= now_ns:
            self._now_ns = max(self._now_ns, moment)
            self._expire_due()
            self._fire_due()
        self._now_ns = max(self._now_ns, now_ns)

    def next_event_ns(self) -> int | None:
        """When the next lease ends or timer goes off, if nothing happens before; ``None``: never."""
        while self._timers and self._timers[0].action is None:
            heapq.heappop(self._timers)
        moments = [lease.deadline_ns for lease in self._leases.values()]
        if self._timers:
            moments.append(self._timers[0].at_ns)
        return min(moments, default=None)

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do ``action`` once the clock has been turned by ``seconds``."""
        timer = Timer(self._now_ns + round(seconds * NS_PER_S), next(self._timer_numbers), action)
        heapq.heappush(self._timers, timer)
        return timer

    def _expire_due(self) -> None:
        for lease_id, lease in sorted(self._leases.items(), key=lambda item: (item[1].deadline_ns, item[0])):
            if lease.deadline_ns <= self._now_ns:
                self.expire(lease_id)

    def _fire_due(self) -> None:
        while self._timers and self._timers[0].at_ns <= self._now_ns:
            action = heapq.heappop(self._timers).action
            if action is not None:
                action()

    # --- reading ------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The store's revision now."""
        return self._revision

    @property
    def leases(self) -> frozenset[int]:
        """The leases that live."""
        return frozenset(self._leases)

    def get_now(self, key: str) -> KeyValue | None:
        """One key, or ``None``."""
        _refuse_empty(key)
        return self._kvs.get(key)

    def range_now(self, prefix: str) -> Snapshot:
        """All keys below ``prefix``, in their order."""
        return Snapshot(self._revision, {key: self._kvs[key] for key in self._below(prefix)}, self.store_id)

    def changes_after(self, revision: int, prefix: str = "") -> tuple[Changes, ...]:
        """What changed below ``prefix`` after ``revision``, oldest first.

        Raises:
            Compacted: the history since then is not kept any more.
        """
        if revision < self._compacted:
            raise Compacted(f"revision {revision} was asked for, kept is what came after {self._compacted}")
        later = (below(changes, prefix) for changes in self._log if changes.revision > revision)
        return tuple(changes for changes in later if changes is not None)

    def compact(self) -> None:
        """Forget the history up to now; the keys stay."""
        self._compacted = self._revision
        self._log.clear()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each revision's changes as they happen; the answer ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _below(self, prefix: str) -> list[str]:
        return sorted((key for key in self._kvs if key.startswith(prefix)), key=str.encode)

    # --- changing -----------------------------------------------------------------------------------------

    def commit_now(self, txn: Txn) -> TxnResult:
        """Settle ``txn``.

        Raises:
            LeaseExpired: a put names a lease that does not exist; nothing was done.
            StoreRefused: malformed or too large; nothing was done.
        """
        _refuse_malformed(txn)
        if not all(self._holds(guard) for guard in txn.guards):
            return TxnResult(False, self._revision, self._found(txn.otherwise), self.store_id)
        for change in txn.then:
            if isinstance(change, Put) and change.lease and change.lease not in self._leases:
                raise LeaseExpired(f"lease {change.lease:x} does not exist")
        self._apply(txn.then)
        return TxnResult(True, self._revision, {}, self.store_id)

    def grant_now(self, ttl_s: int) -> int:
        """A new lease, by its id."""
        lease_id, ttl_s = next(self._lease_ids), max(ttl_s, LEAST_TTL_S)
        self._leases[lease_id] = _Lease(ttl_s, self._now_ns + ttl_s * NS_PER_S)
        return lease_id

    def keep_alive_now(self, lease_id: int) -> int:
        """Renew a lease: the seconds it now has.

        Raises:
            LeaseExpired: it is gone.
        """
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseExpired(f"lease {lease_id:x} does not exist")
        lease.deadline_ns = self._now_ns + lease.ttl_s * NS_PER_S
        return lease.ttl_s

    def expire(self, lease_id: int) -> None:
        """End a lease and remove its keys, in one revision; nothing happens when it is gone."""
        lease = self._leases.pop(lease_id, None)
        if lease is not None:
            self._apply([Delete(key) for key in sorted(lease.keys, key=str.encode)])

    def _holds(self, guard: Guard) -> bool:
        kv = self._kvs.get(guard.key)
        match guard:
            case KeyAbsent():
                return kv is None
            case CreateRevisionIs(revision=revision):
                return kv is not None and kv.create_revision == revision
            case ModRevisionIs(revision=revision):
                return kv is not None and kv.mod_revision == revision
            case ValueIs(value=value):
                return kv is not None and kv.value == value

    def _found(self, reads: Iterable[Read]) -> Mapping[str, KeyValue]:
        found = {}
        for read in reads:
            keys = [read.key] if isinstance(read, Get) else self._below(read.prefix)
            found.update({key: self._kvs[key] for key in keys if key in self._kvs})
        return found

    def _apply(self, changes: Iterable[Change]) -> None:
        revision = self._revision + 1
        events = [event for change in changes for event in self._events(change, revision)]
        if not events:
            return
        self._revision = revision
        happened = Changes(revision, tuple(events))
        self._log.append(happened)
        for listener in tuple(self._listeners):
            listener(happened)

    def _events(self, change: Change, revision: int) -> list[Event]:
        match change:
            case Put():
                return [self._put(change, revision)]
            case Delete(key=key):
                keys = [key] if key in self._kvs else []
            case DeletePrefix(prefix=prefix):
                keys = self._below(prefix)
        for key in keys:
            self._tie(key, 0)
            del self._kvs[key]
        return [Event(key, None) for key in keys]

    def _put(self, put: Put, revision: int) -> Event:
        kv = self._kvs.get(put.key, KeyValue(put.value, revision, revision, 0))
        self._tie(put.key, put.lease)
        kv = replace(kv, value=put.value, mod_revision=revision, version=kv.version + 1, lease=put.lease)
        self._kvs[put.key] = kv
        return Event(put.key, kv)

    def _tie(self, key: str, lease_id: int) -> None:
        """Untie ``key`` from the lease it hangs on, and tie it to another unless that is 0."""
        former = self._kvs.get(key)
        if former is not None and former.lease in self._leases:
            self._leases[former.lease].keys.discard(key)
        if lease_id:
            self._leases[lease_id].keys.add(key)


def below(changes: Changes, prefix: str) -> Changes | None:
    """The part of ``changes`` that is below ``prefix``, or ``None`` when nothing is."""
    events = tuple(event for event in changes.events if event.key.startswith(prefix))
    return Changes(changes.revision, events) if events else None


def _refuse_empty(key: str) -> None:
    if not key:
        raise StoreRefused("an empty key")


def _refuse_malformed(txn: Txn) -> None:
    if max(len(txn.guards), len(txn.then), len(txn.otherwise)) > MOST_OPERATIONS:
        raise StoreRefused(f"more than {MOST_OPERATIONS} operations in one transaction")
    for part in (*txn.guards, *txn.then, *txn.otherwise):
        if not isinstance(part, (DeletePrefix, Range)):
            _refuse_empty(part.key)
        if isinstance(part, (CreateRevisionIs, ModRevisionIs)) and part.revision < 1:
            raise StoreRefused(f"a guard on {part.key} names revision {part.revision}, which no key has")
    _refuse_double_puts(txn.then)
    size = sum(len(part.key.encode()) + len(part.value.encode()) for part in txn.then if isinstance(part, Put))
    if size > MOST_REQUEST_BYTES:
        raise StoreRefused(f"a request of {size} bytes")


def _refuse_double_puts(changes: Iterable[Change]) -> None:
    """What etcd refuses: a put of a key that the same transaction puts or deletes elsewhere."""
    changes = tuple(changes)
    puts = [change.key for change in changes if isinstance(change, Put)]
    deleted = {change.key for change in changes if isinstance(change, Delete)}
    prefixes = tuple(change.prefix for change in changes if isinstance(change, DeletePrefix))
    for key in puts:
        if puts.count(key) > 1 or key in deleted or key.startswith(prefixes):
            raise StoreRefused(f"{key} is changed twice by one transaction")
