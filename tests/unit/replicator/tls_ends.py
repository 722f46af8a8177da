"""Two ends of a connection inside TLS, in one process, on a loop whose clock is the test's."""

import asyncio
import socket
import ssl

from manager.model.node_identity import NodeIdentity
from manager.pki.tls_words import TlsTrouble
from replicator.secure_socket import SecureSocket
from replicator.securing import Securing
from tests.unit.replicator.loops import SteppedLoop


class Handshake:
    """One end's, and what came of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext, sock: socket.socket, server: bool):
        self.secure: SecureSocket | None = None
        self.identity: NodeIdentity | None = None
        self.trouble: TlsTrouble | None = None
        self.ended = False
        self.securing = Securing(loop, context, sock, server, self._done, self._failed, self._end)

    @property
    def over(self) -> bool:
        return self.secure is not None or self.trouble is not None

    def _done(self, secure: SecureSocket, identity: NodeIdentity) -> None:
        self.secure, self.identity = secure, identity

    def _failed(self, trouble: TlsTrouble) -> None:
        self.trouble = trouble

    def _end(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.securing.close()
        if self.secure is not None:
            self.secure.close()


def shake_hands(
    loop: SteppedLoop, server: ssl.SSLContext, client: ssl.SSLContext, sockets: tuple[socket.socket, socket.socket]
) -> tuple[Handshake, Handshake]:
    """The server's end and the client's, both over."""
    ends = Handshake(loop, server, sockets[0], True), Handshake(loop, client, sockets[1], False)
    loop.until(lambda: all(end.over for end in ends))
    return ends


def secure_pair(loop: SteppedLoop, server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[SecureSocket, SecureSocket]:
    """Connected, and not blocking."""
    ends = shake_hands(loop, server, client, socket.socketpair())
    assert ends[0].secure is not None and ends[1].secure is not None
    return ends[0].secure, ends[1].secure
