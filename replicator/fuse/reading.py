"""Handlers of open files but for WRITE: open, read, close, fsync, fallocate and lseek.

There is no state of an open file here but for its number (``replicator.fuse.untold``): every one of an inode shares
the volume's descriptor, the kernel checks permissions and keeps locks and positions. Reads are answered at once from
the page cache below, else in a thread.
"""

import errno
import os
from collections.abc import Callable
from typing import Any, Final

from replicator.core import operations
from replicator.core.filesystem import FALLOC_FL_PUNCH_HOLE
from replicator.disk.volume import Inode
from replicator.fuse import abi, replies, requests
from replicator.fuse.abi import FOPEN_KEEP_CACHE, FOPEN_NOFLUSH, Opcode
from replicator.fuse.context import Context
from replicator.fuse.privileges import Caller
from replicator.fuse.requests import Header
from replicator.fuse.space import allocated_bytes

_NOT_AT_ONCE: Final = (errno.EAGAIN, errno.EOPNOTSUPP)


class FileHandlers:
    """Of one mounted directory."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._volume = context.volume
        self._replies = context.replies
        self._scratch = memoryview(bytearray(abi.MAX_WRITE))
        """What a read at once is read into: it is answered before the next one."""

    def table(self) -> dict[int, Callable[[Header, Any], None]]:
        """Opcode to handler."""
        return {
            Opcode.OPEN: self.open,
            Opcode.READ: self.read,
            Opcode.FLUSH: self.flush,
            Opcode.RELEASE: self.release,
            Opcode.FSYNC: self.fsync,
            Opcode.FSYNCDIR: self.fsync,
            Opcode.FALLOCATE: self.fallocate,
            Opcode.LSEEK: self.lseek,
        }

    # Open and close

    def open(self, header: Header, request: requests.Open) -> None:
        """OPEN; the kernel has checked who may, and truncates by a SETATTR."""
        inode = self._volume.inode(header.node)
        writing = request.flags & os.O_ACCMODE != os.O_RDONLY
        self._volume.data_fd(inode, writing)
        flags = FOPEN_KEEP_CACHE if writing else FOPEN_KEEP_CACHE | FOPEN_NOFLUSH
        self._replies.ok(header.unique, replies.opened(self._context.untold.opened(), flags))

    def flush(self, header: Header, _request: requests.Release) -> None:
        """FLUSH: a descriptor that may have written is closed; both copies have the same mtime when it is."""
        self._context.ship_time(self._volume.inode(header.node), self._context.answer(header.unique))

    def release(self, header: Header, _request: requests.Release) -> None:
        """RELEASE: the last descriptor or mapping of an open file is gone. Nobody waits for the answer."""
        self._context.ship_time(self._volume.inode(header.node), _ignore)
        self._replies.ok(header.unique)

    # Reading

    def read(self, header: Header, request: requests.Read) -> None:
        """READ."""
        inode = self._volume.inode(header.node)
        file = self._volume.data_fd(inode, False)
        offset = request.offset
        room = self._scratch[: request.size]
        try:
            count = os.preadv(file, (room,), offset, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno not in _NOT_AT_ONCE:
                raise
            count = -1
        if count == len(room) or (count >= 0 and offset + count >= os.fstat(file).st_size):
            self._replies.ok(header.unique, room[:count])
        else:
            self._read_beside(header, inode, request)

    def _read_beside(self, header: Header, inode: Inode, request: requests.Read) -> None:
        file = self._volume.duplicate(inode)

        def work() -> bytes:
            try:
                return os.pread(file, request.size, request.offset)
            finally:
                os.close(file)

        def done(data: bytes) -> None:
            self._replies.ok(header.unique, data)

        self._context.background.run(work, done, self._failed(header))

    def _failed(self, header: Header) -> Callable[[OSError], None]:
        return lambda error: self._replies.error(header.unique, error.errno or errno.EIO)

    def lseek(self, header: Header, request: requests.Lseek) -> None:
        """LSEEK with SEEK_DATA or SEEK_HOLE."""
        if request.whence not in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, "whence")
        file = self._volume.data_fd(self._volume.inode(header.node), False)
        found = os.lseek(file, request.offset, request.whence)
        self._replies.ok(header.unique, found.to_bytes(8, "little"))

    # The disk and its blocks

    def fsync(self, header: Header, request: requests.Fsync) -> None:
        """FSYNC, FSYNCDIR: both disks at once; fdatasync leaves mtime for later."""
        inode = self._volume.inode(header.node)
        answer, untold = self._context.answer(header.unique), self._context.untold

        def done(result: int) -> None:
            answer(untold.answer(inode.id, request.handle, result) if inode.is_regular else result)

        if inode.unlinked:
            operation = operations.Fsync(self._volume.index, inode.id, request.data_only)
            file = self._volume.open_for_sync(operation)
            self._context.background.sync(
                file, request.data_only, lambda _: done(0), lambda error: done(-(error.errno or errno.EIO))
            )
            return
        self._context.fsync(inode, request.data_only, done)

    def fallocate(self, header: Header, request: requests.Fallocate) -> None:
        """FALLOCATE."""
        context, volume = self._context, self._volume
        inode = volume.inode(header.node)
        mode, offset, length = request.mode, request.offset, request.length
        if mode not in context.limits.fallocate_modes:
            raise OSError(errno.EOPNOTSUPP, "mode")
        if offset + length > context.limits.largest_file:
            raise OSError(errno.EFBIG, "beyond the largest file")
        file = volume.data_fd(inode, True)
        takes = 0 if mode & FALLOC_FL_PUNCH_HOLE else length
        if takes and context.guard.refuses_write(takes, lambda: allocated_bytes(file, offset, length)):
            raise OSError(errno.ENOSPC, "no room")
        # The kernel does not say here who has CAP_FSETID: one who is not root, it is taken, has not.
        taken = bool(header.uid) and context.take_privileges(inode, Caller(header.gid, header.pid))
        context.guard.started(takes)

        def done(result: int) -> None:
            context.guard.finished(takes)
            context.touched.add(inode.id)
            if taken:
                self._replies.attributes_changed(inode.id)
            if result < 0:
                self._replies.error(header.unique, -result)
            else:
                self._replies.ok(header.unique)

        context.issue(operations.Fallocate(volume.index, inode.id, mode, offset, length), (inode,), done)


def _ignore(_result: int) -> None:
    return None
