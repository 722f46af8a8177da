"""Mounting over a replicated directory and its removal, aborting, and the read-only cover of a secondary.

All in the mount namespace of this process. Nothing here looks into a mount that this process serves: that would wait
for itself. What unmounts may wait for the loop (the kernel writes back what is mapped), so it is called in a thread,
unless the connection was aborted before.
"""

import contextlib
import errno
import os
import threading
from typing import Final

from manager import mountinfo
from replicator.disk import linux
from replicator.disk.limits import MOUNT_KIND
from replicator.fuse import abi

DEVICE: Final = "/dev/fuse"
_INHERITED: Final = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
_MOST_LINKS: Final = 40


class Mount:
    """A FUSE file system over a directory. Made by :meth:`over`."""

    def __init__(self, path: str, device_fd: int, abort_fd: int, device: str) -> None:
        """``device``: what mountinfo calls this very mount's (major:minor)."""
        self.path: Final = path
        self.device_fd: Final = device_fd
        """Of /dev/fuse; whoever serves it closes it."""
        self._abort_fd = abort_fd
        self._device = device
        self._removing = threading.Lock()
        self._aborting = threading.Lock()

    @classmethod
    def over(cls, path: str, source: str) -> "Mount":
        """Mounts over the directory ``path``; ``source`` is what mount(8) shows. Raises OSError."""
        path = os.path.realpath(path)
        flags = os.statvfs(path).f_flag & _INHERITED
        with contextlib.ExitStack() as opened:
            device = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            opened.callback(os.close, device)
            options = (
                f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
                f",max_read={abi.MAX_WRITE}"
            )
            linux.mount(source, path, MOUNT_KIND, flags, options)
            opened.callback(linux.unmount, path, linux.MNT_DETACH)
            made = [mount for mount in mountinfo.read() if mount.point == path and mount.kind == MOUNT_KIND][-1]
            mount = cls(path, device, _open_control(made), made.device)
            opened.pop_all()
        return mount

    def abort(self) -> None:
        """Every request under way or to come fails with ECONNABORTED or ENOTCONN. Any thread. Raises OSError.

        Nothing once it is closed: its descriptor may be another one's then.
        """
        with self._aborting:
            if self._abort_fd >= 0:
                os.write(self._abort_fd, b"1")

    def detach(self) -> None:
        """Takes the mount out of the tree, though it may be in use. Call it in a thread, or after :meth:`abort`.

        Raises OSError.
        """
        self._remove(linux.MNT_DETACH)

    def unmount(self) -> None:
        """Ends the mount; what is still using it loses it. Call it in a thread. Raises OSError."""
        try:
            self._remove(0)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            self.abort()
            self.detach()

    def _remove(self, flags: int) -> None:
        """Takes this very mount away, once: the directory may be the mount point of the file system below, too."""
        with self._removing:
            here = [mount for mount in mountinfo.read() if mount.point == self.path]
            if here and (here[-1].kind, here[-1].device) == (MOUNT_KIND, self._device):
                _unmount(self.path, flags)

    def close(self) -> None:
        """Closes what :meth:`abort` needs."""
        with self._aborting:
            os.close(self._abort_fd)
            self._abort_fd = -1


def _unmount(path: str, flags: int) -> None:
    try:
        linux.unmount(path, flags)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: somebody unmounted it already
            raise


def _open_control(mount: mountinfo.Mount) -> int:
    """A descriptor that aborts the connection of a mount of ours, wherever sysfs is or is not mounted."""
    connection = mount.device.partition(":")[2]
    control = linux.open_detached("fusectl")
    try:
        return os.open(f"{connection}/abort", os.O_WRONLY | os.O_CLOEXEC, dir_fd=control)
    finally:
        os.close(control)


def cover(path: str) -> None:
    """Covers the directory by a read-only view of itself. What was opened before still reaches it. Raises OSError."""
    linux.bind_read_only(os.path.realpath(path))


def uncover(path: str) -> None:
    """Removes the cover; nothing when there is none. Raises OSError."""
    path = os.path.realpath(path)
    if _is_cover(path, mountinfo.read()):
        _unmount(path, linux.MNT_DETACH)


def clear(path: str) -> None:
    """Removes what a former process of ours left mounted on ``path``: dead file systems and covers. Raises OSError.

    Only for a process that serves nothing there itself.
    """
    path = _real(path)
    while True:
        mounts = mountinfo.read()
        here = [mount for mount in mounts if mount.point == path]
        if not here or not (here[-1].kind == MOUNT_KIND or _is_cover(path, mounts)):
            return
        if here[-1].kind == MOUNT_KIND:
            _abort_left(here[-1])
        _unmount(path, linux.MNT_DETACH)


def _real(path: str) -> str:
    """The real path, asking nothing of what is mounted there: it may be dead, or hang."""
    for _ in range(_MOST_LINKS):
        directory, name = os.path.split(os.path.abspath(path))
        path = os.path.join(os.path.realpath(directory), name)
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))
        except OSError:  # EINVAL: no symbolic link
            return path
    raise OSError(errno.ELOOP, "too many symbolic links", path)


def _abort_left(mount: mountinfo.Mount) -> None:
    """Frees who waits for a process that hangs; one that died has ended its connection itself."""
    with contextlib.suppress(FileNotFoundError):
        control = _open_control(mount)
        try:
            os.write(control, b"1")
        finally:
            os.close(control)


def _is_cover(path: str, mounts: list[mountinfo.Mount]) -> bool:
    """Whether what is mounted on ``path`` last is that very directory, read-only."""
    here = [index for index, mount in enumerate(mounts) if mount.point == path]
    if not here:
        return False
    top = mounts[here[-1]]
    below = [mount for mount in mounts[: here[-1]] if os.path.join(path, "").startswith(os.path.join(mount.point, ""))]
    if not below or "ro" not in top.options:
        return False
    under = max(below, key=lambda mount: len(mount.point))
    inside = os.path.normpath(os.path.join(under.root, os.path.relpath(path, under.point)))
    return (top.device, top.root) == (under.device, inside)
