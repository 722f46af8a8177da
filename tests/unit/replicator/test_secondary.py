import dataclasses
import errno
import os
import random
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from manager.model import control
from manager.model.errors import PeerProtocolError
from manager.model.records import DiskIdentity
from replicator import leftovers, vouching
from replicator.core.operations import Bind, Create, Fsync, Unlink, Write
from replicator.disk.identity import NotedIdentity, write_identity
from replicator.disk.limbo import LIMBO, delete_discarded, mark_joining, unmark_joining
from replicator.disk.volume import DivergenceError
from replicator.reception import MAX_STRANGERS
from replicator.secondary import FREE_TICKS, SILENCE_S, TICK_S
from replicator.stranger import HANDSHAKE_S
from replicator.wire import messages
from replicator.wire.frames import FrameKind
from replicator.wire.messages import Refusal, Refused
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.primaries import EPOCH, HELLO, Stage

FILE = (EPOCH << 40) + 1
BASE = b"0123456789abcdef"


def create(name: bytes, inode: int = FILE, volume: int = 0) -> Create:
    return Create(volume, inode, 1, name, stat.S_IFREG | 0o640, 0o022, 0, 0, 0, b"")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with stepped_loop() as loop:
        stage = Stage(loop, tmp_path)
        yield stage
        stage.close()


# The handshake


def test_what_rests_on_what_a_listing_did_not_find_ends_the_stream_and_no_more(stage: Stage) -> None:
    """The primary has been told, and begins anew with all that there is."""
    primary = stage.stream()
    stage.copiers[0].is_unclear = True
    primary.ship(Bind(0, 77, 1, b"missing"))
    stage.until_gone(primary)
    assert "'missing' is missing" in primary.failed
    assert [type(event) for event in stage.events] == [control.Following, control.StreamLost]


def test_a_primary_that_is_followed_is_welcome(stage: Stage) -> None:
    primary = stage.stream()
    welcome = primary.welcome
    assert (welcome.node, welcome.boot_id, welcome.instance, welcome.epoch) == ("b", "boot-b", "instance-b", EPOCH)
    assert list(welcome.limits) == [volume.limits for volume in stage.volumes]
    assert all(free.bytes > 0 for free in welcome.free)
    assert stage.events == [control.Following(primary="a", epoch=EPOCH)]
    assert stage.refusals == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, Refusal.VERSION),
        ({"cluster_id": "other"}, Refusal.CLUSTER),
        ({"module_id": "other"}, Refusal.MODULE),
        ({"store_id": "another"}, Refusal.NOT_FOLLOWING),
        ({"epoch": EPOCH - 1}, Refusal.EPOCH_PAST),
        ({"epoch": EPOCH + 1}, Refusal.EPOCH_AHEAD),
        ({"node": "c"}, Refusal.OTHER_PRIMARY),
        ({"directories": 1, "limits": HELLO.limits[:1]}, Refusal.DIRECTORIES),
    ],
)
def test_others_are_refused(stage: Stage, change: dict[str, Any], reason: Refusal) -> None:
    stage.follow()
    for _ in range(3):
        primary = stage.connect(dataclasses.replace(HELLO, **change))
        primary.ship(create(b"n"))
        stage.until_gone(primary)
        assert primary.refused.reason is reason
    assert len(stage.refusals) == 1
    assert stage.refusals[0][0] == "127.0.0.1"
    assert stage.refusals[0][1].startswith(reason.value)
    assert stage.names() == set()
    assert stage.events == []
    assert stage.secondary.counters()["streams_refused"] == 3


def test_a_primary_of_the_next_version_that_speaks_this_one_too_gets_a_stream_of_this_one(stage: Stage) -> None:
    stage.follow()
    primary = stage.connect(dataclasses.replace(HELLO, version=2, oldest_version=1))
    stage.until(lambda: primary.frames)
    assert (primary.welcome.version, primary.welcome.epoch) == (1, EPOCH)
    primary.ship(create(b"n"))
    stage.until(lambda: primary.acknowledged)
    assert stage.names() == {"n"}


def test_no_version_in_common_is_refused_with_both(stage: Stage) -> None:
    stage.follow()
    primary = stage.connect(dataclasses.replace(HELLO, version=3, oldest_version=2))
    stage.until_gone(primary)
    assert primary.refused == Refused(Refusal.VERSION, "a speaks 2 to 3, b 1")


def test_who_follows_nobody_refuses_all(stage: Stage) -> None:
    primary = stage.connect()
    stage.until_gone(primary)
    assert primary.refused.reason is Refusal.NOT_FOLLOWING


def test_an_epoch_that_was_passed_is_not_followed_again(stage: Stage) -> None:
    stage.follow(EPOCH + 1)
    stage.follow(EPOCH)
    primary = stage.connect()
    stage.until_gone(primary)
    assert primary.refused.reason is Refusal.EPOCH_PAST


def test_each_reason_is_told_again_after_a_change(stage: Stage) -> None:
    for expected in (1, 2):
        stage.follow()
        stage.until_gone(stage.connect(dataclasses.replace(HELLO, cluster_id="x")))
        assert len(stage.refusals) == expected


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n" * 4, b"\0" * 100, b"MF" * 40])
def test_strangers_are_shown_out(stage: Stage, said: bytes) -> None:
    stage.follow()
    for _ in range(3):
        with stage.dial() as stranger:
            stranger.send(said)
            stranger.settimeout(5)
            stage.until(lambda: not stage.secondary._reception._strangers and stage.secondary._reception.turned_away)
    stage.loop.turn()
    assert [address for address, _ in stage.refusals] == ["127.0.0.1"]
    assert stage.refusals[0][1].startswith("protocol: ")


def test_a_stream_does_not_begin_with_an_operation(stage: Stage) -> None:
    stage.follow()
    primary = stage.connect(None)
    primary.ship(create(b"n"))
    primary.greet(HELLO)
    stage.until_gone(primary)
    assert stage.names() == set()
    assert "kind 2 instead of a Hello" in stage.refusals[0][1]


def test_who_says_nothing_is_shown_out(stage: Stage) -> None:
    stage.follow()
    with stage.dial() as stranger:
        stage.until(lambda: stage.secondary._reception._strangers)
        stage.loop.advance(HANDSHAKE_S)
        stranger.settimeout(5)
        assert stranger.recv(1) == b""
    assert stage.refusals == [("127.0.0.1", f"silent: no handshake within {HANDSHAKE_S} s")]


def test_a_crowd_of_strangers_does_not_keep_the_primary_out(stage: Stage) -> None:
    strangers = []
    for _ in range(MAX_STRANGERS + 4):
        strangers.append(stage.dial())
        stage.loop.turn()
    stage.until(lambda: stage.secondary._reception.turned_away >= 4)
    assert len(stage.secondary._reception._strangers) == MAX_STRANGERS
    stage.stream()
    for stranger in strangers:
        stranger.close()


# Applying


def test_operations_are_applied_in_order_and_acknowledged_at_once(stage: Stage) -> None:
    primary = stage.stream()
    last = primary.ship(
        create(b"one"),
        Write(0, FILE, 0, b"hello"),
        create(b"two", FILE + 1, 1),
        Write(1, FILE + 1, 3, b"world"),
        Write(0, FILE, 4, b"p"),
    )
    stage.until(lambda: last in primary.acknowledged)
    assert primary.acknowledged == [last]
    assert (stage.roots[0] / "one").read_bytes() == b"hellp"
    assert (stage.roots[1] / "two").read_bytes() == b"\0\0\0world"
    primary.send(FrameKind.PING)
    stage.until(lambda: last + 1 in primary.acknowledged)
    assert stage.secondary.counters()["frames_applied"] == last + 1


def test_what_is_compressed_arrives_as_it_was(stage: Stage) -> None:
    primary = stage.stream()
    text = b"".join(b"line %d\n" % i for i in range(20_000))
    last = primary.ship(create(b"log"), Write(0, FILE, 0, text))
    stage.until(lambda: last in primary.acknowledged)
    assert (stage.roots[0] / "log").read_bytes() == text
    assert primary.link.counters()["frames_compressed"] == 1
    assert stage.secondary.counters()["bytes_received"] < len(text) / 2


@pytest.mark.parametrize("sequence", [0, 1, 3, 1 << 60])
def test_frames_out_of_order_end_the_stream(stage: Stage, sequence: int) -> None:
    primary = stage.stream()
    primary.ship(create(b"one"))
    primary.link.send_operation(sequence, create(b"bad", FILE + 1))
    primary.link.send_operation(2, create(b"late", FILE + 2))
    stage.until_gone(primary)
    assert stage.names() == {"one"}
    assert stage.lost() == [f"frame {sequence} after 1"]
    assert not stage.secondary.is_following


@pytest.mark.parametrize("kind", [FrameKind.HELLO, FrameKind.ACK, FrameKind.WANT, FrameKind.FREE])
def test_what_a_primary_does_not_send_ends_the_stream(stage: Stage, kind: FrameKind) -> None:
    primary = stage.stream()
    primary.link.send(kind, 1, b"{}" if kind is FrameKind.HELLO else b"")
    stage.until_gone(primary)
    assert len(stage.lost()) == 1


@pytest.mark.parametrize("index", [2, 9])
def test_a_directory_that_is_not_there_ends_the_stream(stage: Stage, index: int) -> None:
    primary = stage.stream()
    primary.ship(Write(index, FILE, 0, b"x"))
    stage.until_gone(primary)
    assert stage.lost() == [f"bad WRITE: directory {index} of 2"]


def test_an_fsync_is_answered_when_it_is_on_the_disk(stage: Stage) -> None:
    primary = stage.stream()
    synced = primary.ship(create(b"one"), Write(0, FILE, 0, b"x"), Fsync(0, FILE, True))
    root = primary.ship(Fsync(0, 1, False))
    stage.until(lambda: len(primary.of(FrameKind.FSYNCED)) == 2)
    answers = {sequence: messages.decode_fsynced(memoryview(body)) for sequence, body in primary.of(FrameKind.FSYNCED)}
    assert answers == {synced: 0, root: 0}
    assert primary.acknowledged[0] >= synced


def test_an_fsync_sets_the_time_of_a_file_that_is_protected_here_alone(stage: Stage) -> None:
    primary = stage.stream()
    made = primary.ship(create(b"one"))
    stage.until(lambda: made in primary.acknowledged)
    path = stage.roots[0] / "one"
    subprocess.run(["chattr", "+a", path], check=True)
    synced = primary.ship(Fsync(0, FILE, False, 1_000_000_000))
    stage.until(lambda: primary.of(FrameKind.FSYNCED) or stage.lost())
    assert (stage.lost(), primary.of(FrameKind.FSYNCED)) == ([], [(synced, messages.encode_fsynced(0))])
    assert path.stat().st_mtime_ns == 1_000_000_000


def test_a_copy_that_differs_fails_the_stream(stage: Stage) -> None:
    primary = stage.stream()
    applied = primary.ship(create(b"one"))
    primary.ship(Unlink(0, FILE + 9, 1, b"one"), create(b"after", FILE + 1))
    stage.until_gone(primary)
    assert primary.acknowledged == [applied]
    assert "UNLINK" in primary.failed
    assert stage.names() == {"one"}
    assert stage.lost() == [primary.failed]
    assert stage.events[-1] == control.Failed(reason=primary.failed)
    assert stage.copiers[0].closed == 1


def test_an_inode_that_is_not_bound_fails_the_stream(stage: Stage) -> None:
    primary = stage.stream()
    primary.ship(Write(0, 77, 0, b"x"))
    stage.until_gone(primary)
    assert "WRITE" in primary.failed


def test_an_fsync_that_fails_fails_the_stream(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(file: int, _data_only: bool, _done: object, failed: Callable[[OSError], None]) -> None:
        os.close(file)
        stage.loop.call_soon(failed, OSError(5, "Input/output error"))

    primary = stage.stream()
    monkeypatch.setattr(stage.background, "sync", broken)
    synced = primary.ship(create(b"one"), Fsync(0, FILE, True))
    stage.until_gone(primary)
    assert primary.of(FrameKind.FSYNCED) == [(synced, messages.encode_fsynced(5))]
    assert "Input/output error" in primary.failed
    assert isinstance(stage.events[-1], control.Failed)


# Copying


def test_copy_frames_reach_the_copier_in_their_place(stage: Stage) -> None:
    primary = stage.stream()
    primary.ship(create(b"one"))
    listing = primary.send(FrameKind.LISTING, b"a directory")
    finish = primary.send(FrameKind.FINISH, BASE)
    stage.until(lambda: finish in primary.acknowledged)
    copier = stage.copiers[0]
    assert copier.frames == [(FrameKind.LISTING, listing, b"a directory"), (FrameKind.FINISH, finish, b"")]
    copier.link.send_bare(FrameKind.DURABLE, finish)
    stage.until(lambda: primary.of(FrameKind.DURABLE))
    assert copier.closed == 0
    primary.link.close()
    stage.until(lambda: copier.closed)


@pytest.mark.parametrize(
    ("error", "fails"), [(OSError(28, "full"), True), (DivergenceError("x"), True), (PeerProtocolError("bad"), False)]
)
def test_a_copier_that_cannot_go_on_ends_the_stream(stage: Stage, error: Exception, fails: bool) -> None:
    primary = stage.stream()
    stage.copiers[0].error = error
    primary.send(FrameKind.LISTING, b"x")
    primary.ship(create(b"after"))
    stage.until_gone(primary)
    assert bool(primary.of(FrameKind.FAILED)) == fails
    assert len(stage.lost()) == 1
    assert any(isinstance(event, control.Failed) for event in stage.events) == fails
    assert stage.names() == set()


def test_what_took_the_room_that_a_join_lacked_goes_before_another_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_delete = threading.Event()

    def delete_later(private: int, ends: Callable[[], bool]) -> None:
        may_delete.wait()
        delete_discarded(private, ends)

    monkeypatch.setattr(leftovers, "delete_discarded", delete_later)
    primary = stage.stream()
    for root in stage.roots:
        (root / ".mirrorfarm" / os.fsdecode(LIMBO) / "1").mkdir(parents=True)
    stage.copiers[0].error = OSError(errno.ENOSPC, "full")
    primary.send(FrameKind.LISTING, b"x")
    stage.until_gone(primary)
    turned_away = stage.connect()
    stage.until(lambda: turned_away.frames)
    assert turned_away.refused.reason is Refusal.NOT_FOLLOWING
    may_delete.set()
    stage.until(lambda: not stage.background.under_way)
    assert not any(name.startswith((b"limbo", b"disc")) for v in stage.volumes for name in listed(v.private_fd))
    primary = stage.connect()
    stage.until(lambda: primary.frames)
    assert primary.welcome.epoch == EPOCH


def listed(directory: int) -> list[bytes]:
    return [os.fsencode(name) for name in os.listdir(directory)]


def test_a_join_whose_end_is_not_on_the_disk_is_a_loss_of_memory(stage: Stage) -> None:
    """The disk tells of it once, and the process may be killed before anybody else asks it (S8)."""
    primary = stage.stream()
    finish = primary.send(FrameKind.FINISH, BASE)
    stage.until(lambda: finish in primary.acknowledged)
    stage.copiers[0].not_joined[0](OSError(errno.EIO, "Input/output error"))
    stage.until_gone(primary)
    assert primary.failed == "the end of the join is not on the disk: [Errno 5] Input/output error"
    assert stage.lost() == [primary.failed]
    assert stage.events[-1] == control.Failed(primary.failed, memory_lost=True)


# The end of a stream


def test_closing_applies_what_has_come(stage: Stage) -> None:
    primary = stage.stream()
    last = primary.ship(*(create(b"n%d" % i, FILE + i) for i in range(50)))
    stage.secondary.close_stream()
    assert len(stage.names()) == 50
    assert stage.events[1:] == [control.StreamClosed(EPOCH, joining=False, identity=None)]
    stage.until_gone(primary)
    assert primary.acknowledged[-1] == last
    again = stage.connect()
    stage.until(lambda: again.lost)
    assert again.refused.reason is Refusal.NOT_FOLLOWING


def test_closing_without_a_stream_is_answered(stage: Stage) -> None:
    stage.follow()
    stage.secondary.close_stream()
    assert stage.events == [control.StreamClosed(EPOCH, joining=False, identity=None)]


def test_closing_over_what_cannot_be_applied_tells_both(stage: Stage) -> None:
    primary = stage.stream()
    primary.ship(create(b"one"), Unlink(0, 99, 1, b"one"))
    stage.secondary.close_stream()
    assert [type(event) for event in stage.events[1:]] == [control.StreamLost, control.Failed, control.StreamClosed]


def test_a_newer_connection_replaces_the_old_one_after_it_is_drained(stage: Stage) -> None:
    old = stage.stream()
    new = stage.connect()
    old.ship(create(b"one"))  # it is in the kernel when the new one is looked at
    stage.until(lambda: new.frames)
    assert stage.names() == {"one"}
    assert len(stage.lost()) == 1
    assert stage.copiers[0].closed == 1
    assert [type(event) for event in stage.events] == [control.Following, control.StreamLost, control.Following]
    last = new.ship(Bind(0, FILE, 1, b"one"), Write(0, FILE, 0, b"new"))
    old.ship(Write(0, FILE, 0, b"old"))
    stage.until(lambda: last in new.acknowledged)
    stage.until(lambda: old.lost)
    assert (stage.roots[0] / "one").read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_newer_connection_is_refused_where_the_old_one_leaves_something_to_be_done_first(
    stage: Stage, code: int
) -> None:
    old = stage.stream()
    (stage.roots[1] / ".mirrorfarm" / os.fsdecode(LIMBO)).mkdir()
    stage.copiers[0].error = OSError(code, os.strerror(code))
    new = stage.connect()
    old.send(FrameKind.LISTING, b"x")  # it is in the kernel when the new one is looked at
    stage.until(lambda: new.frames)
    assert new.refused.reason is Refusal.NOT_FOLLOWING
    assert [type(event) for event in stage.events] == [control.Following, control.StreamLost, control.Failed]


def test_following_another_ends_the_stream(stage: Stage) -> None:
    primary = stage.stream()
    stage.follow()
    assert stage.lost() == []
    stage.follow(EPOCH + 1, "c")
    assert stage.lost() == [f"told to follow c in epoch {EPOCH + 1}"]
    stage.until_gone(primary)


def test_the_primary_is_gone(stage: Stage) -> None:
    primary = stage.stream()
    primary.link.close()
    stage.until(stage.lost)
    assert stage.events[-1] == control.StreamLost(primary="a", reason="closed by the other end")
    stage.connect()
    stage.until(lambda: stage.secondary.is_following)


def test_a_lost_stream_tells_that_it_left_the_copy_in_the_middle_of_a_join(stage: Stage) -> None:
    primary = stage.stream()
    mark_joining(stage.volumes[1].private_fd)  # one of the disks is enough
    primary.link.close()
    stage.until(stage.lost)
    assert stage.events[-1:] == [control.StreamLost("a", "closed by the other end", joining=True)]
    stage.secondary.close_stream()
    assert stage.events[-1:] == [control.StreamClosed(EPOCH, joining=True, identity=None)]
    unmark_joining(stage.volumes[1].private_fd)
    assert stage.secondary.stream_lost("a", "none stands") == control.StreamLost("a", "none stands")


def test_what_the_disks_vouch_for_is_told_when_a_join_is_through_and_when_a_stream_ends(stage: Stage) -> None:
    """The lowest of all of them."""
    primary = stage.stream()
    primary.send(FrameKind.FINISH, messages.encode_finish(BASE.decode()))
    stage.until(lambda: stage.copiers[0].joined)
    (joined,) = stage.copiers[0].joined
    with pytest.raises(OSError, match="vouch for nothing"):
        joined()
    noted = NotedIdentity("cluster", "module", EPOCH, 7, "store", EPOCH)
    write_identity(stage.volumes[0].root_fd, dataclasses.replace(noted, epoch=EPOCH + 1))
    write_identity(stage.volumes[1].root_fd, noted)
    vouched = DiskIdentity("cluster", "module", EPOCH, 7, "store", EPOCH)
    joined()
    assert stage.events[-1:] == [control.Joined(EPOCH, vouched)]
    primary.link.close()
    stage.until(stage.lost)
    assert stage.events[-1:] == [control.StreamLost("a", "closed by the other end", identity=vouched)]
    stage.secondary.close_stream()
    assert stage.events[-1:] == [control.StreamClosed(EPOCH, joining=False, identity=vouched)]


def test_disks_that_cannot_say_whether_they_join_say_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_private_fd: int) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    primary = stage.stream()
    monkeypatch.setattr(vouching, "is_joining", fail)
    primary.link.close()
    stage.until(stage.lost)
    assert stage.events[-1:] == [control.StreamLost("a", "closed by the other end", joining=None)]


def test_disks_whose_identity_cannot_be_read_are_not_in_the_middle_of_a_join_for_that(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_root_fd: int) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    primary = stage.stream()
    monkeypatch.setattr(vouching, "read_identity", fail)
    primary.link.close()
    stage.until(stage.lost)
    assert stage.events[-1:] == [control.StreamLost("a", "closed by the other end")]
    mark_joining(stage.volumes[1].private_fd)
    assert stage.secondary.stream_lost("a", "none stands") == control.StreamLost("a", "none stands", joining=True)


def test_a_silent_primary_is_given_up(stage: Stage) -> None:
    stage.stream()
    limit = 3.0 + SILENCE_S
    stage.loop.advance(limit - TICK_S)
    assert stage.lost() == []
    stage.loop.advance(2 * TICK_S)
    assert stage.lost() == ["nothing heard for 4.0 s"]


def test_what_came_while_this_process_stood_still_counts(stage: Stage) -> None:
    primary = stage.stream()
    primary.send(FrameKind.PING)
    stage.loop.advance(100)
    assert stage.lost() == []


def test_the_free_space_is_reported(stage: Stage) -> None:
    primary = stage.stream()
    for _ in range(FREE_TICKS):
        stage.loop.advance(TICK_S)
    stage.until(lambda: primary.of(FrameKind.FREE))
    free = messages.decode_free(memoryview(primary.of(FrameKind.FREE)[0][1]))
    assert len(free) == 2
    assert all(f.bytes > 0 and f.inodes > 0 for f in free)


def test_who_takes_no_answers_is_not_read_for_ever(stage: Stage) -> None:
    primary = stage.stream()
    primary.link.pause_reading()
    noise = random.Random(3).randbytes(1 << 20)
    for _ in range(8):
        stage.copiers[0].link.send(FrameKind.VERIFY_ANSWER, 1, noise)
    primary.send(FrameKind.PING)
    stage.loop.turn(20)
    before = stage.secondary._stream
    assert before is not None
    assert before.link._paused
    primary.link.resume_reading()
    stage.until(lambda: before.link.unsent_bytes == 0)
    stage.loop.advance(TICK_S)
    assert not before.link._paused


def test_closed_it_listens_no_more(stage: Stage) -> None:
    stage.stream()
    stage.secondary.close()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", stage.port)):
        pass
