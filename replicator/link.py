"""One framed connection to another replicator, over a socket that does not block.

It checks that what comes are frames of this protocol, whole, undamaged and of the agreed epoch, and hands them on in
order; it sends frames without copying their bodies. It knows nothing of sequences, nor of what the frames mean. All
of it runs on the loop in plain callbacks: no task, and no copy of a large body.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from manager.model.errors import PeerProtocolError
from replicator.core.operations import Operation, Write
from replicator.secure_socket import SecureSocket
from replicator.wire.compression import THRESHOLD, Compressor
from replicator.wire.frames import pack, pack_bare, pack_compressed
from replicator.wire.operations import WRITE_SIZE, encode, pack_write
from replicator.wire.reader import FrameReader

Part = bytes | memoryview
Done = Callable[[], None]
Connection = socket.socket | SecureSocket
"""Connected, and not blocking."""

LINGER_S: Final = 1.0
"""How long a link that was finished waits for the other end to read the rest and to close."""
_GATHER: Final = 96
"""Parts that one sendmsg takes of what has piled up: three for a write."""
_SMALL: Final = 512
"""Bytes of a frame that is copied into one part when it is sent together with others."""
_END: Final = memoryview(b"")
"""Stands behind the last part of each frame that waits to be sent; no part is empty."""
_DRAINED_BYTES: Final = 64 << 20
"""What one :meth:`Link.drain` takes at the most: more than the kernel's buffers hold."""


class Link:
    """A connection, from the accept or connect to its end.

    ``on_frame(kind, sequence, body)`` gets each frame; the body is valid only during the call. When it raises
    PeerProtocolError the link is lost. ``on_batch()`` comes after all frames that were there have been handed on.
    ``on_lost(reason)`` comes once, never from within a call of the owner, and not after :meth:`close` or
    :meth:`finish`; the link is closed by then.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: Connection,
        epoch: int,
        on_frame: Callable[[int, int, memoryview], None],
        on_lost: Callable[[str], None],
        on_batch: Callable[[], None] | None = None,
        compression: bool = False,
    ) -> None:
        """Takes over ``sock``, connected. ``epoch`` 0: none is agreed yet (:meth:`agree`)."""
        self.epoch = epoch
        self.unsent_bytes = 0
        """Handed over to send, and not taken by the kernel yet."""
        self.received_at = loop.time()
        """When something last came, in the loop's time."""
        self.sent_at = loop.time()
        """When something was last sent, in the loop's time."""
        self.closed = False
        """Nothing is received or sent any more: closed, finished or lost."""
        self.on_frame = on_frame
        self.on_batch = on_batch
        self.on_lost = on_lost
        self._loop = loop
        self._socket = sock
        self._secure = sock if isinstance(sock, SecureSocket) else None
        self._fd = sock.fileno()
        self._sendmsg = sock.sendmsg
        self._reader = FrameReader(epoch)
        self._compressor = Compressor() if compression else None
        self._unsent: deque[tuple[memoryview, Done | None]] = deque()
        self._writing = self._paused = self._together = False
        self._linger: asyncio.TimerHandle | None = None
        self._news: asyncio.Handle | None = None
        self._frames = self._compressed = self._plain = self._saved = 0
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readable = self._on_readable if self._secure is None else self._on_secure_readable
        loop.add_reader(self._fd, self._readable)

    def agree(self, epoch: int) -> None:
        """The handshake is done: every frame is of this epoch from now on, and may be large."""
        self.epoch = epoch
        self._reader.agree(epoch)

    # Sending

    def send(self, kind: int, sequence: int, *parts: Part, done: Done | None = None) -> None:
        """Sends a frame whose body is ``parts``, which are not copied.

        ``done`` is called when the parts may be used again: sent, or the link is closed; perhaps before this returns.
        """
        plain = sum(map(len, parts))
        if self._compressor is not None and plain >= THRESHOLD:
            body = self._compressor.compress(parts, plain)
            if body is not None:
                self._compressed += 1
                self._saved += plain - len(body)
                self._plain += plain
                self._transmit((pack_compressed(kind, self.epoch, sequence, plain, body), body), None)
                if done is not None:
                    done()
                return
        self._plain += plain
        self._transmit((pack(kind, self.epoch, sequence, *parts), *parts), done)

    def send_operation(self, sequence: int, operation: Operation, done: Done | None = None) -> None:
        """Sends an operation; a write's data as :meth:`send` does its parts, compressed where that pays."""
        if operation.__class__ is Write and (len(operation.data) < THRESHOLD or self._compressor is None):
            self._plain += len(operation.data) + WRITE_SIZE
            self._transmit((pack_write(self.epoch, sequence, operation), operation.data), done)
        else:
            self.send(operation.kind, sequence, *encode(operation), done=done)

    def send_bare(self, kind: int, sequence: int) -> None:
        """Sends a frame without a body, such as an acknowledgement."""
        self._transmit((pack_bare(kind, self.epoch, sequence),), None)

    def send_aside(self, kind: int, *parts: Part) -> None:
        """Sends a small frame with sequence 0 before what waits here for room in the socket, but what is begun of it.

        It does not count as something that was sent (:attr:`sent_at`): nothing is acknowledged of it.
        """
        if self.closed:
            return
        frame = b"".join((pack(kind, self.epoch, 0, *parts), *parts))
        self._plain += sum(map(len, parts))
        if not self._unsent:
            sent_at = self.sent_at
            self._transmit((frame,), None)
            self.sent_at = sent_at
            return
        self._frames += 1
        self.unsent_bytes += len(frame)
        behind = self._first_end(self._secure.begun_bytes if self._secure is not None else 0) + 1
        self._unsent.insert(behind, (memoryview(frame), None))
        self._unsent.insert(behind + 1, (_END, None))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Within it frames are gathered, and given to the kernel at its end: one call for many small ones."""
        if self._together:
            yield
            return
        self._together = True
        try:
            yield
        finally:
            self._together = False
            if self._unsent and not self._writing:
                self._flush()

    def _first_end(self, begun_bytes: int) -> int:
        """Where the first frame ends behind so many bytes, in what waits."""
        passed = 0
        for place, (part, _) in enumerate(self._unsent):
            passed += len(part)
            if not part and passed >= begun_bytes:
                return place
        raise AssertionError("no frame that waits has an end")

    def _transmit(self, parts: tuple[Part, ...], done: Done | None) -> None:
        """Gives a frame to the kernel, or what it does not take of it to :meth:`_flush`."""
        if not self.closed:
            self._frames += 1
            self.sent_at = self._loop.time()
            sent = 0
            if self._together:
                if sum(map(len, parts)) <= _SMALL:
                    parts = (b"".join(parts),)
            elif not self._unsent:
                try:
                    sent = self._sendmsg(parts)
                except BlockingIOError:
                    pass
                except OSError as error:
                    self._lose(f"cannot send: {error.strerror}")
            if sent < sum(map(len, parts)) and not self.closed:
                self._keep(parts, sent, done)
                return
        if done is not None:
            done()

    def _keep(self, parts: tuple[Part, ...], sent: int, done: Done | None) -> None:
        for part in parts:
            length = len(part)
            if sent >= length:
                sent -= length
                continue
            self._unsent.append((memoryview(part)[sent:], None))
            self.unsent_bytes += length - sent
            sent = 0
        self._unsent.append((_END, done))
        if not self._together:
            self._await_room()

    def _await_room(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._flush)

    def _flush(self) -> None:
        while self._unsent:
            parts = [part for part, _ in islice(self._unsent, _GATHER)]
            try:
                sent = self._sendmsg(parts)
            except BlockingIOError:
                self._await_room()
                return
            except OSError as error:
                self._lose(f"cannot send: {error.strerror}")
                return
            self.unsent_bytes -= sent
            self._taken(sent)
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)
        if self._linger is not None:
            self._shut_down()

    def _taken(self, sent: int) -> None:
        while self._unsent:
            part, done = self._unsent[0]
            if sent < len(part):
                self._unsent[0] = (part[sent:], done)
                return
            sent -= len(part)
            self._unsent.popleft()
            if done is not None:
                done()

    # Receiving

    def pause_reading(self) -> None:
        """Takes nothing more from the other end until :meth:`resume_reading`."""
        if not self._paused and not self.closed:
            self._paused = True
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Takes frames again."""
        if self._paused and not self.closed:
            self._paused = False
            self._loop.add_reader(self._fd, self._readable)
            if self._secure is not None and self._secure.pending():
                self._loop.call_soon(self._on_secure_readable)  # what is decrypted already causes no event

    def drain(self) -> None:
        """Hands on all frames that have come until now, those in the kernel's buffer included."""
        taken = 0
        while not self.closed and taken < _DRAINED_BYTES:
            count = self._receive()
            if count <= 0:
                return
            taken += count
            self._dispatch()

    def _on_readable(self) -> None:
        if self._receive() > 0:
            self._dispatch()

    def _on_secure_readable(self) -> None:
        while not self._paused and not self.closed and self._receive() > 0:
            self._dispatch()
            if self._secure is None or not self._secure.pending():
                return

    def _receive(self) -> int:
        """Bytes received; 0: the link is lost; less: there are none."""
        reader = self._reader
        try:
            count = self._socket.recv_into(reader.space())
        except BlockingIOError:
            return -1
        except OSError as error:
            self._lose(f"connection lost: {error.strerror}")
            return 0
        if not count:
            self._lose("closed by the other end")
            return 0
        self.received_at = self._loop.time()
        reader.received(count)
        return count

    def _dispatch(self) -> None:
        following = self._reader.next
        try:
            while (frame := following()) is not None:
                self.on_frame(*frame)
                if self.closed:
                    return
        except PeerProtocolError as error:
            self._lose(str(error))
            return
        except BaseException:
            self.close()
            raise
        if self.on_batch is not None:
            self.on_batch()

    # The end

    def finish(self) -> None:
        """Closes once what is unsent is sent and the other end has closed, or after a second; takes no frames.

        A socket that is closed with bytes unread resets the connection, and with it what was sent last: so the rest
        is read, and thrown away.
        """
        if self.closed:
            return
        self.closed = True
        if not self._paused:
            self._loop.remove_reader(self._fd)
        self._linger = self._loop.call_later(LINGER_S, self._release)
        self._loop.add_reader(self._fd, self._discard)
        if not self._unsent:
            self._shut_down()

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):  # the other end may have reset it: then there is nobody to tell
            self._socket.shutdown(socket.SHUT_WR)

    def _discard(self) -> None:
        try:
            count = self._socket.recv_into(memoryview(bytearray(1 << 16)))
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self._release()

    def close(self) -> None:
        """Closes now. Nothing is called any more, but the ``done`` of what was not sent."""
        if self._news is not None:
            self._news.cancel()
        self._release()

    def _lose(self, reason: str) -> None:
        if not self.closed:
            self._news = self._loop.call_soon(self.on_lost, reason)
        self._release()

    def _release(self) -> None:
        if self._fd < 0:
            return
        self.closed = True
        self._loop.remove_reader(self._fd)
        if self._writing:
            self._writing = False  # this may be from within _flush
            self._loop.remove_writer(self._fd)
        self._fd = -1
        self._socket.close()
        if self._linger is not None:
            self._linger.cancel()
        self._reader.discard()
        unsent, self._unsent = self._unsent, deque()
        self.unsent_bytes = 0
        for _, done in unsent:
            if done is not None:
                done()

    def counters(self) -> dict[str, int]:
        """Of what was sent and received; see docs/PROTOCOL.md."""
        return {
            "frames_sent": self._frames,
            "frames_compressed": self._compressed,
            "bytes_plain": self._plain,
            "bytes_wire": self._plain - self._saved,
            "bytes_received": self._reader.wire_bytes,
        }
