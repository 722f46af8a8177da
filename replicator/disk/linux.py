"""System calls that Python lacks, by ctypes: the only module of the project that calls libc by hand.

Each function is one call with Python's errors. None of them decides anything. Numbers of system calls without a
wrapper in Debian 12's libc are those of the generic table, the same on every architecture since Linux 5.1.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_BIND: Final = 4096
MNT_DETACH: Final = 2
"""mount(2), umount(2)."""

MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2
_PR_SET_NAME: Final = 15
_PR_SET_IO_FLUSHER: Final = 57

_AT_EMPTY_PATH: Final = 0x1000
_UTIME_OMIT: Final = (1 << 30) - 2

_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_MOUNT_SETATTR: Final = 442
_OPEN_TREE_CLONE: Final = 1
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_MOUNT_ATTR_RDONLY: Final = 1
_MOUNT_ATTR = struct.Struct("=QQQQ")
"""struct mount_attr, linux/mount.h: to set, to clear, propagation, user namespace."""
_AT_FDCWD: Final = -100

_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_FSOPEN_CLOEXEC: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
_FSMOUNT_CLOEXEC: Final = 1

_STATX_BTIME: Final = 0x800
_STATX_ATTR_IMMUTABLE: Final = 0x10
_STATX_ATTR_APPEND: Final = 0x20
_STATX_SIZE: Final = 256
_DIRENT = struct.Struct("<QqHB")  # struct linux_dirent64 up to its name

_libc = ctypes.CDLL(None, use_errno=True)
_int, _long, _str, _size = ctypes.c_int, ctypes.c_long, ctypes.c_char_p, ctypes.c_int64
_unsigned, _pointer = ctypes.c_uint, ctypes.c_void_p


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_int64), ("tv_nsec", ctypes.c_int64))


def _declare(name: str, *arguments: Any, result: Any = _int) -> Callable[..., int]:
    function: Callable[..., int] = _libc[name]
    function.argtypes = arguments  # type: ignore[attr-defined]
    function.restype = result  # type: ignore[attr-defined]
    return function


_mount = _declare("mount", _str, _str, _str, ctypes.c_ulong, _str)
_umount2 = _declare("umount2", _str, _int)
_renameat2 = _declare("renameat2", _int, _str, _int, _str, _unsigned)
_fallocate = _declare("fallocate", _int, _int, _size, _size)
_syncfs = _declare("syncfs", _int)
_prctl = _declare("prctl", _int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_prctl_name = ctypes.CFUNCTYPE(_int, _int, _str, use_errno=True)(("prctl", _libc))
_mlockall = _declare("mlockall", _int)
_utimensat = _declare("utimensat", _int, _str, ctypes.POINTER(_Timespec), _int)
_statx = _declare("statx", _int, _str, _int, _unsigned, _pointer)
_getdents64 = _declare("getdents64", _int, _pointer, ctypes.c_size_t, result=ctypes.c_ssize_t)
_syscall: Callable[..., int] = _libc.syscall
_syscall.restype = _long  # type: ignore[attr-defined]


def _check(result: int, what: str = "") -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what or None)
    return result


def _encoded(path: str | bytes) -> bytes:
    return os.fsencode(path)


def mount(source: str, target: str | bytes, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError."""
    result = _mount(source.encode(), _encoded(target), kind.encode(), flags, options.encode())
    _check(result, f"mount of {kind} on {os.fsdecode(target)}")


def unmount(target: str | bytes, flags: int = 0) -> None:
    """umount2(2). Raises OSError, EINVAL when nothing is mounted there."""
    _check(_umount2(_encoded(target), flags), f"unmount of {os.fsdecode(target)}")


def open_detached(kind: str) -> int:
    """A descriptor of the root of a new mount of a pseudo file system, which stands nowhere in the tree.

    It goes away with the descriptor. Raises OSError.
    """
    context = _check(_syscall(_long(_SYS_FSOPEN), _str(kind.encode()), _long(_FSOPEN_CLOEXEC)), f"fsopen {kind}")
    try:
        create = _long(_FSCONFIG_CMD_CREATE)
        _check(_syscall(_long(_SYS_FSCONFIG), _long(context), create, None, None, _long(0)), f"fsconfig {kind}")
        return _check(_syscall(_long(_SYS_FSMOUNT), _long(context), _long(_FSMOUNT_CLOEXEC), _long(0)), "fsmount")
    finally:
        os.close(context)


def bind_read_only(path: str | bytes) -> None:
    """Mounts the directory ``path`` over itself, read-only from the first moment on. Raises OSError.

    A bind mount that is made read-only by a second call, as by mount(8), stays writable in the namespaces to which it
    has come meanwhile: those of services that have one of their own (PrivateTmp=, ProtectSystem= ...).
    """
    cloexec = _OPEN_TREE_CLONE | os.O_CLOEXEC
    start = _long(_AT_FDCWD)
    tree = _check(_syscall(_long(_SYS_OPEN_TREE), start, _str(_encoded(path)), _long(cloexec)), "open_tree")
    try:
        attributes = _MOUNT_ATTR.pack(_MOUNT_ATTR_RDONLY, 0, 0, 0)
        size, empty = _long(_MOUNT_ATTR.size), _str(b"")
        setting = (_long(_SYS_MOUNT_SETATTR), _long(tree), empty, _long(_AT_EMPTY_PATH), _str(attributes), size)
        _check(_syscall(*setting), "mount_setattr")
        moving = (_long(_SYS_MOVE_MOUNT), _long(tree), empty, start, _str(_encoded(path)))
        _check(_syscall(*moving, _long(_MOVE_MOUNT_F_EMPTY_PATH)), f"mount on {os.fsdecode(path)}")
    finally:
        os.close(tree)


def rename(source_dir: int, source: bytes, target_dir: int, target: bytes, flags: int) -> None:
    """renameat2(2). Raises OSError."""
    if not flags:
        os.rename(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
        return
    _check(_renameat2(source_dir, source, target_dir, target, flags))


def fallocate(file: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2). Raises OSError."""
    while _fallocate(file, mode, offset, length) < 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def syncfs(file: int) -> None:
    """syncfs(2): everything of the file system that ``file`` is on. Blocks. Raises OSError for failed writeback."""
    _check(_syncfs(file), "syncfs")


def set_times(file: int, atime_ns: int | None, mtime_ns: int | None) -> None:
    """utimensat(2) on what ``file`` is open on, O_PATH and symbolic links included; ``None`` leaves a time alone."""
    times = (_Timespec * 2)(_timespec(atime_ns), _timespec(mtime_ns))
    _check(_utimensat(file, b"", times, _AT_EMPTY_PATH))


def _timespec(time_ns: int | None) -> _Timespec:
    if time_ns is None:
        return _Timespec(0, _UTIME_OMIT)
    return _Timespec(*divmod(time_ns, 1_000_000_000))


class Extended(NamedTuple):
    """What stat(2) does not tell."""

    protected: bool
    """chattr +i or +a: the file system refuses changes even to root."""
    birth_ns: int | None
    """Nanoseconds since the epoch of Unix; ``None`` where the file system has none."""


def extended(file: int) -> Extended:
    """statx(2) of what ``file`` is open on. Raises OSError."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    _check(_statx(file, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer))
    mask, _, attributes = struct.unpack_from("<IIQ", buffer)
    seconds, nanoseconds = struct.unpack_from("<qI", buffer, 80)
    birth = seconds * 1_000_000_000 + nanoseconds if mask & _STATX_BTIME else None
    return Extended(bool(attributes & (_STATX_ATTR_IMMUTABLE | _STATX_ATTR_APPEND)), birth)


class Entry(NamedTuple):
    """One entry of a directory as getdents64(2) gives it."""

    name: bytes
    inode: int
    """The file system's own inode number."""
    after: int
    """Where to lseek to for what follows."""
    type: int
    """DT_REG and so on; DT_UNKNOWN where the file system does not say."""


def list_entries(directory: int, size: int = 32768) -> list[Entry]:
    """The next entries from where ``directory`` stands, "." and ".." included; none at its end. Raises OSError."""
    buffer = ctypes.create_string_buffer(size)
    count = _check(_getdents64(directory, buffer, size), "getdents64")
    data = ctypes.string_at(buffer, count)
    entries = []
    position = 0
    while position < count:
        inode, after, length, kind = _DIRENT.unpack_from(data, position)
        start = position + _DIRENT.size
        entries.append(Entry(data[start : data.index(b"\0", start)], inode, after, kind))
        position += length
    return entries


def each_entry(directory: int) -> Iterator[Entry]:
    """All that is left from where ``directory`` stands but "." and "..", read as it is asked for. Raises OSError."""
    while batch := list_entries(directory):
        for entry in batch:
            if entry.name not in (b".", b".."):
                yield entry


def lock_memory() -> None:
    """mlockall(2): what a process that serves writeback must not wait for is its own pages. Raises OSError."""
    _check(_mlockall(MCL_CURRENT | MCL_FUTURE), "mlockall")


def set_io_flusher() -> None:
    """prctl(PR_SET_IO_FLUSHER): this process writes back others' pages, so it must not wait for it. Raises OSError."""
    _check(_prctl(_PR_SET_IO_FLUSHER, 1, 0, 0, 0), "prctl")


def set_process_name(name: str) -> None:
    """prctl(PR_SET_NAME): what ps shows, at most 15 bytes. Raises OSError."""
    _check(_prctl_name(_PR_SET_NAME, name.encode()[:15]), "prctl")


_AIO_CALLS: Final = {"x86_64": (206, 208, 209), "aarch64": (0, 4, 2)}
"""Numbers of io_setup, io_getevents, io_submit; no wrapper in libc, and older than the table that all share."""
_IOCB = struct.Struct("<QIIHhIQQqQII")  # struct iocb of linux/aio_abi.h
_IO_EVENT = struct.Struct("<QQqq")
_IOCB_CMD_FSYNC: Final = 2
_IOCB_CMD_FDSYNC: Final = 3
_IOCB_FLAG_RESFD: Final = 1


class SyncQueue:
    """fsync(2) and fdatasync(2) by the kernel's asynchronous I/O: no thread waits, an eventfd(2) tells of each end."""

    def __init__(self, most: int) -> None:
        """``most``: how many may be under way. Raises OSError (ENOSYS where it is not known how to ask)."""
        calls = _AIO_CALLS.get(os.uname().machine)
        if calls is None:
            raise OSError(errno.ENOSYS, "asynchronous I/O")
        setup, self._getevents, self._submit = (_long(number) for number in calls)
        self._context = ctypes.c_ulong(0)
        _check(_syscall(setup, _long(most), ctypes.byref(self._context)), "io_setup")
        self._most = most
        self._iocb = ctypes.create_string_buffer(_IOCB.size)
        self._pointers = (_pointer * 1)(ctypes.addressof(self._iocb))
        self._events = ctypes.create_string_buffer(_IO_EVENT.size * most)
        self.eventfd: Final = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when something has ended. The context goes with the process, since its end waits for a disk."""

    def submit(self, number: int, file: int, data_only: bool) -> None:
        """Begins one, to be told of as ``number``; ``file`` may be closed then. Raises OSError (EAGAIN: too many)."""
        command = _IOCB_CMD_FDSYNC if data_only else _IOCB_CMD_FSYNC
        _IOCB.pack_into(self._iocb, 0, number, 0, 0, command, 0, file, 0, 0, 0, 0, _IOCB_FLAG_RESFD, self.eventfd)
        _check(_syscall(self._submit, self._context, _long(1), self._pointers), "io_submit")

    def ended(self) -> list[tuple[int, int]]:
        """The numbers of those that have ended since the last call, each with 0 or its negative errno."""
        os.eventfd_read(self.eventfd)
        asked = (_long(0), _long(self._most), self._events, None)
        count = _check(_syscall(self._getevents, self._context, *asked), "io_getevents")
        found = (_IO_EVENT.unpack_from(self._events, index * _IO_EVENT.size) for index in range(count))
        return [(number, result) for number, _, result, _ in found]

    def close(self) -> None:
        """Tells of nothing more; what is under way goes on."""
        os.close(self.eventfd)
