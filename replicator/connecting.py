"""Keeps trying to have a connection to one node, until told to stop.

It decides when to try again, and nothing else: what a connection is good for is ``replicator.peer``'s matter.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

from manager.model.refused_streams import IDENTITY, SILENT, UNREACHABLE, UNUSABLE
from manager.pki.credentials import Credentials, Unusable
from manager.pki.tls_words import TlsTrouble, Unsecured
from manager.time_limit import time_limit
from replicator.link import Connection
from replicator.peer import Peer
from replicator.securing import secured

CONNECT_SECONDS: Final = 2.0
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0
STABLE_SECONDS: Final = 10.0
"""A connection that lasted so long makes the next pause a short one again."""


class Connector:
    """Of one node and endpoint."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        node: str,
        host: str,
        port: int,
        make_peer: Callable[[Connection, str], Peer],
        on_failed: Callable[[str, str, str], None],
        credentials: Credentials | None = None,
    ) -> None:
        """``on_failed(node, why, kind)`` is told each time it cannot connect, ``kind`` in one word.

        ``credentials``: by TLS; ``None``: in plain.
        """
        self.node: Final = node
        self.endpoint: Final = (host, port)
        self.peer: Peer | None = None
        """The connection, while there is one."""
        self._loop = loop
        self._make_peer = make_peer
        self._on_failed = on_failed
        self._credentials = credentials
        self._ended = asyncio.Event()
        self._told = ""
        self._task = loop.create_task(self._run())

    def lost(self, peer: Peer) -> None:
        """That connection is gone: another is tried for after a pause."""
        if self.peer is peer:
            self.peer = None
            self._ended.set()

    def stop(self) -> Peer | None:
        """Tries no more. The connection that is still there is the caller's to drop."""
        self._task.cancel()
        peer, self.peer = self.peer, None
        return peer

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            sock = await self._connect()
            if sock is not None:
                began = self._loop.time()
                self._ended.clear()
                self.peer = self._make_peer(sock, self.node)
                await self._ended.wait()
                if self._loop.time() - began > STABLE_SECONDS:
                    pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _connect(self) -> Connection | None:
        host, port = self.endpoint
        trouble = UNREACHABLE
        try:
            async with time_limit(CONNECT_SECONDS):
                found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                family, kind, protocol, _, address = found[0]
                with contextlib.ExitStack() as opened:
                    sock = opened.enter_context(socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol))
                    sock.setblocking(False)
                    await self._loop.sock_connect(sock, address)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    opened.pop_all()
                trouble = SILENT
                return sock if self._credentials is None else await self._secure(sock, self._credentials)
        except Unsecured as unsecured:
            self._on_failed(self.node, str(unsecured), unsecured.trouble.kind)
        except Unusable as unusable:
            self._on_failed(self.node, str(unusable), UNUSABLE)
        except (OSError, TimeoutError) as error:
            self._on_failed(self.node, str(error) or "no answer", trouble)
        return None

    async def _secure(self, sock: socket.socket, credentials: Credentials) -> Connection:
        """Raises OSError: it is not the node that it is taken for, or none at all."""
        try:
            contexts = credentials.contexts()
        except OSError:
            sock.close()
            raise
        secure, identity = await secured(self._loop, contexts.client, sock)
        if contexts.own.is_of_cluster(identity) and identity.node == self.node:
            return secure
        secure.close()
        if identity.node != self.node:
            what = f"that of node {identity.node}, and {self.node} was expected"
        else:
            what = f"of another cluster, {identity.cluster}, identity {identity.cluster_id}"
        raise Unsecured(TlsTrouble(IDENTITY, f"its certificate is {what}"))

    def tell_once(self, why: str) -> bool:
        """Whether this is another reason than the last: the log says each once, not at each attempt."""
        new, self._told = why != self._told, why
        return new
