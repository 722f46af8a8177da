"""What the secondary tells of its own joins, and what it keeps of what the primary may lack."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from replicator.core.operations import Create, Fsync, Write
from replicator.core.tracking import Mode, Tracker
from replicator.disk.base import read_bases, write_base
from replicator.disk.volume import Watch
from replicator.wire import messages
from replicator.wire.frames import FrameKind
from replicator.wire.messages import Refusal
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.primaries import EPOCH, Primary, Stage

FILE = (EPOCH << 40) + 1
BASE, FORMER = "0123456789abcdef", "f" * 16


def create(name: bytes, inode: int = FILE) -> Create:
    return Create(0, inode, 1, name, stat.S_IFREG | 0o640, 0o022, 0, 0, 0, b"")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with stepped_loop() as loop:
        stage = Stage(loop, tmp_path)
        yield stage
        stage.close()


def tracker(stage: Stage) -> Tracker:
    return stage.secondary.tracker


def private(stage: Stage) -> list[int]:
    return [volume.private_fd for volume in stage.volumes]


def joined(stage: Stage, forget: bool = True) -> Primary:
    """A stream whose join point this node has noted; the other one as well, if it says so (``forget``)."""
    primary = stage.stream()
    primary.ship(create(b"one"))
    finish = primary.send(FrameKind.FINISH, messages.encode_finish(BASE))
    stage.until(lambda: finish in primary.acknowledged)
    stage.copiers[-1].notes[0]()
    if forget:
        forgotten = primary.send(FrameKind.FORGET, messages.encode_forget(finish))
        stage.until(lambda: forgotten in primary.acknowledged)
    return primary


def barrier(stage: Stage, primary: Primary) -> int:
    sequence = primary.send(FrameKind.BARRIER)
    stage.until(lambda: primary.of(FrameKind.BARRIER_DONE))
    return sequence


# What it came through


def test_the_bases_of_its_joins_are_told(stage: Stage) -> None:
    stage.follow(bases=(BASE, FORMER))
    primary = stage.connect()
    stage.until(lambda: primary.frames)
    assert primary.welcome.bases == (BASE, FORMER)


def test_a_copy_that_may_have_lost_something_tells_of_no_join(stage: Stage) -> None:
    stage.follow(bases=(BASE, FORMER))
    stage.volumes[1].memory_lost = True
    primary = stage.connect()
    stage.until(lambda: primary.frames)
    assert primary.welcome.bases == ()


@pytest.mark.parametrize("forget", [False, True])
def test_the_next_stream_is_told_of_the_join_point_that_was_noted(stage: Stage, forget: bool) -> None:
    write_base(private(stage), FORMER, "")
    primary = joined(stage, forget)
    assert read_bases(private(stage)) == (BASE, FORMER)
    primary.link.close()
    stage.until(stage.lost)
    again = stage.connect()
    stage.until(lambda: again.frames)
    assert again.welcome.bases == (BASE, FORMER)


# When it begins


def test_what_changes_nothing_begins_no_join(stage: Stage) -> None:
    joined(stage)
    primary = stage.connect()
    last = primary.send(FrameKind.PING)
    stage.until(lambda: last in primary.acknowledged)
    assert stage.copiers[1].begun == 0
    assert tracker(stage).mode is Mode.MEMORY
    last = primary.ship(create(b"two", FILE + 1))
    stage.until(lambda: last in primary.acknowledged)
    assert stage.copiers[1].begun == 1
    assert tracker(stage).mode is Mode.VOID


def test_a_join_that_cannot_begin_fails_the_stream(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    primary = stage.stream()
    monkeypatch.setattr(stage.copiers[0], "begin", fail)
    primary.ship(create(b"one"))
    stage.until_gone(primary)
    assert "No space left on device" in primary.failed
    assert stage.names() == set()


# What the primary may lack


def test_what_is_applied_past_the_join_point_is_marked_until_both_have_it(stage: Stage) -> None:
    primary = joined(stage)
    assert (tracker(stage).mode, tracker(stage).base) == (Mode.MEMORY, BASE)
    assert not tracker(stage).missing().names
    primary.ship(Write(0, FILE, 0, b"x"), create(b"two", FILE + 1), Fsync(0, FILE, True, 1))
    sequence = barrier(stage, primary)
    missing = tracker(stage).missing()
    assert set(missing.zones) == {(0, FILE)}
    assert set(missing.names) == {(0, 1)}
    last = primary.send(FrameKind.FORGET, messages.encode_forget(sequence))
    stage.until(lambda: last in primary.acknowledged)
    assert not tracker(stage).missing().zones
    assert not tracker(stage).missing().names


def test_the_list_stays_when_the_stream_is_lost(stage: Stage) -> None:
    primary = joined(stage)
    last = primary.ship(Write(0, FILE, 0, b"x"))
    stage.until(lambda: last in primary.acknowledged)
    stage.secondary.close_stream()
    assert tracker(stage).mode is Mode.MEMORY
    assert set(tracker(stage).missing().zones) == {(0, FILE)}


def test_a_list_that_the_primary_does_not_know_to_be_good_is_none(stage: Stage) -> None:
    primary = joined(stage, forget=False)
    primary.link.close()
    stage.until(stage.lost)
    assert tracker(stage).missing().everything


def test_a_copy_that_lost_something_has_no_list(stage: Stage) -> None:
    joined(stage)
    stage.secondary.close_stream()
    stage.secondary.fail("the disk is broken", memory_lost=False)
    assert tracker(stage).mode is Mode.MEMORY
    stage.secondary.fail("the disk is broken", memory_lost=True)
    assert tracker(stage).mode is Mode.VOID


def test_a_copy_that_lost_something_takes_no_stream_in_this_process(stage: Stage) -> None:
    """It would be listed with the boot id from before the loss."""
    stage.follow()
    stage.secondary.fail("the disk is full", memory_lost=False)
    taken = stage.connect()
    stage.until(lambda: taken.frames)
    stage.secondary.close_stream()
    stage.follow()
    stage.secondary.fail("the disk is broken", memory_lost=True)
    refused = stage.connect()
    stage.until_gone(refused)
    assert refused.refused.reason is Refusal.NOT_FOLLOWING


def test_a_barrier_that_does_not_come_to_the_disk_fails_the_stream(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_watch: Watch) -> None:
        raise OSError(5, "Input/output error")

    primary = joined(stage)
    monkeypatch.setattr(Watch, "check", fail)
    primary.send(FrameKind.BARRIER)
    stage.until_gone(primary)
    failed = stage.events[-1]
    assert isinstance(failed, control.Failed)
    assert failed.memory_lost
    assert tracker(stage).mode is Mode.VOID


def test_barriers_change_nothing(stage: Stage) -> None:
    primary = joined(stage)
    changes = stage.secondary.changes
    last = barrier(stage, primary)
    stage.until(lambda: last in primary.acknowledged)
    assert stage.secondary.changes == changes
