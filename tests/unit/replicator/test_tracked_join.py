"""What a join that has a list looks at: what was changed, and nothing that grows with the tree."""

import os
import random
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from manager.model.errors import PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.core.dirty import ZONE_BYTES, Dirty
from replicator.core.operations import Create, Link, Operation, RemoveXattr, Rename, SetXattr, Unlink, Write
from replicator.disk.volume import Inode
from replicator.joiner import Joiner
from replicator.wire.copying import BLOCK, Listed, encode_listed
from replicator.wire.frames import FrameKind
from tests.support.compare_trees import differences
from tests.unit.replicator.join_world import HandStream, World


class Copies:
    """Two trees that are the same, and a world in which the peer is away."""

    def __init__(self, base: Path, build: Callable[[Path], None]) -> None:
        self.here, self.there = base / "here", base / "there"
        self.here.mkdir()
        self.there.mkdir()
        build(self.here)
        self.world = World(str(self.here), str(self.there), epoch=1)
        self.world.connect()
        self.world.settle()
        assert not differences(self.here, self.there)
        self.world.cut()
        self.world.rest_alone()
        self.world.progress.clear()

    def join(self) -> None:
        self.world.connect()
        self.finish()

    def finish(self) -> None:
        self.world.settle()
        assert not differences(self.here, self.there)
        assert self.world.held() == []

    # Operations, by path

    def find(self, path: str) -> Inode:
        inode = self.world.here.table[ROOT_INODE]
        for name in path.split("/") if path else ():
            inode, _ = self.world.here.lookup(inode, name.encode())
        return inode

    def _place(self, path: str) -> tuple[Inode, bytes]:
        directory, _, name = path.rpartition("/")
        return self.find(directory), name.encode()

    def issue(self, operation: Operation, *concerned: Inode) -> None:
        def done() -> None:
            self.world.touched.update(inode.id for inode in concerned if not inode.unlinked)

        self.world.issue(operation, concerned, done)
        while self.world.under_way:
            self.world.apply_next()

    def write(self, path: str, offset: int, data: bytes) -> None:
        inode = self.find(path)
        self.issue(Write(0, inode.id, offset, data), inode)

    def create(self, path: str, mode: int = stat.S_IFREG | 0o644) -> None:
        parent, name = self._place(path)
        number = self.world.here.new_id()
        self.issue(Create(0, number, parent.id, name, mode, 0o022, 0, 0, 0, b""), parent)
        self.world.release(0, self.world.here.inode(number))

    def rename(self, path: str, new_path: str) -> None:
        (parent, name), (new_parent, new_name) = self._place(path), self._place(new_path)
        inode = self.find(path)
        self.issue(Rename(0, inode.id, parent.id, name, new_parent.id, new_name, 0, 0), parent, new_parent, inode)

    def unlink(self, path: str) -> None:
        (parent, name), inode = self._place(path), self.find(path)
        self.issue(Unlink(0, inode.id, parent.id, name), parent, inode)

    def link(self, path: str, new_path: str) -> None:
        (parent, name), inode = self._place(new_path), self.find(path)
        self.issue(Link(0, inode.id, parent.id, name), parent, inode)

    def forget(self) -> None:
        """The application has closed all; nothing is live but for the stream's sake."""
        table = self.world.here.table
        for inode in list(table._by_id.values()):
            if inode.id != ROOT_INODE and not (inode.references or inode.children or inode.pending):
                self.world.release(0, inode, 0)


@pytest.fixture
def ground() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


def tree(root: Path, directories: int) -> None:
    for number in range(directories):
        os.mkdir(root / f"d{number}")
        for file in range(5):
            (root / f"d{number}" / f"f{file}").write_bytes(random.Random(number * 5 + file).randbytes(3000))


@pytest.mark.parametrize("directories", [20, 100])
def test_what_is_examined_is_what_was_changed(ground: Path, directories: int) -> None:
    copies = Copies(ground, partial(tree, directories=directories))
    for number in range(20):
        copies.write(f"d{number}/f0", 100, b"changed")
    copies.create("d0/new")
    copies.write("d0/new", 0, b"x" * 500)
    copies.forget()
    copies.join()
    last = copies.world.progress[-1]
    # The directory with the new file has six names; each of the twenty files is looked at by itself.
    assert last.entries_done == 6 + 20
    assert last.bytes_done == 20 * 3000 + 500 == last.bytes_total
    assert last.files_done == 21
    assert copies.world.unclear_joins == 0


def test_only_the_zones_of_a_file_that_were_written_to_are_compared(ground: Path) -> None:
    def sparse(root: Path) -> None:
        with open(root / "big", "wb") as file:
            file.truncate(12 * ZONE_BYTES)

    copies = Copies(ground, sparse)
    for zone in (3, 4, 7, 11):
        copies.write("big", zone * ZONE_BYTES + 70_000, os.urandom(4096))
    copies.join()
    last = copies.world.progress[-1]
    assert last.bytes_done == 4 * ZONE_BYTES
    assert last.bytes_sent == 4 * BLOCK
    assert last.entries_done == 1


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("removed", [False, True])
def test_an_attribute_that_only_one_node_has_is_changed_before_its_turn(
    ground: Path, removed: bool, steps: int
) -> None:
    """Taken away though the peer never had it, or made anew though the peer has it still."""
    copies = Copies(ground, partial(tree, directories=1))

    def create() -> None:
        inode = copies.find("d0/f1")
        copies.issue(SetXattr(0, inode.id, b"trusted.it", os.urandom(4), os.XATTR_CREATE, False), inode)

    def remove() -> None:
        inode = copies.find("d0/f1")
        copies.issue(RemoveXattr(0, inode.id, b"trusted.it"), inode)

    if removed:
        copies.world.connect()
        copies.world.settle()
        create()
        copies.world.settle()
        copies.world.cut()
        copies.world.rest_alone()
    for path in ("d0/f0", "d0/f2"):
        copies.write(path, 0, b"changed")
    (remove if removed else create)()
    copies.world.connect()
    for _ in range(steps):
        if possible := copies.world.steps():
            next(iter(possible.values()))()
    (create if removed else remove)()
    copies.finish()
    assert copies.world.unclear_joins == 0


def deep(root: Path) -> None:
    os.makedirs(root / "a" / "s" / "t" / "x" / "y")
    os.makedirs(root / "b")
    os.makedirs(root / "c" / "d")
    (root / "a" / "s" / "t" / "x" / "y" / "file").write_bytes(os.urandom(200_000))
    (root / "a" / "s" / "t" / "one").write_bytes(os.urandom(100_000))
    (root / "c" / "d" / "kept").write_bytes(os.urandom(1000))


def test_what_was_moved_is_moved_there_and_not_copied(ground: Path) -> None:
    copies = Copies(ground, deep)
    copies.create("a/new")  # so that it is in doubt, for a while, whether the peer has what is below
    copies.rename("a/s/t/x", "b/x")
    copies.rename("a/s/t/one", "b/one")
    copies.forget()
    copies.join()
    assert copies.world.progress[-1].bytes_done == 0
    assert copies.world.unclear_joins == 0


def test_what_is_below_a_directory_to_be_listed_waits_for_those_before_it(ground: Path) -> None:
    copies = Copies(ground, deep)
    copies.create("a/s/t/new")
    copies.create("a/s/new")
    copies.rename("c/d", "a/s/d")
    copies.rename("a/s/t/x", "a/s/d/x")
    copies.forget()
    copies.join()
    assert copies.world.progress[-1].bytes_done == 0
    assert copies.world.unclear_joins == 0


def test_a_marked_file_that_is_moved_before_its_turn_is_found(ground: Path) -> None:
    copies = Copies(ground, deep)
    copies.write("a/s/t/one", 5, b"changed")
    copies.forget()
    copies.world.connect()
    copies.rename("a/s/t/one", "b/two")
    copies.rename("b", "e")
    copies.rename("a/s", "s")
    copies.create("a/d", stat.S_IFDIR | 0o755)
    copies.rename("e", "a/d/e")
    copies.forget()
    copies.finish()
    assert copies.world.unclear_joins == 0
    assert copies.world.joins == 2


def test_a_marked_file_that_loses_the_name_it_is_known_by_is_found(ground: Path) -> None:
    copies = Copies(ground, deep)
    copies.link("a/s/t/one", "b/two")
    copies.join()
    copies.world.cut()
    copies.world.rest_alone()
    copies.forget()
    copies.write("b/two", 5, b"changed")
    copies.forget()
    copies.world.connect()
    copies.unlink("b/two")
    copies.forget()
    copies.finish()
    assert copies.world.unclear_joins == 0


def test_a_marked_file_that_is_removed_is_not_missed(ground: Path) -> None:
    copies = Copies(ground, deep)
    copies.write("a/s/t/one", 5, b"changed")
    copies.write("a/s/t/x/y/file", 5, b"changed")
    copies.unlink("a/s/t/one")
    copies.forget()
    copies.world.connect()
    copies.unlink("a/s/t/x/y/file")
    copies.forget()
    copies.finish()
    assert copies.world.unclear_joins == 0
    assert copies.world.progress[-1].bytes_done == 0


def test_where_a_place_is_wrong_the_next_join_lists_everything(ground: Path) -> None:
    copies = Copies(ground, deep)
    copies.write("a/s/t/one", 5, b"changed")
    number = copies.find("a/s/t/one").id
    copies.forget()
    missing = copies.world.missing

    def misled() -> Dirty:
        dirty = missing()
        dirty.set_place((0, number), (ROOT_INODE, b"elsewhere"))
        return dirty

    copies.world.missing = misled  # type: ignore[method-assign]
    copies.join()
    assert copies.world.unclear_joins == 1
    assert copies.world.joins == 3
    assert copies.world.progress[-1].bytes_done == 100_000


def test_a_new_file_is_compared_once_though_it_has_two_names_and_was_written_to(ground: Path) -> None:
    copies = Copies(ground, deep)
    copies.create("a/new")
    copies.write("a/new", 0, os.urandom(1000))
    copies.link("a/new", "b/new")
    copies.write("b/new", 1000, os.urandom(1000))
    copies.forget()
    copies.join()
    assert copies.world.progress[-1].bytes_done == 2000


def test_few_inodes_are_held_at_a_time(ground: Path) -> None:
    copies = Copies(ground, partial(tree, directories=60))
    for number in range(60):
        for file in range(5):
            copies.write(f"d{number}/f{file}", 1, b"changed")
    copies.forget()
    copies.world.connect()
    most = 0
    while not copies.world.durable:
        possible = copies.world.steps()
        next(iter(possible.values()))() if possible else copies.world.loop.wait()
        most = max(most, len(copies.world.held()))
    copies.finish()
    assert 0 < most <= 100


@pytest.mark.parametrize("steps", range(0, 60, 3))
def test_when_the_stream_is_lost_nothing_is_held_any_more(ground: Path, steps: int) -> None:
    copies = Copies(ground, deep)
    copies.create("a/new")
    copies.write("a/new", 0, os.urandom(70_000))
    copies.rename("a/s/t/x", "b/x")
    copies.write("a/s/t/one", 5, b"changed")
    copies.forget()
    copies.world.connect()
    for _ in range(steps):
        possible = copies.world.steps()
        next(iter(possible.values()))() if possible else copies.world.loop.wait()
    copies.world.cut()
    copies.world.rest_alone()
    assert copies.world.held() == []
    copies.join()


def joiner_of(copies: Copies) -> tuple[Joiner, HandStream]:
    copies.world.rest_alone()
    copies.world.connect()
    stream = copies.world.stream
    assert stream is not None
    while copies.world.loop.soon:
        copies.world.loop.round()
    return copies.world.joiner, stream


def test_an_answer_to_what_was_not_asked_ends_the_stream(ground: Path) -> None:
    copies = Copies(ground, deep)
    copies.create("a/new")
    joiner, stream = joiner_of(copies)
    body = memoryview(encode_listed(Listed(False, ())))
    with pytest.raises(PeerProtocolError, match="listed nothing"):
        joiner.answered(FrameKind.LISTED, stream.sequence + 1, body)
    with pytest.raises(PeerProtocolError, match="not listed"):
        joiner.answered(FrameKind.LISTED, stream.sequence, memoryview(encode_listed(Listed(False, (7,)))))


def test_where_everything_is_listed_nothing_is_unfindable(ground: Path) -> None:
    copies = Copies(ground, deep)
    copies.world.all_names = True
    joiner, stream = joiner_of(copies)
    with pytest.raises(PeerProtocolError, match="every directory is listed"):
        joiner.answered(FrameKind.LISTED, stream.sequence, memoryview(encode_listed(Listed(True, ()))))
    copies.world.cut()
    copies.world.rest_alone()
    assert copies.world.held() == []
