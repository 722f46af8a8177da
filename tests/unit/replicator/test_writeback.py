"""When a disk is asked whether it has what was written, and what is told."""

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from replicator.background import Background
from replicator.disk.loss import is_broken
from replicator.writeback import LOOK_EVERY_S, SILENT_AFTER_S, Writeback
from tests.unit.replicator.loops import SteppedLoop, stepped_loop


@dataclass
class Disk:
    """A directory on a disk that may fail, or not answer."""

    path: str
    device: int
    errors: list[int] = field(default_factory=list)
    syncs: int = 0
    closed: bool = False
    answers: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.answers.set()

    def watch(self) -> "Disk":
        return self

    def close(self) -> None:
        self.closed = True

    def check(self) -> None:
        self.syncs += 1
        self.answers.wait(10.0)
        if self.errors:
            code = self.errors.pop()
            raise OSError(code, os.strerror(code))


class Stage:
    """Three directories on two disks."""

    def __init__(self, loop: SteppedLoop) -> None:
        self.loop = loop
        self.disks = [Disk("/one", 1), Disk("/two", 2), Disk("/two/more", 2)]
        self.changes = 0
        self.lost: list[str] = []
        self.silent: list[str] = []
        self.background = Background(loop)
        self.writeback = Writeback(
            loop, self.disks, self.background, lambda: self.changes, self.lost.append, self.silent.append
        )
        self.writeback.start()

    def look(self) -> None:
        self.loop.advance(LOOK_EVERY_S + 0.01)
        self.loop.until(lambda: not self.background.under_way)

    def end(self) -> asyncio.Task[None]:
        last = self.loop.create_task(self.writeback.look_last())
        self.loop.turn()
        return last

    @property
    def syncs(self) -> list[int]:
        return [disk.syncs for disk in self.disks]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with stepped_loop() as loop:
        made = Stage(loop)
        yield made
        made.writeback.close()
        assert [disk.closed for disk in made.disks] == [True, False, True]
        made.background.close()


def test_each_file_system_is_asked_once_and_at_rest_not_again(stage: Stage) -> None:
    stage.look()
    assert sorted(stage.syncs) == [0, 1, 1]
    stage.look()
    assert sum(stage.syncs) == 2
    stage.changes += 1
    stage.look()
    assert sum(stage.syncs) == 4
    assert (stage.lost, stage.silent) == ([], [])


def test_an_error_is_told_once_with_its_directory(stage: Stage) -> None:
    stage.disks[0].errors.append(errno.EIO)
    stage.look()
    assert stage.lost == ["/one: what was written is not on the disk: Input/output error"]
    stage.look()
    assert len(stage.lost) == 1


def test_one_disk_that_fails_does_not_hide_another(stage: Stage) -> None:
    for disk in stage.disks:
        disk.errors.append(errno.ENOSPC)
    stage.look()
    assert stage.lost[0].count("No space left") == 2


def test_a_disk_that_does_not_answer_is_told_of_once_and_not_asked_again(stage: Stage) -> None:
    stage.disks[0].answers.clear()
    stage.loop.advance(LOOK_EVERY_S + 0.01)
    stage.loop.until(lambda: stage.disks[0].syncs)
    for _ in range(int(SILENT_AFTER_S / LOOK_EVERY_S) + 2):
        stage.changes += 1
        stage.loop.advance(LOOK_EVERY_S + 0.01)
    assert len(stage.silent) == 1
    assert stage.disks[0].syncs == 1
    stage.disks[0].answers.set()
    stage.loop.until(lambda: not stage.background.under_way)
    stage.look()
    assert stage.disks[0].syncs == 2
    assert len(stage.silent) == 1


def test_the_last_look_is_over_when_everything_was_asked_for(stage: Stage) -> None:
    stage.changes += 1
    stage.disks[0].answers.clear()
    stage.loop.advance(LOOK_EVERY_S + 0.01)
    stage.loop.until(lambda: stage.disks[0].syncs)
    stage.changes += 1
    stage.disks[0].errors.append(errno.EIO)
    last = stage.end()
    stage.loop.turn(10)
    assert not last.done() and stage.disks[0].syncs == 1, "what is asked already may not reach what came since"
    stage.disks[0].answers.set()
    stage.loop.until(last.done)
    assert stage.disks[0].syncs == 2
    assert stage.lost == ["/one: what was written is not on the disk: Input/output error"]


def test_a_last_look_at_what_rests_asks_nothing(stage: Stage) -> None:
    stage.look()
    assert stage.end().done()
    assert stage.disks[0].syncs == 1


@pytest.mark.parametrize(("code", "broken"), [(errno.EIO, True), (errno.EROFS, True), (errno.ENOSPC, False)])
def test_of_other_calls_only_those_count_that_say_so(code: int, broken: bool) -> None:
    assert is_broken(OSError(code, os.strerror(code))) is broken
