"""Small files are compared many at a time, by their names: those that are equal are not even bound at the peer."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manager.model.ids import ROOT_INODE
from replicator.core.operations import Attribute, Operation, Rename, SetAttr, Unlink, Write
from replicator.disk.survey import digest_whole
from replicator.disk.volume import Inode
from replicator.wire.copying import BLOCK
from replicator.wire.frames import FrameKind
from tests.support.compare_trees import differences
from tests.unit.replicator.join_world import HandStream
from tests.unit.replicator.test_made_files import Trees

COUNT = 40


@pytest.fixture
def trees() -> Iterator[Trees]:
    """Both have the same small files in a directory, and the peer those of the root under ids of their own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        trees = Trees(Path(directory))
        for root in (trees.here, trees.there):
            (root / "d").mkdir()
            for number in range(COUNT):
                (root / "d" / f"f{number}").write_bytes(b"%d" % number * (number * 300 + 1))
                os.utime(root / "d" / f"f{number}", ns=(1, 1))
        yield trees
        trees.world.close()


def bound(trees: Trees) -> list[int]:
    """The inodes that are bound from here on, as they are."""
    stream, found = trees.world.stream, []
    assert stream is not None
    ship = stream._operation

    def noting(operation: Operation, acknowledged: Callable[[], None] | None) -> int:
        found.append(operation.inode)
        return ship(operation, acknowledged)

    stream._operation = noting  # type: ignore[method-assign]
    return found


def the_directory(trees: Trees) -> Inode:
    """Of the primary."""
    files = trees.world.here
    return files.lookup(files.table[ROOT_INODE], b"d")[0]


def inode(trees: Trees, name: str) -> int:
    """Of a file in the directory."""
    return trees.world.here.lookup(the_directory(trees), name.encode())[0].id


def step_until(trees: Trees, reached: Callable[[], bool], *but: str) -> None:
    """Takes steps until it is so, none of those."""
    while not reached():
        possible = {name: step for name, step in trees.world.steps().items() if name not in but}
        next(iter(possible.values()))()


def is_read(trees: Trees) -> bool:
    """Whether a thread has small files to read, and has not begun."""
    small = trees.world.joiner._comparing._small
    return bool(small._reading) and bool(trees.world.threads.jobs)


def test_those_that_are_equal_cost_one_question_and_are_not_bound(trees: Trees) -> None:
    trees.begin()
    shipped = bound(trees)
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] == 0
    assert trees.world.frames[FrameKind.COMPARE_SMALL] == 1
    assert len(set(shipped)) == 1  # the directory
    last = trees.world.progress[-1]
    assert (last.files_done, last.bytes_sent) == (COUNT, 0)
    assert last.bytes_done == sum(path.stat().st_size for path in (trees.here / "d").iterdir())


def test_of_those_that_differ_the_blocks_that_do_are_sent(trees: Trees) -> None:
    for root, byte in ((trees.here, b"x"), (trees.there, b"y")):
        with open(root / "d" / "f7", "r+b") as file:
            file.write(byte)
        (root / "d" / "long").write_bytes(b"z" * BLOCK + byte * 100)
        for name in ("f7", "long"):
            os.utime(root / "d" / name, ns=(1, 1))
    trees.begin()
    shipped = bound(trees)
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] == 0
    assert trees.world.progress[-1].bytes_sent == 1 + 2 * (7 * 300) + 1 + 100 - 7 * 300 - 1
    assert len(set(shipped)) == 3


def test_a_file_with_holes_is_compared_by_itself(trees: Trees) -> None:
    for root in (trees.here, trees.there):
        (root / "sparse").touch()
        os.truncate(root / "sparse", 2 * BLOCK)
        os.utime(root / "sparse", ns=(1, 1))
    trees.begin()
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] == 1
    assert trees.world.progress[-1].bytes_sent == 0
    assert (trees.there / "sparse").stat().st_blocks == 0


def test_a_larger_file_is_compared_by_itself(trees: Trees) -> None:
    for root in (trees.here, trees.there):
        (root / "large").write_bytes(b"x" * (2 * BLOCK + 1))
    trees.begin()
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] == 1


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("read", [True, False])
def test_one_that_is_written_to_meanwhile_is_read_again(trees: Trees, applied: bool, read: bool) -> None:
    """Before its thread reads it, or after; the write is applied here by then, or is not."""
    trees.begin()
    step_until(trees, lambda: is_read(trees))
    if read:
        trees.world.threads.work_first()
    change(trees, "f9", lambda number: Write(0, number, 5, memoryview(b"changed")), applied)
    if not read:
        trees.world.threads.work_first()
    step_until(trees, lambda: trees.world.frames[FrameKind.COMPARE_SMALL] > 0, "apply")
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] == 1


def change(trees: Trees, name: str, what: Callable[[int], Operation], applied: bool) -> None:
    """An operation on a file of the directory is shipped, and ``applied`` here."""
    world = trees.world
    operation = what(inode(trees, name))
    files = world.here
    concerned = [files.table[operation.inode]]
    if isinstance(operation, Unlink | Rename):
        concerned.append(the_directory(trees))
    if isinstance(operation, Rename) and operation.replaced:
        concerned.append(files.table[operation.replaced])
    touched = {each.id for each in concerned}
    world.issue(operation, tuple(concerned), lambda: world.touched.update(touched))
    while applied and world.under_way:
        world.apply_next()


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("what", ["renamed", "replaced", "removed", "its mode"])
def test_one_that_is_moved_or_removed_meanwhile_is_found(trees: Trees, what: str, applied: bool, read: bool) -> None:
    trees.begin()
    step_until(trees, lambda: is_read(trees))
    if read:
        trees.world.threads.work_first()
    directory, other = the_directory(trees).id, inode(trees, "f8")
    made: dict[str, Callable[[int], Operation]] = {
        "renamed": lambda number: Rename(0, number, directory, b"f9", directory, b"new", 0, 0),
        "replaced": lambda number: Rename(0, number, directory, b"f9", directory, b"f8", 0, other),
        "removed": lambda number: Unlink(0, number, directory, b"f9"),
        "its mode": lambda number: SetAttr(0, number, Attribute.MODE, mode=0o600),
    }
    change(trees, "f9", made[what], applied)
    step_until(trees, lambda: trees.world.frames[FrameKind.COMPARE_SMALL] > 0, "apply")
    trees.world.settle()
    assert not differences(trees.here, trees.there)
    assert trees.world.held() == []


def test_one_that_the_peer_has_bound_by_then_is_told_by_its_id(trees: Trees) -> None:
    trees.begin()
    step_until(trees, lambda: is_read(trees))
    trees.world.threads.work_first()
    stream = trees.world.stream
    assert isinstance(stream, HandStream)
    number = inode(trees, "f9")
    stream.introduce(0, number)
    while stream.frames:
        stream.frame()
    os.rename(trees.there / "d" / "f9", trees.there / "d" / "g9")  # it has to be found without its name
    step_until(trees, lambda: trees.world.frames[FrameKind.COMPARE_SMALL] > 0)
    while stream.frames:
        stream.frame()
    os.rename(trees.there / "d" / "g9", trees.there / "d" / "f9")
    os.utime(trees.there / "d", ns=(1, os.stat(trees.here / "d").st_mtime_ns))
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] == 0


def test_one_that_is_not_at_its_name_is_bound_and_compared_by_itself(trees: Trees) -> None:
    """Its id is gone below: what is bound gets it again."""
    trees.begin()
    step_until(trees, lambda: trees.world.frames[FrameKind.COMPARE_SMALL] > 0)
    os.removexattr(trees.there / "d" / "f9", "trusted.mirrorfarm")
    trees.finish()
    assert trees.world.frames[FrameKind.COMPARE] == 1
    assert os.getxattr(trees.there / "d" / "f9", "trusted.mirrorfarm")


@pytest.mark.parametrize("steps", range(0, 26))
def test_when_the_stream_is_lost_nothing_is_held_any_more(trees: Trees, steps: int) -> None:
    trees.begin()
    for _ in range(steps):
        possible = trees.world.steps()
        next(iter(possible.values()))() if possible else trees.world.loop.wait()
    trees.world.cut()
    trees.world.rest_alone()
    assert trees.world.held() == []


def test_only_a_file_that_is_as_long_as_it_was_and_has_no_holes_is_digested(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 10_000)
    for name, length, known in (("file", 10_000, True), ("file", 9_999, False), ("sparse", 10_000, False)):
        file = os.open(tmp_path / name, os.O_RDONLY)
        assert (digest_whole(file, length) is not None) == known
        os.close(file)
