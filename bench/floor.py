"""The floor: the barest peer-first loop over /dev/fuse, with a checksum and nothing else.

Two processes and a TCP loopback: a WRITE is sent to the peer with an xxh3 checksum, the peer checks it, writes
its own file and acknowledges, then this side writes its file and answers the kernel. Four files, no other names, no
xattrs, no epochs, no compression, no memory of what is under way beyond the queue. What the replicator costs above
this is the price of its safety and of being a whole file system; ``bench/write.py`` gives the ratio.

Usage: ``python -m bench.floor MOUNTPOINT LOWER PEER [CERTIFICATES]`` (directories; ends when the mount is detached).
CERTIFICATES: of one node; then the connection is inside TLS, by the replicator's own way of it.
"""

import contextlib
import ctypes
import os
import socket
import stat
import struct
import sys
from collections import deque
from pathlib import Path
from typing import Any

import uvloop
import xxhash

from bench.tls import contexts_of
from replicator.secure_socket import SecureSocket

Connection = socket.socket | SecureSocket

_FRAME = struct.Struct("<QQIHHQ")  # sequence, offset, length, kind, node, checksum
_ACK = struct.Struct("<Q")
_IN = struct.Struct("<IIQQIIIHH")  # struct fuse_in_header
_OUT = struct.Struct("<IiQ")  # struct fuse_out_header
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")  # struct fuse_attr
_INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")  # struct fuse_init_out
_WRITE, _FSYNC = 16, 20
_MAX_WRITE = 1 << 20
_BUFFER = _MAX_WRITE + 4096
NAMES = ("file0", "file1", "file2", "file3")
"""The files there are; a workload of several writers has one each."""
_FIRST_NODE = 2


def _digest(data: Any) -> int:
    return xxhash.xxh3_64_intdigest(data)


def _open_files(directory: str) -> dict[int, int]:
    """Node id to descriptor."""
    flags = os.O_RDWR | os.O_CREAT
    return {_FIRST_NODE + i: os.open(os.path.join(directory, n), flags, 0o644) for i, n in enumerate(NAMES)}


def run_peer(connection: Connection, directory: str) -> None:
    """Applies frames to ``directory``'s file and acknowledges them, until the connection ends."""
    loop = uvloop.new_event_loop()
    files = _open_files(directory)
    space = 2 * _BUFFER
    buffer = bytearray(space)
    view = memoryview(buffer)
    start = end = 0

    def on_readable() -> None:
        nonlocal start, end
        want = min(65536, space - end)
        if end - start >= _FRAME.size:
            length = _FRAME.unpack_from(buffer, start)[2]
            if length > 32768:
                want = start + _FRAME.size + length - end
        try:
            count = connection.recv_into(view[end : end + want])
        except BlockingIOError:
            return
        if count == 0:
            loop.stop()
            return
        end += count
        sequence = 0
        while end - start >= _FRAME.size:
            number, offset, length, kind, node, checksum = _FRAME.unpack_from(buffer, start)
            if end - start < _FRAME.size + length:
                break
            body = view[start + _FRAME.size : start + _FRAME.size + length]
            if _digest(body) != checksum:
                raise SystemExit("floor: bad checksum")
            if kind == _WRITE:
                os.pwrite(files[node], body, offset)
            else:
                os.fsync(files[node])
            sequence = number
            start += _FRAME.size + length
        if start == end:
            start = end = 0
        elif start > 65536:
            buffer[: end - start] = buffer[start:end]
            start, end = 0, end - start
        if sequence:
            connection.sendmsg([_ACK.pack(sequence)])
        if isinstance(connection, SecureSocket) and connection.pending():
            on_readable()

    loop.add_reader(connection.fileno(), on_readable)
    loop.run_forever()


class Floor:
    """The kernel's side: one directory with its files."""

    def __init__(self, fuse: int, connection: Connection, lower: str) -> None:
        self._loop = uvloop.new_event_loop()
        self._fuse = fuse
        self._connection = connection
        self._files = _open_files(lower)
        self._free = [memoryview(bytearray(_BUFFER)) for _ in range(32)]
        self._flying: deque[tuple[int, int, int, int, memoryview, int, memoryview]] = deque()
        self._sequence = 0
        self._acks = memoryview(bytearray(8192))
        self._unsent: deque[memoryview] = deque()

    def run(self) -> None:
        """Serves until the file system is detached."""
        self._loop.add_reader(self._fuse, self._on_request)
        self._loop.add_reader(self._connection.fileno(), self._on_ack)
        self._loop.run_forever()

    def _on_request(self) -> None:
        for _ in range(8):
            if not self._free:
                self._loop.remove_reader(self._fuse)
                return
            view = self._free.pop()
            try:
                count = os.readv(self._fuse, [view])
            except BlockingIOError:
                self._free.append(view)
                return
            except OSError:
                self._loop.stop()
                return
            if not self._handle(view[:count]):
                self._free.append(view)

    def _handle(self, view: memoryview) -> bool:
        """Whether the buffer stays in use."""
        _, opcode, unique, node, _, _, _, _, _ = _IN.unpack_from(view)
        if opcode == _WRITE:
            _, offset, size, _ = struct.unpack_from("<QQII", view, 40)
            self._ship(_WRITE, unique, node, offset, view[80 : 80 + size], view)
            return True
        if opcode == _FSYNC:
            self._ship(_FSYNC, unique, node, 0, view[:0], view)
            return True
        self._answer_plain(opcode, unique, node, view)
        return False

    def _ship(self, kind: int, unique: int, node: int, offset: int, body: memoryview, owner: memoryview) -> None:
        self._sequence += 1
        header = _FRAME.pack(self._sequence, offset, len(body), kind, node, _digest(body))
        self._flying.append((self._sequence, kind, unique, offset, body, node, owner))
        if self._unsent:
            self._unsent.extend((memoryview(header), body))
            return
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = self._connection.sendmsg([header, body])
        if sent < len(header) + len(body):
            if sent < len(header):
                self._unsent.append(memoryview(header)[sent:])
            self._unsent.append(body[max(0, sent - len(header)) :])
            self._loop.add_writer(self._connection.fileno(), self._flush)

    def _flush(self) -> None:
        while self._unsent:
            try:
                sent = self._connection.sendmsg(list(self._unsent)[:2])
            except BlockingIOError:
                return
            while self._unsent and sent >= len(self._unsent[0]):
                sent -= len(self._unsent.popleft())
            if sent:
                self._unsent[0] = self._unsent[0][sent:]
        self._loop.remove_writer(self._connection.fileno())

    def _on_ack(self) -> None:
        count = self._connection.recv_into(self._acks)
        if not count:
            self._loop.stop()
            return
        (acknowledged,) = _ACK.unpack_from(self._acks, count - _ACK.size)
        full = not self._free
        while self._flying and self._flying[0][0] <= acknowledged:
            _, kind, unique, offset, body, node, owner = self._flying.popleft()
            if kind == _WRITE:
                os.pwrite(self._files[node], body, offset)
                os.write(self._fuse, _OUT.pack(24, 0, unique) + struct.pack("<II", len(body), 0))
            else:
                os.fsync(self._files[node])
                os.write(self._fuse, _OUT.pack(16, 0, unique))
            self._free.append(owner.obj if isinstance(owner.obj, memoryview) else memoryview(owner.obj))
        if full and self._free:
            self._loop.add_reader(self._fuse, self._on_request)

    def _attributes(self, node: int) -> bytes:
        if node == 1:
            return _ATTR.pack(1, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)
        size = os.fstat(self._files[node]).st_size
        return _ATTR.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, stat.S_IFREG | 0o644, 1, 0, 0, 0, 4096, 0)

    def _answer_plain(self, opcode: int, unique: int, node: int, view: memoryview) -> None:
        if opcode == 26:  # INIT: 7.38, BIG_WRITES | MAX_PAGES | HANDLE_KILLPRIV_V2 | ASYNC_READ
            flags = 1 << 5 | 1 << 22 | 1 << 28 | 1
            body = _INIT_OUT.pack(7, 38, 1 << 20, flags, 64, 48, _MAX_WRITE, 1, 256, 0, 0)
        elif opcode == 1:  # LOOKUP
            name = bytes(view[40:]).rstrip(b"\0").decode()
            if name not in NAMES:
                os.write(self._fuse, _OUT.pack(16, -2, unique))
                return
            found = _FIRST_NODE + NAMES.index(name)
            body = struct.pack("<QQQQII", found, 0, 1000, 1000, 0, 0) + self._attributes(found)
        elif opcode in (3, 4):  # GETATTR, SETATTR
            body = struct.pack("<QII", 1000, 0, 0) + self._attributes(node)
        elif opcode in (14, 27):  # OPEN, OPENDIR
            body = struct.pack("<QII", 1, 2, 0)
        elif opcode in (2, 42):  # FORGET, BATCH_FORGET: no answer
            return
        elif opcode in (18, 25, 29, 38):  # RELEASE, FLUSH, RELEASEDIR, DESTROY
            body = b""
        elif opcode == 15:  # READ
            _, offset, size = struct.unpack_from("<QQI", view, 40)
            body = os.pread(self._files[node], size, offset)
        else:
            os.write(self._fuse, _OUT.pack(16, -38, unique))
            return
        os.write(self._fuse, _OUT.pack(16 + len(body), 0, unique) + body)


def _connected(connection: socket.socket, certificates: str, server: bool) -> Connection:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made: Connection = connection
    if certificates:
        context = contexts_of(Path(certificates))[0 if server else 1]
        made = SecureSocket(context.wrap_socket(connection, server_side=server))
    made.setblocking(False)
    return made


def main(mountpoint: str, lower: str, peer: str, certificates: str = "") -> None:
    """Forks the peer, mounts over ``mountpoint`` and serves."""
    listener = socket.create_server(("127.0.0.1", 0))
    if os.fork() == 0:
        connection = socket.create_connection(listener.getsockname())
        listener.close()
        run_peer(_connected(connection, certificates, server=False), peer)
        os._exit(0)
    connection, _ = listener.accept()
    listener.close()
    accepted = _connected(connection, certificates, server=True)
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other,max_read={_MAX_WRITE}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"floor", mountpoint.encode(), b"fuse.floor", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount", mountpoint)
    Floor(fuse, accepted, lower).run()


if __name__ == "__main__":
    main(*sys.argv[1:5])
