"""The ways to have TLS 1.3 on the stream, beside the plain socket: two processes, one connection over loopback.

Frames as a mirror's writes are sent with so many under way, and acknowledged as they come, by callbacks on uvloop; no
file is touched and no checksum made, so that the difference is what the way costs. ``socket``: Python's SSLSocket does
not block, and works on the connection itself. ``object``: an SSLObject between two buffers in memory, beside the
socket. ``transport``: uvloop's own. Kernel TLS is none of them: Python hands nobody the keys, and OpenSSL does it by
itself only over a socket, where the kernel has it; this says whether it does.

Usage: ``python -m bench.tls [--seconds S] [--rounds N]``.
"""

import argparse
import array
import asyncio
import datetime
import fcntl
import os
import signal
import socket
import ssl
import statistics
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.outcome import in_turn, median_ratio, spread
from manager.model.node_identity import AUTHORITY_CERTIFICATE, NODE_CERTIFICATE, NODE_KEY
from manager.pki.authority import Office

_HEADER: Final = b"h" * 52
_ACK: Final = b"a" * 32
_SMALL: Final = 4096
_LARGE: Final = 1 << 20
_PIECE: Final = 64 << 10
_RECORD: Final = 16384
_WAITING: Final = array.array("i", [0])
_OTHER_END_S: Final = 0.05
"""By then the other end is ready, too."""
WAYS: Final = ("plain", "socket", "object", "transport")
LOADS: Final = (("4 KiB, 1 under way", _SMALL, 1), ("4 KiB, 4 under way", _SMALL, 4), ("1 MiB, 4 under way", _LARGE, 4))
_ULP: Final = "/proc/sys/net/ipv4/tcp_available_ulp"

Received = Callable[[int], None]
"""So many more bytes are in the buffer that was asked for."""
Space = Callable[[], memoryview]


class Plain:
    """A socket that does not block."""

    def __init__(self, loop: Any, sock: socket.socket, space: Space, received: Received) -> None:
        self._socket, self._loop, self._space, self._received = sock, loop, space, received
        self._unsent: list[memoryview] = []
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._on_readable)

    def send(self, *parts: bytes | memoryview) -> None:
        """Sends the parts, or keeps what the socket does not take."""
        views = [memoryview(part) for part in parts]
        if self._unsent:
            self._unsent += views
            return
        if self._send(views):
            self._unsent = views
            self._loop.add_writer(self._socket.fileno(), self._on_writable)

    def _on_writable(self) -> None:
        if not self._send(self._unsent):
            self._loop.remove_writer(self._socket.fileno())

    def _send(self, views: list[memoryview]) -> bool:
        """Takes what was sent off ``views``; whether some is left."""
        while views:
            try:
                sent = self._socket.sendmsg(views[:64])
            except BlockingIOError:
                return True
            while views and sent >= len(views[0]):
                sent -= len(views.pop(0))
            if sent:
                views[0] = views[0][sent:]
        return False

    def _on_readable(self) -> None:
        try:
            count = self._socket.recv_into(self._space())
        except BlockingIOError:
            return
        if not count:
            self._loop.stop()
            return
        self._received(count)


class InPlace(Plain):
    """An SSLSocket that does not block."""

    _socket: ssl.SSLSocket

    def _send(self, views: list[memoryview]) -> bool:
        while views:
            piece: bytes | memoryview = views[0]
            if len(views) > 1 and len(piece) < _RECORD:
                # One record, and one copy of at most that much, for what is before the large part.
                rest = _RECORD - len(piece)
                piece = b"".join((piece, views[1][:rest]))
            try:
                sent = self._socket.send(piece)
            except ssl.SSLWantWriteError:
                return True
            while views and sent >= len(views[0]):
                sent -= len(views.pop(0))
            if sent:
                views[0] = views[0][sent:]
        return False

    def _on_readable(self) -> None:
        more = True
        while more:
            view = self._space()
            count = 0
            while more and count < len(view):
                try:
                    got = self._socket.recv_into(view[count:])
                except ssl.SSLWantReadError:
                    break
                if not got:
                    self._loop.stop()
                    return
                count += got
                # To ask for a record that is not there costs fifteen times what this question does.
                more = self._socket.pending() > 0 or self._waiting() >= (_RECORD if got == _RECORD else 1)
            if count:
                self._received(count)
            else:
                return

    def _waiting(self) -> int:
        fcntl.ioctl(self._socket.fileno(), termios.FIONREAD, _WAITING)
        return _WAITING[0]


class Beside(Plain):
    """An SSLObject between two buffers in memory."""

    def __init__(self, loop: Any, sock: socket.socket, space: Space, received: Received, made: Any) -> None:
        self._incoming, self._outgoing, self._object = made
        self._scratch = memoryview(bytearray(256 << 10))
        super().__init__(loop, sock, space, received)
        loop.call_soon(self._decrypt)  # it may have come with the end of the handshake

    def send(self, *parts: bytes | memoryview) -> None:
        """As that of a socket."""
        for part in (b"".join(parts),) if len(parts[-1]) < _RECORD else parts:
            self._object.write(part)
        super().send(self._outgoing.read())

    def _on_readable(self) -> None:
        try:
            count = self._socket.recv_into(self._scratch)
        except BlockingIOError:
            return
        if not count:
            self._loop.stop()
            return
        self._incoming.write(self._scratch[:count])
        self._decrypt()

    def _decrypt(self) -> None:
        while self._object.pending() or self._incoming.pending:
            view, count = self._space(), 0
            while count < len(view) and (self._object.pending() or self._incoming.pending):
                try:
                    count += self._object.read(len(view) - count, view[count:])
                except ssl.SSLWantReadError:
                    if count:
                        self._received(count)
                    return
            self._received(count)


class Transport(asyncio.BufferedProtocol):
    """uvloop's transport."""

    def __init__(self, loop: Any, space: Space, received: Received) -> None:
        self._loop, self._space, self._received = loop, space, received
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """See asyncio."""
        return self._space()

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio."""
        self._received(nbytes)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio."""
        self._loop.stop()

    def send(self, *parts: bytes | memoryview) -> None:
        """Sends the parts."""
        if len(parts[-1]) < _RECORD:
            self._transport.write(b"".join(parts))
        else:
            self._transport.writelines(parts)


class Counter:
    """Takes frames of one size, and tells how many came."""

    def __init__(self, size: int, on_frames: Callable[[int], None]) -> None:
        self._size, self._on_frames = size, on_frames
        self._view = memoryview(bytearray(size + _PIECE))
        self._end = 0

    def space(self) -> memoryview:
        """Where the next bytes go."""
        want = max(_PIECE, self._size - self._end) if self._size > _PIECE else _PIECE
        return self._view[self._end : self._end + want]

    def received(self, count: int) -> None:
        """They are there."""
        self._end += count
        frames, left = divmod(self._end, self._size)
        if frames:
            start = frames * self._size
            self._view[:left] = self._view[start : self._end]
            self._end = left
            self._on_frames(frames)


def contexts(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's, of an authority of their own."""
    office = Office(directory, "a", datetime.datetime.now(datetime.UTC))
    office.init("bench")
    office.issue("a", [])
    return contexts_of(directory)


def contexts_of(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Those of the node whose files are there."""
    made = []
    for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(directory / AUTHORITY_CERTIFICATE)
        context.load_cert_chain(directory / NODE_CERTIFICATE, directory / NODE_KEY)
        made.append(context)
    made[0].num_tickets = 0
    return made[0], made[1]


def make(way: str, loop: Any, sock: socket.socket, counter: Counter, context: ssl.SSLContext, server: bool) -> Any:
    """The end of the connection, connected; ``sock`` blocks until then."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if way == "plain":
        return Plain(loop, sock, counter.space, counter.received)
    if way == "socket":
        return InPlace(loop, context.wrap_socket(sock, server_side=server), counter.space, counter.received)
    if way == "object":
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        made = context.wrap_bio(incoming, outgoing, server_side=server)
        done = False
        while not done:
            try:
                made.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(_PIECE))
        sock.sendall(outgoing.read())
        return Beside(loop, sock, counter.space, counter.received, (incoming, outgoing, made))
    protocol = Transport(loop, counter.space, counter.received)
    sock.setblocking(False)
    if server:
        loop.run_until_complete(loop.connect_accepted_socket(lambda: protocol, sock, ssl=context))
    else:
        loop.run_until_complete(loop.create_connection(lambda: protocol, sock=sock, ssl=context, server_hostname=""))
    return protocol


def serve(way: str, sock: socket.socket, size: int, context: ssl.SSLContext) -> None:
    """The secondary's end: one acknowledgement for all that came at once."""
    loop = uvloop.new_event_loop()
    end: Any = None
    counter = Counter(size, lambda frames: end.send(frames.to_bytes(8, "little") + _ACK[8:]))
    end = make(way, loop, sock, counter, context, server=True)
    loop.run_forever()


def drive(way: str, sock: socket.socket, size: int, window: int, context: ssl.SSLContext, seconds: float) -> float:
    """The primary's end: frames a second."""
    loop = uvloop.new_event_loop()
    body = memoryview(bytearray(os.urandom(size)))
    acknowledged = 0
    until = time.perf_counter() + seconds
    acks = bytearray()

    def received(count: int) -> None:
        nonlocal acknowledged
        acks.extend(space[:count])
        frames = 0
        while len(acks) >= len(_ACK):
            frames += int.from_bytes(acks[:8], "little")
            del acks[: len(_ACK)]
        acknowledged += frames
        if time.perf_counter() > until:
            loop.stop()
            return
        for _ in range(frames):
            end.send(_HEADER, body)

    space = memoryview(bytearray(_PIECE))

    class Acks(Counter):
        def space(self) -> memoryview:
            return space

        def received(self, count: int) -> None:
            received(count)

    end = make(way, loop, sock, Acks(len(_ACK), lambda _: None), context, server=False)
    time.sleep(_OTHER_END_S)
    began = time.perf_counter()
    for _ in range(window):
        end.send(_HEADER, body)
    loop.run_forever()
    return acknowledged / (time.perf_counter() - began)


def measure(
    way: str, size: int, window: int, both: tuple[ssl.SSLContext, ssl.SSLContext], seconds: float
) -> tuple[float, float]:
    """Frames a second, and the processors' time for one at both ends, in microseconds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if not child:
            try:
                serve(way, listener.accept()[0], len(_HEADER) + size, both[0])
            finally:
                os._exit(0)
        with socket.create_connection(listener.getsockname()) as sock:
            began, spent = time.perf_counter(), time.process_time()
            rate = drive(way, sock, size, window, both[1], seconds)
            frames, spent = rate * (time.perf_counter() - began), time.process_time() - spent
    os.kill(child, signal.SIGKILL)
    usage = os.wait4(child, 0)[2]
    return rate, 1e6 * (spent + usage.ru_utime + usage.ru_stime) / frames


def main() -> None:
    """All ways in turn, some rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        both = contexts(Path(directory))
        for number in range(args.rounds):
            for words, size, window in LOADS:
                for way in in_turn(WAYS, number):
                    rate, cost_us = measure(way, size, window, both, args.seconds)
                    rates.setdefault((words, way), []).append(rate)
                    costs.setdefault((words, way), []).append(cost_us)
    kernel = Path(_ULP).read_text(encoding="ascii").split() if Path(_ULP).exists() else []
    print(f"{ssl.OPENSSL_VERSION}; kernel TLS: {'there' if 'tls' in kernel else 'not in this kernel'}")
    for words, size, _ in LOADS:
        for way in WAYS:
            found = rates[words, way]
            shown = spread([rate * size / (1 << 20) for rate in found]) + " MiB/s" if size == _LARGE else spread(found)
            ratio = median_ratio(found, rates[words, "plain"])
            cost_us = statistics.median(costs[words, way])
            print(f"{words:20} {way:10} {shown:36} {ratio:5.2f} of plain {cost_us:8.1f} us of the processors a frame")


if __name__ == "__main__":
    main()
