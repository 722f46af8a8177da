"""The kernel tells once of what a disk lost: who was told may be gone when the next join comes to its end."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from replicator.wire.frames import FrameKind
from tests.support.failing_disk import FailingDisk, failing_disk
from tests.unit.replicator.test_join_receiver import Joining
from tests.unit.replicator.test_stream_tracking import Threads

OLD, NEW = b"O" * (1 << 20), b"N" * (1 << 20)


class Apart(Threads):
    """What work has come to is told later."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Callable[[], None]] = []

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[OSError], None]) -> None:
        def later(then: Callable[[Any], None], what: object) -> None:
            self.answers.append(partial(then, what))

        super().run(work, partial(later, done), partial(later, failed))


def overwrite(file: Path) -> None:
    with open(file, "r+b") as opened:
        opened.write(NEW)


@contextlib.contextmanager
def one_file_is_lost() -> Iterator[tuple[Joining, FailingDisk]]:
    """A secondary's directory with "file", of which the disk takes nothing more."""
    with failing_disk("ext4", whole=True) as disk, contextlib.ExitStack() as stack:
        (disk.path / "data").mkdir()
        (disk.path / "data" / "file").write_bytes(OLD)
        joining = Joining(disk.path / "data")
        stack.callback(joining.volume.close)
        stack.callback(lambda: joining.receiver.close())
        disk.lose(joining.path / "file")
        yield joining, disk


def joins(joining: Joining) -> bool:
    """Whether one from its begin to its end, in which nothing was found to differ, is through."""
    joining.again()
    joining.link.said.clear()
    joining.errors.clear()
    joining.receiver.begin()
    joining.finish()
    joining.threads.jobs.pop()()
    said = [kind for kind, _, _ in joining.link.said]
    assert (said, len(joining.errors)) in (([FrameKind.DURABLE], 0), ([], 1))
    return not joining.errors


def test_a_join_that_was_told_when_its_stream_was_over_leaves_it_to_the_next_one() -> None:
    with one_file_is_lost() as (joining, disk):
        threads, joining.threads = joining.threads, (apart := Apart())
        joining.again()
        joining.receiver.begin()
        overwrite(joining.path / "file")
        joining.finish()
        joining.threads.jobs.pop()()
        joining.receiver.close()
        apart.answers.pop()()
        joining.threads = threads
        disk.heal()
        assert (joining.path / "file").read_bytes() == NEW, "it passes for whole"
        assert disk.content(joining.path / "file") != NEW
        assert not joining.errors and not joining.volume.memory_lost, "nobody was there to hear of it"
        assert not joins(joining)
        assert joining.volume.memory_lost, "the one after it compares what is on the disk"
        assert joins(joining)
        assert not joining.volume.memory_lost
        assert joins(joining), "what it lost was found by that one"


def test_a_join_does_not_end_on_a_disk_that_told_somebody_else() -> None:
    """Such as the barrier of a role, or of a stream, that was over when it was told."""
    with one_file_is_lost() as (joining, disk):
        overwrite(joining.path / "file")
        with pytest.raises(OSError, match="space"):
            joining.volume.syncfs()
        disk.heal()
        assert not joins(joining)


def test_what_is_lost_in_a_join_that_compares_what_is_on_the_disk_is_told_by_it() -> None:
    with one_file_is_lost() as (joining, disk):
        joining.volume.memory_lost = True
        joining.receiver.begin()
        overwrite(joining.path / "file")
        joining.finish()
        joining.threads.jobs.pop()()
        assert (joining.link.said, len(joining.errors)) == ([], 1)
        assert joining.volume.memory_lost
        disk.heal()
