"""The read loop, with a socket pair in the kernel's place: what it hands out, and when it stops reading."""

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from manager.model.errors import PeerProtocolError
from replicator.fuse import abi
from replicator.fuse.abi import Opcode
from replicator.fuse.device import BUFFERS, WRITE_BODY, Answers, Device, Handler
from replicator.fuse.requests import Header


class Loop:
    """Only what the device uses of one: it remembers the reader."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], None]] = {}

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> bool:
        return self.readers.pop(fd, None) is not None


class Kernel:
    """The other end."""

    def __init__(self) -> None:
        self.end, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.end.setblocking(False)
        other.setblocking(False)
        self.loop = Loop()
        self.seen: list[Any] = []
        self.writes: list[tuple[Any, ...]] = []
        self.reports: list[Exception] = []
        self.ends = 0
        handlers: dict[int, Handler] = {
            Opcode.GETATTR: self._see,
            Opcode.LOOKUP: self._refuse,
            Opcode.FORGET: self._see,
        }
        self.answers = Answers()
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        self.device = Device(loop, self.answers, handlers, self.reports.append, self._ended)
        self.device.open(other.detach(), self._take)

    def _see(self, header: Header, request: Any) -> None:
        self.seen.append((header.unique, request))

    def _refuse(self, header: Header, request: Any) -> None:
        raise OSError(errno.ENOENT, "no")

    def _take(self, *request: Any) -> None:
        if request[3] == 13:
            raise OSError(errno.ENOSPC, "full")
        self.writes.append(request)

    def _ended(self) -> None:
        self.ends += 1

    def send(self, opcode: int, unique: int, body: bytes, length: int | None = None) -> None:
        total = abi.IN_HEADER.size + len(body)
        header = abi.IN_HEADER.pack(total if length is None else length, opcode, unique, 5, 0, 0, 0, 0, 0)
        self.end.send(header + body)

    def write(self, unique: int, data: bytes, size: int | None = None) -> None:
        body = abi.WRITE_IN.pack(0, 4096, len(data) if size is None else size, 0, 0, 0, 0) + data
        self.send(Opcode.WRITE, unique, body)

    def wake(self) -> None:
        for callback in list(self.loop.readers.values()):
            callback()

    def answer(self) -> tuple[int, int, bytes]:
        data = self.end.recv(65536)
        length, code, unique = abi.OUT_HEADER.unpack_from(data)
        assert length == len(data)
        return unique, code, data[abi.OUT_HEADER.size :]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.device.close()
    kernel.end.close()


def test_requests_go_to_their_handlers_and_errors_come_back(kernel: Kernel) -> None:
    kernel.send(Opcode.GETATTR, 1, bytes(16))
    kernel.send(Opcode.LOOKUP, 2, b"name\0")
    kernel.send(Opcode.INTERRUPT, 3, bytes(8))
    kernel.wake()
    assert [unique for unique, _ in kernel.seen] == [1]
    assert kernel.answer() == (2, -errno.ENOENT, b"")
    assert kernel.answer() == (3, -errno.ENOSYS, b"")
    assert kernel.reports == []


def test_what_the_protocol_does_not_allow_is_answered_and_reported(kernel: Kernel) -> None:
    kernel.send(Opcode.LOOKUP, 1, b"no end")
    kernel.send(Opcode.GETATTR, 2, bytes(16), length=999)
    kernel.write(3, b"data", size=5)
    kernel.wake()
    assert [kernel.answer()[:2] for _ in range(3)] == [(unique, -errno.EIO) for unique in (1, 2, 3)]
    assert [type(report) for report in kernel.reports] == [PeerProtocolError] * 3
    assert kernel.writes == []


def test_a_write_is_handed_out_in_the_buffer_it_was_read_into(kernel: Kernel) -> None:
    kernel.write(7, b"data")
    kernel.wake()
    ((unique, node, offset, size, flags, buffer),) = kernel.writes
    assert (unique, node, offset, size, flags) == (7, 5, 4096, 4, 0)
    assert buffer[WRITE_BODY : WRITE_BODY + size] == b"data" and buffer.nbytes == abi.BUFFER_BYTES


def test_a_refused_write_gives_its_buffer_back(kernel: Kernel) -> None:
    for unique in range(2 * BUFFERS):
        kernel.write(unique, bytes(13))
        kernel.wake()
        assert kernel.answer() == (unique, -errno.ENOSPC, b"")


def test_it_stops_reading_when_no_buffer_is_free_and_goes_on_with_the_first(kernel: Kernel) -> None:
    for unique in range(BUFFERS + 2):
        kernel.write(unique, b"data")
        kernel.wake()
    assert len(kernel.writes) == BUFFERS and kernel.loop.readers == {}
    kernel.device.give_back(kernel.writes[0][-1])
    kernel.wake()
    assert [write[0] for write in kernel.writes] == list(range(BUFFERS + 1))
    assert len({id(write[-1]) for write in kernel.writes[1:]}) == BUFFERS


def test_answers(kernel: Kernel) -> None:
    kernel.answers.ok(1, b"ab", memoryview(b"cd"))
    kernel.answers.written(2, 4096)
    kernel.answers.attributes_changed(9)
    assert kernel.answer() == (1, 0, b"abcd")
    assert kernel.answer() == (2, 0, struct.pack("<II", 4096, 0))
    assert kernel.answer() == (0, abi.NOTIFY_INVAL_INODE, abi.NOTIFY_INODE.pack(9, -1, 0))


def test_after_closing_answers_go_nowhere_and_buffers_are_still_taken_back(kernel: Kernel) -> None:
    for unique in range(BUFFERS + 1):
        kernel.write(unique, b"data")
        kernel.wake()
    kernel.device.close()
    kernel.answers.written(0, 4)
    kernel.device.give_back(kernel.writes[0][-1])
    assert kernel.loop.readers == {}
