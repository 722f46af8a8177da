"""The mark of a disk that is in the middle of a join, and the number that it holds."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.disk.inode_ids import Kept, read_id, read_kept, write_id
from replicator.disk.limbo import LIMBO, MARKER, begin_join, empty_limbo, is_joining, mark_joining, unmark_joining
from tests.support.deep_trees import DEPTH, deep_tree_in


@pytest.fixture
def private(tmp_path: Path) -> Iterator[int]:
    directory = os.open(tmp_path, os.O_RDONLY)
    yield directory
    os.close(directory)


def test_a_join_has_the_number_of_one_that_did_not_come_to_its_end(private: int) -> None:
    number = begin_join(private)
    assert is_joining(private)
    assert number
    assert begin_join(private) == number
    mark_joining(private)
    assert begin_join(private) == number
    unmark_joining(private)
    assert not is_joining(private)
    assert begin_join(private) != number


def test_a_disk_that_waits_for_its_first_join_has_no_number_yet(private: int) -> None:
    mark_joining(private)
    number = begin_join(private)
    assert number
    assert begin_join(private) == number


@pytest.mark.parametrize("text", [b"1234567", b"123456789", b"\0" * 8])
def test_a_number_that_is_not_whole_is_none(private: int, tmp_path: Path, text: bytes) -> None:
    (tmp_path / MARKER).write_bytes(text)
    number = begin_join(private)
    assert (tmp_path / MARKER).read_bytes() == number.to_bytes(8, "little")
    assert begin_join(private) == number


def test_an_inode_says_in_which_join_it_was_made(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    local = os.stat(file).st_ino
    assert read_kept(str(file), local) is None
    write_id(str(file), 7, local)
    assert read_kept(str(file), local) == Kept(7, 0)
    write_id(str(file), 8, local, join=9)
    assert read_kept(str(file), local) == Kept(8, 9)
    assert read_id(str(file), local) == 8
    assert read_kept(str(file), local + 1) is None


def do(change: Callable[[], None]) -> bool:
    change()
    return True


def test_a_tree_of_any_depth_is_deleted(private: int, tmp_path: Path) -> None:
    """More directories below each other than a name has bytes, so that no name can tell where one was."""
    with deep_tree_in(tmp_path):
        os.mkdir(LIMBO, dir_fd=private)
        at = os.open(LIMBO, os.O_RDONLY, dir_fd=private)
        for _ in range(DEPTH):
            os.mkdir(b"1", dir_fd=at)
            below = os.open(b"1", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.close(at)
        assert empty_limbo(private, do)
        assert os.listdir(private) == []


def test_a_deletion_goes_on_wherever_one_before_it_was_broken_off(private: int, tmp_path: Path) -> None:
    """By whatever names what was inside has come up by then, it is not in the way of what is inside still."""
    steps = 0
    while True:
        for name in "12345678":
            for inside in "abcd":
                os.makedirs(tmp_path / os.fsdecode(LIMBO) / name / inside / "below", exist_ok=True)
        left = steps = steps + 7

        def step(change: Callable[[], None]) -> bool:
            nonlocal left
            left -= 1
            return left >= 0 and do(change)

        whole = empty_limbo(private, step)
        assert empty_limbo(private, do)
        assert os.listdir(private) == []
        if whole:
            break
