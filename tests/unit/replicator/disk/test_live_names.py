"""Where live inodes stand, by what the tables of real directories know."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from manager.model.ids import ROOT_INODE
from replicator.core.operations import Create, Link, Rename, Unlink
from replicator.disk.inode_ids import InodeIds
from replicator.disk.inodes import Inode
from replicator.disk.live_names import LiveNames
from replicator.disk.volume import Volume

FILE, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
NOBODY = 12345


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[list[Volume]]:
    ids = InodeIds(1)
    with ExitStack() as opened:
        found = []
        for index in range(2):
            (tmp_path / f"{index}").mkdir()
            found.append(Volume.open(str(tmp_path / f"{index}"), index))
            opened.callback(found[-1].close)
            found[-1].number_from(ids)
        yield found


@pytest.fixture
def live_names(volumes: list[Volume]) -> LiveNames:
    return LiveNames(volumes)


def make(volume: Volume, name: bytes, parent: int = ROOT_INODE, mode: int = FILE) -> int:
    inode = volume.new_id()
    volume.apply(Create(volume.index, inode, parent, name, mode, 0o022, 0, 0, 0, b""))
    return inode


def test_a_live_inode_stands_where_it_was_made(volumes: list[Volume], live_names: LiveNames) -> None:
    inner = make(volumes[1], b"inner", mode=DIRECTORY)
    file = make(volumes[1], b"file", inner)
    assert live_names.place_of(1, file) == (inner, b"file")
    assert live_names.place_of(1, inner) == (ROOT_INODE, b"inner")
    assert live_names.links_from(1, file) == [inner]
    assert live_names.place_of(0, file) is None
    assert live_names.place_of(1, file, (inner, b"file")) is None
    assert live_names.place_of(1, file, (inner, b"other")) == (inner, b"file")
    volumes[1].apply(Rename(1, file, inner, b"file", ROOT_INODE, b"moved", 0, 0))
    assert live_names.place_of(1, file) == (ROOT_INODE, b"moved")
    assert live_names.links_from(1, file) == [ROOT_INODE]


def test_what_is_not_live_stands_nowhere_and_may_stand_anywhere(volumes: list[Volume], live_names: LiveNames) -> None:
    file = make(volumes[0], b"file")
    volumes[0].release(volumes[0].inode(file))
    for inode in (file, NOBODY):
        assert live_names.place_of(0, inode) is None
        assert live_names.links_from(0, inode) == []
        assert live_names.has_other_names(0, inode)


def test_the_root_has_no_place(live_names: LiveNames) -> None:
    assert live_names.place_of(0, ROOT_INODE) is None
    assert live_names.links_from(0, ROOT_INODE) == []
    assert not live_names.has_other_names(0, ROOT_INODE)


def test_links_are_told_apart(volumes: list[Volume], live_names: LiveNames) -> None:
    volume = volumes[0]
    inner = make(volume, b"inner", mode=DIRECTORY)
    file = make(volume, b"one")
    for parent, name in ((inner, b"two"), (inner, b"three")):
        volume.apply(Link(0, file, parent, name))
    assert live_names.links_from(0, file) == [ROOT_INODE, inner]
    assert live_names.place_of(0, file, (ROOT_INODE, b"one")) in ((inner, b"two"), (inner, b"three"))
    assert live_names.has_other_names(0, file)
    volume.apply(Unlink(0, file, inner, b"two"))
    assert live_names.place_of(0, file, (ROOT_INODE, b"one")) == (inner, b"three")


def test_a_name_that_was_not_looked_up_is_suspected(
    volumes: list[Volume], live_names: LiveNames, tmp_path: Path
) -> None:
    volume = volumes[0]
    file = make(volume, b"known")
    assert not live_names.has_other_names(0, file)
    os.link(tmp_path / "0" / "known", tmp_path / "0" / "unknown")
    assert live_names.has_other_names(0, file), "before the known name goes"
    volume.apply(Unlink(0, file, ROOT_INODE, b"known"))
    assert live_names.has_other_names(0, file), "and after"
    assert live_names.place_of(0, file) is None
    volume.lookup(volume.inode(ROOT_INODE), b"unknown")
    assert not live_names.has_other_names(0, file)
    volume.apply(Unlink(0, file, ROOT_INODE, b"unknown"))
    assert not live_names.has_other_names(0, file), "none is left"


def test_a_directory_has_one_name(volumes: list[Volume], live_names: LiveNames) -> None:
    inner = make(volumes[0], b"inner", mode=DIRECTORY)
    make(volumes[0], b"deeper", inner, DIRECTORY)
    assert not live_names.has_other_names(0, inner)


def test_what_cannot_be_looked_at_may_have_other_names(
    volumes: list[Volume], live_names: LiveNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_inode: Inode) -> None:
        raise OSError(5, "broken")

    file = make(volumes[0], b"file")
    monkeypatch.setattr(volumes[0], "status", broken)
    assert live_names.has_other_names(0, file)
