"""One endpoint: python-etcd3's client of it, its token, and single calls to it, each with a deadline.

It does not know the other endpoints, and decides nothing but when to authenticate again, and when to show other files.

Calls are gRPC's own futures: they wait on the channel's thread, so the event loop is never held up and no pool of
threads can run out behind a server that does not answer. python-etcd3's methods would block a thread each, and its
watcher dies with the connection (``docs/adr/0001``); of the library the channel with its TLS, the stubs and the
messages are used.
"""

import asyncio
import contextlib
from typing import Any

import grpc
from etcd3 import etcdrpc

from manager.model.config.findings import InvalidConfig
from manager.model.errors import IndefiniteFailure
from manager.store.api import StoreUnreachable
from manager.store.connection import Connection, Rpc
from manager.store.credentials import Credentials, check_files, password_now, signatures
from manager.store.failures import AuthenticationOff, TokenRejected, failure_of
from manager.store.refusals import explanation
from manager.store.stream import Stream
from manager.store.translate import Message

_LEADER = ("hasleader", "true")
"""Asks a member that has lost the majority to say so instead of waiting (etcd, ``rpctypes/metadatafields.go``)."""


class Endpoint:
    """One server's address, and the channel to it. Nothing is connected before the first call."""

    def __init__(self, name: str, credentials: Credentials) -> None:
        """``name`` is ``host:port``, an IPv6 address in brackets."""
        self.name = name
        self._credentials = credentials
        self._password = credentials.password
        """As its file had it when it was needed last."""
        self._token: str | None = None
        self._has_token = not credentials.user
        self._authenticating = asyncio.Lock()
        self._closed = False
        self._streams: set[Stream] = set()
        self._signature = signatures(credentials)
        """Of the files that the connection shows, from before it read them."""
        self._connection = Connection(name, credentials)
        self._former: list[Connection] = []
        """Given up, and something may still be on its way through them."""

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
            with contextlib.suppress(InvalidConfig):
                self._password = password_now(self._credentials)
            request = etcdrpc.AuthenticateRequest(name=self._credentials.user, password=self._password)
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
        connection = self._connection
        stream = Stream(connection.watch, request, lifetime_s, self._metadata(Rpc.RANGE))
        connection.enter()
        stream.on_end(connection.leave)
        self._streams.add(stream)
        stream.on_end(lambda: self._streams.discard(stream))
        return stream

    def suspect(self) -> None:
        """It did not answer in time: end its watch streams, so that they are opened elsewhere."""
        for stream in tuple(self._streams):
            stream.cancel()

    def close(self) -> None:
        """End all calls and streams, and the connections, those given up as well."""
        self._closed = True
        self.suspect()
        for connection in (*self._former, self._connection):
            connection.close()

    async def _send(self, rpc: Rpc, request: Message, deadline: float) -> Message:
        self._refuse_closed()
        remaining_s = deadline - asyncio.get_running_loop().time()
        if remaining_s <= 0:
            raise StoreUnreachable(f"{self.name}: no time was left to ask it")
        connection = self._connection
        with connection.used():
            call = connection.methods[rpc].future(request, timeout=remaining_s, metadata=self._metadata(rpc))
            try:
                return await _answer(call)
            except grpc.RpcError as error:
                words = explanation(error.details() or "", self._credentials, request)
                failure = failure_of(error, self.name, words)
                if isinstance(failure, (StoreUnreachable, IndefiniteFailure)) and connection is self._connection:
                    self._show_new_files()
                raise failure from error
            except grpc.FutureCancelledError as error:
                raise IndefiniteFailure(f"{self.name}: the call was cancelled") from error

    def _show_new_files(self) -> None:
        """Where nobody answers, perhaps because of what is shown, and the files have changed since: show those.

        As long as a connection stands it is not touched, however old what it once showed. Files that do not fit
        together are somebody's who is in the middle of copying; the next failure looks again.
        """
        found = signatures(self._credentials)
        if found == self._signature or self._closed:
            return
        with contextlib.suppress(InvalidConfig, OSError):
            check_files(self._credentials)
            former, self._connection = self._connection, Connection(self.name, self._credentials)
            self._signature = found
            former.give_up()
            self._former = [one for one in (*self._former, former) if one.is_used]

    def _metadata(self, rpc: Rpc) -> tuple[tuple[str, str], ...]:
        # A member without a leader still says what it is.
        leader = () if rpc is Rpc.STATUS else (_LEADER,)
        if self._token is None or rpc is Rpc.AUTHENTICATE:
            return leader
        return (*leader, ("token", self._token))

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreUnreachable(f"{self.name}: the store is closed")


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
