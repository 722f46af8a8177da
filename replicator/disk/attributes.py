"""Gives an inode of the secondary the attributes that the primary's has; only what differs is set.

Content is not this module's, but the length of a file is. What an inode is made of (its type, a symbolic link's target,
a device's number) cannot be changed: where that differs the copies do.
"""

import errno
import os
import stat
from typing import Final

from replicator.disk import linux
from replicator.disk.inodes import DivergenceError
from replicator.disk.limbo import unprotect_open
from replicator.disk.survey import LARGEST, target_of_fd, xattrs_of
from replicator.disk.volume import Volume
from replicator.wire.copying import Attributes

_RESIZE_FLAGS: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC


def is_made_so(file: int, status: os.stat_result, wish: Attributes) -> bool:
    """Whether what is open on ``file`` (O_PATH) is of the type, target and device that are wished. Raises OSError."""
    if stat.S_IFMT(status.st_mode) != stat.S_IFMT(wish.mode):
        return False
    if stat.S_ISLNK(wish.mode):
        return os.readlink(b"", dir_fd=file) == wish.target
    if stat.S_ISCHR(wish.mode) or stat.S_ISBLK(wish.mode):
        return status.st_rdev == wish.rdev
    return True


def equalise_live(volume: Volume, wish: Attributes) -> None:
    """Makes the attributes of a live inode so.

    Raises:
        OSError: it could not be done; ESTALE: the inode is not live.
        DivergenceError: it is something else.
    """
    file = volume.table.path_fd(volume.inode(wish.inode))
    status = os.fstat(file)
    if not is_made_so(file, status, wish):
        raise DivergenceError(f"inode {wish.inode:x} is something else here")
    if linux.extended(file).protected:
        unprotect_open(file)
    equalise(volume, file, status, wish)


def equalise(volume: Volume, file: int, status: os.stat_result, wish: Attributes) -> None:
    """Makes the attributes of what is open on ``file`` (O_PATH, of the type that is wished) so. Raises OSError.

    ``status`` is its own of now.

    Size, owner, extended attributes, mode and mtime: in this order, since each may change those after it.
    """
    target = target_of_fd(file)
    live = volume.table.at(status.st_ino)
    if live is not None:
        live.privileged = None
    changed = False
    if stat.S_ISREG(wish.mode) and (status.st_size != wish.size or volume.memory_lost):
        _resize(target, wish.size, anew=volume.memory_lost)
        changed = True
    if (status.st_uid, status.st_gid) != (wish.uid, wish.gid):
        os.chown(target, wish.uid, wish.gid)
        changed = True
    found = xattrs_of(target)
    if found != wish.xattrs:
        _equalise_xattrs(target, wish.xattrs, dict(found))
        changed = True
    if changed:
        status = os.fstat(file)
    if not stat.S_ISLNK(wish.mode) and status.st_mode != wish.mode:
        os.chmod(target, stat.S_IMODE(wish.mode))
    if status.st_mtime_ns != wish.mtime_ns:
        linux.set_times(file, None, wish.mtime_ns)


def _resize(target: bytes, size: int, *, anew: bool) -> None:
    """``anew``: the length that is shown may not be on the disk.

    XFS notes it there only once the content is. What was lost and reads as zeros then, as it did, is not written again.
    """
    file = os.open(target, _RESIZE_FLAGS)
    try:
        if anew and size:
            _lengthen(file, size + 1)
        os.ftruncate(file, size)
    finally:
        os.close(file)


def _lengthen(file: int, size: int) -> None:
    try:
        os.ftruncate(file, min(size, LARGEST))
    except OSError as error:
        if error.errno != errno.EFBIG:  # it is as long as can be
            raise


def _equalise_xattrs(target: bytes, wish: tuple[tuple[bytes, bytes], ...], found: dict[bytes, bytes]) -> None:
    for name in found.keys() - {name for name, _ in wish}:
        os.removexattr(target, name)
    for name, value in wish:
        if found.get(name) != value:
            os.setxattr(target, name, value)
