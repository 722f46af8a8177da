"""Describes what is on the disk: an inode's attributes, a directory's entries, digests of a file's blocks.

Used on both nodes alike: what the primary sends and what the secondary compares it with come from the same functions.
Nothing here changes anything, and nothing decides what a difference means. Any thread may read blocks.
"""

import errno
import os
import stat
from dataclasses import dataclass
from typing import Final

import xxhash

from replicator.core.filesystem import HIDDEN_XATTRS
from replicator.wire.copying import BLOCK, MAX_BLOCKS, Attributes, EntryFlag

CAPABILITY: Final = b"security.capability"
"""What every write to a file takes away."""
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME
_NO_FLAGS: Final = EntryFlag(0)
_ZEROS: Final = bytes(BLOCK)
_SECTOR: Final = 512
"""What st_blocks counts."""
LARGEST: Final = (1 << 63) - 1
"""Bytes of a file, at the most."""
_AT_ONCE: Final = 8 * BLOCK
"""Bytes that are read by one call: between any two another thread may have the interpreter, and has to give it back."""
FOLIO: Final = 2 << 20
"""The most that the page cache has in one piece: MAX_PAGECACHE_ORDER, linux/pagemap.h, with pages of 4 KiB."""
_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME


def open_path(root: int, path: tuple[bytes, ...]) -> int:
    """A descriptor of the directory at ``path`` below ``root``, which the caller closes. Raises OSError."""
    directory = os.open(b".", _DIRECTORY_FLAGS, dir_fd=root)
    for name in path:
        try:
            inner = os.open(name, _DIRECTORY_FLAGS, dir_fd=directory)
        finally:
            os.close(directory)
        directory = inner
    return directory


def open_file(root: int, path: tuple[bytes, ...]) -> int:
    """A descriptor of the regular file at ``path``, which the caller closes; -1: there is none. Raises OSError."""
    if not path:
        return -1
    try:
        directory = open_path(root, path[:-1])
    except (FileNotFoundError, NotADirectoryError):
        return -1
    try:
        status = os.stat(path[-1], dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            return -1
        return os.open(path[-1], _FILE_FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return -1
    finally:
        os.close(directory)


def target_of_fd(file: int) -> bytes:
    """A path to what is open on ``file``, O_PATH and symbolic links included; to be followed."""
    return b"/proc/self/fd/%d" % file


def target_at(directory: int, name: bytes) -> bytes:
    """A path to ``name`` in an open directory, for calls that take no dir_fd; not to be followed."""
    return b"/proc/self/fd/%d/%s" % (directory, name)


def xattrs_of(target: str | bytes | int, follow: bool = True) -> tuple[tuple[bytes, bytes], ...]:
    """The extended attributes that both copies have in common, sorted by name. Raises OSError."""
    found = []
    for listed in os.listxattr(target, follow_symlinks=follow):
        name = os.fsencode(listed)
        if name in HIDDEN_XATTRS:
            continue
        found.append((name, os.getxattr(target, name, follow_symlinks=follow)))
    found.sort()
    return tuple(found)


def attributes(
    inode: int, status: os.stat_result, target: bytes, flags: EntryFlag = _NO_FLAGS, follow: bool = False
) -> Attributes:
    """What ``inode`` is; ``target`` is a path to it, ``follow`` whether that is one to be followed. Raises OSError."""
    mode = status.st_mode
    kind = stat.S_IFMT(mode)
    return Attributes(
        inode=inode,
        mode=mode,
        uid=status.st_uid,
        gid=status.st_gid,
        rdev=status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
        size=status.st_size if kind == stat.S_IFREG else 0,
        mtime_ns=status.st_mtime_ns,
        nlink=1 if kind == stat.S_IFDIR else status.st_nlink,
        flags=flags,
        target=os.readlink(target) if kind == stat.S_IFLNK else b"",
        xattrs=xattrs_of(target, follow),
    )


@dataclass(frozen=True, slots=True)
class Segment:
    """A span of a file: the digests of its blocks, or a hole when there are none."""

    offset: int
    length: int
    digests: tuple[bytes, ...]


def next_segment(file: int, offset: int, end: int, most: int = BLOCK * MAX_BLOCKS) -> Segment | None:
    """What is at ``offset`` up to ``end`` or the file's own end: a hole, or data, of which at most ``most``. Blocks.

    ``None`` when nothing is left. Raises OSError.
    """
    end = min(end, os.fstat(file).st_size)
    if offset >= end:
        return None
    data = _data_from(file, offset, end)
    if data - offset >= BLOCK or data == end:
        return Segment(offset, data - offset, ())
    length = min(end - offset, most)
    found = digests(file, offset, length)
    return Segment(offset, length, found)


@dataclass(frozen=True, slots=True)
class Piece:
    """What a span of a file holds."""

    end: int
    blocks: tuple[tuple[int, bytes], ...]
    """Offset and data of each write that makes it of a hole: nothing of blocks that are zeros."""


def next_piece(file: int, offset: int, end: int, most: int, run: int) -> Piece | None:
    """As :func:`next_segment`, with the content itself, in writes of at most ``run`` bytes. Blocks. Raises OSError."""
    end = min(end, os.fstat(file).st_size)
    if offset >= end:
        return None
    data = _data_from(file, offset, end)
    if data - offset >= BLOCK or data == end:
        return Piece(data, ())
    end = min(end, offset + most)
    found: list[tuple[int, bytes]] = []
    for at in range(offset, end, run):
        found += _without_zeros(at, read_span(file, at, min(run, end - at)))
    return Piece(end, tuple(found))


def whole_piece(file: int, length: int) -> Piece | None:
    """As :func:`next_piece`, all of a file that is so long; else ``None``. Blocks. Raises OSError."""
    if os.fstat(file).st_size != length:
        return None
    return Piece(length, tuple(_without_zeros(0, read_span(file, 0, length))))


def _without_zeros(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """What is left of ``data``, which stands at ``offset``, without its blocks of zeros, with the place of each."""
    kept: list[tuple[int, int]] = []
    """Begin and end, of as many blocks as are next to each other."""
    for begin in range(0, len(data), BLOCK):
        end = min(begin + BLOCK, len(data))
        if not data[begin] and data[begin:end] == _ZEROS[: end - begin]:
            continue
        if kept and kept[-1][1] == begin:
            kept[-1] = (kept[-1][0], end)
        else:
            kept.append((begin, end))
    return [(offset + begin, data[begin:end]) for begin, end in kept]


def _data_from(file: int, offset: int, end: int) -> int:
    try:
        return min(end, os.lseek(file, offset, os.SEEK_DATA))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return end
        raise


def digests(file: int, offset: int, length: int) -> tuple[bytes, ...]:
    """The XXH3-128 of each block of a span; what is beyond the end of the file counts as missing. Raises OSError."""
    found: list[bytes] = []
    for start in range(offset, offset + length, _AT_ONCE):
        count = min(_AT_ONCE, offset + length - start)
        with memoryview(read_span(file, start, count)) as data:
            found += [xxhash.xxh3_128_digest(data[at : at + BLOCK]) for at in range(0, count, BLOCK)]
    return tuple(found)


def digest_whole(file: int, length: int) -> tuple[bytes, ...] | None:
    """The digests of a file that is so long and has no holes; else ``None``. Blocks. Raises OSError."""
    status = os.fstat(file)
    if status.st_size != length or status.st_blocks * _SECTOR < length:
        return None
    return digests(file, 0, length)


def read_span(file: int, offset: int, length: int) -> bytes:
    """The bytes of a span, fewer where the file ends. Blocks. Raises OSError."""
    data = found = os.pread(file, length, offset)
    while data and len(found) < length:
        data = os.pread(file, length - len(found), offset + len(found))
        found += data
    return found


def differing(file: int, offset: int, length: int, wanted: tuple[bytes, ...]) -> int:
    """Which blocks of a span differ: bit 0 is the first. Without digests: bit 0 when it is not all zeros."""
    if not wanted:
        return 1 if has_data(file, offset, length) else 0
    bitmap = 0
    for index, digest in enumerate(digests(file, offset, length)):
        if digest != wanted[index]:
            bitmap |= 1 << index
    return bitmap


def forget_cached(file: int, offset: int, length: int) -> None:
    """Has the next read of a span come from the disk: what is cached and not dirty is dropped. Raises OSError.

    After a failed writeback the cache has what the disk does not have, and the kernel takes it for clean. What somebody
    has mapped is kept. The kernel drops a folio as a whole or not at all: so all that may reach into the span goes.
    """
    _forget(file, offset // FOLIO * FOLIO, -(-(offset + length) // FOLIO) * FOLIO)


def forget_ahead(file: int, offset: int, length: int) -> None:
    """As :meth:`forget_cached`, for whoever reads a file from its beginning in such spans: each folio goes once."""
    _forget(file, -(-offset // FOLIO) * FOLIO, -(-(offset + length) // FOLIO) * FOLIO)


def _forget(file: int, begin: int, end: int) -> None:
    end = min(end, LARGEST)
    if begin < end:
        os.posix_fadvise(file, begin, end - begin, os.POSIX_FADV_DONTNEED)


def has_data(file: int, offset: int, length: int) -> bool:
    """Whether a span reads as anything else than zeros of its full length. Raises OSError."""
    end = offset + length
    if os.fstat(file).st_size < end:
        return True
    at = offset
    while (at := _data_from(file, at, end)) < end:
        data = read_span(file, at, min(end - at, BLOCK))
        if data.count(0) != len(data):
            return True
        at += len(data)
    return False


def is_allocated(file: int, offset: int, length: int) -> bool:
    """Whether any of a span may be something else than a hole. Raises OSError."""
    return _data_from(file, offset, offset + length) < offset + length
