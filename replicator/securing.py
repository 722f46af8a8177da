"""A connection becomes a secure one: the handshake of TLS, in callbacks on the loop, and who the other end is by it.

It decides nothing of whom to talk to: that is for who knows which node was expected. It has no time of its own: whoever
began it closes it when it takes too long.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

from manager.model.node_identity import NodeIdentity
from manager.pki import tls_words
from manager.pki.credentials import shown_identity
from manager.pki.tls_words import TlsTrouble, Unsecured
from replicator.secure_socket import SecureSocket

APPLICATION: Final = "mirrorfarm-stream"
"""Of this protocol (ALPN, RFC 7301): a certificate's other uses cannot be taken for it."""
_DISCARDED: Final = 1 << 16


class Securing:
    """Of one connection.

    Either ``done(secure, identity)`` is called once, and the connection is theirs; or ``failed(trouble)``, and after it
    ``ended()`` once the connection is closed: what was said last is to reach the other end, which is told why by an
    alert. Neither after :meth:`close`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        sock: socket.socket,
        server: bool,
        done: Callable[[SecureSocket, NodeIdentity], None],
        failed: Callable[[TlsTrouble], None],
        ended: Callable[[], None],
    ) -> None:
        """Takes over ``sock``, connected, and begins; nothing is called from within. Raises OSError: it is closed."""
        self._loop = loop
        self._server = server
        self._done = done
        self._failed = failed
        self._ended = ended
        sock.setblocking(False)
        try:
            self._socket = context.wrap_socket(sock, server_side=server, do_handshake_on_connect=False)
        except OSError:
            sock.close()
            raise
        self._fd = self._socket.fileno()
        self._writing = False
        self._soon = loop.call_soon(self._step)
        loop.add_reader(self._fd, self._step)

    def close(self) -> None:
        """Gives it up; nothing is called."""
        if self._fd < 0:
            return
        self._let_go()
        self._socket.close()

    def _let_go(self) -> None:
        self._soon.cancel()
        self._loop.remove_reader(self._fd)
        self._wait_to_write(False)
        self._fd = -1

    def _wait_to_write(self, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._fd, self._step)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._fd)
        self._writing = wanted

    def _step(self) -> None:
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._wait_to_write(False)
            return
        except ssl.SSLWantWriteError:
            self._wait_to_write(True)
            return
        except OSError as error:
            self._fail(tls_words.of_handshake(error, self._server))
            return
        identity = shown_identity(self._socket)
        if identity is None:
            self._fail(TlsTrouble("tls_nobody", "its certificate names no node of a cluster"))
        elif self._socket.selected_alpn_protocol() != APPLICATION:
            self._fail(TlsTrouble("tls_other_use", "it wants something else than a stream"))
        else:
            self._let_go()
            self._done(SecureSocket(self._socket), identity)

    def _fail(self, trouble: TlsTrouble) -> None:
        """A connection that is closed with bytes unread is reset, and the alert with it: so what comes is read."""
        self._soon.cancel()
        self._wait_to_write(False)
        with contextlib.suppress(OSError):  # the other end may have reset it: then there is nobody to tell
            self._socket.shutdown(socket.SHUT_WR)
        self._loop.remove_reader(self._fd)
        self._loop.add_reader(self._fd, self._discard)
        self._failed(trouble)

    def _discard(self) -> None:
        try:
            count = self._socket.recv_into(bytearray(_DISCARDED))
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self.close()
            self._ended()


async def secured(
    loop: asyncio.AbstractEventLoop, context: ssl.SSLContext, sock: socket.socket
) -> tuple[SecureSocket, NodeIdentity]:
    """The client's end, for a task. Raises Unsecured; ``sock`` is closed then, and when it is cancelled."""
    result: asyncio.Future[tuple[SecureSocket, NodeIdentity]] = loop.create_future()

    def failed(trouble: TlsTrouble) -> None:
        if not result.done():
            result.set_exception(Unsecured(trouble))

    def done(secure: SecureSocket, identity: NodeIdentity) -> None:
        if result.done():
            secure.close()  # whoever waited has just been cancelled
        else:
            result.set_result((secure, identity))

    securing = Securing(loop, context, sock, False, done, failed, lambda: None)
    try:
        return await result
    except asyncio.CancelledError:
        if result.done() and not result.cancelled() and result.exception() is None:
            result.result()[0].close()  # It came in the same turn.
        raise
    finally:
        securing.close()
