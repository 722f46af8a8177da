"""How an operation is issued, without a mount: the issuer is a gate that can be shut."""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from manager.model.ids import ROOT_INODE
from replicator.core.operations import Fsync, Operation
from replicator.disk.inode_ids import InodeIds
from replicator.disk.volume import Volume
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
