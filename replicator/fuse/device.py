"""The kernel's end: reads requests of /dev/fuse as they come, hands them out, and writes the answers.

A request is read into a buffer of a pool that is made once: when all are in use by writes under way, nothing more is
read until one is given back, so memory in flight is bounded. Only a WRITE keeps its buffer; what others need of
theirs is copied out. It knows nothing of files.
"""

import asyncio
import errno
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from manager.model.errors import PeerProtocolError
from replicator.disk.inodes import DivergenceError
from replicator.fuse import abi
from replicator.fuse.abi import Opcode
from replicator.fuse.requests import Header, decode, decode_header

BUFFERS: Final = 32
"""Writes under way at once, of one mounted directory; each buffer holds the largest."""
_WRITE: Final = int(Opcode.WRITE)
"""A plain number, since looking up a member of an enumeration costs a quarter of a microsecond."""
_PER_WAKE_UP: Final = 8
_NOTHING_THERE: Final = (errno.EAGAIN, errno.EINTR, errno.ENOENT)
"""No request, or the next one was taken back by its caller."""
_CALLER_GONE: Final = (errno.ENOENT, errno.ENODEV, errno.EPERM, errno.ECONNABORTED, errno.ENOTCONN)
"""What an answer meets when the request was aborted with its connection."""
_REQUEST: Final = struct.Struct("<IIQQ24xQII8xI4x")
"""len, opcode, unique, nodeid, and of a WRITE: offset, size, write_flags, flags. One unpack on the hot path."""
WRITE_BODY: Final = _REQUEST.size
"""Where the data of a WRITE begins."""

Handler = Callable[[Header, Any], None]
TakeWrite = Callable[[int, int, int, int, int, memoryview], None]
"""unique, node, offset, size, write_flags and the buffer, which it gives back by :meth:`Device.give_back`."""


def _refuse_write(*_request: object) -> None:
    raise OSError(errno.ENOSYS, "not open")


class Answers:
    """Writes answers; see ``replicator.fuse.context.Replies``. Without a device they go nowhere."""

    def __init__(self) -> None:
        self.fd = -1

    def ok(self, unique: int, *parts: bytes | memoryview) -> None:
        """The request succeeded; the parts follow one another."""
        length = abi.OUT_HEADER.size + sum(map(len, parts))
        self._write(abi.OUT_HEADER.pack(length, 0, unique), *parts)

    def error(self, unique: int, code: int) -> None:
        """The request failed with this errno."""
        self._write(abi.OUT_HEADER.pack(abi.OUT_HEADER.size, -code, unique))

    def written(self, unique: int, count: int) -> None:
        """A WRITE wrote so many bytes."""
        try:
            os.write(self.fd, abi.WRITE_REPLY.pack(24, 0, unique, count, 0))
        except OSError as error:
            self._failed(error)

    def attributes_changed(self, inode: int) -> None:
        """Tells the kernel to ask again for an inode's attributes; only while the kernel waits on a request for it."""
        notice = abi.NOTIFY_INODE.pack(inode, -1, 0)
        self._write(abi.OUT_HEADER.pack(abi.OUT_HEADER.size + len(notice), abi.NOTIFY_INVAL_INODE, 0), notice)

    def _write(self, *parts: bytes | memoryview) -> None:
        try:
            os.writev(self.fd, parts)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        if self.fd >= 0 and error.errno not in _CALLER_GONE:
            raise error


class Device:
    """Serves one connection of the kernel, from :meth:`open` to its end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answers: Answers,
        handlers: Mapping[int, Handler],
        report: Callable[[Exception], None],
        ended: Callable[[], None],
    ) -> None:
        """``ended`` is called once, when the kernel has ended the connection."""
        self._loop = loop
        self._answers = answers
        self._handlers = handlers
        self._take_write: TakeWrite = _refuse_write
        self._report = report
        self._ended = ended
        self._fd = -1
        self._free = [memoryview(bytearray(abi.BUFFER_BYTES)) for _ in range(BUFFERS)]
        self._paused = False

    def open(self, fd: int, take_write: TakeWrite) -> None:
        """Serves ``fd``, of /dev/fuse and non-blocking, which is this object's from now on."""
        self._take_write = take_write
        self._fd = self._answers.fd = fd
        self._loop.add_reader(fd, self._on_readable)

    def close(self) -> None:
        """Serves no more. The kernel ends the connection with it; buffers under way may still be given back."""
        if self._fd < 0:
            return
        if not self._paused:
            self._loop.remove_reader(self._fd)
        fd, self._fd, self._answers.fd = self._fd, -1, -1
        os.close(fd)

    def give_back(self, buffer: memoryview) -> None:
        """A buffer that a WRITE kept is free again."""
        self._free.append(buffer)
        if self._paused:
            self._paused = False
            if self._fd >= 0:
                self._loop.add_reader(self._fd, self._on_readable)

    def _on_readable(self) -> None:
        free = self._free
        for _ in range(_PER_WAKE_UP):
            if not free:
                self._paused = True
                self._loop.remove_reader(self._fd)
                return
            buffer = free.pop()
            try:
                count = os.readv(self._fd, (buffer,))
            except OSError as error:
                free.append(buffer)
                if error.errno not in _NOTHING_THERE:
                    self._end(error)
                return
            length, opcode, unique, node, offset, size, write_flags, _ = _REQUEST.unpack_from(buffer)
            if opcode == _WRITE:
                self._serve_write(count, length, unique, node, offset, size, write_flags, buffer)
            else:
                self._serve(unique, opcode, buffer[:count])
                free.append(buffer)
            if self._fd < 0:
                return

    def _serve_write(
        self,
        count: int,
        length: int,
        unique: int,
        node: int,
        offset: int,
        size: int,
        write_flags: int,
        buffer: memoryview,
    ) -> None:
        try:
            if count != length or size != length - WRITE_BODY:
                raise PeerProtocolError(f"a WRITE of {size} bytes in {count} from the kernel")
            self._take_write(unique, node, offset, size, write_flags, buffer)
        except (OSError, DivergenceError, PeerProtocolError) as error:
            self._free.append(buffer)
            self._refuse(unique, error)

    def _serve(self, unique: int, opcode: int, request: memoryview) -> None:
        handler = self._handlers.get(opcode)
        if handler is None:
            self._answers.error(unique, errno.ENOSYS)
            return
        try:
            handler(decode_header(request), decode(opcode, request[abi.IN_HEADER.size :]))
        except (OSError, DivergenceError, PeerProtocolError) as error:
            self._refuse(unique, error)

    def _refuse(self, unique: int, error: Exception) -> None:
        if isinstance(error, OSError):
            self._answers.error(unique, error.errno or errno.EIO)
        else:
            self._answers.error(unique, errno.EIO)
            self._report(error)

    def _end(self, error: OSError) -> None:
        self.close()
        if error.errno not in (errno.ENODEV, errno.ECONNABORTED):
            self._report(error)
        self._ended()
