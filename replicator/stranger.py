"""A connection of which nobody knows yet who it is: from its acceptance to its Hello, in a bounded time.

Where TLS is wanted, its handshake comes before the Hello. Who does not begin one is heard all the same, so that a node
whose configuration differs is told what is wrong; nothing but a refusal follows.
"""

import asyncio
import socket
from typing import Final, Protocol

from manager.model.errors import PeerProtocolError
from manager.model.node_identity import NodeIdentity
from manager.pki.credentials import Contexts
from manager.pki.tls_words import TlsTrouble
from replicator.link import Connection, Link
from replicator.secure_socket import SecureSocket
from replicator.securing import Securing
from replicator.wire import messages
from replicator.wire.frames import FrameKind, looks_like_tls
from replicator.wire.messages import Hello, Refusal, Refused

HANDSHAKE_S: Final = 2.0
"""From the acceptance of a connection to its Hello."""
_LOOKED_AT: Final = 6
"""Bytes of what comes first, by which TLS is told from a frame."""


class Host(Protocol):
    """Who let the stranger in."""

    def introduced(self, stranger: "Stranger", link: Link, hello: Hello) -> None:
        """Its Hello is there."""
        ...

    def turn_away(self, address: str, reason: str, detail: str) -> None:
        """It is refused, or went."""
        ...

    def gone(self, stranger: "Stranger") -> None:
        """It takes no room any more."""
        ...


class Stranger:
    """A connection whose Hello has not come."""

    def __init__(
        self,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        connection: socket.socket,
        address: str,
        compression: bool,
        contexts: Contexts | None,
    ) -> None:
        """``contexts``: of TLS, which it has to begin; ``None``: it is to speak in plain."""
        self.address: Final = address
        self._host = host
        self._loop = loop
        self._compression = compression
        self._contexts = contexts
        self._identity: NodeIdentity | None = None
        self._unmet: socket.socket | None = None
        """Until it is known how it speaks."""
        self._securing: Securing | None = None
        self._link: Link | None = None
        self.refused = False
        """It is turned away, and stays until it has been told."""
        self._deadline = loop.call_later(HANDSHAKE_S, self._late)
        if contexts is None:
            self._listen(connection)
        else:
            connection.setblocking(False)
            self._unmet = connection
            loop.add_reader(connection.fileno(), self._on_first)

    def why_not(self, hello: Hello) -> Refused | None:
        """Why who says ``hello`` is not believed; ``None``: it is."""
        if self._contexts is None:
            return None
        own, other = self._contexts.own, self._identity
        if other is None:
            return Refused(Refusal.TLS, "in plain, and this node takes TLS only (tls.mode in agent.toml of both)")
        if not own.is_of_cluster(other):
            what = f"of cluster {other.cluster}, identity {other.cluster_id}"
            return Refused(Refusal.IDENTITY, f"its certificate is {what}; this node's identity is {own.cluster_id}")
        if other.node != hello.node:
            what = f"its certificate is that of node {other.node}"
            return Refused(Refusal.IDENTITY, f"{what}, and it says that it is {hello.node}")
        return None

    def leave(self) -> None:
        """Ends the connection."""
        self._deadline.cancel()
        if self._unmet is not None:
            self._loop.remove_reader(self._unmet.fileno())
            self._unmet.close()
            self._unmet = None
        if self._securing is not None:
            self._securing.close()
        if self._link is not None:
            self._link.close()
        self._host.gone(self)

    # Before it is known how it speaks

    def _on_first(self) -> None:
        connection = self._unmet
        assert connection is not None and self._contexts is not None
        try:
            beginning = connection.recv(_LOOKED_AT, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError as error:
            self._turn_away("protocol", f"connection lost: {error.strerror}")
            return
        if not beginning:
            self._turn_away("protocol", "closed by the other end")
            return
        self._loop.remove_reader(connection.fileno())
        self._unmet = None
        if not looks_like_tls(beginning):
            self._listen(connection)
            return
        try:
            self._securing = Securing(
                self._loop, self._contexts.server, connection, True, self._on_secure, self._on_insecure, self.leave
            )
        except OSError as error:
            self._turn_away("protocol", f"connection lost: {error.strerror}")

    def _on_secure(self, secure: SecureSocket, identity: NodeIdentity) -> None:
        self._identity = identity
        self._listen(secure)

    def _on_insecure(self, trouble: TlsTrouble) -> None:
        """It stays until it has been told, or its time is over."""
        self.refused = True
        self._host.turn_away(self.address, trouble.kind, trouble.detail)

    # Until its Hello

    def _listen(self, connection: Connection) -> None:
        self._link = Link(self._loop, connection, 0, self._on_frame, self._on_lost, compression=self._compression)

    def _on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        if kind != FrameKind.HELLO or sequence:
            raise PeerProtocolError(f"frame {sequence} of kind {kind} instead of a Hello")
        hello = messages.decode_hello(body)
        self._deadline.cancel()
        assert self._link is not None
        self._host.introduced(self, self._link, hello)

    def _on_lost(self, reason: str) -> None:
        self._turn_away("protocol", reason)

    def _turn_away(self, reason: str, detail: str) -> None:
        self.leave()
        self._host.turn_away(self.address, reason, detail)

    def _late(self) -> None:
        if self.refused:
            self.leave()
        else:
            self._turn_away("silent", f"no handshake within {HANDSHAKE_S} s")
