"""The mark that something is yet to be set aside."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.disk.divergence import MARKER, Divergence, is_diverged, mark_diverged, read_divergence, unmark_diverged


@pytest.fixture
def private(tmp_path: Path) -> Iterator[int]:
    file = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield file
    os.close(file)


def test_it_comes_and_goes(private: int) -> None:
    assert not is_diverged(private)
    assert read_divergence(private) is None
    mark_diverged(private, Divergence(7, 2))
    assert is_diverged(private)
    assert read_divergence(private) == Divergence(7, 2)
    unmark_diverged(private)
    unmark_diverged(private)
    assert not is_diverged(private)


def test_the_first_one_stays(private: int) -> None:
    mark_diverged(private, Divergence(7, 2))
    mark_diverged(private, Divergence(8, 3))
    assert read_divergence(private) == Divergence(7, 2)


@pytest.mark.parametrize("text", ["", "x", "epoch-1-aside-0", "epoch-1-aside-2 ", "epoch--1-aside-2"])
def test_a_damaged_one_is_one_all_the_same(private: int, tmp_path: Path, text: str) -> None:
    if text:
        (tmp_path / MARKER).symlink_to(text)
    else:
        (tmp_path / MARKER).touch()
    assert is_diverged(private)
    with pytest.raises(OSError, match="damaged"):
        read_divergence(private)
    unmark_diverged(private)
    assert not is_diverged(private)
