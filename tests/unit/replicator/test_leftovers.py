"""What joins that broke off have left: when it goes, and that no join begins meanwhile."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from replicator import leftovers
from replicator.disk.limbo import LIMBO
from replicator.leftovers import Leftovers
from tests.unit.replicator.join_world import HandLoop, HandThreads


@dataclass
class Disk:
    private_fd: int


class Node:
    """With two directories, as far as this is concerned."""

    def __init__(self, path: Path) -> None:
        self.roots = [path / name for name in ("one", "two")]
        for root in self.roots:
            root.mkdir()
        self.disks = [Disk(os.open(root, os.O_RDONLY)) for root in self.roots]
        self.loop = HandLoop()
        self.threads = HandThreads(self.loop)
        self.warnings: list[str] = []
        self.leftovers = self.new_process()

    def new_process(self) -> Leftovers:
        return Leftovers(self.disks, self.threads, lambda event, **_: self.warnings.append(event))

    def leave(self, *names: str) -> None:
        """A join that breaks off has put these out of the way, in both."""
        for root in self.roots:
            for name in names:
                (root / os.fsdecode(LIMBO) / name / "below").mkdir(parents=True)

    def left(self) -> list[list[str]]:
        """What limbo has."""
        limbos = [root / os.fsdecode(LIMBO) for root in self.roots]
        return [sorted(entry.name for entry in limbo.iterdir()) if limbo.exists() else [] for limbo in limbos]

    def is_empty(self) -> bool:
        """Nothing is left at all, wherever it was."""
        return not any(os.listdir(root) for root in self.roots)

    def work(self) -> None:
        self.threads.work_first()
        self.loop.round()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    for disk in made.disks:
        os.close(disk.private_fd)


def test_where_nothing_is_left_nothing_waits(node: Node) -> None:
    node.leftovers.look()
    assert not node.threads.jobs and node.leftovers.why_not() == ""


def test_a_disk_that_does_not_even_tell_what_is_left_ends_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a file system that has shut itself down, and that a stream ends for: that is told by others."""

    def fail(_private: int) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(leftovers, "has_leftovers", fail)
    node.leftovers.look()
    assert not node.threads.jobs and node.leftovers.why_not() == ""
    assert node.warnings == ["limbo.not_deleted"]


def test_what_a_join_has_left_is_kept_for_the_next_one(node: Node) -> None:
    node.leave("1", "2")
    node.leftovers.look()
    node.work()
    assert node.left() == [["1", "2"]] * 2 and node.leftovers.why_not() == ""


def test_what_took_the_room_that_a_join_lacked_goes_before_the_next_one_begins(node: Node) -> None:
    node.leave("1", "2")
    node.leftovers.lacks_room()
    assert node.left() == [[], []], "nothing of it is found any more"
    assert node.leftovers.why_not()
    node.work()
    assert node.is_empty() and node.leftovers.why_not() == ""


def test_another_process_goes_on_with_it(node: Node) -> None:
    node.leave("1", "2")
    node.leftovers.lacks_room()
    node.leftovers = node.new_process()
    assert node.leftovers.why_not() == ""
    node.leftovers.look()
    assert node.leftovers.why_not()
    node.threads.work_last()
    node.loop.round()
    assert node.is_empty()


def test_what_no_join_would_get_through_in_time_goes_too(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "MOST", 8)
    node.leave(*map(str, range(10)))
    node.leftovers.look()
    node.work()
    assert node.is_empty()


def test_it_stops_for_another_role_and_goes_on_when_this_node_follows_again(node: Node) -> None:
    node.leave("1", "2")
    node.leftovers.lacks_room()
    node.leftovers.stop()
    node.leftovers.look()
    assert len(node.threads.jobs) == 1, "one at a time"
    node.work()
    assert not node.is_empty() and node.leftovers.why_not()
    node.work()
    assert node.is_empty() and node.leftovers.why_not() == "" and not node.threads.jobs


def test_stopped_it_leaves_the_rest(node: Node) -> None:
    node.leave("1", "2")
    node.leftovers.lacks_room()
    node.leftovers.stop()
    node.work()
    assert not node.is_empty() and node.leftovers.why_not() == "" and not node.threads.jobs


def test_what_cannot_be_deleted_is_told_and_holds_nobody_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.leave("1")
    node.leftovers.lacks_room()
    with monkeypatch.context() as broken:
        broken.setattr(os, "rmdir", lambda *_, **__: os.stat("/proc/self/fd/none"))
        node.work()
    assert node.warnings == ["limbo.not_deleted"] and node.leftovers.why_not() == ""
