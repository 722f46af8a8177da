"""Places up to which both disks have everything: when they are made, and what is forgotten then, and not before."""

import threading
import time

import pytest

from manager.model import control
from replicator.barriers import EVERY_S
from replicator.wire import messages
from replicator.wire.frames import FrameKind
from tests.unit.replicator.secondaries import Secondary, Stage


def zones(stage: Stage) -> int:
    return len(stage.keeper.tracker.missing().zones)


def write(stage: Stage, peer: Secondary) -> None:
    """One that completes."""
    results: list[int] = []
    stage.write(stage.inode("one"), b"x", results)
    stage.until_sent(peer)
    peer.acknowledge()
    stage.until(lambda: results)


def let_pass(stage: Stage, seconds: float = EVERY_S) -> None:
    stage.loop.advance(seconds)
    stage.primary.tick()


def let_threads_work(stage: Stage) -> None:
    for _ in range(20):
        time.sleep(0.005)
        stage.loop.turn()


def barrier(stage: Stage, peer: Secondary) -> int:
    """The sequence of the one that was just made."""
    stage.until(lambda: FrameKind.BARRIER in peer.kinds())
    return [sequence for kind, sequence, _ in peer.frames if kind == FrameKind.BARRIER][-1]


def forgotten(peer: Secondary) -> list[int]:
    return [messages.decode_forget(memoryview(body)) for kind, _, body in peer.frames if kind == FrameKind.FORGET]


def test_what_both_disks_have_is_forgotten_by_both(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    write(stage, peer)
    let_pass(stage)
    sequence = barrier(stage, peer)
    write(stage, peer)
    assert zones(stage) == 1 and sequence not in forgotten(peer)
    peer.send(FrameKind.BARRIER_DONE, sequence)
    stage.until(lambda: sequence in forgotten(peer))
    # What came after it is still marked.
    assert zones(stage) == 1
    let_pass(stage)
    stage.until(lambda: peer.kinds().count(FrameKind.BARRIER) == 2)
    peer.send(FrameKind.BARRIER_DONE, barrier(stage, peer))
    stage.until(lambda: not zones(stage))


@pytest.mark.parametrize("first", ["here", "there"])
def test_nothing_is_forgotten_before_both_disks_have_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    stage.settle()
    peer = stage.complete()
    write(stage, peer)
    here = threading.Event()
    monkeypatch.setattr(stage.volume, "syncfs", lambda: here.wait(10.0))
    let_pass(stage)
    sequence = barrier(stage, peer)
    peer.acknowledge()
    if first == "here":
        here.set()
    else:
        peer.send(FrameKind.BARRIER_DONE, sequence)
    let_threads_work(stage)
    assert zones(stage) == 1 and sequence not in forgotten(peer)
    here.set()
    if first == "here":
        peer.send(FrameKind.BARRIER_DONE, sequence)
    stage.until(lambda: sequence in forgotten(peer))
    assert zones(stage) == 0


def test_a_barrier_is_of_what_is_applied_here(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer has it, and this node lags."""
    stage.settle()
    peer = stage.complete()
    synced: list[bytes] = []
    monkeypatch.setattr(stage.volume, "syncfs", lambda: synced.append((stage.root / "one").read_bytes()[:3]))
    stage.loop.advance(EVERY_S)
    peer.acknowledge()
    stage.loop.turn(5)
    stage.write(stage.inode("one"), b"new", [])
    stage.primary.tick()
    peer.send(FrameKind.BARRIER_DONE, barrier(stage, peer))
    let_threads_work(stage)
    assert synced == []
    peer.acknowledge()
    stage.until(lambda: synced)
    assert synced == [b"new"]


def test_where_nothing_was_changed_nothing_is_asked(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    write(stage, peer)
    let_pass(stage)
    peer.send(FrameKind.BARRIER_DONE, barrier(stage, peer))
    stage.until(lambda: not zones(stage))
    for _ in range(5):
        let_pass(stage)
    assert peer.kinds().count(FrameKind.BARRIER) == 1


def test_a_peer_is_complete_only_when_this_nodes_disk_has_everything_too(stage: Stage) -> None:
    stage.settle()
    joining = stage.joining()
    peer = stage.joiners[-1].peer
    stage.volume.sync_failures = [5]
    stage.primary.when_quiet(lambda: stage.primary.streams.join_point(peer))
    stage.until_sent(joining)
    joining.acknowledge()
    joining.send(FrameKind.DURABLE, joining.sequence)
    stage.until(lambda: stage.of(control.PeerLost))
    assert not stage.of(control.PeerComplete) and forgotten(joining) == []


def test_a_disk_that_lost_something_does_not_pass_for_one_that_has_it_at_the_next_barrier(stage: Stage) -> None:
    """The kernel tells once of what it could not write back. The peer is not listed just now, and this node goes on."""
    stage.settle()
    peer = stage.complete()
    stage.settle()
    write(stage, peer)
    stage.volume.sync_failures = [5]
    let_pass(stage)
    peer.send(FrameKind.BARRIER_DONE, barrier(stage, peer))
    stage.until(lambda: any("barrier.failed" in note for note in stage.notes))
    write(stage, peer)
    let_pass(stage)
    stage.loop.advance(EVERY_S)
    assert peer.kinds().count(FrameKind.BARRIER) == 1 and zones(stage) == 1
    # Once the peer is listed it goes on without this node, which does not vouch for its copy.
    stage.settle("b")
    (failed,) = stage.of(control.Failed)
    assert failed.memory_lost and stage.volume.memory_lost


def test_a_listed_peer_goes_on_as_soon_as_a_barrier_has_failed_here(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    write(stage, peer)
    stage.volume.sync_failures = [5]
    let_pass(stage)
    barrier(stage, peer)
    stage.until(lambda: stage.of(control.Failed))
    (failed,) = stage.of(control.Failed)
    assert failed.memory_lost and "is not on this node's disk: Input/output error" in failed.reason


def test_a_barrier_does_not_pass_that_this_nodes_disk_came_through_once_something_was_lost(stage: Stage) -> None:
    """Another one was told of it, an fsync or the watch: what is marked may be all that names what is gone here."""
    stage.settle()
    peer = stage.complete()
    write(stage, peer)
    let_pass(stage)
    sequence = barrier(stage, peer)
    stage.primary.disk_failed("an fsync failed", memory_lost=True)
    peer.send(FrameKind.BARRIER_DONE, sequence)
    for _ in range(30):  # A base would be noted meanwhile, in a thread.
        time.sleep(0.01)
        stage.loop.turn()
    assert zones(stage) == 1 and sequence not in forgotten(peer)
    let_pass(stage)
    assert peer.kinds().count(FrameKind.BARRIER) == 1


def test_a_join_point_passes_all_the_same(stage: Stage) -> None:
    """It has what can be read here, and goes on with that once it is listed."""
    stage.settle()
    stage.primary.disk_failed("an fsync failed", memory_lost=True)
    assert not stage.primary.completions.fenced
    stage.complete()
    assert stage.primary.completions.fenced


def test_a_disk_that_fails_when_the_role_has_ended_meanwhile_is_told_of_all_the_same(stage: Stage) -> None:
    """It tells a barrier that is asked for by nobody any more, and would tell nobody else."""
    stage.settle()
    peer = stage.complete()
    write(stage, peer)
    stage.volume.sync_failures = [5]
    stage.volume.answers.clear()
    let_pass(stage)
    barrier(stage, peer)
    stage.until(lambda: not stage.volume.sync_failures)
    stage.primary.close()
    stage.loop.turn()
    assert not stage.losses
    stage.volume.answers.set()
    stage.until(lambda: stage.losses)
    assert stage.losses == ["what was written is not on this node's disk: Input/output error"]
