"""The id of an inode, kept on the inode itself, and the numbering of new ones.

The extended attribute holds the id together with the file system's own inode number: where the two do not belong
together the attribute came here by a copy (``cp --preserve=xattr``, tar, rsync) and says nothing.
"""

import errno
import os
import struct

from manager.model.ids import INODE_COUNTER_BITS, first_inode
from replicator.core.filesystem import ID_XATTR

_LAYOUT = struct.Struct("<QQ")  # id, local inode number


class InodeIds:
    """Numbers new inodes: one for all the directories of a module, for one epoch."""

    def __init__(self, epoch: int) -> None:
        self._next = first_inode(epoch)
        self._end = self._next + (1 << INODE_COUNTER_BITS)

    def take(self) -> int:
        """A number that no inode of the module has. Raises OSError (ENOSPC) when the epoch's numbers are used up."""
        if self._next == self._end:
            raise OSError(errno.ENOSPC, "the epoch has no inode numbers left")
        self._next += 1
        return self._next - 1


def read_id(target: str | bytes | int, local: int, follow: bool = True) -> int | None:
    """The id kept on ``target`` (a path such as /proc/self/fd/N, or a descriptor) whose inode number is ``local``.

    ``follow`` is whether a path is followed when it ends in a symbolic link. ``None`` when there is no id, or a
    copied one. Raises OSError.
    """
    try:
        value = os.getxattr(target, ID_XATTR, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise
    if len(value) != _LAYOUT.size:
        return None
    inode, owner = _LAYOUT.unpack(value)
    return int(inode) if owner == local else None


def write_id(target: str | bytes | int, inode: int, local: int) -> None:
    """Keeps ``inode`` on ``target``. Raises OSError."""
    os.setxattr(target, ID_XATTR, _LAYOUT.pack(inode, local))
