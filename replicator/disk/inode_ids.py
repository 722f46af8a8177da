"""The id of an inode, kept on the inode itself, and the numbering of new ones.

The extended attribute holds the id together with the file system's own inode number: where the two do not belong
together the attribute came here by a copy (``cp --preserve=xattr``, tar, rsync) and says nothing. An inode that a join
has made, or given another id, has the number of that join with it: until the join has come to its end, what is in the
inode may not be what belongs there.
"""

import errno
import os
import struct
from typing import NamedTuple

from manager.model.ids import INODE_COUNTER_BITS, first_inode
from replicator.core.filesystem import ID_XATTR

_LAYOUT = struct.Struct("<QQ")  # id, local inode number
_MADE = struct.Struct("<QQQ")  # and the join's number


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


class Kept(NamedTuple):
    """What an inode says of itself."""

    inode: int
    join: int
    """The number of the join that gave it this id; 0: none did."""


def read_kept(target: str | bytes | int, local: int, follow: bool = True) -> Kept | None:
    """What is kept on ``target`` (a path such as /proc/self/fd/N, or a descriptor) whose inode number is ``local``.

    ``follow`` is whether a path is followed when it ends in a symbolic link. ``None`` when there is nothing, or what
    was copied. Raises OSError.
    """
    try:
        value = os.getxattr(target, ID_XATTR, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise
    if len(value) == _LAYOUT.size:
        (inode, owner), join = _LAYOUT.unpack(value), 0
    elif len(value) == _MADE.size:
        inode, owner, join = _MADE.unpack(value)
    else:
        return None
    return Kept(inode, join) if owner == local else None


def read_id(target: str | bytes | int, local: int, follow: bool = True) -> int | None:
    """The id alone, see :func:`read_kept`. Raises OSError."""
    kept = read_kept(target, local, follow)
    return None if kept is None else kept.inode


def write_id(target: str | bytes | int, inode: int, local: int, join: int = 0) -> None:
    """Keeps ``inode`` on ``target``, and the number of the ``join`` that gives it. Raises OSError."""
    value = _MADE.pack(inode, local, join) if join else _LAYOUT.pack(inode, local)
    os.setxattr(target, ID_XATTR, value)
