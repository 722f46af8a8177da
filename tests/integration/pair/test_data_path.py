"""What the data path does not do, counted in two real replicators: a task, an await, a thread, a log line, a copy."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.counted_replicator import COMMAND, DIRECTORY, Counted, Counts
from tests.support.replicators import Node, Options, Pair, pair_of

MIB = 1 << 20
SMALL = 4096
SMALL_WRITES = 1500
LARGE_WRITES = 100
TEXT = b"A line of a log that is like the others.\n"


@dataclass
class Both:
    """A pair of counted replicators."""

    pair: Pair
    directory: Path

    def count(self, act: Callable[[int], None]) -> tuple[Counts, Counts]:
        """What the primary and the secondary do while ``act`` writes to a file that is open before and after."""
        file = os.open(self.pair.a.data / "file", os.O_RDWR | os.O_CREAT)
        act(file)
        with ExitStack() as stack:
            stack.callback(os.close, file)
            here, there = (
                stack.enter_context(Counted(node.pid, self.directory / node.name))
                for node in (self.pair.a, self.pair.b)
            )
            act(file)
        return here.counts, there.counts


@pytest.fixture
def both(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Both]:
    def made(name: str) -> Node:
        (tmp_path / name).mkdir()
        environment = {DIRECTORY: str(tmp_path / name)}
        return Node(name, tmp_path, Options(command=COMMAND, environment=environment, compression=request.param))

    with pair_of(made("a"), made("b")) as pair:
        yield Both(pair, tmp_path)


def write_small(file: int) -> None:
    block = os.urandom(SMALL)
    for number in range(SMALL_WRITES):
        os.pwrite(file, block, number % 64 * SMALL)


def write_large(file: int) -> None:
    block = os.urandom(MIB)
    for number in range(LARGE_WRITES):
        os.pwrite(file, block, number % 4 * MIB)


def write_text(file: int) -> None:
    block = (TEXT * (MIB // len(TEXT) + 1))[:MIB]
    for number in range(LARGE_WRITES):
        os.pwrite(file, block, number % 4 * MIB)


@pytest.mark.parametrize("both", [False, True], ids=["plain", "compressing"], indirect=True)
def test_a_write_makes_no_task_and_leaves_the_loop_nowhere(both: Both) -> None:
    """What the replicator does each second, such as telling the free space, is far less than one a write."""
    for counts in both.count(write_small):
        assert counts.calls > SMALL_WRITES
        assert counts.tasks == 0
        assert counts.coroutine_steps < SMALL_WRITES / 20
        assert counts.threaded < SMALL_WRITES / 20
        assert counts.logging_calls == 0


@pytest.mark.parametrize("both", [False], indirect=True)
def test_a_large_body_is_copied_by_nobody(both: Both) -> None:
    """A copy of a body would be a mebibyte at once."""
    for counts in both.count(write_large):
        assert counts.calls > LARGE_WRITES
        assert counts.tasks == 0
        assert counts.peak_bytes < MIB // 4


@pytest.mark.parametrize("both", [True], ids=["compressing"], indirect=True)
def test_of_what_does_not_shrink_no_more_than_a_sample_is_compressed(both: Both) -> None:
    for counts in both.count(write_large):
        assert counts.peak_bytes < MIB // 4


@pytest.mark.parametrize("both", [True], ids=["compressing"], indirect=True)
def test_the_counting_sees_a_copy_and_a_task(both: Both) -> None:
    """Text is decompressed into new memory, and what is done each second is a coroutine's."""
    _, there = both.count(write_text)
    assert there.peak_bytes > MIB
    assert there.earlier_tasks > 0
    with Counted(both.pair.a.pid, both.directory / "a") as here:
        time.sleep(2.5)
    assert here.counts.coroutine_steps > 0
