"""A connection inside TLS, with the few methods of a socket that a link uses; it does not block.

It decides into which pieces what is sent is cut: what is small goes into one record, by one copy; what is large is
handed over as it is, and only what fills the record with the header before it is copied. Who the other end is, was
decided before (``replicator.securing``).

A write that the connection does not take is begun all the same: OpenSSL has made a record of it. The same bytes have to
come first in the next call (:attr:`SecureSocket.begun_bytes`).
"""

import array
import errno
import fcntl
import ssl
import termios
from collections.abc import Iterator, Sequence
from typing import Final

from manager.pki import tls_words

Part = bytes | memoryview

RECORD: Final = 16384
"""Plain bytes of one record at the most (RFC 8446, 5.1)."""


class SecureSocket:
    """Takes over an SSLSocket that does not block, after its handshake."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.family: Final = sock.family
        self.fileno: Final = sock.fileno
        self.setblocking: Final = sock.setblocking
        self.setsockopt: Final = sock.setsockopt
        self.shutdown: Final = sock.shutdown
        """From then on what is received is not decrypted any more: it can only be thrown away."""
        self.close: Final = sock.close
        self.pending: Final = sock.pending
        """Bytes that are decrypted and not received: no event of the connection will tell of them."""
        self._fd: Final = sock.fileno()
        self._send = sock.send
        self._recv_into = sock.recv_into
        self._begun: Part | None = None
        self._waiting: Final = array.array("i", [0])

    @property
    def begun_bytes(self) -> int:
        """How many bytes were handed over and not taken: they have to be the first ones of the next call."""
        return len(self._begun) if self._begun is not None else 0

    def sendmsg(self, parts: Sequence[Part]) -> int:
        """As socket.sendmsg. Raises BlockingIOError: nothing was taken; OSError."""
        taken = 0
        try:
            if self._begun is not None:
                taken = self._send(self._begun)
                self._begun = None
                return taken
            if sum(map(len, parts)) <= RECORD:
                self._begun = piece = b"".join(parts)
                taken = self._send(piece)
                self._begun = None
                return taken
            for large in _pieces(parts):
                self._begun = large
                taken += self._send(large)
                self._begun = None
            return taken
        except ssl.SSLWantWriteError:
            if taken:
                return taken
            raise BlockingIOError from None
        except ssl.SSLError as error:
            raise _worded(error) from None

    def recv_into(self, view: memoryview) -> int:
        """As socket.recv_into: all records that are there, while there is room. Raises BlockingIOError, OSError."""
        room, count = len(view), 0
        try:
            while True:
                got = self._recv_into(view[count:] if count else view)
                count += got
                # To ask for a record that is not whole costs twenty times what this question does.
                if not got or count == room or not (self.pending() or self._arrived() >= (got if got == RECORD else 1)):
                    return count
        except ssl.SSLWantReadError:
            if count:
                return count
            raise BlockingIOError from None
        except ssl.SSLError as error:
            raise _worded(error) from None

    def _arrived(self) -> int:
        fcntl.ioctl(self._fd, termios.FIONREAD, self._waiting)
        return self._waiting[0]


def _pieces(parts: Sequence[Part]) -> Iterator[Part]:
    """``parts`` one after the other: small ones together, and of large ones what fills records as it is."""
    gathered: list[Part] = []
    size = 0
    for part in parts:
        if size + len(part) < RECORD:
            gathered.append(part)
            size += len(part)
            continue
        rest = memoryview(part)
        if size:
            gathered.append(rest[: RECORD - size])
            yield b"".join(gathered)
            rest = rest[RECORD - size :]
        whole = len(rest) - len(rest) % RECORD
        if whole:
            yield rest[:whole]
        gathered, size = [rest[whole:]], len(rest) - whole
    if size:
        yield b"".join(gathered)


def _worded(error: ssl.SSLError) -> OSError:
    return OSError(errno.EPROTO, tls_words.of_connection(error))
