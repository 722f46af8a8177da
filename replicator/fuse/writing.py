"""WRITE, the hot path: from the kernel's buffer to the issuer and the answer, without a copy of the data.

Less pretty than its neighbours for that: each call and each object that is saved here is saved some ten thousand
times a second. The buffer that the request came in is the operation's data, until the operation is done.
"""

import errno
from collections.abc import Callable
from functools import partial

from replicator.core.operations import Write
from replicator.disk.inodes import Inode
from replicator.fuse.abi import WRITE_KILL_SUIDGID
from replicator.fuse.context import Context
from replicator.fuse.device import WRITE_BODY
from replicator.fuse.privileges import Caller
from replicator.fuse.requests import decode_header
from replicator.fuse.space import allocated_bytes


class Writer:
    """Of one mounted directory."""

    def __init__(self, context: Context, give_back: Callable[[memoryview], None]) -> None:
        self._context = context
        self._volume = context.volume
        self._table = context.volume.table
        self._index = context.volume.index
        self._guard = context.guard
        self._touched = context.touched
        self._issue = context.issuer.issue
        self._replies = context.replies
        self._give_back = give_back

    def take(self, unique: int, node: int, offset: int, size: int, write_flags: int, buffer: memoryview) -> None:
        """WRITE. The buffer is given back when it is done. Raises OSError instead, when it is refused."""
        inode = self._table[node]
        if offset + size > self._context.limits.largest_file:
            size = self._room_to_limit(offset)
        if inode.data_fd < 0 or not inode.writable:
            self._volume.data_fd(inode, True)
        if self._guard.refuses_write(size, lambda: allocated_bytes(inode.data_fd, offset, size)):
            raise OSError(errno.ENOSPC, "no room")
        taken = False
        if write_flags & WRITE_KILL_SUIDGID and inode.privileged is not False:
            header = decode_header(buffer[: WRITE_BODY + size])
            taken = self._context.take_privileges(inode, Caller(header.gid, header.pid))
        operation = Write(self._index, node, offset, buffer[WRITE_BODY : WRITE_BODY + size])
        if inode.unlinked:
            self._write_here(unique, inode, operation, taken, buffer)
            return
        inode.pending += 1
        self._guard.started(size)
        self._issue(operation, partial(self._done, unique, inode, size, taken, buffer))

    def _done(self, unique: int, inode: Inode, size: int, taken: bool, buffer: memoryview, result: int) -> None:
        if result >= 0:
            if taken:
                self._replies.attributes_changed(inode.id)
            self._replies.written(unique, result)
        else:
            self._replies.error(unique, -result)
        # The caller runs on by now, on another core.
        self._give_back(buffer)
        self._guard.finished(size)
        self._touched.add(inode.id)
        inode.pending -= 1
        if not inode.references:
            inode.pending += 1
            self._context.settle(inode)

    def _write_here(self, unique: int, inode: Inode, operation: Write, taken: bool, buffer: memoryview) -> None:
        """A file without a name is this node's alone."""
        result = self._context.apply_here(operation)
        if result < 0:
            self._replies.error(unique, -result)
        else:
            if taken:
                self._replies.attributes_changed(inode.id)
            self._replies.written(unique, result)
        self._give_back(buffer)

    def _room_to_limit(self, offset: int) -> int:
        room = self._context.limits.largest_file - offset
        if room <= 0:
            raise OSError(errno.EFBIG, "beyond the largest file")
        return room
