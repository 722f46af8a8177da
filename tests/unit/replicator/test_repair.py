"""An operation that the peers have applied and that fails here: repaired there, or this node's end."""

import errno
import os

import pytest

from manager.model import control
from replicator.core.operations import Fallocate, SetAttr, Unlink, Write
from replicator.disk.volume import DivergenceError
from replicator.wire.frames import FrameKind
from tests.unit.replicator.secondaries import Stage


def test_what_finds_no_room_here_is_undone_at_the_peer_before_the_caller_is_told(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    inode, results = stage.inode("one"), list[int]()
    stage.volume.failures = [errno.ENOSPC]
    stage.write(inode, b"NEW CONTENT THAT IS LONGER THAN THE OLD", results)
    stage.until_sent(peer)
    peer.acknowledge()
    stage.until(lambda: len(peer.operations) == 2)
    stage.write(inode, b"later", results)
    stage.loop.turn(10)
    repair = peer.operations[1]
    assert isinstance(repair, Write)
    assert bytes(repair.data) == b"old content of one"
    assert results == []
    assert [operation.inode for operation in stage.primary.underway_on(0, inode.id)] == [inode.id]
    peer.acknowledge()
    stage.until(lambda: len(peer.operations) == 3)
    size = peer.operations[2]
    assert isinstance(size, SetAttr)
    assert size.size == len(b"old content of one")
    assert results == []
    peer.acknowledges = True
    peer.acknowledge()
    stage.until(lambda: len(results) == 2)
    assert results == [-errno.ENOSPC, 5]
    assert stage.primary.underway_on(0, inode.id) == []
    assert (stage.root / "one").read_bytes().startswith(b"later")


def test_a_moment_that_was_waited_for_comes_after_the_repair(stage: Stage) -> None:
    """What is read in it, to be compared with the peer's, is not what the peer has before."""
    stage.settle()
    peer = stage.complete()
    inode, results = stage.inode("one"), list[int]()
    stage.volume.failures = [errno.ENOSPC, errno.ENOSPC]
    stage.write(inode, b"NEW CONTENT", results)
    stage.write(inode, b"NEWER", results)
    stage.until_sent(peer)
    under_way: list[int] = []
    stage.primary.when_quiet(lambda: under_way.append(len(stage.primary.underway_in(0))))
    peer.acknowledges = True
    peer.acknowledge()
    stage.until(lambda: len(results) == 2)
    assert results == [-errno.ENOSPC, -errno.ENOSPC]
    assert under_way == [0]


def test_a_repair_is_read_once_nothing_is_under_way(stage: Stage) -> None:
    """What is shipped and not applied here is on the peer, and would be undone there."""
    stage.settle()
    peer = stage.complete()
    inode, results = stage.inode("one"), list[int]()
    stage.volume.failures = [errno.ENOSPC]
    stage.write(inode, b"FAILS", results)
    stage.write(inode, b"GOOD", results)
    stage.until_sent(peer)
    peer.acknowledge(peer.sequence - 1)
    stage.loop.turn(20)
    assert len(peer.operations) == 2
    peer.acknowledges = True
    peer.acknowledge()
    stage.until(lambda: len(results) == 2)
    repair = peer.operations[2]
    assert isinstance(repair, Write) and bytes(repair.data) == b"GOODc"


def test_a_hole_is_repaired_as_a_hole(stage: Stage) -> None:
    with open(stage.root / "one", "r+b") as file:
        file.truncate(0)
        file.truncate(1 << 20)
    stage.settle()
    peer = stage.complete()
    peer.acknowledges = True
    results: list[int] = []
    stage.volume.failures = [errno.EDQUOT]
    stage.write(stage.inode("one"), b"x" * 8192, results, offset=4096)
    stage.until(lambda: results)
    assert results == [-errno.EDQUOT]
    hole = peer.operations[1]
    assert isinstance(hole, Fallocate)
    assert (hole.offset, hole.length) == (4096, 8192)


def test_a_repair_that_loses_its_peer_waits_for_the_record(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    results: list[int] = []
    stage.volume.failures = [errno.EFBIG]
    stage.write(stage.inode("one"), b"x", results)
    stage.until_sent(peer)
    peer.acknowledge()
    stage.until(lambda: len(peer.operations) == 2)
    peer.close()
    stage.until(lambda: stage.of(control.PeerLost))
    assert results == []
    stage.settle()
    assert results == [-errno.EFBIG]


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS])
def test_another_failure_here_ends_it_and_the_peer_has_it(stage: Stage, code: int) -> None:
    stage.settle()
    peer = stage.complete()
    results: list[int] = []
    stage.volume.failures = [code]
    for data in (b"a", b"b"):
        stage.write(stage.inode("one"), data, results)
    stage.until_sent(peer)
    peer.acknowledge()
    stage.until(lambda: stage.of(control.Failed))
    stage.loop.turn(10)
    assert results == []
    assert len(peer.operations) == 2
    stage.settle()
    assert results == []


def test_where_nobody_has_all_of_it_yet_the_caller_gets_the_error_and_who_joins_begins_anew(stage: Stage) -> None:
    stage.settle()
    peer = stage.joining()
    results: list[int] = []
    stage.volume.failures = [errno.EIO]
    for data in (b"a", b"b"):
        stage.write(stage.inode("one"), data, results)
    assert results == [-errno.EIO, 1]
    assert [event.node for event in stage.of(control.PeerLost)] == ["b"] and not stage.of(control.Failed)
    stage.until(lambda: peer.lost)
    assert len(peer.operations) == 1
    assert (stage.root / "one").read_bytes() == b"bld content of one"


@pytest.mark.parametrize("failures", [1, 2])
def test_a_join_does_not_come_to_its_end_before_what_failed_is_repaired(stage: Stage, failures: int) -> None:
    """Its joiner may have asked for that moment before something failed that was under way."""
    stage.settle()
    peer, (joiner,) = stage.joining(), stage.joiners
    assert peer.link is not None
    peer.link.pause_reading()
    inode, results, noise = stage.inode("one"), list[int](), os.urandom(1 << 20)
    for issued in range(1, 100):
        stage.write(inode, noise, results)
        if len(results) <= issued - failures:
            break
    stage.volume.failures = [errno.ENOSPC] * failures
    stage.primary.when_quiet(lambda: stage.primary.streams.join_point(joiner.peer))
    peer.acknowledges = True
    peer.link.resume_reading()
    stage.until(lambda: FrameKind.FINISH in peer.kinds())
    assert results[-failures:] == [-errno.ENOSPC] * failures
    finish = peer.kinds().index(FrameKind.FINISH)
    assert FrameKind.SETATTR not in peer.kinds()[finish:], "what ends a repair"
    peer.send(FrameKind.DURABLE, finish + 1)
    stage.until(lambda: stage.of(control.PeerComplete))


def test_what_no_peer_has_heard_of_is_not_repaired_there(stage: Stage) -> None:
    """It waited while its inode lost its last name, and the stream began after that."""
    stage.settle()
    inode, results = stage.inode("one"), list[int]()
    stage.primary.freeze()
    stage.write(inode, b"x", results)
    stage.volume.apply(Unlink(0, inode.id, 1, b"one"))
    stage.joining()
    stage.volume.failures = [errno.ENOSPC]
    stage.primary.thaw()
    stage.until(lambda: results)
    assert results == [-errno.ENOSPC]
    assert not stage.of(control.Failed)


def test_files_changed_below_the_mount_end_it(stage: Stage) -> None:
    stage.settle()
    inode = stage.inode("one")
    (stage.root / "one").unlink()
    (stage.root / "one").write_bytes(b"another file")
    results: list[int] = []
    stage.primary.issue(Unlink(0, inode.id, 1, b"one"), results.append)
    assert results == []
    assert len(stage.of(control.Failed)) == 1


@pytest.mark.parametrize("what", ["read", "sent"])
@pytest.mark.parametrize("why", [DivergenceError("changed below the mount"), OSError(errno.EIO, "an error")])
def test_a_repair_that_cannot_be_gone_on_with_is_this_nodes_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, what: str, why: Exception
) -> None:
    stage.settle()
    peer = stage.complete()

    def fail(*_arguments: object, **_more: object) -> int:
        raise why

    results: list[int] = []
    stage.volume.failures = [errno.ENOSPC]
    stage.write(stage.inode("one"), b"x", results)
    stage.until_sent(peer)
    if what == "read":
        monkeypatch.setattr(stage.volume, "data_fd", fail)
    else:
        monkeypatch.setattr(stage.primary.standing[0], "ship_to", fail)
    peer.acknowledge()
    stage.until(lambda: stage.of(control.Failed))
    assert str(why) in stage.of(control.Failed)[0].reason
    assert results == [] and stage.primary.stopped
