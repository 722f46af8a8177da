"""``acknowledge = "disk"``: an acknowledgement says that it is on the disk, in groups."""

import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from manager.model import control
from replicator.core.operations import Create, Fsync, SetAttr, Unbind, Write
from replicator.disk.volume import Volume
from replicator.disk_groups import DiskGroups
from replicator.wire.frames import FrameKind
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.primaries import EPOCH, Stage

FILE = (EPOCH << 40) + 1


def create(name: bytes, inode: int = FILE, volume: int = 0) -> Create:
    return Create(volume, inode, 1, name, stat.S_IFREG | 0o640, 0o022, 0, 0, 0, b"")


class Disks:
    """What was synced of the volumes, and a way to hold or break it."""

    def __init__(self, volumes: list[Volume], monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[object] = []
        self.error: OSError | None = None
        self.open = threading.Event()
        self.open.set()
        for volume in volumes:
            monkeypatch.setattr(volume, "syncfs", self._run(("all", volume.index)))
            monkeypatch.setattr(volume, "prepare_fsync", self._prepare)

    def _run(self, what: object) -> Callable[[], None]:
        def run() -> None:
            assert self.open.wait(5)
            if self.error is not None:
                raise self.error
            self.synced.append(what)

        return run

    def _prepare(self, operation: Fsync) -> Callable[[], None]:
        return self._run((operation.volume, operation.inode, operation.data_only))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with stepped_loop() as loop:
        stage = Stage(loop, tmp_path, acknowledge_disk=True)
        yield stage
        stage.close()


@pytest.fixture
def disks(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disks]:
    disks = Disks(stage.volumes, monkeypatch)
    yield disks
    disks.open.set()


def test_nothing_is_acknowledged_before_it_is_on_the_disk(stage: Stage, disks: Disks) -> None:
    primary = stage.stream()
    disks.open.clear()
    last = primary.ship(create(b"one"), create(b"two", FILE + 1, 1))
    stage.until(lambda: stage.secondary.counters()["frames_applied"] == last)
    stage.loop.turn(10)
    assert primary.acknowledged == []
    disks.open.set()
    stage.until(lambda: primary.acknowledged == [last])
    assert sorted(disks.synced, key=str) == [("all", 0), ("all", 1)]


def test_what_comes_meanwhile_is_the_next_group(stage: Stage, disks: Disks) -> None:
    primary = stage.stream()
    first = primary.ship(create(b"one"))
    stage.until(lambda: primary.acknowledged == [first])
    disks.synced.clear()
    disks.open.clear()
    group = primary.ship(Write(0, FILE, 0, b"a"))
    stage.until(lambda: stage.secondary.counters()["frames_applied"] == group)
    for i in range(5):
        last = primary.ship(Write(0, FILE, i, b"b"))
        stage.until(lambda last=last: stage.secondary.counters()["frames_applied"] == last)  # type: ignore[misc]
    disks.open.set()
    stage.until(lambda: last in primary.acknowledged)
    assert primary.acknowledged == [first, group, last]
    assert disks.synced == [(0, FILE, True)] * 2


def test_attributes_need_the_whole_file_system(stage: Stage, disks: Disks) -> None:
    primary = stage.stream()
    first = primary.ship(create(b"one"))
    stage.until(lambda: primary.acknowledged == [first])
    disks.synced.clear()
    last = primary.ship(SetAttr(0, FILE, 1, mode=0o600))
    stage.until(lambda: last in primary.acknowledged)
    assert disks.synced == [("all", 0)]


def test_what_was_unbound_since_is_reached_by_its_file_system(stage: Stage, disks: Disks) -> None:
    primary = stage.stream()
    first = primary.ship(create(b"one"))
    stage.until(lambda: primary.acknowledged == [first])
    disks.synced.clear()
    last = primary.ship(Write(0, FILE, 0, b"a"), Unbind(0, FILE))
    stage.until(lambda: last in primary.acknowledged)
    assert disks.synced == [("all", 0)]


def test_what_changes_nothing_is_acknowledged_at_once(stage: Stage, disks: Disks) -> None:
    primary = stage.stream()
    disks.open.clear()
    last = primary.send(FrameKind.PING)
    stage.until(lambda: primary.acknowledged == [last])


def test_a_disk_that_fails_fails_the_stream(stage: Stage, disks: Disks) -> None:
    primary = stage.stream()
    disks.error = OSError(5, "Input/output error")
    primary.ship(create(b"one"))
    stage.until_gone(primary)
    assert primary.acknowledged == []
    assert "Input/output error" in primary.failed
    assert isinstance(stage.events[-1], control.Failed)


def test_a_stream_that_ended_is_not_acknowledged(stage: Stage, disks: Disks) -> None:
    primary = stage.stream()
    disks.open.clear()
    last = primary.ship(create(b"one"))
    stage.until(lambda: stage.secondary.counters()["frames_applied"] == last)
    stage.secondary.close_stream()
    disks.open.set()
    stage.until(lambda: not stage.background.under_way)
    stage.until_gone(primary)
    assert primary.acknowledged == []


def test_many_files_are_one_syncfs(stage: Stage, disks: Disks) -> None:
    reached: list[int] = []
    groups = DiskGroups(stage.background, stage.volumes, reached.append, _raise)
    for i in range(17):
        groups.touched(Write(0, FILE + i, 0, b"x"))
    groups.reached(17)
    stage.until(lambda: reached)
    assert disks.synced == [("all", 0)]


def _raise(error: OSError) -> Any:
    raise error
