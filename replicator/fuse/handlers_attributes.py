"""Handlers of attributes: mode, owner, size, times, extended attributes and ACLs, and of the file system's own."""

import errno
import os
from collections.abc import Callable
from itertools import starmap
from typing import Any, Final

from replicator.core import operations
from replicator.core.filesystem import HIDDEN_XATTRS, Free
from replicator.core.operations import Attribute, RemoveXattr, SetXattr
from replicator.disk.volume import Inode
from replicator.fuse import replies, requests
from replicator.fuse.abi import Opcode, SetAttrField
from replicator.fuse.context import Context
from replicator.fuse.privileges import Caller, mode_after_change
from replicator.fuse.requests import Header
from replicator.fuse.times import now_ns
from replicator.wire.copying import MAX_XATTRS, xattr_bytes

_ACL_ACCESS: Final = b"system.posix_acl_access"
_ACL_DEFAULT: Final = b"system.posix_acl_default"
_ACLS: Final = (_ACL_ACCESS, _ACL_DEFAULT)
_XATTR_ENTRY: Final = 16
"""Bytes that an extended attribute takes beside name and value where an inode's attributes share a block (ext4)."""
_XATTR_PROBE: Final = 32
"""What the attribute took beside its value by which the limit was found out, and the least that a block has more."""
_XATTR_ID: Final = 44
"""What the attribute with the inode's id takes."""
_XATTR_ROOMY: Final = 16384
"""Where a single attribute may be as large as this, an inode's attributes do not share one block."""
_PLAIN: Final = (
    (SetAttrField.MODE, Attribute.MODE),
    (SetAttrField.UID, Attribute.UID),
    (SetAttrField.GID, Attribute.GID),
    (SetAttrField.SIZE, Attribute.SIZE),
    (SetAttrField.ATIME, Attribute.ATIME),
    (SetAttrField.MTIME, Attribute.MTIME),
)


class AttributeHandlers:
    """Of one mounted directory."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._volume = context.volume
        self._replies = context.replies

    def table(self) -> dict[int, Callable[[Header, Any], None]]:
        """Opcode to handler."""
        return {
            Opcode.GETATTR: self.getattr,
            Opcode.STATX: self.statx,
            Opcode.SETATTR: self.setattr,
            Opcode.SETXATTR: self.setxattr,
            Opcode.GETXATTR: self.getxattr,
            Opcode.LISTXATTR: self.listxattr,
            Opcode.REMOVEXATTR: self.removexattr,
            Opcode.STATFS: self.statfs,
        }

    def getattr(self, header: Header, _request: requests.Nothing) -> None:
        """GETATTR."""
        inode = self._volume.inode(header.node)
        self._replies.ok(header.unique, replies.attr(inode.id, self._volume.status(inode)))

    def statx(self, header: Header, _request: requests.Nothing) -> None:
        """STATX: asked for the birth time."""
        inode = self._volume.inode(header.node)
        status, birth_ns = self._volume.status(inode), self._volume.birth_ns(inode)
        self._replies.ok(header.unique, replies.extended(inode.id, status, birth_ns))

    def setattr(self, header: Header, request: requests.SetAttr) -> None:
        """SETATTR: chmod, chown, truncate, utimensat."""
        volume, context = self._volume, self._context
        inode = volume.inode(header.node)
        if inode.protected:
            raise OSError(errno.EPERM, "protected")
        operation = self._operation(inode, request)
        self._take_privileges(header, inode, request, operation)
        if operation.valid & Attribute.SIZE:
            if operation.size > context.limits.largest_file:
                raise OSError(errno.EFBIG, "size")
            volume.data_fd(inode, True)

        def done(result: int) -> None:
            if result < 0:
                self._replies.error(header.unique, -result)
                return
            if operation.valid & Attribute.MTIME and not inode.pending:
                context.touched.discard(inode.id)
            self._replies.ok(header.unique, replies.attr(inode.id, volume.status(inode)))

        if operation.valid:
            context.issue(operation, (inode,), done)
        else:
            done(0)

    def _operation(self, inode: Inode, request: requests.SetAttr) -> operations.SetAttr:
        """What is to be set, the same on both nodes: "now" is this node's, when it is asked."""
        valid = Attribute(0)
        for field, attribute in _PLAIN:
            if request.valid & field:
                valid |= attribute
        status = self._volume.status(inode)
        now = now_ns(status.st_mtime_ns)
        atime_ns = now if request.valid & SetAttrField.ATIME_NOW else request.atime_ns
        mtime_ns = now if request.valid & SetAttrField.MTIME_NOW else request.mtime_ns
        if valid & Attribute.SIZE and not valid & Attribute.MTIME:
            # truncate(2) to the size that a file has leaves mtime alone, ftruncate(2) does not. Nor does O_TRUNC, which
            # is not told from truncate(2) to 0.
            if not request.valid & SetAttrField.FH and status.st_size == request.size != 0:
                valid &= ~Attribute.SIZE
            else:
                valid |= Attribute.MTIME
                mtime_ns = now
        return operations.SetAttr(
            self._volume.index,
            inode.id,
            int(valid),
            request.mode,
            request.uid,
            request.gid,
            request.size,
            atime_ns,
            mtime_ns,
        )

    def _take_privileges(
        self, header: Header, inode: Inode, request: requests.SetAttr, operation: operations.SetAttr
    ) -> None:
        """What truncation and a change of owner take away; with the mode named, the caller has decided it.

        A change of owner has the flag whoever asks: root, it is taken, has CAP_FSETID, and others have not.
        """
        if operation.valid & Attribute.MODE or not request.valid & SetAttrField.KILL_SUIDGID:
            return
        status = self._volume.status(inode)
        is_privileged = not header.uid and not operation.valid & Attribute.SIZE
        caller = None if is_privileged else Caller(header.gid, header.pid)
        mode = mode_after_change(status.st_mode, status.st_gid, caller)
        if mode is not None:
            operation.valid |= Attribute.MODE
            operation.mode = mode

    # Extended attributes

    def setxattr(self, header: Header, request: requests.SetXattr) -> None:
        """SETXATTR: what the file system below would refuse is found out on a scratch file."""
        inode = self._volume.inode(header.node)
        name, value = request.name, request.value
        if name in HIDDEN_XATTRS or inode.protected:
            raise OSError(errno.EPERM, "reserved or protected")
        existing = self._existing(inode, name)
        if request.flags & os.XATTR_CREATE and existing is not None:
            raise OSError(errno.EEXIST, "attribute")
        if request.flags & os.XATTR_REPLACE and existing is None:
            raise OSError(errno.ENODATA, "attribute")
        self._check_room(inode, name, value)
        if not inode.unlinked:
            self._try(_ACL_ACCESS if name in _ACLS else name, value)
        operation = SetXattr(self._volume.index, inode.id, name, value, 0, request.kill_sgid)
        self._context.issue(operation, (inode,), self._context.answer(header.unique))

    def _check_room(self, inode: Inode, name: bytes, value: bytes) -> None:
        most = self._context.limits.xattr_bytes
        volume = self._volume
        others = [(other, volume.getxattr(inode, other)) for other in volume.listxattr(inode) if other != name]
        if sum(starmap(xattr_bytes, others), xattr_bytes(name, value)) > MAX_XATTRS:
            raise OSError(errno.ENOSPC, "no peer could be told of all attributes")
        total = _xattr_room(name, value)
        if most < _XATTR_ROOMY:
            total += sum(starmap(_xattr_room, others), _XATTR_ID)
        if total > most + _XATTR_PROBE or self._context.guard.refuses_entry():
            raise OSError(errno.ENOSPC, "no room for the attribute")

    def _try(self, name: bytes, value: bytes) -> None:
        scratch = self._volume.scratch()
        os.setxattr(scratch, name, value)
        os.removexattr(scratch, name)

    def _existing(self, inode: Inode, name: bytes) -> bytes | None:
        try:
            return self._volume.getxattr(inode, name)
        except OSError as error:
            if error.errno == errno.ENODATA:
                return None
            raise

    def removexattr(self, header: Header, request: requests.Named) -> None:
        """REMOVEXATTR; of an ACL that is not there it succeeds, as with any file system."""
        inode = self._volume.inode(header.node)
        if inode.protected:
            raise OSError(errno.EPERM, "protected")
        done = self._context.answer(header.unique)
        if self._existing(inode, request.name) is None:
            done(0 if request.name in _ACLS else -errno.ENODATA)
            return
        self._context.issue(RemoveXattr(self._volume.index, inode.id, request.name), (inode,), done)

    def getxattr(self, header: Header, request: requests.GetXattr) -> None:
        """GETXATTR."""
        inode = self._volume.inode(header.node)
        try:
            value = self._volume.getxattr(inode, request.name)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP and request.name in _ACLS:
                raise OSError(errno.ENODATA, "no ACLs below") from None
            raise
        self._answer_sized(header, request.size, value)

    def listxattr(self, header: Header, request: requests.GetXattr) -> None:
        """LISTXATTR: trusted ones are shown to the superuser alone."""
        names = self._volume.listxattr(self._volume.inode(header.node))
        shown = [name for name in names if header.uid == 0 or not name.startswith(b"trusted.")]
        self._answer_sized(header, request.size, b"".join(name + b"\0" for name in shown))

    def _answer_sized(self, header: Header, size: int, value: bytes) -> None:
        if size == 0:
            self._replies.ok(header.unique, len(value).to_bytes(8, "little"))
        elif size < len(value):
            raise OSError(errno.ERANGE, "size")
        else:
            self._replies.ok(header.unique, value)

    # The file system

    def statfs(self, header: Header, _request: requests.Nothing) -> None:
        """STATFS: the smaller free space of both nodes."""

        def measured(status: os.statvfs_result) -> None:
            try:
                free = self._context.guard.free()
            except OSError:
                free = Free(0, 0)
            self._replies.ok(header.unique, replies.filesystem(status, free.bytes, free.inodes))

        def failed(error: OSError) -> None:
            self._replies.error(header.unique, error.errno or errno.EIO)

        self._context.background.run(self._volume.statvfs, measured, failed)


def _xattr_room(name: bytes, value: bytes) -> int:
    """What an attribute takes in a shared block, where its prefix is a number: never less than it does."""
    stored = len(name.partition(b".")[2])
    return _XATTR_ENTRY + (stored + 3 & ~3) + (len(value) + 3 & ~3)
