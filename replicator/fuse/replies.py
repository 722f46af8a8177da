"""What the kernel is answered: the bodies of replies, as bytes. No I/O.

Names and attributes are valid for long: this file system is the only writer, and the kernel itself drops what its
own operations change.
"""

import os
import stat
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.fuse import abi

VALID_SECONDS: Final = 86400
"""How long the kernel may keep names and attributes without asking."""
NEGATIVE_ENTRY: Final = abi.ENTRY_HEAD.pack(0, 0, VALID_SECONDS, 0, 0, 0) + abi.ATTR.pack(*[0] * 16)
"""There is no such name, and will not be unless it is made here."""
_S: Final = 1_000_000_000
_U64: Final = (1 << 64) - 1
_STATX_BASIC: Final = 0x7FF
_STATX_BTIME: Final = 0x800


def attributes(inode: int, status: os.stat_result) -> bytes:
    """struct fuse_attr."""
    atime, atime_ns = divmod(status.st_atime_ns, _S)
    mtime, mtime_ns = divmod(status.st_mtime_ns, _S)
    ctime, ctime_ns = divmod(status.st_ctime_ns, _S)
    return abi.ATTR.pack(
        inode,
        status.st_size,
        status.st_blocks,
        atime & _U64,
        mtime & _U64,
        ctime & _U64,
        atime_ns,
        mtime_ns,
        ctime_ns,
        status.st_mode,
        _links(inode, status),
        status.st_uid,
        status.st_gid,
        status.st_rdev & 0xFFFFFFFF,
        status.st_blksize,
        0,
    )


def _links(inode: int, status: os.stat_result) -> int:
    # The hidden .mirrorfarm/ counts below, where directories count at all.
    return status.st_nlink - 1 if inode == ROOT_INODE and status.st_nlink > 2 else status.st_nlink


def entry(inode: int, status: os.stat_result) -> bytes:
    """struct fuse_entry_out."""
    return abi.ENTRY_HEAD.pack(inode, 0, VALID_SECONDS, VALID_SECONDS, 0, 0) + attributes(inode, status)


def attr(inode: int, status: os.stat_result) -> bytes:
    """struct fuse_attr_out."""
    return abi.ATTR_HEAD.pack(VALID_SECONDS, 0, 0) + attributes(inode, status)


def opened(handle: int, flags: int) -> bytes:
    """struct fuse_open_out."""
    return abi.OPEN_OUT.pack(handle, flags, 0)


def extended(inode: int, status: os.stat_result, birth_ns: int | None) -> bytes:
    """struct fuse_statx_out."""
    mask = _STATX_BASIC | (_STATX_BTIME if birth_ns is not None else 0)
    times = (status.st_atime_ns, birth_ns or 0, status.st_ctime_ns, status.st_mtime_ns)
    return b"".join(
        (
            abi.STATX_OUT_HEAD.pack(VALID_SECONDS, 0, 0, 0, 0),
            abi.STATX_HEAD.pack(
                mask,
                status.st_blksize,
                0,
                _links(inode, status),
                status.st_uid,
                status.st_gid,
                status.st_mode,
                0,
                inode,
                status.st_size,
                status.st_blocks,
                0,
            ),
            *(abi.SX_TIME.pack(time // _S, time % _S, 0) for time in times),
            abi.STATX_DEVICES.pack(os.major(status.st_rdev), os.minor(status.st_rdev), 0, 0),
        )
    )


def filesystem(status: os.statvfs_result, free_bytes: int, free_inodes: int) -> bytes:
    """struct fuse_statfs_out, with what one without privilege may still use."""
    available = min(free_bytes, status.f_bavail * status.f_frsize) // status.f_frsize
    return abi.KSTATFS.pack(
        status.f_blocks,
        min(status.f_bfree, available),
        available,
        status.f_files,
        min(status.f_ffree, free_inodes),
        status.f_bsize,
        status.f_namemax,
        status.f_frsize,
        0,
    )


def directory_entry(inode: int, offset: int, name: bytes, file_type: int) -> bytes:
    """struct fuse_dirent; ``offset`` is where what follows begins, ``file_type`` a DT_* number."""
    head = abi.DIRENT.pack(inode, offset & _U64, len(name), file_type)
    return head + name + bytes(-len(name) % 8)


def directory_entry_plus(inode: int, offset: int, name: bytes, status: os.stat_result) -> bytes:
    """struct fuse_direntplus: the entry with what a LOOKUP of it answers."""
    file_type = stat.S_IFMT(status.st_mode) >> 12
    return entry(inode, status) + directory_entry(inode, offset, name, file_type)


def directory_entry_bare(inode: int, offset: int, name: bytes, file_type: int) -> bytes:
    """struct fuse_direntplus for an entry that is not looked up."""
    return bytes(abi.ENTRY_HEAD.size + abi.ATTR.size) + directory_entry(inode, offset, name, file_type)


def init(minor: int, max_readahead: int, flags: int) -> bytes:
    """struct fuse_init_out; ``flags`` is both halves."""
    return abi.INIT_OUT.pack(
        abi.VERSION,
        min(minor, abi.MINOR),
        max_readahead,
        flags & 0xFFFFFFFF,
        64,  # max_background
        48,  # congestion_threshold
        abi.MAX_WRITE,
        1,  # time_gran, nanoseconds
        abi.MAX_WRITE // 4096,
        0,
        flags >> 32,
    )
