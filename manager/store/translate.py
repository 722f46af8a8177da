"""The store's vocabulary in etcd's messages, and back. Pure: no call is made here.

What etcd itself would refuse is left to it, save what its protocol cannot say: a guard on revision 0 would mean
"the key is absent" there.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from etcd3 import etcdrpc

from manager.store.api import (
    Change,
    Changes,
    CreateRevisionIs,
    Delete,
    DeletePrefix,
    EndpointStatus,
    Event,
    Get,
    Guard,
    KeyAbsent,
    KeyValue,
    Member,
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

Message = Any
"""A message of etcd's protocol; python-etcd3's generated code has no types."""

_DELETED = 1
"""mvccpb.Event.DELETE (etcd's kv.proto)."""
_IS_LEARNER = 5
"""Field number in etcdserverpb.Member since etcd 3.4 (rpc.proto), newer than python-etcd3's generated code."""


# --- to etcd ----------------------------------------------------------------------------------------------


def get_request(key: str) -> Message:
    """Read one key, as the majority has it."""
    return etcdrpc.RangeRequest(key=key.encode())


def range_request(prefix: str) -> Message:
    """Read all keys below a prefix."""
    key, range_end = _bounds(prefix)
    return etcdrpc.RangeRequest(key=key, range_end=range_end)


def watch_request(prefix: str, revision: int) -> Message:
    """Follow all keys below a prefix, from ``revision`` on."""
    key, range_end = _bounds(prefix)
    create = etcdrpc.WatchCreateRequest(key=key, range_end=range_end, start_revision=revision)
    return etcdrpc.WatchRequest(create_request=create)


def txn_request(txn: Txn) -> Message:
    """A whole transaction.

    Raises:
        StoreRefused: a guard names a revision that no key has.
    """
    return etcdrpc.TxnRequest(
        compare=[_compare(guard) for guard in txn.guards],
        success=[_change(change) for change in txn.then],
        failure=[_read(read) for read in txn.otherwise],
    )


def _bounds(prefix: str) -> tuple[bytes, bytes]:
    """First key, and the key past the last, of a prefix (etcd's KV API: "\\0" to "\\0" is everything)."""
    if not prefix:
        return b"\0", b"\0"
    # The last byte of UTF-8 is never 0xff.
    encoded = prefix.encode()
    return encoded, encoded[:-1] + bytes([encoded[-1] + 1])


def _compare(guard: Guard) -> Message:
    compare = etcdrpc.Compare(key=guard.key.encode(), result=etcdrpc.Compare.EQUAL)
    match guard:
        case KeyAbsent():
            compare.target = etcdrpc.Compare.CREATE
            compare.create_revision = 0
        case CreateRevisionIs(key=key, revision=revision):
            compare.target = etcdrpc.Compare.CREATE
            compare.create_revision = _real(key, revision)
        case ModRevisionIs(key=key, revision=revision):
            compare.target = etcdrpc.Compare.MOD
            compare.mod_revision = _real(key, revision)
        case ValueIs(value=value):
            compare.target = etcdrpc.Compare.VALUE
            compare.value = value.encode()
    return compare


def _real(key: str, revision: int) -> int:
    if revision < 1:
        raise StoreRefused(f"a guard on {key} names revision {revision}, which no key has")
    return revision


def _change(change: Change) -> Message:
    match change:
        case Put(key=key, value=value, lease=lease):
            put = etcdrpc.PutRequest(key=key.encode(), value=value.encode(), lease=lease)
            return etcdrpc.RequestOp(request_put=put)
        case Delete(key=key):
            delete = etcdrpc.DeleteRangeRequest(key=key.encode())
        case DeletePrefix(prefix=prefix):
            first, range_end = _bounds(prefix)
            delete = etcdrpc.DeleteRangeRequest(key=first, range_end=range_end)
    return etcdrpc.RequestOp(request_delete_range=delete)


def _read(read: Read) -> Message:
    match read:
        case Get(key=key):
            request = get_request(key)
        case Range(prefix=prefix):
            request = range_request(prefix)
    return etcdrpc.RequestOp(request_range=request)


# --- from etcd --------------------------------------------------------------------------------------------


def key_values(response: Message) -> dict[str, KeyValue]:
    """What a range found, by key."""
    return {_text(kv.key): _key_value(kv) for kv in response.kvs}


def snapshot(response: Message) -> Snapshot:
    """What a range found, at which revision, and in which cluster."""
    return Snapshot(response.header.revision, key_values(response), f"{response.header.cluster_id:x}")


def txn_result(response: Message) -> TxnResult:
    """The outcome of a transaction."""
    found: dict[str, KeyValue] = {}
    if not response.succeeded:
        for part in response.responses:
            found.update(key_values(part.response_range))
    return TxnResult(response.succeeded, response.header.revision, found, f"{response.header.cluster_id:x}")


def changes(response: Message) -> Iterator[Changes]:
    """The events of one watch response, those of each revision together.

    etcd does not spread a revision over several responses unless it is asked to (its option ``fragment``).
    """
    for revision, events in groupby(response.events, key=lambda event: int(event.kv.mod_revision)):
        yield Changes(revision, tuple(_event(event) for event in events))


def endpoint_status(endpoint: str, response: Message) -> EndpointStatus:
    """What an endpoint says of itself."""
    return EndpointStatus(
        endpoint,
        version=response.version,
        member_id=response.header.member_id,
        leader_id=response.leader,
        raft_term=response.raftTerm,
        database_bytes=response.dbSize,
    )


def member(message: Message) -> Member:
    """One member of the cluster."""
    learns = any(field.field_number == _IS_LEARNER and field.data for field in message.UnknownFields())
    return Member(message.ID, message.name, tuple(message.peerURLs), tuple(message.clientURLs), votes=not learns)


def _event(event: Message) -> Event:
    return Event(_text(event.kv.key), None if event.type == _DELETED else _key_value(event.kv))


def _key_value(kv: Message) -> KeyValue:
    return KeyValue(_text(kv.value), kv.create_revision, kv.mod_revision, kv.version, kv.lease)


def _text(raw: bytes) -> str:
    # What somebody put by hand may not be text; it must not stop the watch. It is refused where it is parsed.
    return raw.decode("utf-8", "replace")
