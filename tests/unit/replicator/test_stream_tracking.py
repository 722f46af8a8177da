"""What a stream makes of the secondary's list, and in which order the end of a join comes to the disks."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from manager.model.errors import PeerProtocolError
from replicator import stream_tracking
from replicator.core.bases import after_barrier
from replicator.core.tracking import Tracker
from replicator.disk.base import read_bases, write_base
from replicator.disk.dirty_list import DirtyList
from replicator.disk.live_names import LiveNames
from replicator.disk.volume import Volume, Watch
from replicator.stream_tracking import StreamTracking
from tests.unit.replicator.hand_work import attempt

BASE, FORMER, OLDER = "0123456789abcdef", "f" * 16, "e" * 16


class Calls(Tracker):
    """Remembers what is asked of it, and does it not."""

    def __init__(self, volumes: list[Volume]) -> None:
        super().__init__(LiveNames(volumes))
        self.calls: list[str] = []

    def adopted(self, volume: int, inode: int, parent: int, name: bytes) -> None:
        self.calls.append(f"adopted {inode}")

    def abandon(self) -> None:
        self.calls.append("abandon")

    def void(self) -> None:
        self.calls.append("void")

    def finish(self, base: str) -> None:
        self.calls.append(f"finish {base}")

    def finished(self) -> None:
        self.calls.append("finished")

    def to_memory(self) -> None:
        self.calls.append("to memory")

    def close_generation(self, sequence: int) -> str:
        self.calls.append("close")
        return after_barrier(BASE, sequence)

    def forget_closed(self) -> None:
        self.calls.append("forget")


class Threads:
    """Work is done when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[OSError], None]) -> None:
        self.jobs.append(partial(attempt, work, done, failed))


class Stream:
    """One with two directories."""

    def __init__(self, path: Path) -> None:
        self.volumes = []
        for index, name in enumerate(("one", "two")):
            (path / name).mkdir()
            self.volumes.append(Volume.open(str(path / name), index))
        self.private = [volume.private_fd for volume in self.volumes]
        self.tracker = Calls(self.volumes)
        self.store = DirtyList(self.private[0])
        self.threads = Threads()
        self.durable: list[int] = []
        self.failures: list[OSError] = []
        self.tracking = StreamTracking(
            self.tracker, self.store, self.volumes, self.threads, self.durable.append, self.failures.append
        )

    def good(self) -> None:
        """The list is of use."""
        self.tracking.begin()
        self.tracking.finish(7, BASE, 0)()
        self.tracking.forget(7)
        self.tracker.calls.clear()

    def has_list(self) -> bool:
        return os.path.exists(os.path.join(self.volumes[0].path, ".mirrorfarm", "dirty"))


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    stream = Stream(tmp_path)
    yield stream
    stream.tracking.end()
    for volume in stream.volumes:
        volume.close()


def test_a_list_begins_at_the_join_point_and_is_good_when_both_have_it(stream: Stream) -> None:
    stream.tracking.begin()
    note = stream.tracking.finish(7, BASE, 33)
    note()
    assert stream.tracker.calls == ["abandon", "void", "adopted 33", f"finish {BASE}"]
    stream.tracking.forget(7)
    stream.tracking.end()
    assert stream.tracker.calls[4:] == ["finished", "to memory"]


def test_the_join_point_is_noted_with_the_one_before(stream: Stream) -> None:
    write_base(stream.private, FORMER, OLDER)
    stream.store.create(OLDER, [])
    assert stream.has_list()
    stream.tracking.begin()
    note = stream.tracking.finish(7, BASE, 0)
    assert stream.tracking.noted is None
    assert read_bases(stream.private) == (FORMER, OLDER)
    note()
    assert not stream.has_list()
    assert stream.tracking.noted == read_bases(stream.private) == (BASE, FORMER)


def test_the_list_on_the_disk_is_voided_before_the_base_is_noted(stream: Stream) -> None:
    write_base(stream.private, FORMER, "")

    def fail() -> None:
        raise OSError(5, "Input/output error")

    stream.tracking.begin()
    note = stream.tracking.finish(7, BASE, 0)
    stream.store.void = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="Input/output"):
        note()
    assert stream.tracking.noted is None
    assert read_bases(stream.private) == (FORMER,)


def test_bases_of_which_some_were_written_are_none(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    stream.tracking.begin()
    note = stream.tracking.finish(7, BASE, 0)
    monkeypatch.setattr("replicator.stream_tracking.write_base", fail)
    with pytest.raises(OSError, match="No space"):
        note()
    assert stream.tracking.noted == ()


@pytest.mark.parametrize("until", ["begun", "finished", "noted"])
def test_a_list_is_void_after_a_stream_that_was_lost_before_both_had_the_join_point(stream: Stream, until: str) -> None:
    stream.tracking.begin()
    if until != "begun":
        note = stream.tracking.finish(7, BASE, 0)
        if until == "noted":
            note()
    stream.tracker.calls.clear()
    stream.tracking.end()
    assert stream.tracker.calls == ["abandon", "void"]


def test_a_list_stays_after_a_stream_that_changed_nothing(stream: Stream) -> None:
    stream.tracking.end()
    assert stream.tracker.calls == []


def test_a_list_stays_after_a_stream_whose_join_point_both_had(stream: Stream) -> None:
    stream.good()
    stream.tracking.end()
    assert stream.tracker.calls == []


def test_a_barrier_is_answered_when_all_is_on_the_disks_and_forgotten_when_told(stream: Stream) -> None:
    stream.good()
    stream.tracking.barrier(9)
    assert stream.tracker.calls == ["close"]
    assert stream.durable == []
    stream.threads.jobs.pop()()
    assert stream.durable == [9]
    assert stream.tracking.noted == read_bases(stream.private) == (after_barrier(BASE, 9), BASE)
    stream.tracking.forget(9)
    assert stream.tracker.calls == ["close", "forget"]


def test_a_barrier_that_the_primary_let_be_is_forgotten_with_the_next(stream: Stream) -> None:
    stream.good()
    for sequence in (9, 12):
        stream.tracking.barrier(sequence)
    assert len(stream.threads.jobs) == 1, "the primary expects the answers in their order"
    for job in stream.threads.jobs:
        job()
    assert stream.durable == [9, 12]
    assert read_bases(stream.private) == (after_barrier(BASE, 12), after_barrier(BASE, 9))
    stream.tracking.forget(12)
    assert stream.tracker.calls == ["close", "close", "forget", "forget"]
    with pytest.raises(PeerProtocolError):
        stream.tracking.forget(9)


@pytest.mark.parametrize("sequence", [1, 7, 9, 10])
def test_what_is_not_on_the_disks_is_not_forgotten(stream: Stream, sequence: int) -> None:
    stream.good()
    stream.tracking.barrier(9)
    with pytest.raises(PeerProtocolError):
        stream.tracking.forget(sequence)
    assert stream.tracker.calls == ["close"]


def test_a_join_point_that_is_not_noted_is_not_forgotten(stream: Stream) -> None:
    stream.tracking.begin()
    stream.tracking.finish(7, BASE, 0)
    with pytest.raises(PeerProtocolError):
        stream.tracking.forget(7)


def test_neither_barriers_nor_a_second_join_point_before_the_first_is_on_both_disks(stream: Stream) -> None:
    stream.tracking.begin()
    stream.tracking.finish(7, BASE, 0)()
    with pytest.raises(PeerProtocolError):
        stream.tracking.barrier(9)
    with pytest.raises(PeerProtocolError):
        stream.tracking.finish(9, FORMER, 0)


def test_a_writeback_that_failed_since_the_join_point_is_told(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_watch: Watch) -> None:
        raise OSError(5, "Input/output error")

    stream.good()
    monkeypatch.setattr(Watch, "check", fail)
    stream.tracking.barrier(9)
    stream.threads.jobs.pop()()
    assert stream.durable == []
    assert [error.errno for error in stream.failures] == [5]


def test_a_disk_that_has_told_of_its_loss_is_not_believed_after(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Watch] = []

    def fail_once(watch: Watch) -> None:
        told.append(watch)
        if len(told) == 1:
            raise OSError(5, "Input/output error")

    stream.good()
    monkeypatch.setattr(Watch, "check", fail_once)
    for sequence in (9, 12):
        stream.tracking.barrier(sequence)
    for job in stream.threads.jobs:
        job()
    assert [error.errno for error in stream.failures] == [5]
    assert (stream.tracking.noted, read_bases(stream.private)) == ((), (BASE,))


def test_a_disk_that_answers_after_the_end_is_not_heard(stream: Stream) -> None:
    stream.good()
    stream.tracking.barrier(9)
    stream.tracking.end()
    stream.threads.jobs.pop()()
    assert stream.durable == []
    assert stream.failures == []
    assert stream.tracking.noted == read_bases(stream.private) == (BASE,)


def test_a_barrier_that_cannot_be_noted_is_not_on_the_disk(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_private: list[int], _base: str) -> None:
        raise OSError(5, "Input/output error")

    stream.good()
    monkeypatch.setattr(stream_tracking, "advance_base", fail)
    stream.tracking.barrier(9)
    stream.threads.jobs.pop()()
    assert stream.durable == [] and stream.tracking.noted == ()
    assert [error.errno for error in stream.failures] == [5]
