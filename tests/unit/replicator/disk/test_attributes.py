"""Attributes of live inodes of each sort."""

import dataclasses
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manager.model.ids import ROOT_INODE
from replicator.core.operations import Bind
from replicator.disk.attributes import equalise_live
from replicator.disk.inodes import DivergenceError
from replicator.disk.survey import attributes, target_at
from replicator.disk.volume import Volume
from replicator.wire.copying import Attributes

_GET, _SET, _IMMUTABLE = 0x80086601, 0x40086602, 0x10  # linux/fs.h
MAKE: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_bytes(b"content"),
    "directory": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("target"),
    "fifo": lambda path: os.mkfifo(path),
    "device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
}


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    volume = Volume.open(str(tmp_path))
    yield volume
    volume.close()


def live(volume: Volume, kind: str) -> Attributes:
    """One that is bound, as it is."""
    MAKE[kind](Path(volume.path, kind))
    volume.apply(Bind(0, 7, ROOT_INODE, kind.encode()))
    return found(volume, kind)


def found(volume: Volume, kind: str) -> Attributes:
    status = os.lstat(Path(volume.path, kind))
    return attributes(7, status, target_at(volume.root_fd, kind.encode()))


@pytest.mark.parametrize("kind", MAKE)
def test_all_that_can_differ_is_made_equal(volume: Volume, kind: str) -> None:
    have = live(volume, kind)
    mode = have.mode if kind == "link" else stat.S_IFMT(have.mode) | 0o4751
    wish = dataclasses.replace(have, mode=mode, uid=3, gid=4, mtime_ns=5, xattrs=((b"trusted.two", b"2"),))
    if kind == "file":
        wish = dataclasses.replace(wish, size=3)
    equalise_live(volume, wish)
    assert found(volume, kind) == wish


@pytest.mark.parametrize("kind", MAKE)
def test_what_is_equal_is_left_alone(volume: Volume, kind: str) -> None:
    have = live(volume, kind)
    before = os.lstat(Path(volume.path, kind)).st_ctime_ns
    equalise_live(volume, have)
    assert os.lstat(Path(volume.path, kind)).st_ctime_ns == before


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("file", {"mode": stat.S_IFIFO | 0o600}),
        ("link", {"target": b"elsewhere"}),
        ("device", {"rdev": os.makedev(1, 5)}),
    ],
)
def test_what_is_something_else_is_not_made_equal(volume: Volume, kind: str, change: dict[str, int | bytes]) -> None:
    have = live(volume, kind)
    with pytest.raises(DivergenceError):
        equalise_live(volume, dataclasses.replace(have, **change))  # type: ignore[arg-type]
    assert found(volume, kind) == have


def test_protection_is_each_nodes_own(volume: Volume) -> None:
    have = live(volume, "file")
    with open(Path(volume.path, "file"), "rb") as file:
        (flags,) = struct.unpack_from("=I", fcntl.ioctl(file, _GET, bytes(8)))
        fcntl.ioctl(file, _SET, struct.pack("=II", flags | _IMMUTABLE, 0))
    wish = dataclasses.replace(have, uid=3)
    equalise_live(volume, wish)
    assert found(volume, "file") == wish
