"""The kernel's structures and numbers, from linux/fuse.h version 7.38 (stable: later kernels speak it too).

Only layouts and constants. :mod:`replicator.fuse.requests` reads what the kernel sends, and
:mod:`replicator.fuse.replies` writes what it is answered.
"""

import enum
import struct
from typing import Final

VERSION: Final = 7
MINOR: Final = 38
"""What this file system speaks; with an older kernel it is refused."""
OLDEST_MINOR: Final = 36
"""FUSE_INIT_EXT and FUSE_SETXATTR_EXT are there from about here (Linux 5.17)."""

MAX_WRITE: Final = 1 << 20
"""Bytes of one WRITE or READ: what FUSE_MAX_PAGES allows by default."""
BUFFER_BYTES: Final = MAX_WRITE + 4096
"""What a request needs at most."""


class Opcode(enum.IntEnum):
    """What a request asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    STATX = 52


class InitFlag(enum.IntFlag):
    """What kernel and file system agree on."""

    ASYNC_READ = 1 << 0
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    PARALLEL_DIROPS = 1 << 18
    POSIX_ACL = 1 << 20
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    EXPLICIT_INVAL_DATA = 1 << 25
    HANDLE_KILLPRIV_V2 = 1 << 28
    SETXATTR_EXT = 1 << 29
    INIT_EXT = 1 << 30


class SetAttrField(enum.IntFlag):
    """Which fields a SETATTR sets (FATTR_*)."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    """By an open file: of a size, ftruncate(2)."""
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    KILL_SUIDGID = 1 << 11


WRITE_KILL_SUIDGID: Final = 1 << 2
SETXATTR_ACL_KILL_SGID: Final = 1 << 0
FSYNC_DATA_ONLY: Final = 1 << 0
FOPEN_KEEP_CACHE: Final = 1 << 1
FOPEN_NOFLUSH: Final = 1 << 5
NOTIFY_INVAL_INODE: Final = 2
UNKNOWN_INODE: Final = 0xFFFFFFFF
"""What d_ino is where a file system does not know it."""

IN_HEADER: Final = struct.Struct("<IIQQIIIHH")
"""len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding."""
OUT_HEADER: Final = struct.Struct("<IiQ")
"""len, error, unique."""
ATTR: Final = struct.Struct("<QQQQQQIIIIIIIIII")
"""ino, size, blocks, atime, mtime, ctime, their nanoseconds, mode, nlink, uid, gid, rdev, blksize, flags."""
ENTRY_HEAD: Final = struct.Struct("<QQQQII")
"""nodeid, generation, entry_valid, attr_valid, their nanoseconds; ATTR follows."""
ATTR_HEAD: Final = struct.Struct("<QII")
"""attr_valid, its nanoseconds, padding; ATTR follows."""
OPEN_OUT: Final = struct.Struct("<QII")
"""fh, open_flags, padding."""
WRITE_IN: Final = struct.Struct("<QQIIQII")
"""fh, offset, size, write_flags, lock_owner, flags, padding."""
WRITE_REPLY: Final = struct.Struct("<IiQII")
"""OUT_HEADER, then size and padding: what answers a WRITE, in one."""
SETATTR_IN: Final = struct.Struct("<IIQQQQQQIIIIIIII")
"""valid, padding, fh, size, lock_owner, atime, mtime, ctime, their nanoseconds, mode, -, uid, gid, -."""
INIT_IN: Final = struct.Struct("<IIII")
"""major, minor, max_readahead, flags; flags2 and more may follow."""
INIT_OUT: Final = struct.Struct("<IIIIHHIIHHI28x")
"""major, minor, max_readahead, flags, max_background, congestion_threshold, max_write, time_gran, max_pages,
map_alignment, flags2."""
KSTATFS: Final = struct.Struct("<QQQQQIIII24x")
"""blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding."""
DIRENT: Final = struct.Struct("<QQII")
"""ino, off, namelen, type; the name follows, padded to 8."""
SX_TIME: Final = struct.Struct("<qIi")
"""Seconds, nanoseconds, reserved."""
STATX_OUT_HEAD: Final = struct.Struct("<QIIQQ")
"""attr_valid, its nanoseconds, flags, spare: struct fuse_statx follows."""
STATX_HEAD: Final = struct.Struct("<IIQIIIHHQQQQ")
"""mask, blksize, attributes, nlink, uid, gid, mode, padding, ino, size, blocks, attributes_mask; four times and
the device numbers follow."""
STATX_DEVICES: Final = struct.Struct("<IIII112x")
"""rdev major and minor, dev major and minor."""
NOTIFY_INODE: Final = struct.Struct("<Qqq")
"""ino, offset, length: a negative offset is about attributes alone."""
