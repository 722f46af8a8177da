"""How an operation is issued, without a mount: the issuer is a gate that can be shut."""

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from manager.model.ids import ROOT_INODE
from replicator.core.operations import Fsync, Operation
from replicator.disk.inode_ids import InodeIds
from replicator.disk.volume import DivergenceError, Volume
from replicator.fuse.context import Context
from tests.support.deep_trees import DEPTH, deep_tree_in


class Gate:
    """What is issued waits until :meth:`open`, as before a quiet moment."""

    fsync_carries_time = True

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._waiting: deque[tuple[Operation, Callable[[int], None]]] = deque()

    def issue(self, operation: Operation, done: Callable[[int], None]) -> None:
        self._waiting.append((operation, done))

    def fsync(self, operation: Fsync, done: Callable[[int], None]) -> None:
        raise AssertionError("not asked for here")

    def forgotten(self, volume: int, inode: int) -> None:
        """Nobody to tell."""

    @property
    def is_idle(self) -> bool:
        return not self._waiting

    def open(self) -> None:
        while self._waiting:
            operation, done = self._waiting.popleft()
            done(self._volume.apply(operation))


def test_a_time_that_waits_to_be_shipped_is_not_the_same_on_both_yet(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    volume = Volume.open(str(tmp_path))
    volume.number_from(InodeIds(1))
    gate = Gate(volume)
    context = Context(volume, gate, cast(Any, None), cast(Any, None), lambda error: None)
    inode, _ = volume.lookup(volume.table[ROOT_INODE], b"file")
    context.touched.add(inode.id)
    told: list[int] = []
    context.ship_time(inode, told.append)
    assert inode.id in context.touched, "a comparison at the moment that it waits for would find another mtime"
    context.ship_time(inode, told.append)
    gate.open()
    assert inode.id not in context.touched and told == [0, 0]
    volume.close()


def test_what_is_released_when_the_role_is_over_is_nothing_any_more(tmp_path: Path) -> None:
    """As by a join, which ends with the role."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory/file").write_bytes(b"x")
    with contextlib.closing(Volume.open(str(tmp_path))) as volume:
        volume.number_from(InodeIds(1))
        gate = Gate(volume)
        context = Context(volume, gate, cast(Any, None), cast(Any, None), lambda error: None)
        directory, _ = volume.lookup(volume.table[ROOT_INODE], b"directory")
        file, _ = volume.lookup(directory, b"file")
        volume.hold(file)
        context.touched.add(file.id)
        volume.forget_all()
        context.release(file, 1)
        assert gate.is_idle


def test_what_is_live_for_the_sake_of_what_lies_deep_below_it_is_forgotten_with_it(tmp_path: Path) -> None:
    """As where a joining peer is told of directories that the kernel has not asked for yet, or not any more."""
    with deep_tree_in(tmp_path), contextlib.closing(Volume.open(str(tmp_path))) as volume:
        volume.number_from(InodeIds(1))
        context = Context(volume, Gate(volume), cast(Any, None), cast(Any, None), lambda error: None)
        directory = volume.table[ROOT_INODE]
        for _ in range(DEPTH):
            os.mkdir(b"d", dir_fd=volume.table.path_fd(directory))
            above, (directory, _) = directory, volume.lookup(directory, b"d")
            volume.hold(directory)
            if above.id != ROOT_INODE:
                context.release(above, 1)
        assert len(volume.table) == 1 + DEPTH
        context.release(directory, 1)
        assert len(volume.table) == 1


@pytest.mark.parametrize("when", ["forgotten", "at rest", "frozen"])
@pytest.mark.parametrize("why", [DivergenceError, OSError])
def test_a_time_that_no_request_waits_for_and_that_cannot_be_read_is_reported(
    tmp_path: Path, why: type[Exception], when: str
) -> None:
    """As of a file that was replaced below the mount. Else the error would end the process, by the loop's turn."""
    (tmp_path / "file").write_bytes(b"x")
    with contextlib.closing(Volume.open(str(tmp_path))) as volume:
        volume.number_from(InodeIds(1))
        gate, reported, done = Gate(volume), list[Exception](), list[bool]()
        context = Context(volume, gate, cast(Any, None), cast(Any, None), reported.append)
        inode, _ = volume.lookup(volume.table[ROOT_INODE], b"file")
        volume.hold(inode)
        context.touched.add(inode.id)
        os.close(inode.path_fd)
        inode.path_fd = -1
        if why is DivergenceError:
            (tmp_path / "other").write_bytes(b"another one")
            (tmp_path / "other").replace(tmp_path / "file")
        else:
            inode.names.clear()
            inode.names.add((ROOT_INODE, b"x" * 256))
        if when == "forgotten":
            context.release(inode, 1)
            assert volume.table.get(inode.id) is None
        elif when == "at rest":
            for _ in range(2):
                context.rest()
        else:
            context.ship_all_times(lambda: done.append(True))
            assert done == [True]
        (error,) = reported
        assert isinstance(error, why) and gate.is_idle


def test_a_time_that_a_request_waits_for_and_that_cannot_be_read_is_its_error_and_stays_due(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with contextlib.closing(Volume.open(str(tmp_path))) as volume:
        volume.number_from(InodeIds(1))
        context = Context(volume, Gate(volume), cast(Any, None), cast(Any, None), lambda error: None)
        inode, _ = volume.lookup(volume.table[ROOT_INODE], b"file")
        results = list[int]()
        context.touched.add(inode.id)
        os.close(inode.path_fd)
        inode.path_fd = -1
        (tmp_path / "file").rename(tmp_path / "away")
        for ship in (context.ship_time, lambda inode, done: context.fsync(inode, False, done)):
            with pytest.raises(DivergenceError):
                ship(inode, results.append)
            assert context.touched.is_due(inode.id)


def test_free_space_that_cannot_be_told_each_second_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(Volume.open(str(tmp_path))) as volume:
        reported = list[Exception]()

        def fail() -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        context = Context(volume, Gate(volume), cast(Any, None), cast(Any, None), reported.append)
        monkeypatch.setattr(context.guard, "refresh", fail)
        context.rest()
        assert [str(error) for error in reported] == ["[Errno 5] Input/output error"]
