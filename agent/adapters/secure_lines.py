"""Lines over one TCP connection, inside TLS or plain: what the two ends of the agents' channel have in common.

It decides nothing of whom to talk to or for how long: whoever uses it has the deadlines, and closes it. What is whole
is told by the lines, so a connection that ends without TLS's own farewell has no other meaning than one that ends.

TLS is done between two buffers in memory: an alert is sent before the connection ends, so that the other end is told
why, which asyncio's own transports do not do.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Coroutine
from typing import Final

from manager.model.node_identity import Holder
from manager.pki import tls_words
from manager.pki.credentials import Contexts, shown_holder, shown_until_s
from manager.pki.tls_words import TlsTrouble, Unsecured

_CHUNK: Final = 1 << 16
USER_TIMEOUT_MS: Final = 10_000
"""Bytes that are not acknowledged for so long end the connection (TCP_USER_TIMEOUT, tcp(7))."""


class LineTooLong(Exception):
    """More bytes than a line may have, and no end of it."""


class SecureLines:
    """One end. One task reads and any number send."""

    def __init__(self, connection: socket.socket, contexts: Contexts | None, application: str, *, server: bool) -> None:
        """Takes over ``connection``, connected and not blocking. ``contexts``: of TLS; ``None``: it is plain."""
        self._socket = connection
        self._server = server
        self._application = application
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if contexts is not None:
            context = contexts.server if server else contexts.client
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._until_s: float | None = None
        self._pending = bytearray()
        self._sending = asyncio.Lock()
        """Of a line, which is to be in one piece."""
        self._unsent: set[asyncio.Task[None]] = set()
        self._flushing = asyncio.Lock()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)

    @property
    def good_until_s(self) -> float | None:
        """Until when the other end's certificate is good, in seconds of wall time; ``None``: it has shown none."""
        return self._until_s

    async def shake_hands(self) -> Holder | None:
        """Agree on TLS; who the other end is by its certificate. ``None``: the connection is plain.

        Raises:
            Unsecured: it is not what it has to be. The other end has been told; see :meth:`farewell`.
            OSError: the connection broke.
        """
        tls = self._tls
        if tls is None:
            return None
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            except OSError as error:  # ssl.SSLError is one
                with contextlib.suppress(OSError):  # It may be gone: then there is nobody to tell.
                    await self._flush()
                raise Unsecured(tls_words.of_handshake(error, self._server)) from None
            await self._flush()
            if not await self._feed():
                raise Unsecured(tls_words.of_handshake(ConnectionResetError(), self._server))
        await self._flush()
        holder = shown_holder(tls)
        if holder is None:
            raise Unsecured(TlsTrouble("tls_nobody", "its certificate names no node of a cluster, and no operator"))
        self._until_s = shown_until_s(tls)
        if tls.selected_alpn_protocol() != self._application:
            raise Unsecured(TlsTrouble("tls_other_use", "it wants something else than the agents' channel"))
        return holder

    async def read_line(self, most_bytes: int) -> bytes:
        """The next line, without its end.

        Raises:
            LineTooLong: it has more than ``most_bytes``.
            EOFError: the other end sends no more.
            OSError: the connection broke; the words may be the other end's.
        """
        looked = 0
        while (end := self._pending.find(b"\n", looked)) < 0:
            looked = len(self._pending)
            if looked > most_bytes:
                raise LineTooLong
            more = await self._receive()
            if not more:
                raise EOFError
            self._pending += more
        if end > most_bytes:
            raise LineTooLong
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        return line

    async def send(self, line: bytes) -> None:
        """Send ``line``; returns when the kernel has taken all of it. It is sent whole also when this is cancelled.

        Raises:
            OSError: the connection broke.
        """
        await self._to_the_end(self._send(line))

    async def _to_the_end(self, send: Coroutine[None, None, None]) -> None:
        """Also when whoever waits for it is cancelled: half a record, or half a line, would be the connection's end."""
        sending = asyncio.get_running_loop().create_task(send)
        self._unsent.add(sending)
        sending.add_done_callback(self._sent)
        await asyncio.shield(sending)

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._unsent.discard(sending)
        if not sending.cancelled():
            sending.exception()  # Whoever has sent it may have been cancelled: then nobody else looks at it.

    async def _send(self, line: bytes) -> None:
        loop = asyncio.get_running_loop()
        async with self._sending:
            if self._tls is None:
                await loop.sock_sendall(self._socket, line)
                return
            rest = memoryview(line)
            while rest:
                rest = rest[self._tls.write(rest[:_CHUNK]) :]
                await self._flush()

    def end_sending(self) -> None:
        """Say that nothing more will be asked; what comes is read all the same."""
        with contextlib.suppress(OSError):  # It may be gone.
            self._socket.shutdown(socket.SHUT_WR)

    async def farewell(self) -> None:
        """Read to the end: a connection that is closed with bytes unread is reset, and what was said last with it.

        Raises:
            OSError: the connection broke.
        """
        self.end_sending()
        while await asyncio.get_running_loop().sock_recv(self._socket, _CHUNK):
            pass

    def close(self) -> None:
        """End it, with what is not sent yet; no task may be waiting for it."""
        for sending in self._unsent:
            sending.cancel()
        self._socket.close()

    async def _receive(self) -> bytes:
        tls = self._tls
        if tls is None:
            return await asyncio.get_running_loop().sock_recv(self._socket, _CHUNK)
        while True:
            try:
                return tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                if self._outgoing.pending:  # Its own answer to what came, or what a sender is about to send.
                    await self._to_the_end(self._flush())
                if not await self._feed():
                    return b""
            except ssl.SSLError as error:
                raise OSError(errno.EPROTO, tls_words.of_connection(error)) from None

    async def _feed(self) -> bool:
        came = await asyncio.get_running_loop().sock_recv(self._socket, _CHUNK)
        self._incoming.write(came)
        return bool(came)

    async def _flush(self) -> None:
        async with self._flushing:
            data = self._outgoing.read()
            if data:
                await asyncio.get_running_loop().sock_sendall(self._socket, data)
