"""Small files that a joining peer has just made are sent many at a time; what happens to one meanwhile is not lost."""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from replicator.core.filesystem import PUNCH_HOLE
from replicator.core.operations import Attribute, Fallocate, Operation, Rename, SetAttr, Unlink, Write
from replicator.wire.copying import BLOCK
from replicator.wire.frames import FrameKind
from tests.support.compare_trees import differences
from tests.unit.replicator.test_made_files import Trees
from tests.unit.replicator.test_small_files import COUNT, change, inode, step_until, the_directory


@pytest.fixture
def trees() -> Iterator[Trees]:
    """The primary has small files in a directory, the peer nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        trees = Trees(Path(directory))
        (trees.here / "d").mkdir()
        for number in range(COUNT):
            (trees.here / "d" / f"f{number}").write_bytes(b"%d" % number * (number * 300 + 1))
            os.utime(trees.here / "d" / f"f{number}", ns=(1, number))
        yield trees
        trees.world.close()


def counted(trees: Trees, name: str) -> list[str]:
    """Grows with each call of a method of the joiner's reader, from here on."""
    reader: Any = trees.world.joiner._reader
    calls, method = list[str](), getattr(reader, name)

    def counting(*arguments: Any) -> None:
        calls.append(name)
        method(*arguments)

    setattr(reader, name, counting)
    return calls


def is_read(trees: Trees) -> bool:
    """Whether a thread has them to read, and has not begun."""
    return bool(trees.world.joiner._comparing._made._reading) and bool(trees.world.threads.jobs)


def test_they_cost_one_reading_and_none_is_asked_about(trees: Trees) -> None:
    (trees.here / "d" / "zeros").write_bytes(bytes(2 * BLOCK))
    with open(trees.here / "d" / "holes", "wb") as file:
        os.pwrite(file.fileno(), b"x" * BLOCK, BLOCK)
    trees.begin()
    together, alone = counted(trees, "read_once"), counted(trees, "read")
    trees.finish()
    assert (len(together), len(alone)) == (1, 0)
    assert trees.world.frames[FrameKind.COMPARE] == trees.world.frames[FrameKind.COMPARE_SMALL] == 0
    last = trees.world.progress[-1]
    assert last.files_done == COUNT + 2
    assert last.bytes_sent == last.bytes_total - 3 * BLOCK
    assert (trees.there / "d" / "zeros").stat().st_blocks == 0
    assert (trees.there / "d" / "holes").stat().st_blocks * 512 == BLOCK


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("what", ["written", "cut", "longer", "punched", "renamed", "replaced", "removed", "its mode"])
def test_what_happens_to_one_meanwhile_is_in_it(trees: Trees, what: str, applied: bool, read: bool) -> None:
    """Before its thread reads it, or after; it is applied here by then, or is not."""
    trees.begin()
    step_until(trees, lambda: is_read(trees))
    if read:
        trees.world.threads.work_first()
    directory, other = the_directory(trees).id, inode(trees, "f8")
    made: dict[str, Callable[[int], Operation]] = {
        "written": lambda number: Write(0, number, 5, memoryview(b"changed")),
        "cut": lambda number: SetAttr(0, number, Attribute.SIZE, size=9),
        "longer": lambda number: Write(0, number, 3 * BLOCK, memoryview(b"more")),
        "punched": lambda number: Fallocate(0, number, PUNCH_HOLE, 4, 1000),
        "renamed": lambda number: Rename(0, number, directory, b"f9", directory, b"new", 0, 0),
        "replaced": lambda number: Rename(0, number, directory, b"f9", directory, b"f8", 0, other),
        "removed": lambda number: Unlink(0, number, directory, b"f9"),
        "its mode": lambda number: SetAttr(0, number, Attribute.MODE, mode=0o600),
    }
    change(trees, "f9", made[what], applied)
    step_until(trees, lambda: trees.world.joiner._comparing.bytes_sent > 0, "apply")
    trees.world.settle()
    assert not differences(trees.here, trees.there)
    assert trees.world.held() == []


@pytest.mark.parametrize("begun", [False, True])
def test_what_is_under_way_on_one_when_it_is_read_is_in_it(trees: Trees, begun: bool) -> None:
    """It is shipped before, or while a thread reads; what was read would come after it there, and is older."""
    trees.begin()
    waiting = trees.world.joiner._comparing._made._waiting
    step_until(trees, lambda: bool(waiting))
    first = waiting[0].inode
    if begun:
        step_until(trees, lambda: is_read(trees))
        trees.world.threads.work_first()
    touched = partial(trees.world.touched.add, first.id)
    trees.world.issue(Write(0, first.id, 0, memoryview(b"changed")), (first,), touched)
    for _ in range(200):
        possible = {name: step for name, step in trees.world.steps().items() if name != "apply"}
        if possible:
            next(iter(possible.values()))()
    trees.world.settle()
    assert not differences(trees.here, trees.there)


@pytest.mark.parametrize("read", [True, False])
def test_a_stream_that_breaks_meanwhile_leaves_nothing_held(trees: Trees, read: bool) -> None:
    trees.begin()
    step_until(trees, lambda: is_read(trees))
    if read:
        trees.world.threads.work_first()
    trees.world.cut()
    trees.world.rest_alone()
    assert trees.world.held() == []
    trees.begin()
    trees.finish()


def test_a_bandwidth_holds_for_them(trees: Trees) -> None:
    for number in range(300):
        (trees.here / "d" / f"more{number}").write_bytes(random.Random(number).randbytes(16 << 10))
    world = trees.world
    world.nature.bytes_s = rate = 1 << 20
    trees.begin()
    world.loop.time = lambda: world.loop.now  # type: ignore[method-assign]  # stands still but for what waits
    began_s = world.loop.now
    while not world.durable:
        possible = world.steps()
        if possible:
            next(iter(possible.values()))()
        else:
            world.loop.wait()
        assert world.joiner._comparing.bytes_sent <= (256 << 10) + rate * (world.loop.now - began_s)
    assert not differences(trees.here, trees.there)
