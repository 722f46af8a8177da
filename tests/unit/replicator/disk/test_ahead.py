"""What is read ahead is in memory by the time that it is asked for, and it is not too much."""

import ctypes
import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.disk.ahead import Ahead

_PAGE = 4096
_MIB = 1 << 20
_libc = ctypes.CDLL(None)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """Four MiB on the disk, nothing of it in memory."""
    yield from _on_disk(tmp_path / "file", 4 * _MIB)


def _on_disk(path: Path, size: int) -> Iterator[int]:
    path.write_bytes(os.urandom(size))
    file = os.open(path, os.O_RDWR)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    assert not cached(file, 0)
    yield file
    os.close(file)


def cached(file: int, offset: int) -> bool:
    """Whether a page is in memory, by mincore(2): a read that must not wait may bring it by itself."""
    with mmap.mmap(file, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        found = ctypes.create_string_buffer(-(-len(mapped) // _PAGE))
        failed = _libc.mincore(ctypes.byref(first), ctypes.c_size_t(len(mapped)), found)
        del first
        assert not failed
        return bool(found.raw[offset // _PAGE] & 1)


def comes(file: int, offset: int) -> bool:
    """Whether the page is there soon."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if cached(file, offset):
            return True
        time.sleep(0.001)
    return False


def test_what_follows_a_span_that_is_compared_is_read(file: int) -> None:
    Ahead().compared(file, 0, _MIB)
    assert comes(file, _MIB)
    assert comes(file, 2 * _MIB - _PAGE)
    assert not cached(file, 0)
    assert not cached(file, 3 * _MIB)


def test_there_need_be_nothing_that_follows(file: int) -> None:
    """The file may have shrunk too, or a span may end where no file can go on."""
    os.ftruncate(file, 100)
    for offset, length in ((0, 100), (0, 4 * _MIB), (3 * _MIB, _MIB), ((1 << 63) - 1 - _MIB, _MIB)):
        Ahead().compared(file, offset, length)
    assert os.fstat(file).st_size == 100


def test_a_small_file_that_is_listed_is_read_whole(tmp_path: Path) -> None:
    for file in _on_disk(tmp_path / "small", 60_000):
        path = os.open(tmp_path / "small", os.O_PATH)
        Ahead().listed(path, 60_000)
        os.close(path)
        assert comes(file, 0)
        assert comes(file, 14 * _PAGE)


def test_a_large_file_that_is_listed_is_not_read(file: int, tmp_path: Path) -> None:
    path = os.open(tmp_path / "file", os.O_PATH)
    Ahead().listed(path, 4 * _MIB)
    os.close(path)
    assert not cached(file, 0)


def test_what_was_listed_is_bounded_until_some_of_it_is_compared(file: int, tmp_path: Path) -> None:
    ahead = Ahead()
    path = os.open(tmp_path / "file", os.O_PATH)
    for _ in range(16 * 16):
        ahead.listed(path, 64 << 10)
    assert comes(file, 0)
    small = tmp_path / "one more"
    for more in _on_disk(small, 64 << 10):
        one = os.open(small, os.O_PATH)
        ahead.listed(one, 64 << 10)
        assert not cached(more, 0)
        ahead.compared(file, 0, 64 << 10)
        ahead.listed(one, 64 << 10)
        assert comes(more, 0)
        os.close(one)
    os.close(path)
