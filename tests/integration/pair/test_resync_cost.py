"""What a returning node costs is in proportion to what changed: not to the tree, not to the size of its files."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from replicator.core.dirty import ZONE_BYTES
from tests.support import compare_trees
from tests.support.replicators import Node, Options, Pair, pair_of
from tests.support.two_disks import is_soak, leave

FEW, MANY = (20_000, 200_000) if is_soak() else (400, 4_000)
"""Files."""
IN_ONE_DIRECTORY = 100
CHANGED = 20
BLOCK = 4096
LARGE_BYTES = 20 << 30
WRITES = 100
MOST_SENT = 5 << 20
TIMEOUT_S = 1800 if is_soak() else 180


def make_tree(root: Path, count: int) -> None:
    """The same on both nodes, times too: a copy that was seeded."""
    for number in range(count):
        directory = root / f"{number // IN_ONE_DIRECTORY:04}"
        if number % IN_ONE_DIRECTORY == 0:
            directory.mkdir()
        path = directory / f"{number % IN_ONE_DIRECTORY:02}"
        path.write_bytes(b"%d" % number)
        os.utime(path, ns=(0, 1_000_000_000))


def come_back(two: Pair) -> control.Progress:
    """How far the join had come in the end."""
    two.a.events = [event for event in two.a.events if not isinstance(event, control.Progress)]
    two.b.start()
    two.join(seconds=TIMEOUT_S)
    two.a.collect(0.1)
    return [event for event in two.a.events if isinstance(event, control.Progress) and event.work == "join"][-1]


def change(root: Path, count: int) -> None:
    """Content, in place; the same files of any tree that is large enough."""
    for number in range(CHANGED):
        file = number * count // CHANGED
        path = root / f"{file // IN_ONE_DIRECTORY:04}" / f"{file % IN_ONE_DIRECTORY:02}"
        with open(path, "r+b") as opened:
            opened.write(b"changed!")


def cost_of_a_few_changes(base: Path, count: int) -> tuple[int, int, int]:
    """Entries and bytes examined, bytes sent."""
    nodes = [Node(name, base, Options()) for name in ("a", "b")]
    for node in nodes:
        make_tree(node.data, count)
    with pair_of(nodes[0], nodes[1]) as two:
        leave(two)
        change(two.a.data, count)
        came = come_back(two)
        two.a.quit()
        two.b.quit()
    assert compare_trees.differences(nodes[0].data, nodes[1].data) == []
    return came.entries_done, came.bytes_done, came.bytes_sent


@pytest.mark.timeout(2 * TIMEOUT_S)
def test_the_cost_does_not_grow_with_the_tree(tmp_path: Path) -> None:
    few, many = (cost_of_a_few_changes(tmp_path / f"{count}", count) for count in (FEW, MANY))
    assert few == many
    assert few[0] <= 2 * CHANGED and few[2] <= CHANGED * 4096


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Pair]:
    """A pair with one large file, all holes."""
    nodes = [Node(name, tmp_path, Options()) for name in ("a", "b")]
    for node in nodes:
        with open(node.data / "large", "wb") as file:
            file.truncate(LARGE_BYTES)
    with pair_of(nodes[0], nodes[1]) as two:
        yield two


@pytest.mark.timeout(TIMEOUT_S)
def test_of_a_large_file_only_the_zones_that_changed_are_read(large: Pair) -> None:
    chance = random.Random(5)
    leave(large)
    with open(large.a.data / "large", "r+b", buffering=0) as file:
        for _ in range(WRITES):
            file.seek(chance.randrange(LARGE_BYTES // BLOCK) * BLOCK)
            file.write(chance.randbytes(BLOCK))
    came = come_back(large)
    assert came.bytes_done <= WRITES * ZONE_BYTES
    assert came.bytes_sent <= MOST_SENT
    large.a.quit()
    large.b.quit()
    assert same_data(large.a.data / "large", large.b.data / "large")


def same_data(one: Path, other: Path) -> bool:
    """Whether two files are the same, the holes left out."""
    return data_of(one) == data_of(other)


def data_of(path: Path) -> list[tuple[int, bytes]]:
    found = []
    with open(path, "rb", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        position = 0
        while position < end:
            try:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                break  # the rest is a hole
            position = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, os.pread(file.fileno(), position - start, start)))
    # Zeros that are written and zeros that are not are the same.
    return [
        (start + at, block)
        for start, data in found
        for at in range(0, len(data), BLOCK)
        if (block := data[at : at + BLOCK]).strip(b"\0")
    ]
