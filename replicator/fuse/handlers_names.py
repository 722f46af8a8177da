"""Handlers of what concerns names: look-up, making, removing, renaming and linking of entries, and forgetting.

A handler checks what can be refused, builds the operation and issues it; the reply is made when it has been applied.
"""

import errno
import os
import stat
from collections.abc import Callable
from typing import Any, Final

from replicator.core.filesystem import RENAME_EXCHANGE, RENAME_NOREPLACE
from replicator.core.operations import Create, Link, Rename, Rmdir, Unlink
from replicator.disk.volume import Inode
from replicator.fuse import replies, requests
from replicator.fuse.abi import FOPEN_KEEP_CACHE, Opcode
from replicator.fuse.context import MAX_NAME, Context
from replicator.fuse.requests import Header
from replicator.fuse.space import RESERVE_NAMES

_SYMLINK_MODE: Final = stat.S_IFLNK | 0o777
_MOST_MAJOR: Final = (1 << 9) - 1
_MOST_MINOR: Final = (1 << 18) - 1
"""Of a device that xfs keeps (xfs_vn_mknod and sysv_valid_dev of the kernel)."""


class NameHandlers:
    """Of one mounted directory."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._volume = context.volume
        self._replies = context.replies

    def table(self) -> dict[int, Callable[[Header, Any], None]]:
        """Opcode to handler."""
        return {
            Opcode.LOOKUP: self.lookup,
            Opcode.SYMLINK: self.symlink,
            Opcode.MKNOD: self.mknod,
            Opcode.MKDIR: self.mkdir,
            Opcode.CREATE: self.create,
            Opcode.UNLINK: self.unlink,
            Opcode.RMDIR: self.rmdir,
            Opcode.RENAME: self.rename,
            Opcode.RENAME2: self.rename,
            Opcode.LINK: self.link,
            Opcode.READLINK: self.readlink,
        }

    def lookup(self, header: Header, request: requests.Named) -> None:
        """LOOKUP: a name that is not there is remembered by the kernel too."""
        if len(request.name) > MAX_NAME:
            raise OSError(errno.ENAMETOOLONG, "name")
        parent = self._volume.inode(header.node)
        try:
            inode, status = self._volume.lookup(parent, request.name)
        except FileNotFoundError:
            self._replies.ok(header.unique, replies.NEGATIVE_ENTRY)
            return
        self._volume.hold(inode)
        self._replies.ok(header.unique, replies.entry(inode.id, status))

    def forget(self, nodes: tuple[tuple[int, int], ...]) -> None:
        """FORGET, BATCH_FORGET: there is no reply."""
        for node, count in nodes:
            inode = self._volume.table.get(node)
            if inode is not None:
                self._context.release(inode, count)

    # Making

    def symlink(self, header: Header, request: requests.Symlink) -> None:
        """SYMLINK."""
        if len(request.target) > self._context.limits.symlink_target:
            raise OSError(errno.ENAMETOOLONG, "target")
        self._make(header, request.name, _SYMLINK_MODE, 0, 0, self._answer_entry(header), target=request.target)

    def mknod(self, header: Header, request: requests.Make) -> None:
        """MKNOD; a device's number has to be one that every file system can keep, so that each node's can."""
        if request.rdev and (os.major(request.rdev) > _MOST_MAJOR or os.minor(request.rdev) > _MOST_MINOR):
            raise OSError(errno.EINVAL, "device")
        self._make(header, request.name, request.mode, request.umask, request.rdev, self._answer_entry(header))

    def mkdir(self, header: Header, request: requests.Make) -> None:
        """MKDIR."""
        mode = stat.S_IFDIR | stat.S_IMODE(request.mode)
        self._make(header, request.name, mode, request.umask, 0, self._answer_entry(header))

    def create(self, header: Header, request: requests.Create) -> None:
        """CREATE: a new file, and open."""

        def made(inode: Inode) -> None:
            entry = replies.entry(inode.id, self._volume.status(inode))
            self._replies.ok(header.unique, entry, replies.opened(self._context.untold.opened(), FOPEN_KEEP_CACHE))

        mode = stat.S_IFREG | stat.S_IMODE(request.mode)
        self._make(header, request.name, mode, request.umask, 0, made)

    def _answer_entry(self, header: Header) -> Callable[[Inode], None]:
        def made(inode: Inode) -> None:
            self._replies.ok(header.unique, replies.entry(inode.id, self._volume.status(inode)))

        return made

    def _make(
        self,
        header: Header,
        name: bytes,
        mode: int,
        umask: int,
        rdev: int,
        made: Callable[[Inode], None],
        target: bytes = b"",
    ) -> None:
        volume = self._volume
        parent = volume.inode(header.node)
        self._check_new_name(parent, name)
        if self._context.guard.refuses_entry():
            raise OSError(errno.ENOSPC, "no room")
        gid = header.gid
        parent_status = volume.status(parent)
        if parent_status.st_mode & stat.S_ISGID:
            gid = parent_status.st_gid
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
        operation = Create(volume.index, volume.new_id(), parent.id, name, mode, umask, header.uid, gid, rdev, target)

        def done(result: int) -> None:
            if result < 0:
                self._replies.error(header.unique, -result)
                return
            inode = volume.inode(operation.inode)
            self._context.touched.add(inode.id)
            self._context.touched.add(parent.id)
            made(inode)

        self._context.issue(operation, (parent,), done)

    def link(self, header: Header, request: requests.Link) -> None:
        """LINK."""
        volume = self._volume
        parent, inode = volume.inode(header.node), volume.inode(request.inode)
        self._check_new_name(parent, request.name)
        if inode.unlinked:
            raise OSError(errno.ENOENT, "the inode has no name")
        if inode.protected:
            raise OSError(errno.EPERM, "protected")
        if volume.status(inode).st_nlink >= self._context.limits.links - RESERVE_NAMES:
            raise OSError(errno.EMLINK, "names")
        if self._context.guard.refuses_entry():
            raise OSError(errno.ENOSPC, "no room")

        def done(result: int) -> None:
            if result < 0:
                self._replies.error(header.unique, -result)
                return
            self._context.touched.add(parent.id)
            volume.hold(inode)
            self._replies.ok(header.unique, replies.entry(inode.id, volume.status(inode)))

        self._context.issue(Link(volume.index, inode.id, parent.id, request.name), (parent, inode), done)

    def _check_new_name(self, parent: Inode, name: bytes) -> None:
        self._check_directory(parent)
        if len(name) > MAX_NAME:
            raise OSError(errno.ENAMETOOLONG, "name")
        if self._volume.is_private(parent, name):
            raise OSError(errno.EPERM, "reserved")
        if self._volume.exists(parent, name):
            raise OSError(errno.EEXIST, "name")

    def _check_directory(self, parent: Inode) -> None:
        if parent.unlinked:
            raise OSError(errno.ENOENT, "the directory is removed")
        if parent.protected:
            raise OSError(errno.EPERM, "protected")

    # Removing

    def unlink(self, header: Header, request: requests.Named) -> None:
        """UNLINK."""
        parent, inode = self._existing(header.node, request.name)
        if inode.is_directory:
            raise OSError(errno.EISDIR, "directory")
        operation = Unlink(self._volume.index, inode.id, parent.id, request.name)
        self._issue_removal(header, operation, parent, inode)

    def rmdir(self, header: Header, request: requests.Named) -> None:
        """RMDIR."""
        parent, inode = self._existing(header.node, request.name)
        if not inode.is_directory:
            raise OSError(errno.ENOTDIR, "no directory")
        if not self._volume.is_empty(inode):
            raise OSError(errno.ENOTEMPTY, "directory")
        operation = Rmdir(self._volume.index, inode.id, parent.id, request.name)
        self._issue_removal(header, operation, parent, inode)

    def _existing(self, node: int, name: bytes) -> tuple[Inode, Inode]:
        parent = self._volume.inode(node)
        self._check_directory(parent)
        inode = self._volume.resolve(parent, name)
        if inode.protected:
            raise OSError(errno.EPERM, "protected")
        return parent, inode

    def _issue_removal(self, header: Header, operation: Unlink | Rmdir, parent: Inode, inode: Inode) -> None:
        def done(result: int) -> None:
            if result < 0:
                self._replies.error(header.unique, -result)
                return
            self._context.touched.add(parent.id)
            if inode.unlinked:
                self._context.touched.discard(inode.id)
            self._replies.ok(header.unique)

        self._context.issue(operation, (parent, inode), done)

    # Renaming

    def rename(self, header: Header, request: requests.Rename) -> None:
        """RENAME, RENAME2 with NOREPLACE or EXCHANGE."""
        volume, context = self._volume, self._context
        flags = request.flags
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise OSError(errno.EINVAL, "flags")
        if flags & RENAME_EXCHANGE and not context.limits.exchange:
            raise OSError(errno.EINVAL, "the file system cannot exchange")
        parent, inode = self._existing(header.node, request.name)
        new_parent = volume.inode(request.new_parent)
        replaced = self._check_target(new_parent, request.new_name, flags)
        concerned = [parent, new_parent, inode]
        if replaced is not None:
            concerned.append(replaced)
        operation = Rename(
            volume.index,
            inode.id,
            parent.id,
            request.name,
            new_parent.id,
            request.new_name,
            flags,
            replaced.id if replaced is not None else 0,
        )

        def done(result: int) -> None:
            if result < 0:
                self._replies.error(header.unique, -result)
                return
            context.touched.add(parent.id)
            context.touched.add(new_parent.id)
            self._replies.ok(header.unique)

        context.issue(operation, tuple(concerned), done)

    def _check_target(self, new_parent: Inode, new_name: bytes, flags: int) -> Inode | None:
        """The inode that stands at the new name, if any."""
        volume = self._volume
        self._check_directory(new_parent)
        if len(new_name) > MAX_NAME:
            raise OSError(errno.ENAMETOOLONG, "name")
        if volume.is_private(new_parent, new_name):
            raise OSError(errno.EPERM, "reserved")
        exchange = bool(flags & RENAME_EXCHANGE)
        if not volume.exists(new_parent, new_name):
            if exchange:
                raise OSError(errno.ENOENT, "nothing to exchange with")
            return None
        if flags & RENAME_NOREPLACE:
            raise OSError(errno.EEXIST, "name")
        replaced = volume.resolve(new_parent, new_name)
        if replaced.protected:
            raise OSError(errno.EPERM, "protected")
        if not exchange and replaced.is_directory and not volume.is_empty(replaced):
            raise OSError(errno.ENOTEMPTY, "directory")
        return replaced

    def readlink(self, header: Header, _request: requests.Nothing) -> None:
        """READLINK."""
        self._replies.ok(header.unique, self._volume.readlink(self._volume.inode(header.node)))
