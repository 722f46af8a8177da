"""What a peer wants of a file is sent whole, in whatever order it is read."""

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from manager.model.ids import ROOT_INODE
from replicator.core.operations import Attribute, SetAttr, Write
from replicator.wire.copying import BLOCK
from tests.support.compare_trees import differences
from tests.unit.replicator.join_world import World

BLOCKS = 7
"""More than what is compared among small files; less than what is read at once while the application works."""
WRITTEN = BLOCKS - 1
"""The application is at work in this block."""


class Busy:
    """Two nodes, one file that differs in some blocks, and an application that writes to it."""

    def __init__(self, base: Path, different: tuple[int, ...]) -> None:
        self.here, self.there = base / "here", base / "there"
        content = bytearray(os.urandom(BLOCKS * BLOCK))
        for root in (self.here, self.there):
            root.mkdir()
        (self.here / "file").write_bytes(content)
        for block in different:
            content[block * BLOCK] ^= 1
        (self.there / "file").write_bytes(content)
        self.world = World(str(self.here), str(self.there), epoch=1)

    def write(self, block: int) -> None:
        """To the last byte of a block; it is under way then."""
        root = self.world.here.table[ROOT_INODE]
        inode, _ = self.world.here.lookup(root, b"file")
        touched = partial(self.world.touched.add, inode.id)
        self.world.issue(Write(0, inode.id, (block + 1) * BLOCK - 1, memoryview(b"x")), (inode,), touched)

    def until(self, so: Callable[[], object]) -> None:
        """Everything goes on but threads, of which the first work first."""
        world = self.world
        while not so():
            possible = world.steps()
            possible.pop("last thread", None)
            if possible:
                next(iter(possible.values()))()
            else:
                world.loop.wait()

    def join(self) -> None:
        """Until two of the blocks that the peer wants are being read at once, beside the application."""
        self.world.connect()
        self.until(lambda: self.world.stream is not None and not self.world.stream.frames)
        self.write(WRITTEN)
        self.until(lambda: len(self.world.threads.jobs) == 2)

    def loop_rests(self) -> None:
        while self.world.loop.soon:
            self.world.loop.round()


@pytest.fixture
def busy() -> Iterator[Busy]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        made = Busy(Path(directory), different=(0, 2))
        yield made
        made.world.close()


def finish(busy: Busy) -> None:
    busy.world.settle()
    assert not differences(busy.here, busy.there)
    assert busy.world.held() == []


def test_a_join_is_over_once_all_is_sent(busy: Busy) -> None:
    busy.world.connect()
    finish(busy)


def test_a_block_that_is_read_after_a_later_one_is_sent(busy: Busy) -> None:
    busy.join()
    busy.world.threads.work_last()
    busy.loop_rests()
    finish(busy)


def test_a_block_that_has_to_be_read_again_is_sent(busy: Busy) -> None:
    """It is written to meanwhile, and the other block's turn comes first."""
    busy.join()
    busy.write(0)
    busy.world.apply_next()
    busy.world.threads.work_first()
    busy.world.threads.work_first()
    busy.loop_rests()
    finish(busy)


def test_a_block_that_is_written_to_once_it_is_read_is_read_again(busy: Busy) -> None:
    """The write is on its way to the peer, before the block that was read."""
    busy.join()
    busy.world.threads.work_first()
    busy.write(0)
    busy.loop_rests()
    finish(busy)


def test_a_join_point_is_told_once_nothing_is_under_way() -> None:
    """What is shipped and not applied here when a peer counts as joined would be in no list."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        busy = Busy(Path(directory), different=())
        world = busy.world
        world.connect()
        busy.until(lambda: world.stream is not None)
        inode, _ = world.here.lookup(world.here.table[ROOT_INODE], b"file")
        world.issue(SetAttr(0, inode.id, Attribute.MODE, mode=0o600), (inode,), lambda: None)
        rest_unapplied(world)
        assert world.under_way and not world.joined
        finish(busy)
        assert world.joined
        world.close()


def rest_unapplied(world: World) -> None:
    """All goes on that can, but nothing is applied here."""
    for _ in range(10_000):
        possible = world.steps()
        possible.pop("apply", None)
        if not (possible := possible or world.passing_time()):
            return
        next(iter(possible.values()))()
    raise AssertionError("it does not come to rest")
