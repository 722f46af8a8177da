"""Operations to bytes and back: the bodies of the frames with the kinds of :class:`Kind`.

Strict both ways of reading: lengths add up to the byte, ids, names, modes, flags and offsets are in range, so that
nothing but what a primary can have meant reaches the files. What is not raises :class:`PeerProtocolError`.

A write is the hot path: frame header and its own fields are packed at once, its data is neither copied when sent nor
when received (:func:`pack_write`, :func:`decode_write`).
"""

import stat
import struct
from collections.abc import Callable
from typing import Any, Final

from manager.model.errors import PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import (
    FALLOCATE_MODES,
    HIDDEN_XATTRS,
    PRIVATE_NAME,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
)
from replicator.core.operations import (
    Attribute,
    Bind,
    Create,
    Fallocate,
    Fsync,
    Kind,
    Link,
    Operation,
    RemoveXattr,
    Rename,
    Rmdir,
    SetAttr,
    SetXattr,
    Unbind,
    Unlink,
    Write,
)
from replicator.wire.frames import CHECKSUM, MAGIC, Digest

WRITE: Final = struct.Struct("<QQI")
"""Inode, offset, volume; then the data."""
CREATE: Final = struct.Struct("<QQIIIIIHHH")
"""Inode, parent, mode, umask, uid, gid, rdev, volume, bytes of the name, bytes of the target; then name, target."""
NAME: Final = struct.Struct("<QQHH")
"""UNLINK, RMDIR, LINK, BIND: inode, parent, volume, bytes of the name; then the name."""
RENAME: Final = struct.Struct("<QQQQIHHH")
"""Inode, parent, new parent, replaced, flags, volume, bytes of the name and of the new name; then both."""
SETATTR: Final = struct.Struct("<QQqIqIIIIIH")
"""Inode, size, atime (seconds, nanoseconds), mtime (likewise), valid, mode, uid, gid, volume."""
SETXATTR: Final = struct.Struct("<QIIHHB")
"""Inode, flags, bytes of the value, volume, bytes of the name, kill_sgid; then name, value."""
REMOVEXATTR: Final = struct.Struct("<QHH")
"""Inode, volume, bytes of the name; then the name."""
FALLOCATE: Final = struct.Struct("<QQQIH")
"""Inode, offset, length, mode, volume."""
FSYNC: Final = struct.Struct("<QHBBqI")
"""Inode, volume, data_only."""
UNBIND: Final = struct.Struct("<QH")
"""Inode, volume."""

MAX_NAME: Final = 255
MAX_TARGET: Final = 4095
MAX_XATTR_VALUE: Final = 65536
_MAX_OFFSET: Final = (1 << 63) - 1
_MAX_INODE: Final = (1 << 63) - 1
_NO_ID: Final = (1 << 32) - 1
_SECOND_NS: Final = 1_000_000_000
_ALL_ATTRIBUTES: Final = sum(Attribute)
_TYPES: Final = frozenset(
    {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK}
)
_RESERVED: Final = (b".", b"..")
_WRITE_FRAME: Final = struct.Struct("<QIIIBBHQQI")  # frames.HEADER from behind its checksum, then WRITE
WRITE_SIZE: Final = WRITE.size
"""What a write's frame has beside its header and data."""
_pack_write: Final = _WRITE_FRAME.pack
_pack_checksum: Final = CHECKSUM.pack


# Encoding


def pack_write(epoch: int, sequence: int, operation: Write) -> bytes:
    """All of a write's frame but its data, which follows as it is."""
    data = operation.data
    length = WRITE_SIZE + len(data)
    rest = _pack_write(
        sequence, epoch, length, length, 1, 0, MAGIC, operation.inode, operation.offset, operation.volume,
    )  # fmt: skip
    state = Digest(rest)
    state.update(data)
    return _pack_checksum(state.intdigest()) + rest


def encode(operation: Operation) -> tuple[bytes | memoryview, ...]:
    """The body of an operation's frame, in parts; a write's data is not copied."""
    return _ENCODE[operation.kind](operation)


def _encode_write(o: Write) -> tuple[bytes | memoryview, ...]:
    return WRITE.pack(o.inode, o.offset, o.volume), o.data


def _encode_create(o: Create) -> tuple[bytes, ...]:
    sizes = (len(o.name), len(o.target))
    head = CREATE.pack(o.inode, o.parent, o.mode, o.umask, o.uid, o.gid, o.rdev, o.volume, *sizes)
    return (head + o.name + o.target,)


def _encode_name(o: Unlink | Rmdir | Link | Bind) -> tuple[bytes, ...]:
    return (NAME.pack(o.inode, o.parent, o.volume, len(o.name)) + o.name,)


def _encode_rename(o: Rename) -> tuple[bytes, ...]:
    sizes = (len(o.name), len(o.new_name))
    head = RENAME.pack(o.inode, o.parent, o.new_parent, o.replaced, o.flags, o.volume, *sizes)
    return (head + o.name + o.new_name,)


def _encode_setattr(o: SetAttr) -> tuple[bytes, ...]:
    valid = o.valid  # what it does not name may be anything here, and is 0 on the wire
    body = SETATTR.pack(
        o.inode,
        o.size if valid & Attribute.SIZE else 0,
        *divmod(o.atime_ns if valid & Attribute.ATIME else 0, _SECOND_NS),
        *divmod(o.mtime_ns if valid & Attribute.MTIME else 0, _SECOND_NS),
        valid,
        o.mode if valid & Attribute.MODE else 0,
        o.uid if valid & Attribute.UID else 0,
        o.gid if valid & Attribute.GID else 0,
        o.volume,
    )
    return (body,)


def _encode_setxattr(o: SetXattr) -> tuple[bytes, ...]:
    head = SETXATTR.pack(o.inode, o.flags, len(o.value), o.volume, len(o.name), o.kill_sgid)
    return (head + o.name + o.value,)


def _encode_removexattr(o: RemoveXattr) -> tuple[bytes, ...]:
    return (REMOVEXATTR.pack(o.inode, o.volume, len(o.name)) + o.name,)


def _encode_fallocate(o: Fallocate) -> tuple[bytes, ...]:
    return (FALLOCATE.pack(o.inode, o.offset, o.length, o.mode, o.volume),)


def _encode_fsync(o: Fsync) -> tuple[bytes, ...]:
    seconds, nanoseconds = divmod(o.mtime_ns or 0, _SECOND_NS)
    return (FSYNC.pack(o.inode, o.volume, o.data_only, o.mtime_ns is not None, seconds, nanoseconds),)


def _encode_unbind(o: Unbind) -> tuple[bytes, ...]:
    return (UNBIND.pack(o.inode, o.volume),)


_ENCODE: Final[dict[Kind, Callable[[Any], tuple[bytes | memoryview, ...]]]] = {
    Kind.WRITE: _encode_write,
    Kind.CREATE: _encode_create,
    Kind.UNLINK: _encode_name,
    Kind.RMDIR: _encode_name,
    Kind.RENAME: _encode_rename,
    Kind.LINK: _encode_name,
    Kind.SETATTR: _encode_setattr,
    Kind.SETXATTR: _encode_setxattr,
    Kind.REMOVEXATTR: _encode_removexattr,
    Kind.FALLOCATE: _encode_fallocate,
    Kind.FSYNC: _encode_fsync,
    Kind.BIND: _encode_name,
    Kind.UNBIND: _encode_unbind,
}


# Decoding


def decode(kind: int, body: memoryview, volumes: int) -> Operation:
    """The operation in ``body``, for a module of so many ``volumes``; a write's data is a view of ``body``.

    Raises:
        PeerProtocolError: it is not exactly one operation of this kind.
    """
    decoder = _DECODE.get(kind)
    if decoder is None:
        raise PeerProtocolError(f"kind {kind} is no operation")
    try:
        operation: Operation = decoder(body)
    except struct.error:
        raise _bad(kind, f"{len(body)} bytes") from None
    if operation.volume >= volumes:
        raise _bad(kind, f"directory {operation.volume} of {volumes}")
    return operation


def decode_write(body: memoryview) -> Write:
    """The write in ``body``, which frames.BODY_BOUNDS has bounded; its data is a view of it.

    Raises:
        PeerProtocolError: it is not a write.
    """
    inode, offset, volume = WRITE.unpack_from(body)
    data = body[WRITE_SIZE:]
    if not 0 < inode <= _MAX_INODE or offset + len(data) > _MAX_OFFSET:
        raise _bad(Kind.WRITE, f"inode {inode:x}, offset {offset}, {len(data)} bytes")
    return Write(volume, inode, offset, data)


def _bad(kind: int, what: str) -> PeerProtocolError:
    return PeerProtocolError(f"bad {Kind(kind).name}: {what}")


def _check_length(kind: int, body: memoryview, length: int) -> None:
    if len(body) != length:
        raise _bad(kind, f"{len(body)} bytes, {length} were expected")


def _check_inode(kind: int, inode: int, least: int = ROOT_INODE) -> int:
    if not least <= inode <= _MAX_INODE:
        raise _bad(kind, f"inode {inode:x}")
    return inode


def _check_name(kind: int, parent: int, name: bytes) -> bytes:
    if not name or len(name) > MAX_NAME or b"/" in name or b"\0" in name or name in _RESERVED:
        raise _bad(kind, f"name {name[:64]!r}")
    if name == PRIVATE_NAME and parent == ROOT_INODE:
        raise _bad(kind, "the reserved name")
    return name


def _check_xattr_name(kind: int, name: bytes) -> bytes:
    if not name or len(name) > MAX_NAME or b"\0" in name or name in HIDDEN_XATTRS:
        raise _bad(kind, f"attribute {name[:64]!r}")
    return name


def _check_bool(kind: int, value: int) -> bool:
    if value > 1:
        raise _bad(kind, f"{value} is neither 0 nor 1")
    return bool(value)


_OTHER: Final = ROOT_INODE + 1
"""The least id of an inode that is not a root."""


def _decode_create(body: memoryview) -> Create:
    kind = Kind.CREATE
    inode, parent, mode, umask, uid, gid, rdev, volume, name_bytes, target_bytes = CREATE.unpack_from(body)
    size = CREATE.size
    _check_length(kind, body, size + name_bytes + target_bytes)
    name = _check_name(kind, parent, bytes(body[size : size + name_bytes]))
    target = bytes(body[size + name_bytes :])
    is_link = stat.S_IFMT(mode) == stat.S_IFLNK
    if stat.S_IFMT(mode) not in _TYPES or mode > 0o177777 or umask > 0o777:
        raise _bad(kind, f"mode {mode:o}, umask {umask:o}")
    if bool(target) != is_link or len(target) > MAX_TARGET or b"\0" in target:
        raise _bad(kind, f"target {target[:64]!r}")
    if _NO_ID in (uid, gid):
        raise _bad(kind, f"owner {uid}:{gid}")
    _check_inode(kind, inode, _OTHER)
    _check_inode(kind, parent)
    return Create(volume, inode, parent, name, mode, umask, uid, gid, rdev, target)


def _named(kind: Kind, build: Callable[[int, int, int, bytes], Any]) -> Callable[[memoryview], Any]:
    def decode_named(body: memoryview) -> Any:
        inode, parent, volume, name_bytes = NAME.unpack_from(body)
        _check_length(kind, body, NAME.size + name_bytes)
        _check_inode(kind, inode, _OTHER)
        _check_inode(kind, parent)
        return build(volume, inode, parent, _check_name(kind, parent, bytes(body[NAME.size :])))

    return decode_named


def _decode_rename(body: memoryview) -> Rename:
    kind = Kind.RENAME
    inode, parent, new_parent, replaced, flags, volume, name_bytes, new_bytes = RENAME.unpack_from(body)
    size = RENAME.size
    _check_length(kind, body, size + name_bytes + new_bytes)
    name = _check_name(kind, parent, bytes(body[size : size + name_bytes]))
    new_name = _check_name(kind, new_parent, bytes(body[size + name_bytes :]))
    _check_inode(kind, inode, _OTHER)
    _check_inode(kind, parent)
    _check_inode(kind, new_parent)
    if replaced:
        _check_inode(kind, replaced, _OTHER)
    if flags not in (0, RENAME_NOREPLACE, RENAME_EXCHANGE):
        raise _bad(kind, f"flags {flags:#x}")
    if (flags == RENAME_EXCHANGE and not replaced) or (flags == RENAME_NOREPLACE and replaced):
        raise _bad(kind, f"flags {flags:#x} with inode {replaced:x} at the new name")
    return Rename(volume, inode, parent, name, new_parent, new_name, flags, replaced)


def _decode_setattr(body: memoryview) -> SetAttr:
    kind = Kind.SETATTR
    _check_length(kind, body, SETATTR.size)
    inode, size, atime_s, atime_ns, mtime_s, mtime_ns, valid, mode, uid, gid, volume = SETATTR.unpack(body)
    _check_inode(kind, inode)
    if valid & ~_ALL_ATTRIBUTES or mode > 0o177777 or size > _MAX_OFFSET:
        raise _bad(kind, f"valid {valid:#x}, mode {mode:o}, size {size}")
    if _NO_ID in (uid, gid) or max(atime_ns, mtime_ns) >= _SECOND_NS:
        raise _bad(kind, f"owner {uid}:{gid}, nanoseconds {atime_ns}, {mtime_ns}")
    atime, mtime = atime_s * _SECOND_NS + atime_ns, mtime_s * _SECOND_NS + mtime_ns
    return SetAttr(volume, inode, valid, mode, uid, gid, size, atime, mtime)


def _decode_setxattr(body: memoryview) -> SetXattr:
    kind = Kind.SETXATTR
    inode, flags, value_bytes, volume, name_bytes, kill_sgid = SETXATTR.unpack_from(body)
    size = SETXATTR.size
    _check_length(kind, body, size + name_bytes + value_bytes)
    _check_inode(kind, inode)
    if flags > 2 or value_bytes > MAX_XATTR_VALUE:
        raise _bad(kind, f"flags {flags:#x}, {value_bytes} bytes")
    name = _check_xattr_name(kind, bytes(body[size : size + name_bytes]))
    return SetXattr(volume, inode, name, bytes(body[size + name_bytes :]), flags, _check_bool(kind, kill_sgid))


def _decode_removexattr(body: memoryview) -> RemoveXattr:
    kind = Kind.REMOVEXATTR
    inode, volume, name_bytes = REMOVEXATTR.unpack_from(body)
    _check_length(kind, body, REMOVEXATTR.size + name_bytes)
    name = _check_xattr_name(kind, bytes(body[REMOVEXATTR.size :]))
    return RemoveXattr(volume, _check_inode(kind, inode), name)


def _decode_fallocate(body: memoryview) -> Fallocate:
    kind = Kind.FALLOCATE
    _check_length(kind, body, FALLOCATE.size)
    inode, offset, length, mode, volume = FALLOCATE.unpack(body)
    if mode not in FALLOCATE_MODES or not length or offset + length > _MAX_OFFSET:
        raise _bad(kind, f"mode {mode:#x}, offset {offset}, length {length}")
    return Fallocate(volume, _check_inode(kind, inode), mode, offset, length)


def _decode_fsync(body: memoryview) -> Fsync:
    kind = Kind.FSYNC
    _check_length(kind, body, FSYNC.size)
    inode, volume, data_only, timed, seconds, nanoseconds = FSYNC.unpack(body)
    if nanoseconds >= _SECOND_NS or (not _check_bool(kind, timed) and (seconds or nanoseconds)):
        raise _bad(kind, f"mtime {seconds} s, {nanoseconds} ns")
    mtime_ns = seconds * _SECOND_NS + nanoseconds if timed else None
    return Fsync(volume, _check_inode(kind, inode), _check_bool(kind, data_only), mtime_ns)


def _decode_unbind(body: memoryview) -> Unbind:
    kind = Kind.UNBIND
    _check_length(kind, body, UNBIND.size)
    inode, volume = UNBIND.unpack(body)
    return Unbind(volume, _check_inode(kind, inode, _OTHER))


_DECODE: Final[dict[int, Callable[[memoryview], Any]]] = {
    Kind.WRITE: decode_write,
    Kind.CREATE: _decode_create,
    Kind.UNLINK: _named(Kind.UNLINK, Unlink),
    Kind.RMDIR: _named(Kind.RMDIR, Rmdir),
    Kind.RENAME: _decode_rename,
    Kind.LINK: _named(Kind.LINK, Link),
    Kind.SETATTR: _decode_setattr,
    Kind.SETXATTR: _decode_setxattr,
    Kind.REMOVEXATTR: _decode_removexattr,
    Kind.FALLOCATE: _decode_fallocate,
    Kind.FSYNC: _decode_fsync,
    Kind.BIND: _named(Kind.BIND, Bind),
    Kind.UNBIND: _decode_unbind,
}
