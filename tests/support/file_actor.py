"""One thread's hands on a directory: performs operations as system calls, and says what came of each.

The same operations on two directories give the same outcomes when the file systems behave alike. Outcomes leave out
what is each file system's own: inode and block numbers, block counts, sizes of directories, times that are "now".
"""

import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Outcome = Any
"""A plain value, or the name of an errno after ``!``."""
LONG_AGO = 1_500_000_000
"""Seconds. Times that tests set are before it, those that the clock sets are after."""
XFS_ACL_XATTRS = frozenset({"trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"})
"""How xfs shows its ACLs a second time, and a mirror does not (docs/DIFFERENCES.md)."""
SLOTS = 3
_PAGE = 4096
_SETLK = struct.Struct("hhqqi4x")
_OFD_SETLK = 37
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Operation:
    """``kind`` names a method of :class:`Actor`; ``user`` is the fsuid and fsgid it runs with."""

    kind: str
    arguments: tuple[Any, ...]
    user: int = 0


class _File:
    """An open file of a slot."""

    def __init__(self, descriptor: int, direct: bool) -> None:
        self.descriptor = descriptor
        self.direct = direct
        self.mapped: set[int] = set()


def content(seed: int, length: int) -> bytes:
    """Bytes that differ with the seed, none of them zero."""
    return bytes((seed * 37 + i) % 255 + 1 for i in range(min(length, 255))) * (length // 255 + 1)


class Actor:
    """``base`` is the directory it works in; its slots hold open files, and nobody else's."""

    def __init__(self, base: str, own_block: int) -> None:
        self._base = base
        self._own_block = own_block
        """Which block of the common file is this actor's."""
        self._slots: list[_File | None] = [None] * SLOTS
        self._buffer = mmap.mmap(-1, 1 << 18)

    def perform(self, operation: Operation) -> Outcome:
        """What came of it. In the thread of the caller, whose fsuid is changed meanwhile."""
        method: Callable[..., Outcome] = getattr(self, operation.kind)
        _become(operation.user)
        try:
            return method(*operation.arguments)
        except OSError as error:
            assert error.errno is not None
            return "!" + errno.errorcode[error.errno]
        finally:
            _become(0)

    def begin(self) -> None:
        """Something of each sort to begin with, and every slot open."""
        for path, mode in (("a", 0o666), ("b/a", 0o644)):
            self._make_file(path, mode)
        os.mkdir(self._path("b/b"), 0o777)
        os.mkdir(self._path("b/b/c"), 0o777)
        os.symlink("b/a", self._path("c"))
        os.link(self._path("a"), self._path("b/b/a"))
        os.mkfifo(self._path("b/c"), 0o666)
        os.setxattr(self._path("a"), "user.one", b"1")
        for slot, flags in enumerate((os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_DIRECT)):
            self.open(slot, ("a", "b/a", "a")[slot], flags, 0)

    def _make_file(self, path: str, mode: int) -> None:
        os.makedirs(os.path.dirname(self._path(path)), exist_ok=True)
        with open(self._path(path), "wb") as file:
            file.write(content(len(path), 10_000)[:10_000])
        os.chmod(self._path(path), mode)
        os.utime(self._path(path), ns=(10**18, 10**18 + len(path)))

    def close_all(self) -> None:
        for slot in range(SLOTS):
            self.close(slot)

    def _path(self, path: str) -> str:
        return os.path.join(self._base, path)

    def _file(self, slot: int) -> _File:
        file = self._slots[slot]
        if file is None:
            raise OSError(errno.EBADF, "slot")
        return file

    # Names

    def mkdir(self, path: str, mode: int) -> Outcome:
        os.mkdir(self._path(path), mode)

    def mknod(self, path: str, mode: int, device: int) -> Outcome:
        os.mknod(self._path(path), mode, device)

    def symlink(self, target: str, path: str) -> Outcome:
        os.symlink(target, self._path(path))

    def link(self, path: str, new: str) -> Outcome:
        os.link(self._path(path), self._path(new), follow_symlinks=False)

    def unlink(self, path: str) -> Outcome:
        os.unlink(self._path(path))

    def rmdir(self, path: str) -> Outcome:
        os.rmdir(self._path(path))

    def rename(self, path: str, new: str, flags: int) -> Outcome:
        result = _libc.renameat2(-100, os.fsencode(self._path(path)), -100, os.fsencode(self._path(new)), flags)
        if result:
            raise OSError(ctypes.get_errno(), "renameat2")

    def readlink(self, path: str) -> Outcome:
        return os.readlink(self._path(path))

    def listdir(self, path: str) -> Outcome:
        with os.scandir(self._path(path)) as entries:
            return sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink()) for e in entries)

    def stat(self, path: str) -> Outcome:
        return described(os.lstat(self._path(path)))

    def access(self, path: str, mode: int) -> Outcome:
        return os.access(self._path(path), mode, effective_ids=True)

    # Attributes

    def chmod(self, path: str, mode: int) -> Outcome:
        os.chmod(self._path(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> Outcome:
        os.chown(self._path(path), uid, gid, follow_symlinks=False)

    def truncate(self, path: str, size: int) -> Outcome:
        os.truncate(self._path(path), size)

    def utime(self, path: str, mtime_ns: int) -> Outcome:
        os.utime(self._path(path), ns=(10**18, mtime_ns), follow_symlinks=False)

    def touch(self, path: str) -> Outcome:
        os.utime(self._path(path))

    def setxattr(self, path: str, name: str, value: bytes, flags: int) -> Outcome:
        os.setxattr(self._path(path), name, value, flags, follow_symlinks=False)

    def getxattr(self, path: str, name: str) -> Outcome:
        return os.getxattr(self._path(path), name, follow_symlinks=False)

    def listxattr(self, path: str) -> Outcome:
        """Who is not root sees no trusted ones; here it would by CAP_SYS_ADMIN, which a change of fsuid leaves."""
        names = sorted(set(os.listxattr(self._path(path), follow_symlinks=False)) - XFS_ACL_XATTRS)
        return names if not _user.now else [name for name in names if not name.startswith("trusted.")]

    def removexattr(self, path: str, name: str) -> Outcome:
        os.removexattr(self._path(path), name, follow_symlinks=False)

    # Open files

    def open(self, slot: int, path: str, flags: int, mode: int) -> Outcome:
        self.close(slot)
        descriptor = os.open(self._path(path), flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
        status = os.fstat(descriptor)
        self._slots[slot] = _File(descriptor, bool(flags & os.O_DIRECT) and stat.S_ISREG(status.st_mode))
        return described(status)

    def close(self, slot: int) -> Outcome:
        file, self._slots[slot] = self._slots[slot], None
        if file is not None:
            os.close(file.descriptor)

    def fstat(self, slot: int) -> Outcome:
        return described(os.fstat(self._file(slot).descriptor))

    def pwrite(self, slot: int, offset: int, length: int, seed: int) -> Outcome:
        file = self._file(slot)
        offset, data = self._prepared(file, offset, length, seed)
        return os.pwrite(file.descriptor, data, offset)

    def write(self, slot: int, length: int, seed: int) -> Outcome:
        file = self._file(slot)
        if file.direct:
            position = os.lseek(file.descriptor, 0, os.SEEK_CUR)
            if position % _PAGE:
                os.lseek(file.descriptor, position & -_PAGE, os.SEEK_SET)
        _, data = self._prepared(file, 0, length, seed)
        return os.write(file.descriptor, data), os.lseek(file.descriptor, 0, os.SEEK_CUR)

    def _prepared(self, file: _File, offset: int, length: int, seed: int) -> tuple[int, memoryview]:
        """What is written; for O_DIRECT aligned as every file system wants it."""
        if file.direct:
            offset, length = offset & -_PAGE, (length + _PAGE - 1) & -_PAGE
            if fcntl.fcntl(file.descriptor, fcntl.F_GETFL) & os.O_APPEND and self._is_unaligned(file):
                raise OSError(errno.EBADF, "an append that would not be aligned")
        self._buffer[:length] = content(seed, length)[:length]
        return offset, memoryview(self._buffer)[:length]

    def _is_unaligned(self, file: _File) -> bool:
        return bool(os.fstat(file.descriptor).st_size % _PAGE)

    def pread(self, slot: int, offset: int, length: int) -> Outcome:
        file = self._file(slot)
        if file.direct:
            offset, length = offset & -_PAGE, (length + _PAGE - 1) & -_PAGE
        count = os.preadv(file.descriptor, [memoryview(self._buffer)[:length]], offset)
        return self._buffer[:count]

    def read_all(self, path: str) -> Outcome:
        descriptor = os.open(self._path(path), os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return "not a file"
            return os.read(descriptor, 1 << 21)
        finally:
            os.close(descriptor)

    def lseek(self, slot: int, offset: int, whence: int) -> Outcome:
        file = self._file(slot)
        if not stat.S_ISREG(os.fstat(file.descriptor).st_mode):
            return "not a file"
        return os.lseek(file.descriptor, offset, whence)

    def seek_hole(self, slot: int, offset: int, whence: int) -> Outcome:
        """Whether what is said to be a hole reads as zeros.

        Where a hole begins is not compared: over preallocated blocks it depends on what is in the page cache.
        """
        descriptor = self._file(slot).descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return "not a file"
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            start, end = self._hole(descriptor, offset, whence)
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
        reader = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
        try:
            return not any(os.pread(reader, end - start, start))
        finally:
            os.close(reader)

    def _hole(self, descriptor: int, offset: int, whence: int) -> tuple[int, int]:
        """A range that is a hole, from or after ``offset``, perhaps empty."""
        start = offset if whence == os.SEEK_DATA else os.lseek(descriptor, offset, os.SEEK_HOLE)
        size = os.fstat(descriptor).st_size
        try:
            return start, os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO or offset >= size:
                raise
            return start, size

    def ftruncate(self, slot: int, size: int) -> Outcome:
        os.ftruncate(self._file(slot).descriptor, size)

    def fallocate(self, slot: int, mode: int, offset: int, length: int) -> Outcome:
        file = self._file(slot)
        size = ctypes.c_int64
        if _libc.fallocate(file.descriptor, mode, size(offset), size(length)):
            raise OSError(ctypes.get_errno(), "fallocate")

    def fsync(self, slot: int) -> Outcome:
        os.fsync(self._file(slot).descriptor)

    def fdatasync(self, slot: int) -> Outcome:
        os.fdatasync(self._file(slot).descriptor)

    def copy(self, slot: int, other: int, offset: int, to: int, length: int) -> Outcome:
        source, target = self._file(slot), self._file(other)
        if source.direct or target.direct:
            return "not with O_DIRECT"
        done = 0
        while done < length:
            step = length - done, offset + done, to + done
            count = os.copy_file_range(source.descriptor, target.descriptor, *step)
            if not count:
                break
            done += count
        return done

    def fchmod(self, slot: int, mode: int) -> Outcome:
        os.fchmod(self._file(slot).descriptor, mode)

    def fchown(self, slot: int, uid: int, gid: int) -> Outcome:
        os.fchown(self._file(slot).descriptor, uid, gid)

    def futime(self, slot: int, mtime_ns: int) -> Outcome:
        os.utime(self._file(slot).descriptor, ns=(10**18, mtime_ns))

    def fsetxattr(self, slot: int, name: str, value: bytes) -> Outcome:
        os.setxattr(self._file(slot).descriptor, name, value)

    def map_store(self, slot: int, offset: int, length: int, seed: int) -> Outcome:
        """Stores through a shared mapping, and reads it back by a system call after msync."""
        file = self._file(slot)
        room = self._mappable(file, offset, length)
        if room:
            return room
        with mmap.mmap(file.descriptor, offset + length, mmap.MAP_SHARED) as mapping:
            mapping[offset : offset + length] = content(seed, length)[:length]
            mapping.flush()
        return None

    def map_load(self, slot: int, offset: int, length: int) -> Outcome:
        file = self._file(slot)
        room = self._mappable(file, offset, length)
        if room:
            return room
        with mmap.mmap(file.descriptor, offset + length, mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
            return mapping[offset : offset + length]

    def _mappable(self, file: _File, offset: int, length: int) -> str:
        status = os.fstat(file.descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "not a file"
        return "" if status.st_size >= offset + length else "beyond the end"

    def flock(self, slot: int, kind: int) -> Outcome:
        fcntl.flock(self._file(slot).descriptor, kind | fcntl.LOCK_NB)

    def range_lock(self, slot: int, kind: int, start: int, length: int) -> Outcome:
        """fcntl locks of the open file: those of the process would never conflict here."""
        lock = _SETLK.pack(kind, os.SEEK_SET, start, length, 0)
        fcntl.fcntl(self._file(slot).descriptor, _OFD_SETLK, lock)

    def fifo(self, path: str, seed: int) -> Outcome:
        """Through a fifo that is there."""
        if not stat.S_ISFIFO(os.lstat(self._path(path)).st_mode):
            return "not a fifo"
        descriptor = os.open(self._path(path), os.O_RDWR | os.O_NONBLOCK)
        try:
            os.write(descriptor, content(seed, 10)[:10])
            return os.read(descriptor, 100)
        finally:
            os.close(descriptor)

    # What both threads use at once

    def common_write(self, seed: int) -> Outcome:
        """This actor's block of the file that all have open."""
        return self._common(lambda file: os.pwrite(file, content(seed, _PAGE)[:_PAGE], self._own_block * _PAGE))

    def common_read(self) -> Outcome:
        return self._common(lambda file: os.pread(file, _PAGE, self._own_block * _PAGE))

    def common_name(self, name: str, seed: int) -> Outcome:
        """Makes, renames and removes this actor's names in the directory of all."""
        mine = os.path.join(os.path.dirname(self._base), f"{name}-{self._own_block}")
        with open(mine, "xb") as file:
            file.write(content(seed, 100)[:100])
        os.rename(mine, mine + "-moved")
        with open(mine + "-moved", "rb") as file:
            data = file.read()
        os.unlink(mine + "-moved")
        return data

    def _common(self, do: Callable[[int], Outcome]) -> Outcome:
        file = os.open(os.path.join(os.path.dirname(self._base), "common"), os.O_RDWR)
        try:
            return do(file)
        finally:
            os.close(file)


class _User(threading.local):
    now = 0


_user = _User()


def _become(user: int) -> None:
    """For this thread alone, and for files alone: what setfsuid(2) is for."""
    if _user.now != user:
        _libc.setfsgid(user)
        _libc.setfsuid(user)
        _user.now = user


def described(status: os.stat_result) -> tuple[Any, ...]:
    """What stat(2) tells that must be alike."""
    directory = stat.S_ISDIR(status.st_mode)
    return (
        stat.filemode(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_nlink,
        None if directory else status.st_size,
        status.st_rdev,
        status.st_mtime_ns if status.st_mtime < LONG_AGO else "now",
    )
