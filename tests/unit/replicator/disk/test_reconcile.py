"""Listings of a join that lists some directories only."""

import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.core.filesystem import ID_XATTR
from replicator.core.operations import Bind, Link, Unlink
from replicator.disk.inodes import DivergenceError
from replicator.wire.copying import Entry, EntryFlag
from tests.support.compare_trees import differences
from tests.unit.replicator.disk.copies import Copies


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Copies]:
    """Two copies that are the same: files, directories with something in them, and an inode with two names."""
    copies = Copies(tmp_path)
    for directory in (b"one", b"two", b"three", b"one/tree"):
        os.mkdir(copies.path(directory))
    for name in (b"one/file", b"two/other", b"one/tree/leaf", b"three/linked"):
        with open(copies.path(name), "wb") as file:
            file.write(name * 20_000)
    os.symlink(b"to", copies.path(b"one/link"))
    os.link(copies.path(b"three/linked"), copies.path(b"two/second"))
    copies.join()
    assert same(copies)
    yield copies
    copies.close()


def same(copies: Copies) -> bool:
    return not differences(copies.here.path, copies.there.path)


def inode_of(copies: Copies, *names: bytes) -> int:
    kept = copies.kept(*names)
    assert kept is not None
    return kept.inode


def bind(copies: Copies, *names: bytes) -> int:
    """The inode, live at the secondary by this name, as the stream binds it."""
    parent = 1
    for depth in range(1, len(names) + 1):
        inode = inode_of(copies, *names[:depth])
        copies.there.apply(Bind(0, inode, parent, names[depth - 1]))
        parent = inode
    return parent


# What was moved


def test_what_was_moved_is_moved_where_its_source_is_listed_first(copies: Copies) -> None:
    local = copies.local(b"one", b"file")
    os.rename(copies.path(b"one/file"), copies.path(b"two/file"))
    copies.begin()
    assert copies.list(b"one") == (set(), False)
    assert copies.list(b"two") == (set(), False)
    assert copies.local(b"two", b"file") == local
    copies.finish()
    assert same(copies)


def test_what_was_moved_is_made_anew_and_told_where_its_source_is_listed_later(copies: Copies) -> None:
    os.rename(copies.path(b"one/file"), copies.path(b"two/file"))
    copies.begin()
    assert copies.list(b"two") == ({b"file"}, False)
    assert copies.list(b"one") == (set(), False)
    copies.copy(b"two", b"file")
    copies.finish()
    assert same(copies)


def test_a_tree_is_moved_with_all_that_is_below_it(copies: Copies) -> None:
    local = copies.local(b"one", b"tree", b"leaf")
    os.rename(copies.path(b"one/tree"), copies.path(b"two/moved"))
    copies.begin()
    assert copies.list(b"one") == (set(), False)
    assert copies.list(b"two") == (set(), False)
    assert copies.local(b"two", b"moved", b"leaf") == local
    copies.finish()
    assert same(copies)


def test_a_directory_that_is_not_found_is_made_anew_and_told(copies: Copies) -> None:
    os.rename(copies.path(b"one/tree"), copies.path(b"two/moved"))
    copies.begin()
    assert copies.list(b"two") == ({b"moved"}, False)
    assert os.listdir(copies.copy_path(b"two/moved")) == []
    assert copies.list(b"two", b"moved") == ({b"leaf"}, False)
    copies.copy(b"two", b"moved", b"leaf")
    assert copies.list(b"one") == (set(), False)
    copies.finish()
    assert same(copies)


def test_names_that_changed_their_places_in_one_directory(copies: Copies) -> None:
    local = copies.local(b"one", b"tree")
    os.rename(copies.path(b"one/tree"), copies.path(b"one/aside"))
    os.rename(copies.path(b"one/file"), copies.path(b"one/tree"))
    os.rename(copies.path(b"one/aside"), copies.path(b"one/file"))
    copies.begin()
    assert copies.list(b"one") == (set(), False)
    assert copies.local(b"one", b"file") == local
    copies.finish()
    assert same(copies)


# Ids are believed


def test_another_file_at_the_name_is_not_taken_for_it(copies: Copies) -> None:
    """As when a log is moved away and begun anew: the old one is wanted elsewhere."""
    local = copies.local(b"one", b"file")
    os.rename(copies.path(b"one/file"), copies.path(b"two/old"))
    with open(copies.path(b"one/file"), "wb") as file:
        file.write(b"new")
    copies.begin()
    assert copies.list(b"one") == ({b"file"}, False)
    assert copies.list(b"two") == (set(), False)
    assert copies.local(b"two", b"old") == local
    copies.copy(b"one", b"file")
    copies.finish()
    assert same(copies)


def test_what_has_no_id_is_adopted_and_told(copies: Copies) -> None:
    local = copies.local(b"one", b"file")
    os.removexattr(copies.copy_path(b"one/file"), ID_XATTR)
    copies.begin()
    assert copies.list(b"one") == ({b"file"}, False)
    assert copies.local(b"one", b"file") == local


def test_what_has_no_id_and_another_name_is_not_adopted(copies: Copies) -> None:
    os.removexattr(copies.copy_path(b"one/file"), ID_XATTR)
    os.link(copies.copy_path(b"one/file"), copies.copy_path(b"three/unseen"))
    local = copies.local(b"one", b"file")
    copies.begin()
    assert copies.list(b"one") == ({b"file"}, False)
    assert copies.local(b"one", b"file") != local


@pytest.mark.parametrize("name", [b"file", b"tree"])
def test_what_cannot_keep_its_id_at_the_primary_is_adopted_and_told(copies: Copies, name: bytes) -> None:
    local = copies.local(b"one", name)

    def renewed(entry: Entry) -> Entry:
        if entry.name != name:
            return entry
        flags = EntryFlag.PROTECTED
        return dataclasses.replace(entry, attributes=dataclasses.replace(entry.attributes, inode=77, flags=flags))

    copies.begin()
    assert copies.list(b"one", change=renewed) == ({name}, False)
    assert copies.local(b"one", name) == local
    assert inode_of(copies, b"one", name) == 77


def test_a_listed_directory_without_an_id_gets_it(copies: Copies) -> None:
    inode = inode_of(copies, b"one")
    os.removexattr(copies.copy_path(b"one"), ID_XATTR)
    copies.begin()
    assert copies.list(b"one") == (set(), False)
    assert copies.kept(b"one") == (inode, 0)


def test_a_listed_directory_that_is_another_one_ends_the_join(copies: Copies) -> None:
    os.rename(copies.copy_path(b"one/tree"), copies.copy_path(b"tree"))
    os.rename(copies.copy_path(b"one"), copies.copy_path(b"aside"))
    os.rename(copies.copy_path(b"tree"), copies.copy_path(b"one"))
    copies.begin()
    with pytest.raises(DivergenceError):
        copies.list(b"one")


# Several names


def test_a_further_name_is_made_where_a_former_one_was_listed(copies: Copies) -> None:
    os.link(copies.path(b"one/file"), copies.path(b"two/file"))
    copies.begin()
    assert copies.list(b"one") == (set(), False)
    assert copies.list(b"two") == (set(), False)
    copies.finish()
    assert same(copies)


def test_what_may_have_a_name_elsewhere_is_not_made(copies: Copies) -> None:
    os.link(copies.path(b"one/file"), copies.path(b"two/file"))
    copies.begin()
    assert copies.list(b"two") == (set(), True)
    assert not os.path.lexists(copies.copy_path(b"two/file"))
    assert not copies.is_whole
    copies.cut()
    copies.begin()
    for directory in copies.directories():
        assert copies.list(*directory, tracked=False)[1] is False
    copies.copy(b"one", b"file")
    copies.finish()
    assert same(copies)


def test_what_was_not_found_is_not_missed_once_its_directory_is_listed_again(copies: Copies) -> None:
    os.link(copies.path(b"one/file"), copies.path(b"two/file"))
    copies.begin()
    assert copies.list(b"two") == (set(), True)
    assert copies.list(b"one") == (set(), False)
    assert copies.list(b"two") == (set(), False)
    copies.finish()
    assert same(copies)


def test_one_of_several_names_is_moved(copies: Copies) -> None:
    local = copies.local(b"three", b"linked")
    os.rename(copies.path(b"two/second"), copies.path(b"one/second"))
    copies.begin()
    assert copies.list(b"two") == (set(), False)
    assert copies.list(b"one") == (set(), False)
    assert copies.local(b"one", b"second") == local
    copies.finish()
    assert same(copies)


def test_a_further_name_in_the_same_directory(copies: Copies) -> None:
    os.link(copies.path(b"one/file"), copies.path(b"one/a"))
    os.link(copies.path(b"one/file"), copies.path(b"one/z"))
    copies.begin()
    assert copies.list(b"one") == (set(), False)
    copies.finish()
    assert same(copies)


# Live inodes


def test_what_is_live_and_stands_there_stays(copies: Copies) -> None:
    with open(copies.path(b"two/new"), "wb"):
        pass
    copies.begin()
    inode = bind(copies, b"three", b"linked")
    assert copies.list(b"two") == ({b"new"}, False)
    assert copies.there.inode(inode).local == copies.local(b"two", b"second")
    copies.finish()
    assert same(copies)


def test_a_further_name_of_what_is_live_in_a_clean_directory(copies: Copies) -> None:
    os.rename(copies.path(b"two/second"), copies.path(b"one/second"))
    copies.begin()
    bind(copies, b"three", b"linked")
    assert copies.list(b"one") == (set(), False)
    assert copies.local(b"one", b"second") == copies.local(b"three", b"linked")
    assert copies.list(b"two") == (set(), False)
    copies.finish()
    assert same(copies)


def test_what_has_lost_its_live_name_since(copies: Copies) -> None:
    """The one name that is left at the primary was moved there while this node was away."""
    local = copies.local(b"three", b"linked")
    os.rename(copies.path(b"two/second"), copies.path(b"one/second"))
    copies.begin()
    inode, three = bind(copies, b"three", b"linked"), bind(copies, b"three")
    unlink = Unlink(0, inode, three, b"linked")
    copies.there.apply(unlink)
    os.unlink(copies.path(b"three/linked"))
    os.utime(copies.copy_path(b"three"), ns=(0, os.stat(copies.path(b"three")).st_mtime_ns))
    assert copies.list(b"one") == (set(), False)
    assert copies.local(b"one", b"second") == local
    assert copies.list(b"two") == (set(), False)
    copies.finish()
    assert same(copies)


def test_what_is_live_by_its_only_name_cannot_be_listed_elsewhere(copies: Copies) -> None:
    os.rename(copies.path(b"one/file"), copies.path(b"two/file"))
    copies.begin()
    bind(copies, b"one", b"file")
    with pytest.raises(DivergenceError):
        copies.list(b"two")


def test_a_name_that_the_stream_made_is_there_when_its_inode_is_listed(copies: Copies) -> None:
    os.rename(copies.path(b"one/file"), copies.path(b"one/renamed"))
    copies.begin()
    assert copies.list(b"one") == (set(), False)
    inode, two = bind(copies, b"one", b"renamed"), bind(copies, b"two")
    copies.there.apply(Link(0, inode, two, b"renamed"))
    os.link(copies.path(b"one/renamed"), copies.path(b"two/renamed"))
    assert copies.list(b"two") == (set(), False)
    copies.finish()
    assert copies.local(b"one", b"renamed") == copies.local(b"two", b"renamed")


# Joins that broke off


def test_what_a_broken_join_has_made_is_told_again(copies: Copies) -> None:
    os.rename(copies.path(b"one/tree"), copies.path(b"two/moved"))
    copies.begin()
    assert copies.list(b"two") == ({b"moved"}, False)
    assert copies.list(b"two", b"moved") == ({b"leaf"}, False)
    copies.cut()
    copies.begin()
    assert copies.list(b"one") == (set(), False)
    assert copies.list(b"two") == ({b"moved"}, False)
    assert copies.list(b"two", b"moved") == ({b"leaf"}, False)
    copies.copy(b"two", b"moved", b"leaf")
    copies.finish()
    assert same(copies)
    copies.begin()
    assert copies.list(b"two") == (set(), False)
    assert copies.list(b"two", b"moved") == (set(), False)


def test_what_a_broken_join_has_moved_to_limbo_comes_back(copies: Copies) -> None:
    local = copies.local(b"one", b"tree", b"leaf")
    os.rename(copies.path(b"one/tree"), copies.path(b"two/moved"))
    copies.begin()
    assert copies.list(b"one") == (set(), False)
    copies.cut()
    copies.begin()
    assert copies.list(b"two") == (set(), False)
    assert copies.local(b"two", b"moved", b"leaf") == local
    assert copies.list(b"one") == (set(), False)
    copies.finish()
    assert same(copies)


def test_what_a_broken_join_of_all_has_made_twice_is_not_taken_for_the_one_in_a_clean_directory(copies: Copies) -> None:
    """It made ``one/second`` anew and broke off before it came to ``three``, which is not to be listed again."""
    os.rename(copies.path(b"two/second"), copies.path(b"one/second"))
    copies.begin()
    assert copies.list(tracked=False) == (set(), False)
    assert copies.list(b"one", tracked=False) == ({b"second"}, False)
    copies.cut()
    copies.begin()
    assert copies.list(b"one") == (set(), True)
    copies.cut()
    copies.begin()
    anew = {directory: copies.list(*directory, tracked=False) for directory in copies.directories()}
    assert {name for names, _ in anew.values() for name in names} == {b"second"}
    copies.copy(b"one", b"second")
    copies.finish()
    assert same(copies)


def test_a_join_of_all_still_adopts(copies: Copies) -> None:
    local = copies.local(b"one", b"file")
    os.unlink(copies.path(b"one/file"))
    with open(copies.path(b"one/file"), "wb") as file:
        file.write(b"another file")
    assert stat.S_ISREG(os.stat(copies.path(b"one/file")).st_mode)
    copies.begin()
    assert copies.list(b"one", tracked=False) == ({b"file"}, False)
    assert copies.local(b"one", b"file") == local


# What has no content


@pytest.mark.parametrize("tracked", [True, False])
def test_what_is_missing_is_made_and_told_to_be_empty(copies: Copies, tracked: bool) -> None:
    with open(copies.path(b"one/new"), "wb") as file:
        file.write(b"new" * 50_000)
    copies.begin()
    assert copies.list(b"one", tracked=tracked) == ({b"new"}, False)
    assert copies.made == {b"new"}
    assert os.stat(copies.copy_path(b"one/new")).st_size == 150_000
    assert os.stat(copies.copy_path(b"one/new")).st_blocks == 0


def test_what_was_adopted_or_moved_is_not_told_to_be_empty(copies: Copies) -> None:
    os.removexattr(copies.copy_path(b"one/file"), ID_XATTR)
    os.rename(copies.path(b"one/tree"), copies.path(b"one/moved"))
    copies.begin()
    assert copies.list(b"one", tracked=False) == ({b"file"}, False)
    assert copies.made == set()


def test_what_a_broken_join_has_made_is_not_told_to_be_empty(copies: Copies) -> None:
    """It may have got any part of its content."""
    with open(copies.path(b"one/new"), "wb") as file:
        file.write(b"new" * 50_000)
    copies.begin()
    copies.list(b"one")
    copies.cut()
    with open(copies.copy_path(b"one/new"), "r+b") as file:
        file.write(b"what was there before a truncation")
    copies.begin()
    assert copies.list(b"one") == ({b"new"}, False)
    assert copies.made == set()


def test_of_several_names_the_one_that_is_listed_first_is_told_to_be_empty(copies: Copies) -> None:
    with open(copies.path(b"one/new"), "wb") as file:
        file.write(b"new" * 50_000)
    os.link(copies.path(b"one/new"), copies.path(b"one/newer"))
    os.link(copies.path(b"one/new"), copies.path(b"two/third"))
    copies.begin()
    first = copies.listing(b"one").entries
    expected = next(entry.name for entry in first if entry.name.startswith(b"new"))
    assert copies.list(b"one", tracked=False) == ({expected}, False)
    assert copies.made == {expected}
    assert copies.list(b"two", tracked=False) == (set(), False)
    assert copies.made == set()
    assert copies.local(b"one", b"new") == copies.local(b"one", b"newer") == copies.local(b"two", b"third")


def test_what_is_put_where_another_file_stood_has_nothing_of_that(copies: Copies) -> None:
    os.unlink(copies.path(b"one/file"))
    os.mkdir(copies.path(b"one/file"))
    os.rmdir(copies.path(b"one/file"))
    os.rename(copies.path(b"two/other"), copies.path(b"one/file"))
    copies.begin()
    assert copies.list(b"one") == ({b"file"}, False)
    assert copies.made == {b"file"}
    with open(copies.copy_path(b"one/file"), "rb") as file:
        assert not file.read().strip(b"\0")


def test_what_has_all_the_names_that_it_can_have_keeps_them(copies: Copies) -> None:
    """As what looks for equal files makes it, which goes on until there are too many links."""
    spare = copies.copy_path(b".mirrorfarm", b"spare")
    os.mkdir(spare)
    for number in range(os.fpathconf(copies.there.private_fd, "PC_LINK_MAX") - 2):
        os.link(copies.copy_path(b"three/linked"), os.path.join(spare, b"%d" % number))
    with pytest.raises(OSError, match="links"):
        os.link(copies.copy_path(b"three/linked"), copies.copy_path(b"one too many"))
    copies.join()
    assert same(copies)
