"""What a verification found, as what a join has to bring: by each sort of difference."""

import pytest

from replicator.core.dirty import ZONE_BYTES, Dirty, Zones
from replicator.core.operations import Bind
from replicator.differing import Differing
from replicator.wire.copying import Found, What

DIRECTORY = (Bind(0, 5, 1, b"a"), Bind(0, 6, 5, b"b"))
PLACES = {(0, 5): (1, b"a"), (0, 6): (5, b"b")}
INODES = {b"file": 7}
OF_NAMES = [What.MISSING, What.EXTRA, What.TYPE, What.LINK, What.DEVICE, What.IDENTITY]
OF_INODES = [What.MODE, What.OWNER, What.SIZE, What.MTIME, What.XATTR]


def listed(*found: Found, total: int = 0) -> Dirty:
    differing = Differing()
    differing.listed(0, DIRECTORY, INODES, total or len(found), found)
    return differing.dirty


def test_every_sort_of_difference_is_of_a_name_or_of_an_inode() -> None:
    assert {*OF_NAMES, *OF_INODES, What.CONTENT} == set(What)


@pytest.mark.parametrize("what", OF_NAMES)
def test_names_are_those_of_their_directory(what: What) -> None:
    dirty = listed(Found(b"file", what, "", ""))
    assert list(dirty.names) == [(0, 6)] and not dirty.attributes and dirty.places == PLACES


@pytest.mark.parametrize("what", OF_INODES)
def test_attributes_are_those_of_the_inode_at_the_name(what: What) -> None:
    dirty = listed(Found(b"file", what, "", ""))
    assert dirty.attributes == {(0, 7)} and not dirty.names
    assert dirty.places == PLACES | {(0, 7): (6, b"file")}


def test_a_directorys_own_attributes_are_its_own() -> None:
    assert listed(Found(b"", What.MODE, "", "")).attributes == {(0, 6)}
    differing = Differing()
    differing.listed(0, (), {}, 1, [Found(b"", What.MODE, "", "")])
    assert differing.dirty.attributes == {(0, 1)}


def test_a_directory_that_is_missing_is_a_name_in_the_one_above() -> None:
    assert list(listed(Found(b"", What.MISSING, "", "")).names) == [(0, 5)]


def test_where_not_all_were_named_it_is_the_directory() -> None:
    assert list(listed(Found(b"file", What.MODE, "", ""), total=2).names) == [(0, 6)]
    assert list(listed(Found(b"other", What.MODE, "", "")).names) == [(0, 6)]


def test_content_is_the_zones_of_the_bytes() -> None:
    differing = Differing()
    way = (Bind(0, 7, 1, b"f"),)
    differing.content(0, way, 3 * ZONE_BYTES - 1, 2)
    differing.content(0, way, 9 * ZONE_BYTES, 1 << 20)
    zones = Zones()
    zones.some = {2, 3, 9}
    assert differing.dirty.zones == {(0, 7): zones} and differing.dirty.places == {(0, 7): (1, b"f")}
