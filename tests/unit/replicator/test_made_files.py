"""What a joining peer has just made is sent to it, and not compared; what comes of it is the file, holes and all."""

import errno
import os
import random
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import PUNCH_HOLE
from replicator.core.operations import Attribute, Fallocate, Operation, SetAttr, Unlink, Write
from replicator.disk.volume import Inode
from replicator.wire.copying import BLOCK
from replicator.wire.frames import FrameKind
from tests.support.compare_trees import differences
from tests.unit.replicator.join_world import HandStream, World

_MIB = 1 << 20


class Watched(World):
    """Counts the frames of each kind that the primary sends."""

    def __init__(self, here: Path, there: Path) -> None:
        super().__init__(str(here), str(there), epoch=1)
        self.frames: dict[FrameKind, int] = dict.fromkeys(FrameKind, 0)

    def count(self) -> None:
        """The stream that stands."""
        stream = self.stream
        assert stream is not None
        send = stream.send

        def counting(kind: FrameKind, *parts: bytes | memoryview, acknowledged: object = None) -> int:
            self.frames[kind] += 1
            return send(kind, *parts, acknowledged=acknowledged)  # type: ignore[arg-type]

        stream.send = counting  # type: ignore[method-assign]


class Trees:
    """The primary's, and the secondary's with nothing in it."""

    def __init__(self, base: Path) -> None:
        self.here, self.there = base / "here", base / "there"
        self.here.mkdir()
        self.there.mkdir()
        self.world = Watched(self.here, self.there)

    def begin(self) -> None:
        self.world.connect()
        self.world.count()

    def finish(self) -> None:
        self.world.settle()
        assert not differences(self.here, self.there)
        assert self.world.held() == []
        assert self.world.progress[-1].bytes_done == self.world.progress[-1].bytes_total

    def issue(self, name: str, *operations: Operation) -> None:
        """On a file in the root; it is named here."""
        root = self.world.here.table[ROOT_INODE]
        inode, _ = self.world.here.lookup(root, name.encode())
        for operation in operations:
            operation.inode = inode.id
            concerned = (inode, root) if isinstance(operation, Unlink) else (inode,)
            touched = {each.id for each in concerned}
            self.world.issue(operation, concerned, partial(self.world.touched.update, touched))
        while self.world.under_way:
            self.world.apply_next()

    def until_sent(self, count: int) -> None:
        """Until so many bytes of content are sent, or all."""
        world = self.world
        while not world.durable and world.joiner._comparing.bytes_sent < count:
            possible = world.steps()
            if possible:
                next(iter(possible.values()))()
            else:
                world.loop.wait()


@pytest.fixture
def trees() -> Iterator[Trees]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        trees = Trees(Path(directory))
        yield trees
        trees.world.close()


def test_what_the_peer_has_made_is_sent_and_not_compared(trees: Trees) -> None:
    (trees.here / "large").write_bytes(os.urandom(3 * _MIB + 1000))
    (trees.here / "small").write_bytes(b"small")
    os.link(trees.here / "small", trees.here / "name")
    trees.begin()
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] == 0
    assert trees.world.progress[-1].bytes_sent == 3 * _MIB + 1000 + 5


def test_what_the_peer_had_is_compared(trees: Trees) -> None:
    for root in (trees.here, trees.there):
        (root / "file").write_bytes(bytes(range(256)) * 4096)
    (trees.here / "new").write_bytes(os.urandom(1000))
    trees.begin()
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] == 1
    assert trees.world.progress[-1].bytes_sent == 1000


def test_holes_and_blocks_of_zeros_are_not_sent_and_take_no_room(trees: Trees) -> None:
    with open(trees.here / "sparse", "wb") as file:
        for block in (0, 3, 4, 40, 200):
            os.pwrite(file.fileno(), os.urandom(BLOCK), block * BLOCK)
        os.pwrite(file.fileno(), bytes(2 * BLOCK), 60 * BLOCK)
        file.truncate(100 * _MIB + 1)
    (trees.here / "zeros").write_bytes(bytes(5 * BLOCK + 100))
    with open(trees.here / "hole", "wb") as file:
        file.truncate(5 * _MIB)
    trees.begin()
    trees.finish()
    assert trees.world.progress[-1].bytes_sent == 5 * BLOCK
    assert os.stat(trees.there / "sparse").st_blocks * 512 <= 5 * BLOCK
    assert os.stat(trees.there / "zeros").st_blocks == 0
    assert os.stat(trees.there / "hole").st_blocks == 0


@pytest.mark.parametrize("sent", [0, 1, _MIB, 3 * _MIB])
def test_it_is_changed_between_its_listing_and_the_end_of_its_copy(trees: Trees, sent: int) -> None:
    """Written to, punched, cut and grown again: what comes by the stream is neither lost nor undone."""
    for name in ("one", "two", "three"):
        (trees.here / name).write_bytes(os.urandom(4 * _MIB))
    trees.begin()
    trees.until_sent(sent)
    data = memoryview(os.urandom(100_000))
    for name in ("one", "two", "three"):
        trees.issue(
            name,
            Write(0, 0, 50_000, data),
            Fallocate(0, 0, PUNCH_HOLE, 70_000, 30_000),
            SetAttr(0, 0, Attribute.SIZE, size=2 * _MIB - 77),
            Write(0, 0, 3 * _MIB - 5, data),
            SetAttr(0, 0, Attribute.SIZE, size=5 * _MIB),
            Write(0, 0, 5 * _MIB, data),
        )
    trees.world.settle()
    assert not differences(trees.here, trees.there)
    assert trees.world.held() == []
    assert trees.world.frames[FrameKind.COMPARE] == 0


def test_it_is_cut_to_nothing_or_removed_before_it_is_sent(trees: Trees) -> None:
    for name in ("cut", "gone"):
        (trees.here / name).write_bytes(os.urandom(4 * _MIB))
    trees.begin()
    trees.until_sent(1)
    trees.issue("cut", SetAttr(0, 0, Attribute.SIZE, size=0))
    trees.issue("gone", Unlink(0, 0, ROOT_INODE, b"gone"))
    trees.world.settle()
    assert not differences(trees.here, trees.there)
    assert trees.world.held() == []


def test_what_a_broken_join_has_made_is_compared_by_the_next_one(trees: Trees) -> None:
    """The application has changed what was sent, while the peer was away."""
    (trees.here / "file").write_bytes(os.urandom(4 * _MIB))
    trees.begin()
    trees.until_sent(2 * _MIB)
    while trees.world.stream is not None and trees.world.stream.frames:
        trees.world.stream.frame()
    trees.world.cut()
    with open(trees.here / "file", "r+b") as file:
        file.write(bytes(2 * BLOCK))  # what is sent of a made file without zeros would leave the old blocks there
    trees.world.rest_alone()
    trees.begin()
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] > 0
    assert trees.world.progress[-1].bytes_sent < 4 * _MIB


def test_a_bandwidth_holds_for_it(trees: Trees) -> None:
    """All files at once are taken up, and none may send before the others' bytes are counted."""
    for number in range(40):
        (trees.here / f"file{number}").write_bytes(random.Random(number).randbytes(256 << 10))
    world = trees.world
    world.nature.bytes_s = rate = 1 << 20
    trees.begin()
    world.loop.time = lambda: world.loop.now  # type: ignore[method-assign]  # stands still but for what waits
    began_s = world.loop.now
    burst = 256 << 10
    while not world.durable:
        possible = world.steps()
        if possible:
            next(iter(possible.values()))()
        else:
            world.loop.wait()
        allowed = burst + rate * (world.loop.now - began_s)
        assert world.joiner._comparing.bytes_sent <= allowed
    assert not differences(trees.here, trees.there)


def test_what_is_read_and_not_taken_is_bounded(trees: Trees) -> None:
    """Of many large files, with a peer that takes nothing."""
    for number in range(40):
        with open(trees.here / f"file{number}", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 4 * _MIB)
            os.pwrite(file.fileno(), b"data", 0)
            for block in range(0, 4 * _MIB, BLOCK):
                os.pwrite(file.fileno(), b"x", block)
    trees.begin()
    world = trees.world
    while world.joiner._comparing.waiting < 20:
        next(iter(world.steps().values()))()
    for _ in range(10_000):
        possible = {who: step for who, step in world.steps().items() if who != "frame"}
        if not possible:
            break
        next(iter(possible.values()))()
    assert world.joiner._comparing.bytes_sent <= 24 * _MIB
    assert isinstance(world.stream, HandStream)
    trees.finish()


@pytest.mark.parametrize("size", [9, _MIB])
def test_attributes_that_cannot_be_read_end_the_stream_and_not_the_process(
    trees: Trees, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A primary serves on without that peer: a disk that fails now and then is no reason to stop."""
    (trees.here / "file").write_bytes(b"x" * size)
    world, status = trees.world, trees.world.here.status
    failures = [OSError(errno.EIO, "a bad block")]

    def failing(each: Inode) -> os.stat_result:
        if world.joiner._comparing.bytes_sent and failures:
            world.all_names = True  # The joiner may give up.
            raise failures.pop()
        return status(each)

    monkeypatch.setattr(world.here, "status", failing)
    trees.begin()
    trees.world.settle()
    assert not failures
    assert world.joins == 2
    assert not differences(trees.here, trees.there)
