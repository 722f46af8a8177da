"""What a join has taken out of the way on the secondary, and the mark that the disk is in the middle of one.

Nothing is deleted before the end of a join: what a listing does not know goes to ``.mirrorfarm/limbo/``, whole
directories as they are, and comes back from there by its id when a later listing wants it. The marker
``.mirrorfarm/joining`` is on the disk before the first change and goes when all is on the disk: while it is there the
disk vouches for nothing (S8). It holds a number, which the inodes that a join makes have with their ids
(``replicator.disk.inode_ids``): a join that follows on one which broke off has the same, and knows by it what is not
sure to have its content.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import struct
from collections.abc import Callable
from typing import Final

from replicator.core.filesystem import RENAME_NOREPLACE
from replicator.disk import linux
from replicator.disk.inode_ids import read_id
from replicator.disk.survey import open_path, target_at

MARKER: Final = "joining"
LIMBO: Final = b"limbo"
_DISCARDED: Final = b"discarded"
"""What was limbo, and is not looked into any more."""
_NUMBER: Final = struct.Struct("<Q")
_GET_FLAGS: Final = 0x80086601  # FS_IOC_GETFLAGS, linux/fs.h
_SET_FLAGS: Final = 0x40086602  # FS_IOC_SETFLAGS
_PROTECTING: Final = 0x10 | 0x20  # FS_IMMUTABLE_FL, FS_APPEND_FL
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def is_joining(private: int) -> bool:
    """Whether the disk of this ``.mirrorfarm/`` is in the middle of a join. Raises OSError."""
    return _exists(private, os.fsencode(MARKER))


def mark_joining(private: int) -> None:
    """From now on the disk vouches for nothing; that is on the disk when this returns. Raises OSError."""
    os.close(_open_marker(private))


def begin_join(private: int) -> int:
    """As :func:`mark_joining`; the number of this join, which is that of one before it that did not come to its end."""
    marker = _open_marker(private)
    try:
        text = os.pread(marker, _NUMBER.size + 1, 0)
        number = int(_NUMBER.unpack(text)[0]) if len(text) == _NUMBER.size else 0
        if not number:  # no inode has one that was not whole on the disk before
            number = 1 + secrets.randbelow((1 << 64) - 1)
            if os.pwrite(marker, _NUMBER.pack(number), 0) != _NUMBER.size:
                raise OSError(errno.ENOSPC, "only a part of the join's number was written")
            os.ftruncate(marker, _NUMBER.size)
            os.fsync(marker)
        return number
    finally:
        os.close(marker)


def _open_marker(private: int) -> int:
    """The marker, which is on the disk when this returns. Raises OSError."""
    marker = os.open(MARKER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=private)
    try:
        os.fsync(marker)
        os.fsync(private)
    except BaseException:
        os.close(marker)
        raise
    return marker


def unmark_joining(private: int) -> None:
    """The join is on the disk. Raises OSError."""
    os.unlink(MARKER, dir_fd=private)
    os.fsync(private)


def unprotect(directory: int, name: bytes) -> bool:
    """Takes chattr +i and +a away, which are each node's own; whether they were set. Raises OSError."""
    kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        return False
    return _take_protection(os.open(name, _OPEN_FLAGS, dir_fd=directory))


def unprotect_open(file: int) -> bool:
    """As :func:`unprotect`, of a file or directory that is open on ``file`` (O_PATH). Raises OSError."""
    return _take_protection(os.open(f"/proc/self/fd/{file}", _OPEN_FLAGS & ~os.O_NOFOLLOW))


def _take_protection(file: int) -> bool:
    """Closes ``file``."""
    try:
        if not linux.extended(file).protected:
            return False
        (flags,) = struct.unpack_from("=I", fcntl.ioctl(file, _GET_FLAGS, bytes(8)))
        fcntl.ioctl(file, _SET_FLAGS, struct.pack("=II", flags & ~_PROTECTING, 0))
        return True
    finally:
        os.close(file)


class Limbo:
    """``.mirrorfarm/limbo/`` of one directory, during one join."""

    def __init__(self, private: int) -> None:
        """Opens it, or makes it; what an earlier join left there is found by its id. Raises OSError."""
        try:
            os.mkdir(LIMBO, 0o700, dir_fd=private)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(LIMBO, dir_fd=private, follow_symlinks=False).st_mode):
                os.unlink(LIMBO, dir_fd=private)
                os.mkdir(LIMBO, 0o700, dir_fd=private)
        self.fd: Final = open_path(private, (LIMBO,))
        self._count = 0
        self._by_id: dict[int, bytes] = {}
        for entry in linux.each_entry(self.fd):
            self._index(entry.name, entry.inode)

    def close(self) -> None:
        """Closes what is open."""
        os.close(self.fd)

    def _index(self, name: bytes, local: int) -> None:
        inode = read_id(target_at(self.fd, name), local, follow=False)
        if inode is not None:
            self._by_id[inode] = name

    def put(self, directory: int, name: bytes) -> None:
        """Takes ``name`` out of ``directory``, to be found by its id. Raises OSError."""
        local = os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino
        place = self._fresh(lambda fresh: _move(directory, name, self.fd, fresh))
        self._index(place, local)

    def anchor(self, file: int) -> bytes:
        """A name in limbo for what is open on ``file`` (O_PATH), not to be found by its id. Raises OSError."""
        source = f"/proc/self/fd/{file}"
        return self._fresh(lambda fresh: os.link(source, fresh, dst_dir_fd=self.fd, follow_symlinks=True))

    def _fresh(self, take: Callable[[bytes], None]) -> bytes:
        while True:
            self._count += 1
            name = b"%x" % self._count
            try:
                take(name)
            except FileExistsError:  # left by an earlier join
                continue
            return name

    def find(self, inode: int) -> bytes | None:
        """The name in limbo of what had this id when it came here, or None."""
        return self._by_id.get(inode)

    def forget(self, inode: int) -> None:
        """It is not to be found any more."""
        self._by_id.pop(inode, None)


def _move(directory: int, name: bytes, target: int, fresh: bytes) -> None:
    try:
        linux.rename(directory, name, target, fresh, RENAME_NOREPLACE)
    except OSError as error:
        if error.errno != errno.EPERM or not unprotect(directory, name):
            raise
        linux.rename(directory, name, target, fresh, RENAME_NOREPLACE)


def empty_limbo(private: int, step: Callable[[Callable[[], None]], bool]) -> bool:
    """Deletes all that is in limbo, and limbo; any thread, blocks.

    Each change is handed to ``step``, which calls it, or returns False to end this. Directories inside are moved up
    first, so that a deep tree costs no more memory than a flat one. Returns whether all is gone. Raises OSError.
    """
    return remove_tree(private, LIMBO, step)


def has_leftovers(private: int) -> bool:
    """Whether a join that broke off has left something. Raises OSError."""
    return _exists(private, LIMBO) or _exists(private, _DISCARDED)


def is_crowded(private: int, most: int) -> bool:
    """Whether there is more than so many names in limbo. Raises OSError."""
    try:
        limbo = open_path(private, (LIMBO,))
    except FileNotFoundError:
        return False
    try:
        count = 0
        while count <= most and (batch := linux.list_entries(limbo)):
            count += len(batch)
        return count > most
    finally:
        os.close(limbo)


def discard_limbo(private: int) -> None:
    """Nothing that is in limbo is found by its id any more; it is to be deleted. Raises OSError.

    While no join is under way, and where nothing that was discarded before is left. A full disk has room for it.
    """
    with contextlib.suppress(FileNotFoundError):
        os.rename(LIMBO, _DISCARDED, src_dir_fd=private, dst_dir_fd=private)


def delete_discarded(private: int, ends: Callable[[], bool]) -> None:
    """All that was discarded is gone when this returns, unless ``ends`` says so before; blocks. Raises OSError."""

    def step(change: Callable[[], None]) -> bool:
        if ends():
            return False
        change()
        return True

    remove_tree(private, _DISCARDED, step)


def _exists(private: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=private, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def remove_tree(parent: int, name: bytes, step: Callable[[Callable[[], None]], bool]) -> bool:
    """As :func:`empty_limbo`, of a directory of ours in the open directory ``parent``. Raises OSError."""
    try:
        limbo = open_path(parent, (name,))
    except FileNotFoundError:
        return True
    try:
        while names := _names(limbo):
            for inside in names:
                if not _delete(limbo, inside, step):
                    return False
    finally:
        os.close(limbo)
    return step(lambda: os.rmdir(name, dir_fd=parent))


def _names(directory: int) -> list[bytes]:
    os.lseek(directory, 0, os.SEEK_SET)
    return [entry.name for entry in linux.each_entry(directory)]


def _delete(limbo: int, name: bytes, step: Callable[[Callable[[], None]], bool]) -> bool:
    unprotect(limbo, name)
    if not stat.S_ISDIR(os.stat(name, dir_fd=limbo, follow_symlinks=False).st_mode):
        return step(lambda: os.unlink(name, dir_fd=limbo))
    inside = open_path(limbo, (name,))
    try:
        for entry in _names(inside):
            unprotect(inside, entry)
            if not step(_removal(limbo, inside, entry)):
                return False
    finally:
        os.close(inside)
    return step(lambda: os.rmdir(name, dir_fd=limbo))


def _removal(limbo: int, inside: int, entry: bytes) -> Callable[[], None]:
    if stat.S_ISDIR(os.stat(entry, dir_fd=inside, follow_symlinks=False).st_mode):
        # By chance: a name made of where it was may be that of another one, or one that a deletion before has left.
        up = b"up-%s" % secrets.token_hex(16).encode()
        return lambda: linux.rename(inside, entry, limbo, up, RENAME_NOREPLACE)
    return lambda: os.unlink(entry, dir_fd=inside)
