"""What the file system below can do, found out by trying, and whether a directory can be replicated at all.

The limits are asked for before an operation is sent to the peer: what either file system would refuse is refused
before it is sent, by the smaller limit of both (:meth:`Limits.common`).
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Final

from manager import fstab, mountinfo
from manager.model.errors import MirrorfarmError
from replicator.core.filesystem import FALLOCATE_MODES, ID_XATTR, PRIVATE_DIRECTORY, RENAME_EXCHANGE, Limits
from replicator.disk import linux

MOUNT_KIND: Final = "fuse.mirrorfarm"
_MAX_FILE: Final = (1 << 63) - 1
_MAX_SYMLINK: Final = 4095
_MAX_XATTR: Final = 65536
_PROBE_XATTR: Final = "user.mirrorfarm-probe"
_READ_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class UnfitDirectory(MirrorfarmError):
    """A directory cannot be replicated. The message says why."""


def check_fit(path: str, fstab_file: str = fstab.FSTAB) -> None:
    """Whether the directory ``path`` can be replicated, before anything is mounted over it.

    A mount point that lacks its file system would pass for a new disk, which the other node's data is copied to.

    Raises:
        UnfitDirectory: it cannot.
        OSError: it cannot be looked at.
        DefiniteFailure: what is mounted is not understood.
    """
    real = os.path.realpath(path)
    if real == "/":
        raise UnfitDirectory(f"{path}: the root of the system cannot be replicated; name directories inside it")
    if not os.path.isdir(real):
        raise UnfitDirectory(f"{path}: not a directory")
    inside = os.path.join(real, "")
    mounts = mountinfo.read()
    lacking = fstab.unmounted(fstab.read(fstab_file), {mount.point for mount in mounts}, real)
    if lacking:
        raise UnfitDirectory(
            f"{path}: {lacking} is not mounted, which {fstab_file} has mounted there: without it this is another disk, "
            f"without the data; mount {lacking}, or take its line out of {fstab_file}"
        )
    for mount in mounts:
        if mount.point.startswith(inside):
            raise UnfitDirectory(
                f"{path}: {mount.point} is another mount inside it; replicate that one by its own name"
            )
        if mount.kind == MOUNT_KIND and (mount.point == real or inside.startswith(os.path.join(mount.point, ""))):
            raise UnfitDirectory(f"{path}: {mount.point} is replicated already")
    if os.statvfs(real).f_flag & os.ST_RDONLY:
        raise UnfitDirectory(f"{path}: the file system is mounted read-only")


def open_private(root_fd: int) -> int:
    """A descriptor of ``.mirrorfarm/``, which is made if need be, without a trace in the times of the directory.

    Raises:
        UnfitDirectory: something else has that name, it is not on the same file system, or that does not tell upper
            from lower case.
        OSError: it cannot be made.
    """
    before = os.fstat(root_fd)
    try:
        os.mkdir(PRIVATE_DIRECTORY, 0o700, dir_fd=root_fd)
        linux.set_times(root_fd, None, before.st_mtime_ns)
    except FileExistsError:
        pass
    try:
        private = os.open(PRIVATE_DIRECTORY, _READ_DIRECTORY, dir_fd=root_fd)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise UnfitDirectory(f"{PRIVATE_DIRECTORY}: not a directory; the name is reserved") from None
        raise
    if _is_one(root_fd, PRIVATE_DIRECTORY.upper(), private):
        os.close(private)
        raise UnfitDirectory("its file system takes names for one that differ in upper and lower case (casefold)")
    os.fchmod(private, 0o700)
    return private


def _is_one(root_fd: int, name: str, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(name, dir_fd=root_fd, follow_symlinks=False), os.fstat(file))
    except FileNotFoundError:
        return False


WHEN_FULL: Final = Limits(
    largest_file=(1 << 44) - 4096,
    symlink_target=1023,
    links=65000,
    xattr_bytes=1024,
    fallocate_modes=(),
    exchange=True,
)
"""What every supported file system can do, for one that is too full to be asked."""


def probe(private: int) -> Limits:
    """Tries the file system that ``private`` (a descriptor of ``.mirrorfarm/``) is on. Leaves nothing behind.

    Raises:
        UnfitDirectory: it has no ``trusted.`` extended attributes, which keep the ids of inodes.
        OSError: it fails otherwise.
    """
    try:
        return _probe(private)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return WHEN_FULL
        raise


def _probe(private: int) -> Limits:
    with _scratch(private) as file:
        try:
            os.setxattr(file, ID_XATTR, b"\0" * 16)
        except OSError as error:
            message = f"the file system does not keep the extended attribute {ID_XATTR}: {error.strerror}"
            raise UnfitDirectory(message) from None
        return Limits(
            largest_file=_largest(_MAX_FILE, lambda size: os.ftruncate(file, size)),
            symlink_target=_largest(_MAX_SYMLINK, lambda size: _try_symlink(private, size)),
            links=os.fpathconf(private, "PC_LINK_MAX"),
            xattr_bytes=_largest(_MAX_XATTR, lambda size: os.setxattr(file, _PROBE_XATTR, b"x" * size)),
            fallocate_modes=tuple(mode for mode in FALLOCATE_MODES if _can_fallocate(file, mode)),
            exchange=_can_exchange(private),
        )


@contextlib.contextmanager
def _scratch(private: int) -> Iterator[int]:
    file = open_scratch(private)
    try:
        yield file
    finally:
        os.close(file)


def open_scratch(private: int) -> int:
    """A descriptor of a file without a name. Raises OSError."""
    return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=private)


def _largest(most: int, attempt: Callable[[int], None]) -> int:
    """The largest size up to ``most`` that does not fail, 0 if all do."""
    low, high = 0, most
    size = most
    while True:
        try:
            attempt(size)
            low = size
        except OSError:
            high = size - 1
        if low >= high:
            return low
        size = (low + high + 1) // 2


def _draft() -> str:
    return f"probe-{secrets.token_hex(8)}"


def _try_symlink(private: int, size: int) -> None:
    name = _draft()
    os.symlink(b"x" * size, name.encode(), dir_fd=private)
    os.unlink(name, dir_fd=private)


def _can_fallocate(file: int, mode: int) -> bool:
    os.ftruncate(file, 0)
    try:
        linux.fallocate(file, mode, 0, 4096)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            return False
        raise
    return True


def _can_exchange(private: int) -> bool:
    names = (_draft().encode(), _draft().encode())
    for name in names:
        os.mkdir(name, 0o700, dir_fd=private)
    try:
        linux.rename(private, names[0], private, names[1], RENAME_EXCHANGE)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS):
            return False
        raise
    finally:
        for name in names:
            os.rmdir(name, dir_fd=private)
    return True
