"""The trees of ``bench/resync.py``: how they are made, how they are read, and what of them is in the page cache.

The same call makes the same tree, times included, so that one made twice is a copy that was seeded. Nothing here
knows of replicators but :func:`make_plain`, which takes away what they leave in a tree.
"""

import itertools
import multiprocessing
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

from replicator.core.filesystem import ID_XATTR, PRIVATE_DIRECTORY

MIB: Final = 1 << 20
_POOL: Final = 16 * MIB
_LARGE: Final = 256 * MIB
_MEDIUM: Final = MIB
_SMALL_MOST: Final = 31
"""KiB; a small file has from 1 to so many, 16 on average."""
_IN_ONE_DIRECTORY: Final = 100
_MTIME_NS: Final = 1_000_000_000_000_000_000
_MARK: Final = b"changed!"
_WORDS: Final = 256
_processes = multiprocessing.get_context("fork")


class Content:
    """What is in the files: random bytes, or random words, which zstd brings to about a third."""

    def __init__(self, compressible: bool) -> None:
        chance = random.Random(1)
        count = _POOL + MIB
        if compressible:
            words = [b"%x " % chance.randrange(1 << 32) for _ in range(_WORDS)]
            self._pool = memoryview(b"".join(chance.choices(words, k=count // 4))[:count])
        else:
            self._pool = memoryview(b"".join(chance.randbytes(MIB) for _ in range(count // MIB)))

    def write(self, path: Path, size: int, number: int) -> None:
        """Makes a file whose content is given by ``number``."""
        with open(path, "wb") as file:
            for chunk, offset in enumerate(range(0, size, MIB)):
                start = (number * 7919 + chunk * 104_729) * 512 % _POOL
                file.write(self._pool[start : start + min(MIB, size - offset)])
        os.utime(path, ns=(_MTIME_NS, _MTIME_NS))


def make_mix(root: Path, size: int, content: Content) -> int:
    """Half of ``size`` in large files, three eighths in files of 1 MiB, one eighth in small ones; how many files."""
    large = min(_LARGE, size // 8)
    made = 0
    for number in range(size // 2 // large):
        content.write(root / f"large{number}", large, made)
        made += 1
    for name, share, sizes in (("medium", size * 3 // 8, _sizes(False)), ("small", size // 8, _sizes(True))):
        for number, length in enumerate(sizes):
            if share < length:
                break
            share -= length
            content.write(_place(root / name, number), length, made)
            made += 1
    return made


def _sizes(small: bool) -> Iterator[int]:
    while True:
        for kib in range(1, _SMALL_MOST + 1):
            yield kib << 10 if small else _MEDIUM


def make_many(root: Path, count: int, size: int, content: Content) -> None:
    """``count`` files of ``size`` bytes."""
    for number in range(count):
        content.write(_place(root, number), size, number)


def change_some(root: Path, count: int, changed: int) -> None:
    """Writes into so many of the files of :func:`make_many`, spread evenly."""
    for number in range(changed):
        with open(_place(root, number * count // changed), "r+b") as file:
            file.write(_MARK)


def _place(root: Path, number: int) -> Path:
    directory = root / f"{number // _IN_ONE_DIRECTORY:05}"
    if number % _IN_ONE_DIRECTORY == 0:
        directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{number % _IN_ONE_DIRECTORY:02}"


def make_plain(root: Path) -> None:
    """Takes away what a replicator notes in a tree: for the next one every file is new."""
    shutil.rmtree(root / PRIVATE_DIRECTORY, ignore_errors=True)
    for path in (str(root), *_paths(root)):
        if ID_XATTR in os.listxattr(path, follow_symlinks=False):
            os.removexattr(path, ID_XATTR, follow_symlinks=False)


def make_empty(root: Path) -> None:
    """A directory with nothing in it; what it had is kept beside it, without its content, until all is removed.

    For ext4 takes inodes that were deleted just now only after a long search: who makes files next would pay for it.
    """
    if root.exists():
        for path in _files(root):
            os.truncate(path, 0)
        number = next(number for number in itertools.count() if not _aside(root, number).exists())
        root.rename(_aside(root, number))
    root.mkdir(parents=True)


def _aside(root: Path, number: int) -> Path:
    return root.with_name(f"{root.name}-{number}")


def bring_to_disk(root: Path) -> None:
    """Everything that was written on this file system, as a join does at its end."""
    subprocess.run(["sync", "--file-system", str(root)], check=True)


def prepare_cache(root: Path, warm: bool) -> None:
    """The content of the tree is in the page cache, or none of it is; nothing waits to be written."""
    bring_to_disk(root)
    if warm:
        _read_all(root)
        return
    for path in _files(root):
        file = os.open(path, os.O_RDONLY | os.O_NOATIME)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


def read_both(one: Path, other: Path) -> float:
    """Seconds in which two readers, at the same time, have each read one of the trees."""
    begin = _processes.Barrier(3)
    readers = [_processes.Process(target=_read_when, args=(root, begin)) for root in (one, other)]
    for reader in readers:
        reader.start()
    begin.wait()
    began_s = time.perf_counter()
    for reader in readers:
        reader.join()
    took_s = time.perf_counter() - began_s
    if any(reader.exitcode for reader in readers):
        raise SystemExit("a tree could not be read")
    return took_s


def _read_when(root: Path, begin: Barrier) -> None:
    begin.wait()
    _read_all(root)


def _read_all(root: Path) -> None:
    buffer = bytearray(MIB)
    for path in _files(root):
        file = os.open(path, os.O_RDONLY | os.O_NOATIME)
        try:
            while os.readv(file, [buffer]):
                pass
        finally:
            os.close(file)


def _files(root: Path) -> Iterator[str]:
    """The regular files of a tree, what a replicator notes left out."""
    waiting = [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != PRIVATE_DIRECTORY:
                        waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path


def _paths(root: Path) -> Iterator[str]:
    for above, directories, files in os.walk(root):
        for name in (*directories, *files):
            yield os.path.join(above, name)
