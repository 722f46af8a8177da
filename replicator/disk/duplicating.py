"""Makes a second inode that is what another one is, with all its attributes: into an aside, and out of it.

Blocks are shared where the file system can do that, else copied, holes left as holes. What is in a directory is the
caller's matter, so are further names of one inode. Any thread; it may take long, so it stops between two pieces when
the caller says so.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from typing import Final

from replicator.disk import linux
from replicator.disk.survey import target_of_fd, xattrs_of

Pause = Callable[[], None]
"""Called between two pieces; what it raises ends the work."""
_FICLONE: Final = 0x40049409  # linux/fs.h
_PIECE: Final = 4 << 20
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME
_MAKE_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_HERE: Final = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ETXTBSY)
"""copy_file_range(2) cannot do it between these two."""
_ACL: Final = b"system.posix_acl_"
"""What a new inode may have from its directory already."""


def duplicate(source: int, name: bytes, target: int, new: bytes, pause: Pause) -> None:
    """``name`` in the open directory ``source`` becomes ``new`` in ``target``, which must not be there. Raises OSError.

    A directory is made for root alone, and empty; :func:`copy_attributes` is to follow when all is in it.
    """
    status = os.stat(name, dir_fd=source, follow_symlinks=False)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        os.mkdir(new, 0o700, dir_fd=target)
        return
    if kind == stat.S_IFREG:
        _duplicate_file(source, name, target, new, pause)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), new, dir_fd=target)
    else:
        os.mknod(new, kind | 0o600, status.st_rdev, dir_fd=target)
    copy_attributes_at(source, name, target, new)


def _duplicate_file(source: int, name: bytes, target: int, new: bytes, pause: Pause) -> None:
    here = os.open(name, _READ_FLAGS, dir_fd=source)
    try:
        there = os.open(new, _MAKE_FLAGS, 0o600, dir_fd=target)
        try:
            _copy_content(here, there, os.fstat(here).st_size, pause)
        finally:
            os.close(there)
    finally:
        os.close(here)


def _copy_content(source: int, target: int, size: int, pause: Pause) -> None:
    pause()
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError:
        pass  # It is copied then; whatever is wrong shows there too.
    os.ftruncate(target, size)
    copy = _copy_range
    at = 0
    while (at := _seek(source, at, os.SEEK_DATA, size)) < size:
        end = _seek(source, at, os.SEEK_HOLE, size)
        while at < end:
            pause()
            try:
                count = copy(source, target, at, min(_PIECE, end - at))
            except OSError as error:
                if copy is _copy_by_hand or error.errno not in _NOT_HERE:
                    raise
                copy = _copy_by_hand
                continue
            if not count:
                raise OSError(errno.EIO, "the file became shorter while it was copied")
            at += count


def _seek(file: int, at: int, what: int, size: int) -> int:
    try:
        return min(size, os.lseek(file, at, what))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        raise


def _copy_range(source: int, target: int, at: int, count: int) -> int:
    return os.copy_file_range(source, target, count, at, at)


def _copy_by_hand(source: int, target: int, at: int, count: int) -> int:
    data = os.pread(source, count, at)
    done = 0
    while done < len(data):
        done += os.pwrite(target, memoryview(data)[done:], at + done)
    return len(data)


def copy_attributes_at(source: int, name: bytes, target: int, new: bytes) -> None:
    """As :func:`copy_attributes`, of names in two open directories. Raises OSError."""
    here = os.open(name, _PATH_FLAGS, dir_fd=source)
    try:
        there = os.open(new, _PATH_FLAGS, dir_fd=target)
        try:
            copy_attributes(here, there)
        finally:
            os.close(there)
    finally:
        os.close(here)


def copy_attributes(source: int, target: int) -> None:
    """Owner, extended attributes, mode and times, of what is open on both (O_PATH will do). Raises OSError.

    In this order, since each may change those after it. chattr +i and +a are not copied.
    """
    status = os.fstat(source)
    path = target_of_fd(target)
    os.chown(path, status.st_uid, status.st_gid)
    wish = dict(xattrs_of(target_of_fd(source)))
    for name, _ in xattrs_of(path):
        if name.startswith(_ACL) and name not in wish:
            os.removexattr(path, name)
    for name, value in wish.items():
        os.setxattr(path, name, value)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, stat.S_IMODE(status.st_mode))
    linux.set_times(target, status.st_atime_ns, status.st_mtime_ns)
