"""What the rest of Mirrorfarm may ask of the store, and what it is told.

Decisions are transactions (S11): :class:`Txn`. An answer that did not come is not a failure (S6):
:class:`~manager.model.errors.IndefiniteFailure` means that the request may have been executed, or may still be
executed *later*; every error below :class:`~manager.model.errors.DefiniteFailure` means that it was not and
never will be. Whatever is not certain is indefinite.

This module does no I/O and does not know etcd's protocol.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from manager.model.errors import DefiniteFailure


class StoreUnreachable(DefiniteFailure):
    """No endpoint took the request within the time allowed; nothing was changed by it."""


class StoreRefused(DefiniteFailure):
    """The store answered, and refused the request: not allowed, malformed or too large."""


class LeaseExpired(DefiniteFailure):
    """The lease named in the request does not exist any more, nor do the keys that hung on it."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key's value and where it stands in the store's history. ``lease`` is 0 without a lease."""

    value: str
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class StorePoint:
    """A point in a store's history: ``store_id`` is the cluster's own id; empty, and revision 0: none was heard yet."""

    store_id: str
    revision: int

    def __str__(self) -> str:
        """For messages."""
        return f"etcd {self.store_id} at revision {self.revision}"


# --- transactions -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyAbsent:
    """The key does not exist."""

    key: str


@dataclass(frozen=True, slots=True)
class CreateRevisionIs:
    """The key exists and is the very one made at ``revision`` (whatever was put into it since)."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class ModRevisionIs:
    """The key exists and was last changed at ``revision``."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class ValueIs:
    """The key exists and holds exactly ``value``."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Put:
    """Set a key. ``lease`` ties its life to that lease; 0 keeps it, and unties it from a former one."""

    key: str
    value: str
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key; nothing happens when it is absent."""

    key: str


@dataclass(frozen=True, slots=True)
class DeletePrefix:
    """Remove every key that begins with ``prefix``."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Get:
    """Read one key."""

    key: str


@dataclass(frozen=True, slots=True)
class Range:
    """Read every key that begins with ``prefix``."""

    prefix: str


Guard = KeyAbsent | CreateRevisionIs | ModRevisionIs | ValueIs
Change = Put | Delete | DeletePrefix
Read = Get | Range


@dataclass(frozen=True, slots=True)
class Txn:
    """If all ``guards`` hold, do ``then``; else read ``otherwise``. Atomic, and at one revision.

    No key may be changed twice by one transaction: the store refuses it.
    """

    guards: tuple[Guard, ...] = ()
    then: tuple[Change, ...] = ()
    otherwise: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True)
class TxnResult:
    """A settled transaction.

    ``revision`` is the store's after it: the ``mod_revision`` of every key that it put. ``found`` is what the
    ``otherwise`` reads met, by key (an absent key is absent); empty when the guards held.
    """

    succeeded: bool
    revision: int
    found: Mapping[str, KeyValue]
    store_id: str = ""
    """Of the etcd cluster that settled it, as in a snapshot."""


# --- watching ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys below a prefix as they stood at ``revision``."""

    revision: int
    kvs: Mapping[str, KeyValue]
    store_id: str = ""
    """The etcd cluster's own id, hexadecimal: a rebuilt one, or one restored with a new cluster token, has another."""


@dataclass(frozen=True, slots=True)
class Event:
    """One key changed: put (``kv``) or gone (``None``)."""

    key: str
    kv: KeyValue | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that changed below a prefix at ``revision``, in the order of the transaction."""

    revision: int
    events: tuple[Event, ...]


class Watch(Protocol):
    """What happens below one prefix, for ever: an asynchronous iterator and context manager.

    The first item is a :class:`Snapshot`, then come :class:`Changes`, one a revision, none left out, in
    ascending order. Another :class:`Snapshot` may come at any time (after a lost connection, a compaction, and
    every minute): it replaces all that was known, and what happened between the last item and it was folded
    into it. A watch never ends by itself and raises nothing; :attr:`problem` says why it is silent.

    Revisions do not go back. The one exception is a store that stays behind what it has shown before: a
    snapshot with a lower revision means that etcd was restored or rebuilt (S8).
    """

    @property
    def problem(self) -> str | None:
        """Why nothing is being followed at this moment; ``None`` while the stream is up."""

    def __aiter__(self) -> AsyncIterator[Snapshot | Changes]:
        """Itself."""

    async def __anext__(self) -> Snapshot | Changes:
        """The next item. Ends the iteration once closed. May be cancelled without losing an item."""

    async def __aenter__(self) -> Self:
        """Itself."""

    async def __aexit__(self, *_: object) -> None:
        """Close."""

    async def close(self) -> None:
        """Stop following; returns when the stream and its threads are gone. May be called twice."""


# --- the store's own state --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One endpoint's own answer. ``problem`` says why there is none; the rest is then empty."""

    endpoint: str
    problem: str | None = None
    version: str = ""
    member_id: int = 0
    leader_id: int = 0
    raft_term: int = 0
    database_bytes: int = 0

    @property
    def leads(self) -> bool:
        """This endpoint's member is the leader."""
        return self.member_id != 0 and self.member_id == self.leader_id


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the store's own cluster; a learner has no vote."""

    member_id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    votes: bool


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The state of the store, for ``mirrorfarm check``. ``members`` is empty when no endpoint told them."""

    endpoints: tuple[EndpointStatus, ...]
    members: tuple[Member, ...]
    cluster_id: int = 0


class Store(Protocol):
    """The store. Every call ends within :attr:`call_timeout_s`; the waiting is done off the event loop.

    A call that is cancelled has an unknown outcome, as after an ``IndefiniteFailure``.

    All calls may raise ``StoreUnreachable`` and ``StoreRefused``.
    """

    @property
    def call_timeout_s(self) -> float:
        """The longest that one call takes, in seconds, whatever the number of endpoints."""

    async def get(self, key: str) -> KeyValue | None:
        """One key as it stands now, or ``None``."""

    async def range(self, prefix: str) -> Snapshot:
        """All keys below ``prefix``, at one revision."""

    async def commit(self, txn: Txn) -> TxnResult:
        """Settle ``txn``. It is sent once, save where the first sending certainly changed nothing.

        Raises:
            IndefiniteFailure: it may have been executed, or may still be.
            LeaseExpired: a put names a lease that does not exist; nothing was done.
        """

    async def grant(self, ttl_s: int) -> int:
        """A new lease, by its id. etcd may make it longer than ``ttl_s``, never shorter.

        Count its time from before this call (S5).

        Raises:
            IndefiniteFailure: a lease may have been made; it ends by itself.
        """

    async def keep_alive(self, lease_id: int) -> int:
        """Renew a lease: the seconds it now has, to be counted from before this call (S5).

        Raises:
            LeaseExpired: the lease is gone.
            IndefiniteFailure: it may have been renewed.
        """

    async def revoke(self, lease_id: int) -> None:
        """End a lease and remove its keys; nothing happens when it is gone already.

        Raises:
            IndefiniteFailure: it may have been ended, or may still be.
        """

    def watch(self, prefix: str) -> Watch:
        """Follow everything below ``prefix``. To be closed by the caller, or with the store."""

    async def status(self) -> StoreStatus:
        """What each endpoint says of itself, and the members. Raises nothing: problems stand in the answer."""

    async def close(self) -> None:
        """End all calls and watches; returns when nothing is left running."""
