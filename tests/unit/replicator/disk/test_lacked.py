"""How much of some files is in a list: by each sort of mark, and where what it names is not where it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.core.dirty import NOWHERE, ZONE_BYTES, Dirty
from replicator.disk.inode_ids import write_id
from replicator.disk.lacked import Lacked, lacked

ROOT = 1


class Tree:
    """A directory of the module; what is made in it gets an id."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.dirty = Dirty()
        (path / ".mirrorfarm").mkdir()

    def directory(self, name: str, inode: int) -> None:
        (self.path / name).mkdir()
        self._is(name, inode)

    def file(self, name: str, inode: int, size: int) -> None:
        with open(self.path / name, "wb") as file:
            file.truncate(size)
        self._is(name, inode)

    def _is(self, name: str, inode: int) -> None:
        write_id(os.fspath(self.path / name), inode, (self.path / name).stat().st_ino)

    def stands(self, inode: int, parent: int, name: str) -> None:
        self.dirty.set_place((0, inode), (parent, name.encode()))

    def total(self) -> Lacked:
        return sum(lacked([self.fd], self.dirty), Lacked())


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path)
    made.directory("d", 5)
    made.file("d/f", 6, 3 * ZONE_BYTES + 10)
    made.stands(5, ROOT, "d")
    made.stands(6, 5, "f")
    yield made
    os.close(made.fd)


def test_zones_are_cut_at_the_end_of_the_file(tree: Tree) -> None:
    tree.dirty.add_zones((0, 6), 1, 1)
    tree.dirty.add_tail((0, 6), 3)
    assert tree.total() == Lacked(files=1, bytes=ZONE_BYTES + 10)


@pytest.mark.parametrize("lost", ["removed", "another", "no place"])
def test_of_a_file_that_is_not_found_whole_zones_count(tree: Tree, lost: str) -> None:
    tree.dirty.add_zones((0, 6), 1, 1)
    tree.dirty.add_tail((0, 6), 3)
    if lost == "no place":
        del tree.dirty.places[0, 5]
    else:
        (tree.path / "d/f").unlink()
        if lost == "another":
            tree.file("d/f", 7, 1)
    assert tree.total() == Lacked(files=1, bytes=2 * ZONE_BYTES, unfound=1)


def test_what_lost_its_last_name_counts_nothing(tree: Tree) -> None:
    tree.dirty.add_zones((0, 6), 1, 1)
    tree.dirty.add_name((0, 5))
    tree.dirty.set_place((0, 6), NOWHERE)
    tree.dirty.set_place((0, 5), NOWHERE)
    assert tree.total() == Lacked()


def test_in_a_marked_directory_names_count_and_what_is_new_with_all_below_it(tree: Tree) -> None:
    tree.directory("d/old", 8)
    tree.file("d/old/file", 9, 100)
    tree.directory("d/new", 100)
    tree.file("d/new/file", 101, 7)
    tree.directory("d/new/newer", 102)
    tree.file("d/new/newer/file", 103, 8)
    tree.file("d/new/moved here", 10, 100)
    tree.dirty.add_name((0, 5))
    tree.dirty.add_new(100)
    tree.dirty.add_zones((0, 101), 0, 0)
    assert tree.total() == Lacked(entries=7, new_files=2, new_bytes=15)


def test_a_directory_that_is_not_found_is_said(tree: Tree) -> None:
    tree.dirty.add_name((0, 5))
    tree.dirty.add_name((0, 77))
    tree.dirty.set_place((0, 5), (ROOT, b"elsewhere"))
    assert tree.total() == Lacked(unfound=2)


def test_all_names_are_those_of_every_directory_but_our_own(tree: Tree) -> None:
    (tree.path / ".mirrorfarm/list").touch()
    tree.file("new", 100, 3)
    tree.dirty.make_all_names()
    tree.dirty.add_new(100)
    assert tree.total() == Lacked(entries=3, new_files=1, new_bytes=3)


def test_everything_is_all_files(tree: Tree) -> None:
    tree.dirty.make_everything()
    assert tree.total() == Lacked(entries=2, files=1, bytes=3 * ZONE_BYTES + 10)


def test_places_that_go_round_in_a_circle_lead_nowhere(tree: Tree) -> None:
    tree.stands(5, 8, "a")
    tree.stands(8, 5, "b")
    tree.dirty.add_name((0, 5))
    assert tree.total() == Lacked(unfound=1)
