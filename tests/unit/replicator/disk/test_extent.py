"""An estimate of what is below a directory: what counts, and what does not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.disk.extent import sizes_below


@pytest.fixture
def root(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield tmp_path, descriptor
    os.close(descriptor)


def test_files_count_with_their_holes_and_other_things_as_nothing(root: tuple[Path, int]) -> None:
    path, descriptor = root
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "b" / "file").write_bytes(b"x" * 10)
    (path / "empty").touch()
    with open(path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    os.symlink("/", path / "link")
    os.mkfifo(path / "fifo")
    assert sorted(sizes_below(descriptor)) == [0, 0, 0, 0, 0, 10, 1 << 40]


def test_what_has_several_names_counts_once(root: tuple[Path, int]) -> None:
    path, descriptor = root
    (path / "one").write_bytes(b"x" * 3000)
    for name in ("two", "three"):
        os.link(path / "one", path / name)
    assert sum(sizes_below(descriptor)) == 3000


def test_only_the_roots_private_directory_is_left_out(root: tuple[Path, int]) -> None:
    path, descriptor = root
    for above in (path, path / "below"):
        (above / ".mirrorfarm").mkdir(parents=True)
        (above / ".mirrorfarm" / "list").write_bytes(b"x" * 7)
    assert sum(sizes_below(descriptor)) == 7


def test_what_is_gone_when_its_turn_comes_counts_nothing(root: tuple[Path, int]) -> None:
    path, descriptor = root
    (path / "gone").mkdir()
    (path / "stays").write_bytes(b"x" * 5)
    sizes = sizes_below(descriptor)
    first = next(sizes)
    os.rmdir(path / "gone")
    assert first + sum(sizes) == 5


def test_it_can_be_left_in_the_middle(root: tuple[Path, int]) -> None:
    path, descriptor = root
    for number in range(5):
        (path / str(number)).touch()
    before = len(os.listdir("/proc/self/fd"))
    sizes = sizes_below(descriptor)
    next(sizes)
    del sizes
    assert len(os.listdir("/proc/self/fd")) == before
