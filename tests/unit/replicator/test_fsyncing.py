"""An fsync of the primary: both disks, or whose fails, hangs or lost what it had taken."""

import errno
import os
from collections.abc import Callable

import pytest

from manager.model import control
from replicator.core.operations import Fsync
from replicator.disk.volume import DivergenceError
from replicator.peer import Peer
from replicator.primary import OWN_FSYNC_TIMEOUTS
from replicator.wire import messages
from replicator.wire.frames import FrameKind
from tests.unit.replicator.secondaries import TIMEOUT_MS, Stage


def test_fsync_waits_for_both_disks(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    results: list[int] = []
    stage.primary.fsync(Fsync(0, stage.inode("one").id, False), results.append)
    stage.until_sent(peer)
    stage.until(lambda: stage.background.under_way == 0)
    peer.acknowledge()
    stage.loop.turn(10)
    assert results == []
    peer.send(FrameKind.FSYNCED, peer.sequence, messages.encode_fsynced(0))
    stage.until(lambda: results)
    assert results == [0]


def test_a_peer_whose_disk_hangs_is_lost_though_it_acknowledges(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    peer.acknowledges = True
    results: list[int] = []
    stage.primary.fsync(Fsync(0, stage.inode("one").id, False), results.append)
    stage.until(lambda: stage.background.under_way == 0)
    for _ in range(11 * 20):
        stage.loop.advance(TIMEOUT_MS / 1000 / 20)
        stage.loop.turn(10)
    assert stage.of(control.PeerLost) == []
    for _ in range(2 * 20):
        stage.loop.advance(TIMEOUT_MS / 1000 / 20)
        stage.loop.turn(10)
    assert "fsync" in str(stage.of(control.PeerLost))
    assert results == []
    stage.settle()
    assert results == [0]


def test_an_fsync_that_fails_at_the_peer_drops_it_and_waits_for_the_record(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    results: list[int] = []
    stage.primary.fsync(Fsync(0, stage.inode("one").id, False), results.append)
    stage.until_sent(peer)
    peer.send(FrameKind.FSYNCED, peer.sequence, messages.encode_fsynced(errno.EIO))
    stage.until(lambda: stage.of(control.PeerLost))
    stage.until(lambda: stage.background.under_way == 0)
    assert results == []
    stage.settle()
    assert results == [0]


class OwnDisk:
    """Takes this node's fsyncs and answers when the test says so."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Callable[[None], None], Callable[[OSError], None]]] = []
        monkeypatch.setattr(stage.background, "sync", self._sync)

    def _sync(
        self, file: int, _data_only: bool, done: Callable[[None], None], failed: Callable[[OSError], None]
    ) -> None:
        os.close(file)
        self.asked.append((done, failed))


def test_fsync_waits_for_both_disks_whichever_is_first(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.settle()
    peer, disk, results = stage.complete(), OwnDisk(stage, monkeypatch), list[int]()
    stage.primary.fsync(Fsync(0, stage.inode("one").id, False), results.append)
    stage.until_sent(peer)
    peer.send(FrameKind.FSYNCED, peer.sequence, messages.encode_fsynced(0))
    stage.loop.turn(20)
    assert results == []
    disk.asked[0][0](None)
    assert results == [0]


def test_an_fsync_is_of_all_that_was_issued_before_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer has the write, and this node's disk is to have it as well."""
    stage.settle()
    peer, disk, results = stage.complete(), OwnDisk(stage, monkeypatch), list[int]()
    inode = stage.inode("one")
    inode.pending += 1  # as whoever issues it counts it
    stage.write(inode, b"new", [])
    stage.primary.fsync(Fsync(0, inode.id, False), results.append)
    stage.until_sent(peer)
    assert disk.asked == []
    peer.acknowledge()
    stage.until(lambda: disk.asked)
    assert (stage.root / "one").read_bytes().startswith(b"new")


def test_fenced_no_fsync_is_over(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.settle()
    disk, results = OwnDisk(stage, monkeypatch), list[int]()
    stage.primary.fsync(Fsync(0, stage.inode("one").id, False), results.append)
    stage.fence.fenced = True
    disk.asked[0][0](None)
    assert results == []


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_an_fsync_that_fails_here_is_lost_memory_and_the_peers_matter(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    stage.settle()
    peer, disk, results = stage.complete(), OwnDisk(stage, monkeypatch), list[int]()
    stage.primary.fsync(Fsync(0, stage.inode("one").id, False), results.append)
    stage.until_sent(peer)
    peer.send(FrameKind.FSYNCED, peer.sequence, messages.encode_fsynced(0))
    disk.asked[0][1](OSError(code, os.strerror(code)))
    failed = stage.of(control.Failed)
    assert [event.memory_lost for event in failed] == [True] and os.strerror(code) in failed[0].reason
    stage.loop.turn(10)
    assert results == [] and stage.primary.stopped


def test_alone_the_caller_of_an_fsync_gets_its_error(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.settle()
    disk, results = OwnDisk(stage, monkeypatch), list[int]()
    stage.primary.fsync(Fsync(0, stage.inode("one").id, False), results.append)
    disk.asked[0][1](OSError(errno.EIO, os.strerror(errno.EIO)))
    assert results == [-errno.EIO]
    assert stage.of(control.Failed) == []


@pytest.mark.parametrize("over", [False, True])
def test_what_an_fsync_finds_lost_alone_the_process_knows_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, over: bool
) -> None:
    """It may be killed before anybody else asks that disk, also once it serves no more (S8)."""
    stage.settle()
    disk = OwnDisk(stage, monkeypatch)
    inode = stage.inode("one").id
    stage.primary.fsync(Fsync(0, inode, False), lambda _: None)
    if over:
        stage.primary.close()
    else:
        stage.primary.fsync(Fsync(0, inode, False), lambda _: None)
    for _, failed in disk.asked:
        failed(OSError(errno.EIO, os.strerror(errno.EIO)))
    assert stage.losses == [f"fsync of inode {inode:x} failed here: {os.strerror(errno.EIO)}"]


@pytest.mark.parametrize("lost", [False, True])
def test_what_was_lost_alone_is_told_once_a_peer_is_listed_and_not_before(stage: Stage, lost: bool) -> None:
    stage.settle()
    stage.joining()
    if lost:
        stage.primary.disk_failed("the disk lost it", memory_lost=True)
    peer = stage.joiners[-1].peer
    stage.primary.when_quiet(lambda: stage.primary.streams.join_point(peer))
    assert not stage.primary.stopped, "nobody else could stand"
    stage.settle("b")
    failed = stage.of(control.Failed)
    assert failed == ([control.Failed("the disk lost it", memory_lost=True)] if lost else [])


def test_what_was_lost_alone_is_left_to_the_process_until_somebody_was_told(stage: Stage) -> None:
    stage.settle()
    stage.primary.disk_failed("the disk lost it", memory_lost=True)
    assert stage.primary.untold_loss == "the disk lost it"
    stage.primary.fail("it is broken")
    assert stage.of(control.Failed) == [control.Failed("it is broken", memory_lost=True)]
    assert not stage.primary.untold_loss


def test_a_loss_that_is_found_when_the_primary_has_failed_already_is_told(stage: Stage) -> None:
    stage.settle("b")
    for _ in range(2):
        stage.primary.fail("it is broken")
    for _ in range(2):
        stage.primary.disk_failed("the disk lost it", memory_lost=True)
    assert stage.of(control.Failed) == [
        control.Failed("it is broken"), control.Failed("the disk lost it", memory_lost=True),
    ]  # fmt: skip
    assert stage.primary.outstanding()[-1] == stage.of(control.Failed)[-1]


@pytest.mark.parametrize("alone", [False, True])
def test_a_disk_of_this_node_that_hangs_is_left_for_that_of_a_peer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    stage.settle()
    if not alone:
        stage.complete()
    disk, results = OwnDisk(stage, monkeypatch), list[int]()
    limit = int(OWN_FSYNC_TIMEOUTS * TIMEOUT_MS / 1000)
    stage.primary.fsync(Fsync(0, stage.inode("one").id, False), results.append)
    for _ in range(limit):
        stage.primary.tick()
    disk.asked[0][0](None)
    for _ in range(limit):
        stage.primary.tick()
    assert stage.of(control.Failed) == [], "it was slow"
    stage.primary.fsync(Fsync(0, stage.inode("one").id, False), results.append)
    for _ in range(limit + 2):
        stage.primary.tick()
    failed = stage.of(control.Failed)
    assert [event.memory_lost for event in failed] == ([] if alone else [False])
    assert sum(note.startswith("disk.silent") for note in stage.notes) == 1


@pytest.mark.parametrize("whose", ["this node's", "the peer's"])
def test_an_fsync_of_a_file_that_was_changed_below_the_mount_is_this_nodes_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    stage.settle()
    peer = stage.complete()
    peer.acknowledges = True
    inode, results = stage.inode("one"), list[int]()

    def fail(*_arguments: object) -> int:
        raise DivergenceError("changed below the mount")

    if whose == "this node's":
        monkeypatch.setattr(stage.volume, "open_for_sync", fail)
    else:
        monkeypatch.setattr(Peer, "sync", fail)
    stage.write(inode, b"x", results)
    stage.primary.fsync(Fsync(0, inode.id, False), results.append)
    stage.until(lambda: stage.of(control.Failed))
    assert "changed below the mount" in stage.of(control.Failed)[0].reason
    assert -errno.EIO not in results and stage.primary.stopped
