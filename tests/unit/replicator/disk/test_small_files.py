"""Which blocks of a small file differ is told of the very inode that was asked about, and of no other."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash

from manager.model.ids import ROOT_INODE
from replicator.core.operations import Bind
from replicator.disk import small_files
from replicator.disk.inode_ids import write_id
from replicator.disk.small_files import compare_small
from replicator.disk.volume import Volume
from replicator.wire.copying import BLOCK
from replicator.wire.small_files import NOT_THERE, SmallFile

ID = (1 << 40) + 5
OTHER = (1 << 40) + 6
CONTENT = random.Random(1).randbytes(BLOCK + 1000)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    """With one file that keeps an id."""
    (tmp_path / "file").write_bytes(CONTENT)
    write_id(str(tmp_path / "file"), ID, os.stat(tmp_path / "file").st_ino)
    volume = Volume.open(str(tmp_path))
    yield volume
    volume.close()


def wish(content: bytes = CONTENT, inode: int = ID, parent: int = ROOT_INODE, name: bytes = b"file") -> SmallFile:
    blocks = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    return SmallFile(inode, parent, name, len(content), tuple(map(xxhash.xxh3_128_digest, blocks)))


def changed(at: int) -> bytes:
    return CONTENT[:at] + bytes((CONTENT[at] ^ 1,)) + CONTENT[at + 1 :]


def bind(volume: Volume, inode: int = ID, name: bytes = b"file") -> None:
    volume.apply(Bind(0, inode, ROOT_INODE, name))


@pytest.mark.parametrize(("content", "bitmap"), [(CONTENT, 0), (changed(3), 1), (changed(BLOCK), 2), (CONTENT[:9], 0)])
def test_by_its_name_nothing_becomes_live_and_nothing_stays_open(volume: Volume, content: bytes, bitmap: int) -> None:
    volume.apply(Bind(0, ID, ROOT_INODE, b"file"))
    volume.forget_all()
    before = len(os.listdir("/proc/self/fd"))
    assert compare_small(volume, wish(content)) == bitmap
    assert len(volume.table) == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_missing_at_the_end_differs(volume: Volume) -> None:
    os.truncate(Path(volume.path, "file"), BLOCK + 999)
    assert compare_small(volume, wish()) == 2


def test_what_is_live_is_compared_by_its_name_and_by_its_id(volume: Volume) -> None:
    bind(volume)
    assert compare_small(volume, wish(changed(3))) == 1
    assert compare_small(volume, wish(changed(3), parent=0, name=b"")) == 1
    os.rename(Path(volume.path, "file"), Path(volume.path, "elsewhere"))
    assert compare_small(volume, wish(parent=0, name=b"")) == 0


def test_what_is_live_by_its_id_and_not_at_its_name_is_not_there(volume: Volume) -> None:
    Path(volume.path, "other").write_bytes(CONTENT)
    bind(volume)
    os.rename(Path(volume.path, "other"), Path(volume.path, "file"))
    assert compare_small(volume, wish()) == NOT_THERE


@pytest.mark.parametrize("inode", [OTHER, 0])
def test_another_inode_or_one_without_an_id_is_not_it(volume: Volume, inode: int) -> None:
    path = Path(volume.path, "file")
    os.remove(path)
    path.write_bytes(CONTENT)
    if inode:
        write_id(str(path), inode, path.stat().st_ino)
    assert compare_small(volume, wish()) == NOT_THERE


def test_an_id_that_came_here_by_a_copy_says_nothing(volume: Volume) -> None:
    path = Path(volume.path, "file")
    write_id(str(path), ID, path.stat().st_ino + 1)
    assert compare_small(volume, wish()) == NOT_THERE


def test_one_that_is_live_as_another_is_not_it(volume: Volume) -> None:
    bind(volume, OTHER)
    write_id(str(Path(volume.path, "file")), ID, os.stat(Path(volume.path, "file")).st_ino)
    assert compare_small(volume, wish()) == NOT_THERE


def test_what_is_no_file_is_not_opened(volume: Volume, tmp_path: Path) -> None:
    os.remove(tmp_path / "file")
    assert compare_small(volume, wish()) == NOT_THERE
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("elsewhere", path)):
        make(tmp_path / "thing")
        assert compare_small(volume, wish(name=b"thing")) == NOT_THERE
        (os.rmdir if make is os.mkdir else os.remove)(tmp_path / "thing")
    os.mkdir(tmp_path / "directory")
    bind(volume, OTHER, b"directory")
    assert compare_small(volume, wish(inode=OTHER, parent=0, name=b"")) == NOT_THERE


def test_what_has_to_be_live_and_is_not_ends_the_stream(volume: Volume) -> None:
    for unknown in (wish(parent=OTHER), wish(parent=0, name=b"")):
        with pytest.raises(OSError, match="not live"):
            compare_small(volume, unknown)


def test_after_a_loss_of_memory_it_is_the_disk_that_is_asked(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[tuple[int, int]] = []
    monkeypatch.setattr(small_files, "forget_cached", lambda _file, offset, length: forgotten.append((offset, length)))
    assert compare_small(volume, wish()) == 0
    assert forgotten == []
    volume.memory_lost = True
    assert compare_small(volume, wish()) == 0
    bind(volume)
    assert compare_small(volume, wish(parent=0, name=b"")) == 0
    assert forgotten == [(0, len(CONTENT))] * 2
