"""An operation that the peers have applied and that fails here: repaired there, or this node's end."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from replicator.core.operations import Fallocate, SetAttr, Unlink, Write
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.secondaries import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with stepped_loop() as loop:
        made = Stage(loop, tmp_path)
        yield made
        made.close()


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
