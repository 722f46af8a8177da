"""The numbers of asides: each is given once, whatever is cleared, and wherever a clearing breaks off."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.disk.aside_shelf import clear_aside, delete_aside, last_number, read_asides


@pytest.fixture
def private(tmp_path: Path) -> Iterator[int]:
    file = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield file
    os.close(file)


def made(directory: Path, number: int) -> None:
    (directory / "aside" / str(number) / "tree").mkdir(parents=True)


def test_none_were_there(private: int) -> None:
    assert last_number(private) == 0


def test_the_last_one_counts_after_it_was_cleared(private: int, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        made(tmp_path, number)
    assert last_number(private) == 3
    for number in (3, 1, 2):
        clear_aside(private, number)
        assert last_number(private) == 3
    assert read_asides(private) == []


def test_one_that_was_never_whole_is_not_counted(private: int, tmp_path: Path) -> None:
    """Nobody was told of it."""
    (tmp_path / "aside" / "4.part").mkdir(parents=True)
    delete_aside(private, 4)
    assert last_number(private) == 0


def test_a_clearing_that_broke_off_at_any_step(private: int, tmp_path: Path) -> None:
    made(tmp_path, 2)
    (tmp_path / "cleared.new").symlink_to("aside-2")  # before the note counts
    assert last_number(private) == 2
    (tmp_path / "cleared.new").rename(tmp_path / "cleared")  # before it is deleted
    assert [aside.number for aside in read_asides(private)] == [2]
    (tmp_path / "aside" / "2").rename(tmp_path / "aside" / "deleted")  # before all of it is gone
    assert last_number(private) == 2
    (tmp_path / "cleared.new").symlink_to("aside-1")
    made(tmp_path, 3)
    clear_aside(private, 3)
    assert last_number(private) == 3
    assert sorted(os.listdir(tmp_path)) == ["aside", "cleared"] and os.listdir(tmp_path / "aside") == []


@pytest.mark.parametrize("text", ["aside-", "aside-x", "3", "aside-3 "])
def test_a_note_that_is_none_keeps_nobody_from_anything(private: int, tmp_path: Path, text: str) -> None:
    (tmp_path / "cleared").symlink_to(text)
    made(tmp_path, 1)
    assert last_number(private) == 1
    clear_aside(private, 1)
    assert last_number(private) == 1


def test_what_is_no_link_is_overwritten(private: int, tmp_path: Path) -> None:
    (tmp_path / "cleared").write_text("aside-9")
    made(tmp_path, 1)
    clear_aside(private, 1)
    assert last_number(private) == 1


def test_a_full_disk_is_cleared_before_the_number_is_noted(
    private: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, 5)
    symlink = os.symlink

    def full(source: str, target: str, *, dir_fd: int) -> None:
        if (tmp_path / "aside" / "5").exists():
            raise OSError(errno.ENOSPC, "no space left on device")
        symlink(source, target, dir_fd=dir_fd)

    monkeypatch.setattr(os, "symlink", full)
    clear_aside(private, 5)
    assert (read_asides(private), last_number(private)) == ([], 5)


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=20))
def test_no_number_is_given_twice(tmp_path_factory: pytest.TempPathFactory, steps: list[int | None]) -> None:
    """``None``: one is made; else one of those that are there is cleared."""
    directory = tmp_path_factory.mktemp("private")
    private = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    given_once: set[int] = set()
    there: list[int] = []
    for step in steps:
        if step is None:
            number = 1 + last_number(private)
            assert number not in given_once
            given_once.add(number)
            made(directory, number)
            there.append(number)
        elif there:
            clear_aside(private, there.pop(step % len(there)))
    os.close(private)
