"""What the nodes know of each other, on a real disk that fills up: nothing is believed that was not written whole."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.core.dirty import Dirty
from replicator.core.dirty_codec import records
from replicator.disk import linux
from replicator.disk.base import clear_base, read_bases, write_base
from replicator.disk.dirty_list import DirtyList
from tests.support.grounds import loop_mounted

ONE, TWO, THREE = "0123456789abcdef", "f" * 16, "0" * 16
SIZE_MIB = {"ext4": 64, "xfs": 320}


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    with loop_mounted(request.param, SIZE_MIB[request.param]) as directory:
        yield Path(directory)


@pytest.fixture
def private(disk: Path) -> Iterator[int]:
    (disk / "private").mkdir()
    directory = os.open(disk / "private", os.O_RDONLY | os.O_DIRECTORY)
    yield directory
    os.close(directory)


@pytest.fixture
def dirty_list(private: int) -> Iterator[DirtyList]:
    found = DirtyList(private)
    yield found
    found.close()


def fill(disk: Path) -> None:
    """Takes all that is free, to the last block that root gets."""
    file = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    size, block = 0, 32 << 20
    while block >= 4096:
        try:
            os.posix_fallocate(file, size, block)
            size += block
        except OSError as error:
            assert error.errno == errno.ENOSPC
            block //= 4
    linux.syncfs(file)
    os.close(file)


def facts(first: int, count: int) -> list[bytes]:
    return records(Dirty(attributes={(0, inode) for inode in range(first, first + count)}))


def test_what_a_full_disk_took_of_a_list_is_whole_and_the_list_can_be_taken_away(
    disk: Path, private: int, dirty_list: DirtyList
) -> None:
    first = 2
    dirty_list.create(ONE, facts(first, 10))
    fill(disk)
    with pytest.raises(OSError) as caught:
        while first < 1_000_000:
            dirty_list.append(facts(first + 10, 100))
            first += 100
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="no list is open"):
        dirty_list.append(facts(1, 1))
    found = dirty_list.load()
    assert found is not None, dirty_list.damage
    taken = {inode for _, inode in found[1].attributes}
    assert taken >= set(range(2, first + 10)), "what was said to be on the disk"
    assert taken <= set(range(2, first + 110)), "what was tried"
    dirty_list.void()
    assert os.listdir(private) == []
    assert dirty_list.load() is None
    assert dirty_list.damage == ""


def test_a_list_for_which_there_is_no_room_is_none(disk: Path, private: int, dirty_list: DirtyList) -> None:
    fill(disk)
    with pytest.raises(OSError) as caught:
        dirty_list.create(ONE, facts(2, 400_000))
    assert caught.value.errno == errno.ENOSPC
    dirty_list.void()
    assert os.listdir(private) == []


def test_a_full_disk_takes_another_base(disk: Path, private: int) -> None:
    write_base([private], ONE, "")
    fill(disk)
    with pytest.raises(OSError, match="No space"):
        (disk / "private" / "more").write_bytes(bytes(1 << 20))
    write_base([private], TWO, ONE)
    assert read_bases([private]) == (TWO, ONE)
    clear_base([private])
    assert read_bases([private]) == ()
    write_base([private], THREE, "")
    assert read_bases([private]) == (THREE,)
