"""The kernel in front of one mounted directory, as a seed has it act: requests in bytes, answers, and its locks.

It holds the lock of a directory while its names change, of a file while it is written to, truncated or given
attributes. What it does not promise is here too: pages that were stored into, and direct writes that nobody waits for,
come without a lock; and it forgets whatever nobody uses.
"""

import errno
import os
import random
import socket
import stat
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import PUNCH_HOLE, RENAME_EXCHANGE
from replicator.fuse import abi
from replicator.fuse.abi import Opcode, SetAttrField
from replicator.fuse.filesystem import FileSystem

Reply = Callable[[int, bytes], None]
"""Gets an errno, or 0, and what was answered."""
MOST_WRITES: Final = 25
"""Fewer than the buffers are: else a step that waits for all of them would not come."""
_NAMES: Final = (b"a", b"b", b"c", b"d", b"e")
_USER: Final = 1000
_TRUNCATION: Final = SetAttrField.SIZE
_CHANGES: Final = (
    _TRUNCATION | SetAttrField.FH,
    _TRUNCATION,
    _TRUNCATION | SetAttrField.KILL_SUIDGID,
    SetAttrField.MODE,
    SetAttrField.UID,
    SetAttrField.ATIME,
    SetAttrField.MTIME,
    SetAttrField.MTIME | SetAttrField.MTIME_NOW,
)
_ENTRY: Final = abi.ENTRY_HEAD.size + abi.ATTR.size


class Node:
    """What the kernel knows of an inode."""

    def __init__(self, node: int) -> None:
        self.id = node
        self.lookups = 0
        self.open: list[int] = []
        """The numbers of its open files."""
        self.requests = 0
        """Under way."""
        self.unlocked = 0
        """Writes under way that hold no lock."""
        self.locked = False
        self.is_directory = self.is_file = False


class Kernel:
    """Of one file system, whose device it is."""

    def __init__(self, system: FileSystem, rng: random.Random) -> None:
        self._rng = rng
        self._end, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._end, other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            end.setblocking(False)
        system._device.open(other.detach(), system._writer.take)
        root = Node(ROOT_INODE)
        root.is_directory = True
        self.nodes = {ROOT_INODE: root}
        self.names: dict[tuple[int, bytes], int] = {}
        self.waiting: dict[int, Reply] = {}
        """Requests that are not answered, by their numbers."""
        self.answers: Counter[str] = Counter()
        self._unique = 0

    def close(self) -> None:
        self._end.close()

    def act(self) -> None:
        """Something, if what is drawn can be done now."""
        actions = [
            *[self.write] * 12, *[self.create] * 4, *[self.open] * 3, *[self.remove] * 3, *[self.rename] * 2,
            *[self.change] * 3, *[self.fsync] * 3, *[self.release] * 3, *[self.forget] * 3, *[self.lookup] * 2,
            *[self.fallocate] * 2, *[self.flush] * 2, *[self.replace] * 2,
            self.mkdir, self.link, self.symlink, self.xattr, self.list,
        ]  # fmt: skip
        self._rng.choice(actions)()

    # Requests and answers

    def _ask(
        self, opcode: Opcode, node: Node, body: bytes, reply: Reply, may: tuple[int, ...] = (), uid: int = 0
    ) -> None:
        """``may``: what the answer may be, beside success."""
        self._unique += 2
        node.requests += 1

        def answered(code: int, data: bytes) -> None:
            node.requests -= 1
            self.answers[f"{opcode.name} {errno.errorcode[code] if code else ''}"] += 1
            assert not code or code in may, f"{opcode.name}: {os.strerror(code)}"
            reply(code, data)

        self.waiting[self._unique] = answered
        self._send(opcode, self._unique, node, body, uid)

    def _send(self, opcode: Opcode, unique: int, node: Node, body: bytes, uid: int = 0) -> None:
        header = abi.IN_HEADER.pack(abi.IN_HEADER.size + len(body), opcode, unique, node.id, uid, uid, 0, 0, 0)
        self._end.send(header + body)

    def receive(self) -> None:
        """Takes all answers that are there: each request has one."""
        while True:
            try:
                data = self._end.recv(2 << 20)
            except BlockingIOError:
                return
            length, code, unique = abi.OUT_HEADER.unpack_from(data)
            assert length == len(data)
            if unique:  # else it is no answer
                self.waiting.pop(unique)(-code, data[abi.OUT_HEADER.size :])

    def _enter(self, directory: Node, name: bytes, data: bytes) -> Node:
        """An answer with an entry: what it is of was looked up once more."""
        (number,) = struct.unpack_from("<Q", data)
        mode = abi.ATTR.unpack_from(data, abi.ENTRY_HEAD.size)[9]
        node = self.nodes.setdefault(number, Node(number))
        node.lookups += 1
        node.is_directory, node.is_file = stat.S_ISDIR(mode), stat.S_ISREG(mode)
        self.names[directory.id, name] = number
        return node

    # What there is

    def _directory(self) -> Node:
        return self._rng.choice([node for node in self.nodes.values() if node.is_directory])

    def _new_name(self) -> tuple[Node, bytes] | None:
        """One that it knows nothing of, in a directory that is locked for it."""
        directory, name = self._directory(), self._rng.choice(_NAMES)
        if (directory.id, name) in self.names or not _lock(directory):
            return None
        return directory, name

    def _known(self) -> tuple[Node, bytes, Node] | None:
        if not self.names:
            return None
        (directory, name), node = self._rng.choice(list(self.names.items()))
        return self.nodes[directory], name, self.nodes[node]

    def _open_file(self) -> Node | None:
        files = [node for node in self.nodes.values() if node.open]
        return self._rng.choice(files) if files else None

    def _locked_file(self) -> Node | None:
        node = self._open_file()
        return node if node is not None and _lock(node) else None

    # Names

    def lookup(self) -> None:
        place = self._new_name()
        if place is None:
            return
        directory, name = place

        def reply(code: int, data: bytes) -> None:
            _unlock(directory)
            if struct.unpack_from("<Q", data)[0]:
                self._enter(directory, name, data)

        self._ask(Opcode.LOOKUP, directory, name + b"\0", reply)

    def _make(self, opcode: Opcode, before: bytes, after: bytes = b"") -> None:
        place = self._new_name()
        if place is None:
            return
        directory, name = place

        def reply(code: int, data: bytes) -> None:
            _unlock(directory)
            if not code:
                node = self._enter(directory, name, data)
                if opcode is Opcode.CREATE:
                    node.open.append(abi.OPEN_OUT.unpack_from(data, _ENTRY)[0])

        may = (errno.EEXIST, errno.ENOENT, errno.ENOSPC)
        self._ask(opcode, directory, before + name + b"\0" + after, reply, may)

    def create(self) -> None:
        mode = stat.S_IFREG | self._rng.choice([0o644, 0o4755, 0o2755])
        self._make(Opcode.CREATE, struct.pack("<IIII", os.O_RDWR | os.O_CREAT, mode, 0o022, 0))

    def mkdir(self) -> None:
        self._make(Opcode.MKDIR, struct.pack("<II", 0o755, 0o022))

    def symlink(self) -> None:
        self._make(Opcode.SYMLINK, b"", b"to\0")

    def link(self) -> None:
        found = self._known()
        if found is None or found[2].is_directory or not _lock(found[2]):
            return
        node, place = found[2], self._new_name()
        if place is None:
            _unlock(node)
            return
        directory, name = place

        def reply(code: int, data: bytes) -> None:
            _unlock(directory, node)
            if not code:
                self._enter(directory, name, data)

        may = (errno.EEXIST, errno.ENOENT, errno.EMLINK)
        self._ask(Opcode.LINK, directory, struct.pack("<Q", node.id) + name + b"\0", reply, may)

    def remove(self) -> None:
        found = self._known()
        if found is None or not _lock(found[0], found[2]):
            return
        directory, name, node = found

        def reply(code: int, _data: bytes) -> None:
            _unlock(directory, node)
            if not code:
                del self.names[directory.id, name]

        opcode = Opcode.RMDIR if node.is_directory else Opcode.UNLINK
        self._ask(opcode, directory, name + b"\0", reply, (errno.ENOTEMPTY,))

    def rename(self) -> None:
        """Directories stay where they are, so that nothing comes to be below itself."""
        found, new = self._known(), self._new_name()
        if found is None or new is None:
            if new is not None:
                _unlock(new[0])
            return
        (directory, name, node), (new_directory, new_name) = found, new
        _unlock(new_directory)
        locks = {directory, new_directory, node}
        if (node.is_directory and directory is not new_directory) or not _lock(*locks):
            return

        def looked_up(_code: int, data: bytes) -> None:
            if struct.unpack_from("<Q", data)[0]:
                self._enter(new_directory, new_name, data)
                _unlock(*locks)
            else:
                self._rename((directory, name), (new_directory, new_name), locks, 0)

        self._ask(Opcode.LOOKUP, new_directory, new_name + b"\0", looked_up)

    def replace(self) -> None:
        """As :meth:`rename`, to where something else is, which goes or changes its place with it."""
        found, other = self._known(), self._known()
        if found is None or other is None:
            return
        (directory, name, node), (new_directory, new_name, target) = found, other
        if node is target or node.is_directory != target.is_directory:
            return
        locks = {directory, new_directory, node, target}
        if (node.is_directory and directory is not new_directory) or not _lock(*locks):
            return
        flags = RENAME_EXCHANGE if self._rng.random() < 0.3 else 0
        self._rename((directory, name), (new_directory, new_name), locks, flags)

    def _rename(self, place: tuple[Node, bytes], new_place: tuple[Node, bytes], locks: set[Node], flags: int) -> None:
        (directory, name), (new_directory, new_name) = place, new_place

        def reply(code: int, _data: bytes) -> None:
            _unlock(*locks)
            if code:
                return
            replaced = self.names.get((new_directory.id, new_name))
            self.names[new_directory.id, new_name] = self.names.pop((directory.id, name))
            if flags and replaced is not None:
                self.names[directory.id, name] = replaced

        body = struct.pack("<QII", new_directory.id, flags, 0) + name + b"\0" + new_name + b"\0"
        self._ask(Opcode.RENAME2, directory, body, reply, (errno.ENOENT, errno.ENOTEMPTY))

    def list(self) -> None:
        """Reads all of a directory, and looks up what is in it."""
        directory = self._directory()
        if not _lock(directory):
            return

        def opened(_code: int, data: bytes) -> None:
            self._read_on(directory, abi.OPEN_OUT.unpack_from(data)[0], 0)

        self._ask(Opcode.OPENDIR, directory, struct.pack("<II", 0, 0), opened)

    def _read_on(self, directory: Node, handle: int, offset: int) -> None:
        def read(_code: int, data: bytes) -> None:
            after = 0
            while data:
                _, after, length, _ = abi.DIRENT.unpack_from(data, _ENTRY)
                start = _ENTRY + abi.DIRENT.size
                if struct.unpack_from("<Q", data)[0]:
                    self._enter(directory, data[start : start + length], data)
                data = data[start + (length + 7 & ~7) :]
            if after:
                self._read_on(directory, handle, after)
                return
            _unlock(directory)
            self._ask(Opcode.RELEASEDIR, directory, struct.pack("<QIIQ", handle, 0, 0, 0), _ignore)

        body = struct.pack("<QQI20x", handle, offset, 4096)
        self._ask(Opcode.READDIRPLUS, directory, body, read, (errno.ENOENT,))

    # Files

    def open(self) -> None:
        files = [node for node in self.nodes.values() if node.is_file]
        if not files:
            return
        node = self._rng.choice(files)

        def reply(_code: int, data: bytes) -> None:
            node.open.append(abi.OPEN_OUT.unpack_from(data)[0])

        self._ask(Opcode.OPEN, node, struct.pack("<II", os.O_RDWR, 0), reply)

    def write(self) -> None:
        with_lock = self._rng.random() < 0.5
        node = self._locked_file() if with_lock else self._open_file()
        if node is None:
            return
        if len(self.waiting) >= MOST_WRITES:
            if with_lock:
                _unlock(node)
            return
        node.unlocked += not with_lock
        data = self._rng.randbytes(self._rng.choice([1, 100, 3000, 3000, 70000]))

        def reply(code: int, answer: bytes) -> None:
            if with_lock:
                _unlock(node)
            node.unlocked -= not with_lock
            assert code or struct.unpack_from("<I", answer)[0] == len(data)

        flags = abi.WRITE_KILL_SUIDGID if with_lock and self._rng.random() < 0.7 else 0
        body = abi.WRITE_IN.pack(node.open[0], self._rng.randrange(20000), len(data), flags, 0, 0, 0) + data
        self._ask(Opcode.WRITE, node, body, reply, (errno.ENOSPC,), _USER)

    def change(self) -> None:
        """Mode, owner, size or times."""
        node = self._locked_file()
        if node is None:
            return
        if node.unlocked:  # what was stored into is written back before
            _unlock(node)
            return
        valid, size = self._rng.choice(_CHANGES), self._rng.choice([0, 10, 5000, 30000])
        mode = stat.S_IFREG | self._rng.choice([0o600, 0o4711])
        body = abi.SETATTR_IN.pack(valid, 0, 0, size, 0, 1, 2, 0, 3, 4, 0, mode, 0, 5, 0, 0)
        self._ask(Opcode.SETATTR, node, body, lambda _code, _: _unlock(node), uid=_USER)

    def xattr(self) -> None:
        node = self._locked_file()
        if node is None:
            return
        name = self._rng.choice([b"user.x", b"user.y"]) + b"\0"
        value = self._rng.randbytes(20)
        opcode, body = self._rng.choice(
            [
                (Opcode.SETXATTR, struct.pack("<IIII", len(value), 0, 0, 0) + name + value),
                (Opcode.REMOVEXATTR, name),
            ]
        )
        self._ask(opcode, node, body, lambda _code, _: _unlock(node), (errno.ENODATA, errno.ENOSPC))

    def fallocate(self) -> None:
        node = self._locked_file()
        if node is None:
            return
        mode = self._rng.choice([0, PUNCH_HOLE])
        body = struct.pack("<QQQI4x", 0, self._rng.randrange(20000), 1 + self._rng.randrange(9000), mode)
        self._ask(Opcode.FALLOCATE, node, body, lambda _code, _: _unlock(node), (errno.ENOSPC,), _USER)

    def fsync(self) -> None:
        node = self._locked_file()
        if node is not None:
            body = struct.pack("<QII", self._rng.choice(node.open), self._rng.choice([0, abi.FSYNC_DATA_ONLY]), 0)
            self._ask(Opcode.FSYNC, node, body, lambda _code, _: _unlock(node))

    def flush(self) -> None:
        node = self._open_file()
        if node is not None:
            self._ask(Opcode.FLUSH, node, struct.pack("<QIIQ", node.open[0], 0, 0, 0), _ignore)

    def release(self) -> None:
        node = self._open_file()
        if node is not None and not node.requests and not node.locked:
            self._ask(Opcode.RELEASE, node, struct.pack("<QIIQ", node.open.pop(), 0, 0, 0), _ignore)

    def forget(self) -> None:
        """Something that nobody uses; there is no answer."""
        used = {directory for directory, _ in self.names} | {ROOT_INODE}
        free = [
            node for node in self.nodes.values() if not (node.open or node.requests or node.locked or node.id in used)
        ]
        if not free:
            return
        node = self._rng.choice(free)
        places = [place for place, found in self.names.items() if found == node.id]
        if any(self.nodes[directory].locked for directory, _ in places):
            return
        for place in places:
            del self.names[place]
        del self.nodes[node.id]
        self._send(Opcode.FORGET, 0, node, struct.pack("<Q", node.lookups))


def _lock(*nodes: Node) -> bool:
    if any(node.locked for node in nodes):
        return False
    for node in nodes:
        node.locked = True
    return True


def _unlock(*nodes: Node) -> None:
    for node in nodes:
        node.locked = False


def _ignore(_code: int, _data: bytes) -> None:
    return None
