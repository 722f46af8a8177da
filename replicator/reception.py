"""The door of a replicator: takes connections, and hands on those that introduce themselves in time.

Whoever connects is a stranger until its Hello is there: the number of strangers, their time and what is taken of them
are bounded, the handshake of TLS included (``replicator.stranger``). What a Hello is worth is decided by what the
certificate of TLS shows, and then by the secondary. Each reason to turn somebody away is told once per address, so that
a peer that tries for ever does not fill the log.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from manager.free_bind import allow_any_address
from manager.model.refused_streams import PLAIN_ONLY, UNUSABLE
from manager.pki.credentials import Credentials, Unusable
from replicator.link import Link
from replicator.refusals import Refusals, by_of
from replicator.stranger import Stranger
from replicator.wire import messages
from replicator.wire.frames import TLS_IN_PLAIN, FrameKind
from replicator.wire.messages import Hello, Refused

MAX_STRANGERS: Final = 16
"""Connections without a Hello; one more, and the oldest has to go."""
MAX_REMEMBERED: Final = 1024
"""Addresses and reasons that were told; further ones are counted and not told."""
_BACKLOG: Final = 64
_ACCEPT_AT_ONCE: Final = 16
_OWN_TROUBLES: Final = frozenset({"accept", "crowd"})
"""Reasons that say nothing of who was turned away."""
_PAUSE_S: Final = 0.5
"""After a failed accept(2), as without free descriptors."""

Judge = Callable[[Hello], Refused | None]


class Reception:
    """One listening socket."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        judge: Judge,
        on_welcome: Callable[[Link, Hello, str], None],
        on_refused: Callable[[str, str], None],
        compression: bool,
        credentials: Credentials | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        """``judge`` says why a Hello is refused; else ``on_welcome(link, hello, address)`` takes over the link.

        ``credentials``: ``None``: connections are plain. ``refusals``: where the operator sees who is turned away.
        """
        self.turned_away = 0
        """How many connections, for whatever reason."""
        self._loop = loop
        self._judge = judge
        self._on_welcome = on_welcome
        self._on_refused = on_refused
        self._compression = compression
        self._credentials = credentials
        self._refusals = Refusals() if refusals is None else refusals
        self._listener: socket.socket | None = None
        self._strangers: dict[Stranger, None] = {}
        self._told: set[tuple[str, str]] = set()

    def listen(self, host: str, port: int) -> int:
        """Listens; an empty ``host`` means all addresses, port 0 any free one. Returns the port. Raises OSError.

        ``host`` may be an address that this machine does not have yet: it is heard there as soon as it is there.
        """
        if host:
            listener = _at(host, port)
        elif socket.has_dualstack_ipv6():
            listener = socket.create_server(("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        else:
            listener = socket.create_server(("", port), backlog=_BACKLOG)
        listener.setblocking(False)
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._on_connection)
        return int(listener.getsockname()[1])

    def close(self) -> None:
        """Stops listening, and ends what is not introduced."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for stranger in list(self._strangers):
            stranger.leave()

    def forget_refusals(self) -> None:
        """Tells each reason anew: something has changed."""
        self._told.clear()

    def _on_connection(self) -> None:
        assert self._listener is not None
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self.turn_away("", "accept", error.strerror or "failed")
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(_PAUSE_S, self._listen_again)
                return
            self.take(connection, str(address[0]) if address else "")

    def _listen_again(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener.fileno(), self._on_connection)

    def take(self, connection: socket.socket, address: str) -> None:
        """A connection that was accepted."""
        if len(self._strangers) >= MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            oldest.leave()
            if not oldest.refused:
                self.turn_away(oldest.address, "crowd", "too many connections without a handshake")
        contexts = None
        if self._credentials is not None:
            try:
                contexts = self._credentials.contexts()
            except Unusable as unusable:
                connection.close()
                self.turn_away(address, UNUSABLE, str(unusable))
                return
        self._strangers[Stranger(self, self._loop, connection, address, self._compression, contexts)] = None

    def introduced(self, stranger: Stranger, link: Link, hello: Hello) -> None:
        """A stranger's Hello is there."""
        self.gone(stranger)
        refused = stranger.why_not(hello) or self._judge(hello)
        if refused is None:
            self._refusals.clear(address=stranger.address)
            self._on_welcome(link, hello, stranger.address)
            return
        self.refuse(link, hello, stranger.address, refused)

    def refuse(self, link: Link, hello: Hello, address: str, refused: Refused) -> None:
        """Tells who said ``hello`` why there is no stream."""
        link.agree(hello.epoch)
        link.send(FrameKind.REFUSED, 0, messages.encode_handshake(refused))
        link.finish()
        self.turn_away(address, refused.reason.value, refused.detail)

    def turn_away(self, address: str, reason: str, detail: str) -> None:
        """Counts it, and tells it when it is the first of its kind."""
        self.turned_away += 1
        if reason not in _OWN_TROUBLES:
            kind = PLAIN_ONLY if detail == TLS_IN_PLAIN else reason
            self._refusals.note(address, kind, detail, by_of(kind))
        if (address, reason) not in self._told and len(self._told) < MAX_REMEMBERED:
            self._told.add((address, reason))
            self._on_refused(address, f"{reason}: {detail}")

    def gone(self, stranger: Stranger) -> None:
        """That one is no stranger any more."""
        self._strangers.pop(stranger, None)


def _at(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        allow_any_address(listener)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
