"""What a verification found, as what a join has to bring: by each sort of difference."""

import stat

import pytest

from replicator.core.dirty import ZONE_BYTES, Dirty, Zones
from replicator.core.operations import Bind
from replicator.differing import Differing
from replicator.wire.copying import Attributes, EntryFlag
from replicator.wire.verifying import Found, What

DIRECTORY = (Bind(0, 5, 1, b"a"), Bind(0, 6, 5, b"b"))
PLACES = {(0, 5): (1, b"a"), (0, 6): (5, b"b")}
OF_NAMES = [What.MISSING, What.TYPE, What.LINK, What.DEVICE, What.IDENTITY]
OF_INODES = [What.MODE, What.OWNER, What.SIZE, What.MTIME, What.XATTR]


def attributes(inode: int, mode: int) -> Attributes:
    return Attributes(inode, mode, 0, 0, 0, 100, 0, 1, EntryFlag(0), b"", ())


ENTRIES = {
    b"file": attributes(7, stat.S_IFREG),
    b"directory": attributes(8, stat.S_IFDIR),
    b"link": attributes(9, stat.S_IFLNK),
}
INNER = (*DIRECTORY, Bind(0, 8, 6, b"directory"))
INNER_FILE = (*INNER, Bind(0, 10, 8, b"x"))


def listed(*found: Found, total: int = 0) -> Differing:
    differing = Differing()
    differing.listed(0, DIRECTORY, ENTRIES, total or len(found), found)
    return differing


def whole() -> Zones:
    zones = Zones()
    zones.add_tail(0)
    return zones


def below(differing: Differing) -> Dirty:
    """What is below ``directory`` was compared, and found to be equal."""
    differing.listed(0, INNER, {b"x": attributes(10, stat.S_IFREG)}, 0, ())
    differing.content(0, INNER_FILE, 0, 100, differs=False)
    return differing.dirty


def test_every_sort_of_difference_is_of_a_name_or_of_an_inode() -> None:
    assert {*OF_NAMES, *OF_INODES, What.EXTRA, What.CONTENT} == set(What)


@pytest.mark.parametrize("what", OF_NAMES)
def test_what_should_stand_at_a_name_may_be_another_one(what: What) -> None:
    dirty = listed(Found(b"file", what, "", "")).dirty
    assert list(dirty.names) == [(0, 6)] and dirty.zones == {(0, 7): whole()} and not dirty.attributes
    assert dirty.places == PLACES | {(0, 7): (6, b"file")}
    dirty = listed(Found(b"link", what, "", "")).dirty
    assert list(dirty.names) == [(0, 6)] and not dirty.zones


@pytest.mark.parametrize("what", OF_NAMES)
def test_what_is_below_a_directory_that_stands_somewhere_else_was_not_compared(what: What) -> None:
    dirty = below(listed(Found(b"directory", what, "", "")))
    assert list(dirty.names) == [(0, 6), (0, 8)] and dirty.zones.keys() == {(0, 10)}
    assert dirty.places[0, 10] == (8, b"x")


def test_what_is_below_a_directory_that_is_there_is_equal_where_it_is_said_so() -> None:
    dirty = below(listed(Found(b"directory", What.MODE, "", ""), Found(b"file", What.IDENTITY, "", "")))
    assert list(dirty.names) == [(0, 6)] and dirty.zones.keys() == {(0, 7)}


def test_what_should_not_stand_there_is_of_its_directory() -> None:
    dirty = listed(Found(b"extra", What.EXTRA, "", "")).dirty
    assert list(dirty.names) == [(0, 6)] and not dirty.zones and not dirty.attributes


def test_what_was_not_asked_for_is_of_the_directory_that_was() -> None:
    assert list(listed(Found(b"strange", What.MODE, "", "")).dirty.names) == [(0, 6)]


@pytest.mark.parametrize("what", OF_INODES)
def test_attributes_are_those_of_the_inode_at_the_name(what: What) -> None:
    dirty = listed(Found(b"file", what, "", "")).dirty
    assert dirty.attributes == {(0, 7)} and not dirty.names
    assert dirty.places == PLACES | {(0, 7): (6, b"file")}


def test_a_directorys_own_attributes_are_its_own() -> None:
    assert listed(Found(b"", What.MODE, "", "")).dirty.attributes == {(0, 6)}
    differing = Differing()
    differing.listed(0, (), {}, 1, [Found(b"", What.MODE, "", "")])
    assert differing.dirty.attributes == {(0, 1)}


def test_of_a_directory_that_is_missing_all_counts_and_its_name_in_the_one_above() -> None:
    differing = Differing()
    differing.listed(0, INNER, {}, 1, [Found(b"", What.MISSING, "", "")])
    differing.content(0, INNER_FILE, 0, 100, differs=False)
    assert list(differing.dirty.names) == [(0, 6), (0, 8)] and differing.dirty.zones.keys() == {(0, 10)}


def test_where_not_all_were_named_it_may_be_any_of_them() -> None:
    dirty = below(listed(Found(b"file", What.MODE, "", ""), total=2))
    assert list(dirty.names) == [(0, 6), (0, 8)] and dirty.zones.keys() == {(0, 7), (0, 10)}


def test_content_is_the_zones_of_the_bytes() -> None:
    differing = Differing()
    way = (Bind(0, 7, 1, b"f"),)
    differing.content(0, way, 3 * ZONE_BYTES - 1, 2, differs=True)
    differing.content(0, way, 9 * ZONE_BYTES, 1 << 20, differs=True)
    differing.content(0, way, 10 * ZONE_BYTES, 1 << 20, differs=False)
    zones = Zones()
    zones.some = {2, 3, 9}
    assert differing.dirty.zones == {(0, 7): zones} and differing.dirty.places == {(0, 7): (1, b"f")}
