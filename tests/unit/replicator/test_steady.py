"""What was read of a file is used only where it is true, and what is written beside it does not matter."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import PUNCH_HOLE
from replicator.core.operations import Attribute, Fallocate, Operation, SetAttr, SetXattr, Write
from replicator.disk.inode_ids import InodeIds
from replicator.disk.volume import DivergenceError, Volume
from replicator.order import Moment
from replicator.steady import UNENDING, Extent, SteadyReader
from tests.unit.replicator.join_world import HandLoop, HandThreads

_SIZE = 100_000
_PART = (20_000, 30_000)


def named(operation: Operation) -> str:
    """The same in each process that collects the tests."""
    return f"{type(operation).__name__} at {getattr(operation, 'offset', 0)}"


class Stage:
    """A file of which a part is read, and an application that changes it."""

    def __init__(self, path: Path) -> None:
        (path / "file").write_bytes(bytes(_SIZE))
        self.volume = Volume.open(str(path))
        self.volume.number_from(InodeIds(1))
        self.inode, _ = self.volume.lookup(self.volume.table[ROOT_INODE], b"file")
        self.volume.hold(self.inode)
        self.loop = HandLoop()
        self.threads = HandThreads(self.loop)
        self.shipped: list[Operation] = []
        """And not applied here."""
        self.quiet: list[Moment] = []
        self.reader = SteadyReader(self.loop, self, [self.volume], self.threads)
        self.found: list[bytes] = []
        self.gone: list[Exception | None] = []
        self.readings = 0

    @property
    def content(self) -> bytes:
        """Of the part, as it is here."""
        return Path(self.volume.path, "file").read_bytes()[_PART[0] : _PART[1]]

    # As the primary

    def when_quiet(self, callback: Moment) -> None:
        self.quiet.append(callback)

    def underway_on(self, volume: int, inode: int) -> list[Operation]:
        assert (volume, inode) == (0, self.inode.id)
        return list(self.shipped)

    def ship(self, operation: Operation) -> None:
        operation.inode = self.inode.id
        self.inode.pending += 1
        self.reader.note(operation)
        self.shipped.append(operation)

    def apply(self) -> None:
        self.volume.apply(self.shipped.pop(0))
        self.inode.pending -= 1

    def change(self, operation: Operation) -> None:
        self.ship(operation)
        self.apply()

    # Reading

    def read(self, extent: Extent | None = _PART) -> None:
        def work(file: int) -> bytes:
            self.readings += 1
            return os.pread(file, _PART[1] - _PART[0], _PART[0])

        told = None if extent is None else lambda _data: extent
        self.reader.read(0, self.inode, work, self.found.append, self.gone.append, told)

    def begin(self) -> None:
        """The thread reads, and the loop has not heard of it."""
        self.threads.work_first()

    def end(self) -> None:
        self.loop.round()

    def again(self) -> None:
        self.loop.wait()

    def change_below(self) -> None:
        """Somebody moves the file, past the mount, while it is not open here."""
        table = self.volume.table
        table._max_open, self.inode.used = 0, False
        table.trim()
        os.rename(Path(self.volume.path, "file"), Path(self.volume.path, "moved"))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.volume.close()


def write(offset: int, count: int) -> Operation:
    return Write(0, 0, offset, memoryview(b"x" * count))


BESIDE = [
    write(0, 20_000),
    write(30_000, 1),
    write(_SIZE, 10_000),
    Fallocate(0, 0, PUNCH_HOLE, 0, 20_000),
    Fallocate(0, 0, PUNCH_HOLE, 30_000, 1_000),
    SetAttr(0, 0, Attribute.MODE, mode=0o600),
    SetXattr(0, 0, b"user.name", b"value", 0, False),
]
WITHIN = [
    write(0, 20_001),
    write(29_999, 1),
    write(25_000, 100),
    write(0, _SIZE),
    Fallocate(0, 0, PUNCH_HOLE, 0, 20_001),
    SetAttr(0, 0, Attribute.SIZE, size=10_000),
    SetAttr(0, 0, Attribute.SIZE, size=_SIZE * 2),
]


@pytest.mark.parametrize("operation", BESIDE, ids=named)
def test_what_is_changed_beside_it_does_not_matter(stage: Stage, operation: Operation) -> None:
    stage.read()
    stage.begin()
    stage.change(operation)
    stage.end()
    assert (stage.readings, len(stage.found)) == (1, 1)


@pytest.mark.parametrize("operation", BESIDE, ids=named)
def test_what_is_under_way_beside_it_does_not_matter(stage: Stage, operation: Operation) -> None:
    stage.ship(operation)
    stage.read()
    stage.begin()
    stage.end()
    assert (stage.readings, len(stage.found)) == (1, 1)


@pytest.mark.parametrize("operation", WITHIN, ids=named)
@pytest.mark.parametrize("applied", [False, True])
def test_what_is_shipped_meanwhile_is_not_missed(stage: Stage, operation: Operation, applied: bool) -> None:
    """Whether or not it is applied here by the time that the reading ends."""
    stage.read()
    stage.begin()
    stage.ship(operation)
    if applied:
        stage.apply()
    stage.end()
    assert not stage.found
    if not applied:
        stage.apply()
    stage.again()
    stage.begin()
    stage.end()
    assert stage.found == [stage.content]


@pytest.mark.parametrize("operation", WITHIN, ids=named)
def test_what_was_under_way_at_the_start_may_have_been_missed(stage: Stage, operation: Operation) -> None:
    """It was shipped before, so it is not noted any more; and it is applied after the thread has read."""
    stage.ship(operation)
    stage.read()
    stage.begin()
    stage.apply()
    stage.end()
    assert not stage.found
    stage.again()
    stage.begin()
    stage.end()
    assert stage.found == [stage.content]


def test_what_says_that_nothing_follows_rests_on_all_that_could(stage: Stage) -> None:
    stage.read((90_000, UNENDING))
    stage.begin()
    stage.change(write(_SIZE, 1))
    stage.end()
    assert not stage.found


def test_what_rests_on_the_whole_inode_is_true_when_nothing_happens_to_it(stage: Stage) -> None:
    stage.read(None)
    stage.begin()
    stage.change(SetAttr(0, 0, Attribute.MODE, mode=0o600))
    stage.end()
    assert not stage.found
    stage.ship(write(0, 1))
    stage.again()
    assert not stage.threads.jobs
    stage.apply()
    stage.again()
    stage.begin()
    stage.end()
    assert len(stage.found) == 1


def test_more_than_is_remembered_counts_as_all(stage: Stage) -> None:
    stage.read()
    stage.begin()
    for number in range(100):
        stage.change(write(50_000 + number, 1))
    stage.end()
    assert not stage.found
    stage.again()
    stage.begin()
    stage.end()
    assert len(stage.found) == 1


def test_what_is_changed_all_the_time_is_read_at_a_quiet_moment(stage: Stage) -> None:
    stage.read()
    for _ in range(3):
        stage.begin()
        stage.change(write(25_000, 1))
        stage.end()
        assert not stage.quiet
        stage.again()
    assert (stage.readings, stage.found) == (3, [])
    (moment,) = stage.quiet
    assert moment() is None
    assert stage.found == [stage.content]


def test_two_who_read_at_once_are_told_apart(stage: Stage) -> None:
    stage.read()
    stage.read((0, 10))
    stage.begin()
    stage.begin()
    stage.change(write(5, 1))
    stage.end()
    assert len(stage.found) == 1
    stage.end()
    assert len(stage.found) == 1


def test_what_has_lost_its_name_is_gone(stage: Stage) -> None:
    stage.read()
    stage.begin()
    stage.inode.unlinked = True
    stage.end()
    assert (stage.found, stage.gone) == ([], [None])


def test_when_it_is_over_nobody_is_told(stage: Stage) -> None:
    stage.read()
    stage.begin()
    stage.reader.close()
    stage.end()
    assert (stage.found, stage.gone) == ([], [])


def test_a_file_that_was_changed_below_the_mount_is_told_as_one_that_cannot_be_read(stage: Stage) -> None:
    """It is the reader's error to have: another one would end the process."""
    stage.change_below()
    stage.read()
    assert stage.gone == [], "never before it returns"
    stage.loop.round()
    (error,) = stage.gone
    assert isinstance(error, DivergenceError)


def test_one_that_is_found_changed_at_a_quiet_moment_too(stage: Stage) -> None:
    stage.read()
    for _ in range(3):
        stage.begin()
        stage.change(write(25_000, 100))
        stage.end()
        stage.again()
    os.close(stage.inode.data_fd)
    stage.inode.data_fd = -1
    stage.change_below()
    (moment,) = stage.quiet
    moment()
    (error,) = stage.gone
    assert isinstance(error, DivergenceError)
    assert stage.found == []
