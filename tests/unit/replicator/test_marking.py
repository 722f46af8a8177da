"""Where a primary has what it ships marked, and that it is marked when it is shipped, not when it is applied (R)."""

import errno
import time

from manager.model.control import PeerLost, Settled
from replicator.barriers import EVERY_S
from replicator.core.dirty import Dirty
from replicator.disk.dirty_list import DirtyList
from replicator.wire.frames import FrameKind
from tests.unit.replicator.secondaries import EPOCH, Stage


def on_disk(stage: Stage) -> Dirty | None:
    """What the list there says that the peer lacks; ``None``: there is none."""
    known = DirtyList(stage.volume.private_fd).load()
    return None if known is None else known[1]


def is_marked(stage: Stage, inode: int) -> bool:
    dirty = on_disk(stage)
    return dirty is not None and (0, inode) in dirty.zones


def test_what_was_shipped_is_in_the_list_though_it_was_not_applied(stage: Stage) -> None:
    """The peer has applied it, and may be gone without having it on its disk."""
    stage.settle()
    peer, inode = stage.complete(), stage.inode("one")
    stage.write(inode, b"new", [])
    stage.until_sent(peer)
    peer.close()
    stage.until(lambda: on_disk(stage) is not None)
    assert is_marked(stage, inode.id)
    assert (stage.root / "one").read_bytes().startswith(b"old")


def test_what_had_to_wait_is_marked_too(stage: Stage) -> None:
    stage.settle()
    peer, inode = stage.complete(), stage.inode("one")
    stage.primary.freeze()
    stage.write(inode, b"new", [])
    stage.primary.thaw()
    stage.until_sent(peer)
    peer.close()
    stage.until(lambda: on_disk(stage) is not None)
    assert is_marked(stage, inode.id)


def test_alone_nothing_completes_before_its_mark_is_on_the_disk(stage: Stage) -> None:
    stage.settle()
    peer, one, two, results = stage.complete(), stage.inode("one"), stage.inode("two"), list[int]()
    peer.close()
    stage.until(lambda: on_disk(stage) is not None)
    stage.settle()
    stage.write(one, b"new", results)
    stage.until(lambda: results)
    assert is_marked(stage, one.id)
    stage.write(two, b"newer", results)
    assert results == [3] and (stage.root / "two").read_bytes().startswith(b"old")
    stage.until(lambda: len(results) == 2)
    assert is_marked(stage, two.id)


def test_what_failed_here_is_marked_until_both_disks_have_its_repair(stage: Stage) -> None:
    """A peer that loses its power before it is repaired has what failed on its disk."""
    stage.settle()
    peer, inode, results = stage.complete(), stage.inode("one"), list[int]()
    stage.loop.advance(EVERY_S)
    peer.acknowledge()
    stage.loop.turn(5)
    stage.volume.failures = [errno.ENOSPC]
    stage.write(inode, b"NEW CONTENT", results)
    stage.until_sent(peer)
    peer.acknowledge()
    stage.until(lambda: len(peer.operations) == 2)
    pass_barrier(stage)
    assert results == [] and stage.keeper.tracker.missing().zones
    peer.acknowledges = True
    peer.acknowledge()
    stage.until(lambda: results)
    assert results == [-errno.ENOSPC] and stage.keeper.tracker.missing().zones
    pass_barrier(stage)
    assert not stage.keeper.tracker.missing().zones


def test_who_takes_the_last_one_out_goes_on_alone(stage: Stage) -> None:
    """What its disk says of the join that they had in common has to go before anything completes (see Commands)."""
    stage.settle()
    peer, alone = stage.complete(), Settled(EPOCH, 9, 109, ("a",))
    assert not stage.primary.goes_on_alone(alone), "the other one has everything, and goes on having it"
    peer.close()
    stage.until(lambda: stage.of(PeerLost))
    assert stage.primary.goes_on_alone(alone)


def pass_barrier(stage: Stage) -> None:
    """If one is due the peer has everything on its disk."""
    (peer,), before = stage.secondaries, stage.primary.counters()["barriers"]
    stage.primary.tick()
    for _ in range(20):
        time.sleep(0.005)
        stage.loop.turn()
        for kind, sequence, _body in list(peer.frames):
            if kind == FrameKind.BARRIER and stage.primary.counters()["barriers"] == before:
                peer.send(FrameKind.BARRIER_DONE, sequence)
                peer.frames = [frame for frame in peer.frames if frame[1] != sequence]
