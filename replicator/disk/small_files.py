"""Compares small files of the secondary with digests of the primary's, each found by a name or as the live inode it is.

What stands at the name has to be the very inode, by what it is live as or by the id that it keeps; else that is said,
and it is bound and compared by itself (``Volume.apply`` of a BIND, which may give it its id). Nothing is changed here,
and nothing becomes live.
"""

import errno
import os
import stat
from typing import Final

from replicator.disk.inode_ids import read_id
from replicator.disk.survey import differing, forget_cached
from replicator.disk.volume import Volume
from replicator.wire.small_files import NOT_THERE, SmallFile

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME


def compare_small(volume: Volume, wish: SmallFile) -> int:
    """Which blocks differ, or NOT_THERE. Blocks. Raises OSError, ESTALE when what is to be live is not."""
    if not wish.parent:
        inode = volume.inode(wish.inode)
        if not inode.is_regular:
            return NOT_THERE
        return _differing(volume, volume.data_fd(inode, False), wish)
    file = _open(volume, wish)
    if file < 0:
        return NOT_THERE
    try:
        return _differing(volume, file, wish)
    finally:
        os.close(file)


def _differing(volume: Volume, file: int, wish: SmallFile) -> int:
    if volume.memory_lost:
        forget_cached(file, 0, wish.length)
    return differing(file, 0, wish.length, wish.digests)


def _open(volume: Volume, wish: SmallFile) -> int:
    """A descriptor of the inode that is wished, if it stands at its name; else -1."""
    directory = volume.table.path_fd(volume.inode(wish.parent))
    try:
        status = os.stat(wish.name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_dev != volume.device:
            return -1
        file = os.open(wish.name, _FLAGS, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return -1
        raise
    try:
        live, known = volume.table.at(status.st_ino), volume.table.get(wish.inode)
        if live is known and (live is not None or read_id(file, status.st_ino) == wish.inode):
            return file
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return -1
