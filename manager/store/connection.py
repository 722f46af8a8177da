"""One connection to one endpoint: python-etcd3's client with its TLS, its stubs, and who is using them.

It shows one state of the credentials' files for as long as it lives: gRPC reads them once. One that is given up for
another ends when nothing is on its way through it any more: cut short, a transaction's outcome would be unknown. It
decides nothing about when that is.
"""

import contextlib
import enum
from collections.abc import Iterator
from typing import Any

import etcd3
from etcd3 import etcdrpc

from manager.etcd_options import OPTIONS
from manager.store.credentials import Credentials

_OPTIONS = (
    *OPTIONS,
    # Back soon after a server is (the default grows to two minutes); the second is how long one attempt may take.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A connection whose other end is gone or frozen is noticed, also under a silent watch. etcd refuses pings more
    # often than every 5 s, and on connections without a call.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
)


class Rpc(enum.Enum):
    """The calls that are made, by name."""

    RANGE = "range"
    TXN = "txn"
    GRANT = "grant"
    KEEP_ALIVE = "keep_alive"
    REVOKE = "revoke"
    MEMBERS = "members"
    STATUS = "status"
    AUTHENTICATE = "authenticate"


class Connection:
    """Nothing is connected before the first call; then gRPC connects again by itself."""

    def __init__(self, name: str, credentials: Credentials) -> None:
        """``name`` is ``host:port``, an IPv6 address in brackets."""
        host, _, port = name.rpartition(":")
        # User and password are kept from the client: it would authenticate in its constructor, and once only.
        self._client = etcd3.client(
            host=host,
            port=int(port),
            ca_cert=credentials.ca_file,
            cert_cert=credentials.cert_file,
            cert_key=credentials.key_file,
            grpc_options=_OPTIONS,
        )
        self.methods = _methods(self._client)
        self.watch = etcdrpc.WatchStub(self._client.channel).Watch
        self._users = 0
        self._given_up = False

    @property
    def is_used(self) -> bool:
        """Something is on its way."""
        return self._users > 0

    def enter(self) -> None:
        """Something is on its way, until :meth:`leave`."""
        self._users += 1

    def leave(self) -> None:
        """It is not any more."""
        self._users -= 1
        if self._given_up and not self._users:
            self._client.close()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """As :meth:`enter`, and :meth:`leave`."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def give_up(self) -> None:
        """Another one is used from now on: end when nothing is on its way."""
        self._given_up = True
        if not self._users:
            self._client.close()

    def close(self) -> None:
        """End now, with all that is on its way."""
        self._client.close()


def _methods(client: etcd3.Etcd3Client) -> dict[Rpc, Any]:
    # One request and its answer on etcd's keepalive stream look on the wire like a call with one answer; made so, it
    # needs no thread of its own and can be cancelled. python-etcd3 opens a new stream for each renewal as well.
    keep_alive = client.channel.unary_unary(
        "/etcdserverpb.Lease/LeaseKeepAlive",
        request_serializer=etcdrpc.LeaseKeepAliveRequest.SerializeToString,
        response_deserializer=etcdrpc.LeaseKeepAliveResponse.FromString,
    )
    return {
        Rpc.RANGE: client.kvstub.Range,
        Rpc.TXN: client.kvstub.Txn,
        Rpc.GRANT: client.leasestub.LeaseGrant,
        Rpc.KEEP_ALIVE: keep_alive,
        Rpc.REVOKE: client.leasestub.LeaseRevoke,
        Rpc.MEMBERS: client.clusterstub.MemberList,
        Rpc.STATUS: client.maintenancestub.Status,
        Rpc.AUTHENTICATE: etcdrpc.AuthStub(client.channel).Authenticate,
    }
