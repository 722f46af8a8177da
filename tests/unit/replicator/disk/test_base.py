"""Which joins the disks of a module came through: together, or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.disk.base import advance_base, clear_base, read_bases, write_base

ONE, TWO, THREE = "0123456789abcdef", "f" * 16, "0" * 16


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "one", tmp_path / "two"]
    for directory in found:
        directory.mkdir()
    return found


@pytest.fixture
def both(directories: list[Path]) -> Iterator[list[int]]:
    with contextlib.ExitStack() as opened:
        found = []
        for directory in directories:
            found.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY))
            opened.callback(os.close, found[-1])
        yield found


def test_disks_that_came_through_no_join_have_no_base(both: list[int]) -> None:
    assert read_bases(both) == ()
    clear_base(both)
    assert read_bases(both) == ()


def test_the_last_join_and_the_one_before_are_noted(both: list[int], directories: list[Path]) -> None:
    write_base(both, ONE, "")
    assert read_bases(both) == (ONE,)
    write_base(both, TWO, ONE)
    assert read_bases(both) == (TWO, ONE)
    assert read_bases(both[:1]) == (TWO, ONE)
    assert [(directory / "base").stat().st_mode & 0o777 for directory in directories] == [0o600, 0o600]


def test_what_a_part_of_the_disks_came_through_the_module_did_not(both: list[int]) -> None:
    write_base(both, TWO, ONE)
    write_base(both[1:], THREE, TWO)
    assert read_bases(both) == read_bases(both[::-1]) == (TWO,)
    write_base(both[1:], THREE, THREE)
    assert read_bases(both) == ()
    write_base(both[:1], THREE, TWO)
    assert read_bases(both) == (THREE,)


def test_a_barrier_is_noted_on_disks_that_came_through_a_join(both: list[int]) -> None:
    assert advance_base(both, TWO) == read_bases(both) == ()
    write_base(both, ONE, "")
    assert advance_base(both, TWO) == read_bases(both) == (TWO, ONE)
    assert advance_base(both, THREE) == read_bases(both) == (THREE, TWO)
    clear_base(both)
    assert advance_base(both, ONE) == read_bases(both) == ()


def test_a_disk_without_one_has_none_for_all(both: list[int]) -> None:
    write_base(both[:1], ONE, "")
    assert read_bases(both) == ()
    assert read_bases(both[::-1]) == ()


def test_no_byte_of_it_can_change_or_be_missing(both: list[int], directories: list[Path]) -> None:
    write_base(both, TWO, ONE)
    path = directories[1] / "base"
    whole = path.read_bytes()
    for at in range(len(whole)):
        for damaged in (
            whole[:at],
            whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            whole[:at] + bytes(len(whole) - at),
        ):
            path.write_bytes(damaged)
            assert read_bases(both) == ()
            assert read_bases(both[1:]) == ()
    path.write_bytes(whole + b"\n")
    assert read_bases(both) == ()
    path.write_bytes(whole)
    assert read_bases(both) == (TWO, ONE)


def test_a_write_that_was_torn_between_the_old_and_the_new_one_is_no_base(
    both: list[int], directories: list[Path]
) -> None:
    path = directories[0] / "base"
    write_base(both[:1], ONE, TWO)
    old = path.read_bytes()
    write_base(both[:1], THREE, ONE)
    new = path.read_bytes()
    assert len(old) == len(new)
    for at in range(1, len(new)):
        mixed = new[:at] + old[at:]
        path.write_bytes(mixed)
        assert read_bases(both[:1]) in ([(ONE, TWO), (THREE, ONE)] if mixed in (old, new) else [()])


def test_what_is_damaged_is_replaced(both: list[int], directories: list[Path]) -> None:
    for content in (b"", b"\xff" * 500):
        (directories[0] / "base").write_bytes(content)
        write_base(both, ONE, "")
        assert read_bases(both) == (ONE,)


def test_a_cleared_base_is_on_no_disk(both: list[int], directories: list[Path]) -> None:
    write_base(both, TWO, ONE)
    clear_base(both)
    for private in both:
        assert read_bases([private]) == ()
    assert not any(base in (directory / "base").read_text() for base in (ONE, TWO) for directory in directories)
    write_base(both, THREE, "")
    assert read_bases(both) == (THREE,)


def test_half_of_the_disks_cleared_is_none(both: list[int]) -> None:
    write_base(both, TWO, ONE)
    clear_base(both[1:])
    assert read_bases(both) == ()


@pytest.mark.parametrize(("base", "previous"), [("", ""), ("", ONE), ("x" * 16, ""), (ONE, "-" * 16)])
def test_only_bases_of_joins_are_noted(both: list[int], base: str, previous: str) -> None:
    with pytest.raises(ValueError, match="not the bases of joins"):
        write_base(both, base, previous)
    assert read_bases(both) == ()


def test_a_copy_of_the_file_says_nothing_of_another_disk(both: list[int], directories: list[Path]) -> None:
    write_base(both, ONE, "")
    (directories[1] / "base").write_bytes((directories[0] / "base").read_bytes())
    assert read_bases(both) == () and read_bases(both[:1]) == (ONE,)
