"""One endpoint: python-etcd3's client of it, its token, and single calls to it, each with a deadline.

It does not know the other endpoints, and decides nothing but when to authenticate again.

Calls are gRPC's own futures: they wait on the channel's thread, so the event loop is never held up and no pool of
threads can run out behind a server that does not answer. python-etcd3's methods would block a thread each, and its
watcher dies with the connection (``docs/adr/0001``); of the library the channel with its TLS, the stubs and the
messages are used.
"""

import asyncio
import contextlib
import enum
from typing import Any

import etcd3
import grpc
from etcd3 import etcdrpc

from manager.model.errors import IndefiniteFailure
from manager.store.api import StoreUnreachable
from manager.store.credentials import Credentials
from manager.store.failures import AuthenticationOff, TokenRejected, failure_of
from manager.store.refusals import explanation
from manager.store.stream import Stream
from manager.store.translate import Message

_OPTIONS = (
    # A transaction is sent once: it is for the caller to know whether it may be sent again.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # Channels to one server do not share a connection: closing a store closes its connections.
    ("grpc.use_local_subchannel_pool", 1),
    # A range over all modules' configurations is larger than gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", -1),
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

_LEADER = ("hasleader", "true")
"""Asks a member that has lost the majority to say so instead of waiting (etcd, ``rpctypes/metadatafields.go``)."""


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


class Endpoint:
    """One server's address, and the channel to it. Nothing is connected before the first call."""

    def __init__(self, name: str, credentials: Credentials) -> None:
        """``name`` is ``host:port``, an IPv6 address in brackets."""
        self.name = name
        self._credentials = credentials
        self._token: str | None = None
        self._has_token = not credentials.user
        self._authenticating = asyncio.Lock()
        self._closed = False
        self._streams: set[Stream] = set()
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
        self._methods = _methods(self._client)
        self._watch = etcdrpc.WatchStub(self._client.channel).Watch

    async def call(self, rpc: Rpc, request: Message, deadline: float) -> Message:
        """One call, and one more if it was refused for its token.

        Args:
            rpc: which.
            request: its message.
            deadline: on the event loop's clock; the answer or the error comes before.

        Raises:
            StoreUnreachable: it certainly was not executed.
            IndefiniteFailure: it may have been.
            StoreRefused: the server said no.
            LeaseExpired: the lease in the request does not exist.
        """
        await self.authenticate(deadline)
        token = self._token
        try:
            return await self._send(rpc, request, deadline)
        except TokenRejected:
            if not self._credentials.user:
                raise
            if self._token == token:
                self._has_token = False
        await self.authenticate(deadline)
        return await self._send(rpc, request, deadline)

    async def authenticate(self, deadline: float) -> None:
        """Have a token, where one is needed. Errors as in :meth:`call`; none of them is indefinite."""
        if self._has_token:
            return
        async with self._authenticating:
            if self._has_token:
                return
            request = etcdrpc.AuthenticateRequest(name=self._credentials.user, password=self._credentials.password)
            try:
                self._token = (await self._send(Rpc.AUTHENTICATE, request, deadline)).token
            except AuthenticationOff:
                self._token = None
            except IndefiniteFailure as error:
                raise StoreUnreachable(str(error)) from error
            self._has_token = True

    def open_watch(self, request: Message, lifetime_s: float) -> Stream:
        """Open a watch stream, which ends by itself after ``lifetime_s``. To be closed by the caller.

        Raises:
            StoreUnreachable: this endpoint was closed.
        """
        self._refuse_closed()
        stream = Stream(self._watch, request, lifetime_s, self._metadata(Rpc.RANGE))
        self._streams.add(stream)
        stream.on_end(lambda: self._streams.discard(stream))
        return stream

    def suspect(self) -> None:
        """It did not answer in time: end its watch streams, so that they are opened elsewhere."""
        for stream in tuple(self._streams):
            stream.cancel()

    def close(self) -> None:
        """End all calls and streams, and the connection."""
        self._closed = True
        self.suspect()
        self._client.close()

    async def _send(self, rpc: Rpc, request: Message, deadline: float) -> Message:
        self._refuse_closed()
        remaining_s = deadline - asyncio.get_running_loop().time()
        if remaining_s <= 0:
            raise StoreUnreachable(f"{self.name}: no time was left to ask it")
        call = self._methods[rpc].future(request, timeout=remaining_s, metadata=self._metadata(rpc))
        try:
            return await _answer(call)
        except grpc.RpcError as error:
            words = explanation(error.details() or "", self._credentials, request)
            raise failure_of(error, self.name, words) from error
        except grpc.FutureCancelledError as error:
            raise IndefiniteFailure(f"{self.name}: the call was cancelled") from error

    def _metadata(self, rpc: Rpc) -> tuple[tuple[str, str], ...]:
        # A member without a leader still says what it is.
        leader = () if rpc is Rpc.STATUS else (_LEADER,)
        if self._token is None or rpc is Rpc.AUTHENTICATE:
            return leader
        return (*leader, ("token", self._token))

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreUnreachable(f"{self.name}: the store is closed")


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


async def _answer(call: Any) -> Message:
    """The result of a gRPC future, awaited; the call is cancelled with its waiter."""
    loop = asyncio.get_running_loop()
    finished = asyncio.Event()

    def tell(_: object) -> None:
        # On gRPC's thread. A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finished.set)

    call.add_done_callback(tell)
    try:
        await finished.wait()
    finally:
        call.cancel()
    return call.result()
