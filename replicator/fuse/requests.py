"""What the kernel asks: bytes in, objects out. No I/O.

Each decoder gets what follows the header of a request, and raises PeerProtocolError for what linux/fuse.h does not
allow. The header of a WRITE is read where it is served (``replicator.fuse.writing``), for speed.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from manager.model.errors import PeerProtocolError
from replicator.fuse import abi
from replicator.fuse.abi import Opcode

_T = TypeVar("_T")
_U64 = struct.Struct("<Q")
_II = struct.Struct("<II")
_IIII = struct.Struct("<IIII")
_QII = struct.Struct("<QII")
_READ = struct.Struct("<QQI")
_FALLOCATE = struct.Struct("<QQQI")
_LSEEK = struct.Struct("<QQI")
_FORGET_ONE = struct.Struct("<QQ")
_INIT_FLAGS2 = struct.Struct("<16xI")


class Header(NamedTuple):
    """What every request begins with (struct fuse_in_header)."""

    length: int
    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    pid: int


class Nothing(NamedTuple):
    """A request whose header says it all, or whose body does not matter here."""


class Named(NamedTuple):
    """LOOKUP, UNLINK, RMDIR, REMOVEXATTR."""

    name: bytes


class Forget(NamedTuple):
    """FORGET and BATCH_FORGET: inode and how many look-ups of it the kernel forgets."""

    nodes: tuple[tuple[int, int], ...]


class SetAttr(NamedTuple):
    """SETATTR; times in nanoseconds since the epoch of Unix."""

    valid: int
    size: int
    atime_ns: int
    mtime_ns: int
    mode: int
    uid: int
    gid: int


class Symlink(NamedTuple):
    """SYMLINK."""

    name: bytes
    target: bytes


class Make(NamedTuple):
    """MKNOD and MKDIR."""

    mode: int
    rdev: int
    umask: int
    name: bytes


class Rename(NamedTuple):
    """RENAME and RENAME2."""

    new_parent: int
    flags: int
    name: bytes
    new_name: bytes


class Link(NamedTuple):
    """LINK."""

    inode: int
    name: bytes


class Open(NamedTuple):
    """OPEN and OPENDIR."""

    flags: int


class Create(NamedTuple):
    """CREATE."""

    flags: int
    mode: int
    umask: int
    name: bytes


class Read(NamedTuple):
    """READ, READDIR and READDIRPLUS."""

    handle: int
    offset: int
    size: int


class Release(NamedTuple):
    """RELEASE, RELEASEDIR and FLUSH."""

    handle: int


class Fsync(NamedTuple):
    """FSYNC and FSYNCDIR."""

    data_only: bool
    handle: int


class SetXattr(NamedTuple):
    """SETXATTR."""

    name: bytes
    value: bytes
    flags: int
    kill_sgid: bool


class GetXattr(NamedTuple):
    """GETXATTR, and LISTXATTR with an empty name; a size of 0 asks for the size."""

    name: bytes
    size: int


class Fallocate(NamedTuple):
    """FALLOCATE."""

    offset: int
    length: int
    mode: int


class Lseek(NamedTuple):
    """LSEEK."""

    offset: int
    whence: int


class Init(NamedTuple):
    """INIT."""

    major: int
    minor: int
    max_readahead: int
    flags: int


def decode_header(data: memoryview) -> Header:
    """The header of a request."""
    if len(data) < abi.IN_HEADER.size:
        raise PeerProtocolError(f"a request of {len(data)} bytes from the kernel")
    header = Header(*abi.IN_HEADER.unpack_from(data)[:7])
    if header.length != len(data):
        raise PeerProtocolError(f"a request of {len(data)} bytes that says it has {header.length}")
    return header


def decode(opcode: int, body: memoryview) -> Any:
    """What follows the header of a request that has a decoder."""
    try:
        return _DECODERS[opcode](body)
    except (struct.error, ValueError, IndexError):
        raise PeerProtocolError(f"operation {opcode} with a body of {len(body)} bytes from the kernel") from None


def _names(data: memoryview, count: int) -> list[bytes]:
    """``count`` strings, each with a zero byte after it, and nothing else."""
    parts = bytes(data).split(b"\0")
    if len(parts) != count + 1 or parts[-1] or not all(parts[:-1]):
        raise ValueError
    return parts[:-1]


def _nothing(_body: memoryview) -> Nothing:
    return Nothing()


def _named(body: memoryview) -> Named:
    return Named(*_names(body, 1))


def _forget(body: memoryview) -> int:
    return int(_U64.unpack_from(body)[0])


def _batch_forget(body: memoryview) -> Forget:
    count, _ = _II.unpack_from(body)
    if len(body) < _II.size + count * _FORGET_ONE.size:
        raise ValueError
    return Forget(tuple(_FORGET_ONE.unpack_from(body, _II.size + i * _FORGET_ONE.size) for i in range(count)))


def _setattr(body: memoryview) -> SetAttr:
    fields = abi.SETATTR_IN.unpack_from(body)
    valid, size = fields[0], fields[3]
    atime, mtime = (seconds - (1 << 64) if seconds >> 63 else seconds for seconds in fields[5:7])
    atime_ns, mtime_ns = atime * 1_000_000_000 + fields[8], mtime * 1_000_000_000 + fields[9]
    return SetAttr(valid, size, atime_ns, mtime_ns, mode=fields[11], uid=fields[13], gid=fields[14])


def _symlink(body: memoryview) -> Symlink:
    return Symlink(*_names(body, 2))


def _mknod(body: memoryview) -> Make:
    mode, rdev, umask, _ = _IIII.unpack_from(body)
    return Make(mode, rdev, umask, *_names(body[16:], 1))


def _mkdir(body: memoryview) -> Make:
    mode, umask = _II.unpack_from(body)
    return Make(mode, 0, umask, *_names(body[8:], 1))


def _rename(body: memoryview) -> Rename:
    return Rename(_U64.unpack_from(body)[0], 0, *_names(body[8:], 2))


def _rename2(body: memoryview) -> Rename:
    new_parent, flags, _ = _QII.unpack_from(body)
    return Rename(new_parent, flags, *_names(body[16:], 2))


def _link(body: memoryview) -> Link:
    return Link(_U64.unpack_from(body)[0], *_names(body[8:], 1))


def _open(body: memoryview) -> Open:
    flags, _ = _II.unpack_from(body)
    return Open(flags)


def _create(body: memoryview) -> Create:
    flags, mode, umask, _ = _IIII.unpack_from(body)
    return Create(flags, mode, umask, *_names(body[16:], 1))


def _read(body: memoryview) -> Read:
    return Read(*_READ.unpack_from(body))


def _release(body: memoryview) -> Release:
    return Release(_U64.unpack_from(body)[0])


def _fsync(body: memoryview) -> Fsync:
    handle, flags, _ = _QII.unpack_from(body)
    return Fsync(bool(flags & abi.FSYNC_DATA_ONLY), handle)


def _setxattr(body: memoryview) -> SetXattr:
    size, flags, setxattr_flags, _ = _IIII.unpack_from(body)
    rest = bytes(body[16:])
    end = rest.index(b"\0")
    value = rest[end + 1 :]
    if end == 0 or len(value) != size:
        raise ValueError
    return SetXattr(rest[:end], value, flags, bool(setxattr_flags & abi.SETXATTR_ACL_KILL_SGID))


def _getxattr(body: memoryview) -> GetXattr:
    size, _ = _II.unpack_from(body)
    return GetXattr(_names(body[8:], 1)[0], size)


def _listxattr(body: memoryview) -> GetXattr:
    size, _ = _II.unpack_from(body)
    return GetXattr(b"", size)


def _fallocate(body: memoryview) -> Fallocate:
    _, offset, length, mode = _FALLOCATE.unpack_from(body)
    return Fallocate(offset, length, mode)


def _lseek(body: memoryview) -> Lseek:
    _, offset, whence = _LSEEK.unpack_from(body)
    return Lseek(offset - (1 << 64) if offset >> 63 else offset, whence)


def _init(body: memoryview) -> Init:
    major, minor, max_readahead, flags = abi.INIT_IN.unpack_from(body)
    if flags & abi.InitFlag.INIT_EXT and len(body) >= _INIT_FLAGS2.size:
        flags |= _INIT_FLAGS2.unpack_from(body)[0] << 32
    return Init(major, minor, max_readahead, flags)


_DECODERS: dict[int, Callable[[memoryview], Any]] = {
    Opcode.LOOKUP: _named,
    Opcode.FORGET: _forget,
    Opcode.GETATTR: _nothing,
    Opcode.SETATTR: _setattr,
    Opcode.READLINK: _nothing,
    Opcode.SYMLINK: _symlink,
    Opcode.MKNOD: _mknod,
    Opcode.MKDIR: _mkdir,
    Opcode.UNLINK: _named,
    Opcode.RMDIR: _named,
    Opcode.RENAME: _rename,
    Opcode.LINK: _link,
    Opcode.OPEN: _open,
    Opcode.READ: _read,
    Opcode.STATFS: _nothing,
    Opcode.RELEASE: _release,
    Opcode.FSYNC: _fsync,
    Opcode.SETXATTR: _setxattr,
    Opcode.GETXATTR: _getxattr,
    Opcode.LISTXATTR: _listxattr,
    Opcode.REMOVEXATTR: _named,
    Opcode.FLUSH: _release,
    Opcode.INIT: _init,
    Opcode.OPENDIR: _open,
    Opcode.READDIR: _read,
    Opcode.RELEASEDIR: _release,
    Opcode.FSYNCDIR: _fsync,
    Opcode.CREATE: _create,
    Opcode.BATCH_FORGET: _batch_forget,
    Opcode.FALLOCATE: _fallocate,
    Opcode.READDIRPLUS: _read,
    Opcode.RENAME2: _rename2,
    Opcode.LSEEK: _lseek,
    Opcode.STATX: _nothing,
    Opcode.DESTROY: _nothing,
}
