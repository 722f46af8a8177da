"""The operations that change a replicated tree: what is shipped, applied at the peer, then applied here.

An operation names inodes by their id and entries by (directory id, name), never by path, so that its meaning
does not change with a rename elsewhere. The same :class:`Operation` is encoded for the wire
(``replicator.wire.operations``) and applied to the files below (``replicator.disk.volume``) on both nodes, so that
both do the same. This module knows neither of them.
"""

import enum
from dataclasses import dataclass
from typing import ClassVar


class Kind(enum.IntEnum):
    """What an operation does. The numbers are the wire's (docs/PROTOCOL.md)."""

    WRITE = 1
    CREATE = 2
    """A file, directory, symbolic link, device, fifo or socket: by the type bits of ``mode``."""
    UNLINK = 3
    RMDIR = 4
    RENAME = 5
    LINK = 6
    SETATTR = 7
    SETXATTR = 8
    REMOVEXATTR = 9
    FALLOCATE = 10
    FSYNC = 11
    BIND = 12
    """Introduces an inode id to the peer by one of its names, before its first use on a stream."""
    UNBIND = 13
    """The primary's kernel has forgotten the inode: the peer may close what it holds open for it."""


class Attribute(enum.IntFlag):
    """Which fields a Kind.SETATTR sets."""

    MODE = 1
    UID = 2
    GID = 4
    SIZE = 8
    ATIME = 16
    MTIME = 32


@dataclass(slots=True)
class Write:
    """``data`` at ``offset`` of a regular file. The one operation on the hot path."""

    volume: int
    inode: int
    offset: int
    data: bytes | memoryview
    kind: ClassVar[Kind] = Kind.WRITE


@dataclass(slots=True)
class Create:
    """A new ``name`` in ``parent``; ``mode`` has the type bits; owner and mode are final but for default ACLs."""

    volume: int
    inode: int
    """The id of the new inode, chosen by the primary."""
    parent: int
    name: bytes
    mode: int
    umask: int
    """For the file system below, which ignores it where ``parent`` has a default ACL."""
    uid: int
    gid: int
    rdev: int
    target: bytes
    """What a symbolic link points to, else empty."""
    kind: ClassVar[Kind] = Kind.CREATE


@dataclass(slots=True)
class Unlink:
    """Removes an entry that is no directory."""

    volume: int
    inode: int
    """Which inode the name stands for: another one there is a divergence, not an error of the caller."""
    parent: int
    name: bytes
    kind: ClassVar[Kind] = Kind.UNLINK


@dataclass(slots=True)
class Rmdir:
    """Removes an empty directory."""

    volume: int
    inode: int
    parent: int
    name: bytes
    kind: ClassVar[Kind] = Kind.RMDIR


@dataclass(slots=True)
class Rename:
    """As renameat2(2); ``flags`` are its RENAME_NOREPLACE and RENAME_EXCHANGE."""

    volume: int
    inode: int
    parent: int
    name: bytes
    new_parent: int
    new_name: bytes
    flags: int
    replaced: int
    """The inode that stood at the new name, or 0."""
    kind: ClassVar[Kind] = Kind.RENAME


@dataclass(slots=True)
class Link:
    """A further name for an inode."""

    volume: int
    inode: int
    parent: int
    name: bytes
    kind: ClassVar[Kind] = Kind.LINK


@dataclass(slots=True)
class SetAttr:
    """Sets the fields that ``valid`` (Attribute) names; times in nanoseconds since the epoch of Unix."""

    volume: int
    inode: int
    valid: int
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    atime_ns: int = 0
    mtime_ns: int = 0
    kind: ClassVar[Kind] = Kind.SETATTR


@dataclass(slots=True)
class SetXattr:
    """As setxattr(2) with its XATTR_CREATE and XATTR_REPLACE."""

    volume: int
    inode: int
    name: bytes
    value: bytes
    flags: int
    kill_sgid: bool
    """An access ACL set by one outside the group: the set-group bit goes (FUSE_SETXATTR_ACL_KILL_SGID)."""
    kind: ClassVar[Kind] = Kind.SETXATTR


@dataclass(slots=True)
class RemoveXattr:
    """As removexattr(2)."""

    volume: int
    inode: int
    name: bytes
    kind: ClassVar[Kind] = Kind.REMOVEXATTR


@dataclass(slots=True)
class Fallocate:
    """As fallocate(2), in the modes that the kernel passes on: default, keep size, punch hole, zero range."""

    volume: int
    inode: int
    mode: int
    offset: int
    length: int
    kind: ClassVar[Kind] = Kind.FALLOCATE


@dataclass(slots=True)
class Fsync:
    """Brings an inode (file or directory) to the disk. Acknowledged by its own frame, when it is there."""

    volume: int
    inode: int
    data_only: bool
    mtime_ns: int | None = None
    """The inode's mtime, which the peer sets before; ``None``: the copies have it in common, or nothing is said."""
    kind: ClassVar[Kind] = Kind.FSYNC


@dataclass(slots=True)
class Bind:
    """``inode`` is what ``name`` in ``parent`` stands for, at this point of the stream."""

    volume: int
    inode: int
    parent: int
    name: bytes
    kind: ClassVar[Kind] = Kind.BIND


@dataclass(slots=True)
class Unbind:
    """``inode`` is not used any more until it is bound again."""

    volume: int
    inode: int
    kind: ClassVar[Kind] = Kind.UNBIND


Operation = (
    Write
    | Create
    | Unlink
    | Rmdir
    | Rename
    | Link
    | SetAttr
    | SetXattr
    | RemoveXattr
    | Fallocate
    | Fsync
    | Bind
    | Unbind
)
