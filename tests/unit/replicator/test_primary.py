"""The primary: who gets what, when it is applied here, and what is told. Real directories, a scripted secondary."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from replicator import primary
from replicator.core.filesystem import Free
from replicator.core.operations import Create, Kind, Rename, Unlink, Write
from replicator.disk.volume import DivergenceError
from replicator.wire import messages
from replicator.wire.frames import FrameKind
from replicator.wire.messages import Refusal, Refused
from tests.unit.replicator.loops import SteppedLoop, stepped_loop
from tests.unit.replicator.secondaries import TIMEOUT_MS, Stage


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped_loop() as made:
        yield made


@pytest.fixture
def stage(loop: SteppedLoop, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(loop, tmp_path)
    yield made
    made.close()


def content(stage: Stage, name: str = "one") -> bytes:
    return (stage.root / name).read_bytes()


def test_nothing_completes_before_the_record_is_known(stage: Stage) -> None:
    results: list[int] = []
    stage.write(stage.inode("one"), b"new", results)
    assert results == []
    stage.settle(epoch=4)
    assert results == []
    stage.settle()
    assert results == [3]


def test_alone_an_operation_is_done_at_once_and_its_error_is_the_callers(stage: Stage) -> None:
    stage.settle()
    results: list[int] = []
    stage.write(stage.inode("one"), b"new", results)
    assert results == [3]
    assert content(stage) == b"new content of one"
    stage.volume.failures = [errno.EIO]
    stage.write(stage.inode("one"), b"new", results)
    assert results == [3, -errno.EIO]
    assert stage.events == []


@pytest.mark.parametrize("why", [OSError(errno.ENOMEM, "no memory"), DivergenceError("changed below the mount")])
def test_a_caller_that_cannot_be_answered_ends_it_and_nobody_waits_for_ever(stage: Stage, why: Exception) -> None:
    """As when there is no memory for an answer, no descriptor for what is to be in it, or another file where it was."""

    def done(_result: int) -> None:
        raise why

    stage.settle()
    inode = stage.inode("one")
    stage.primary.issue(Write(0, inode.id, 0, b"new"), done)
    assert [event.reason for event in stage.of(control.Failed)] == [
        f"WRITE of inode {inode.id:x} is over and cannot be answered: {why}"
    ]
    assert not stage.of(control.Failed)[0].memory_lost


def test_the_peer_goes_first(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    inode, results = stage.inode("one"), list[int]()
    stage.write(inode, b"NEW", results)
    stage.until_sent(peer)
    assert [op.kind for op in peer.operations] == [Kind.WRITE]
    assert content(stage).startswith(b"old")
    assert results == []
    peer.acknowledge()
    stage.until(lambda: results)
    assert results == [3]
    assert content(stage).startswith(b"NEW")


def test_operations_complete_in_order_and_acknowledgements_are_cumulative(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    inode, done = stage.inode("one"), list[int]()
    for number in range(1, 6):
        stage.primary.issue(Write(0, inode.id, 0, b"x" * number), done.append)
    stage.until_sent(peer)
    peer.acknowledge(peer.sequence - 2)
    stage.until(lambda: done)
    assert done == [1, 2, 3]
    peer.acknowledge()
    stage.until(lambda: len(done) == 5)
    assert done == [1, 2, 3, 4, 5]


def test_an_inode_is_introduced_once_before_it_is_used(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    peer.acknowledges = True
    one, two, results = stage.inode("one"), stage.inode("two"), list[int]()
    for inode in (one, one, two):
        stage.write(inode, b"x", results)
    new_id = stage.volume.new_id()
    stage.primary.issue(Create(0, new_id, 1, b"dir", 0o40755, 0, 0, 0, 0, b""), results.append)
    stage.primary.issue(Rename(0, one.id, 1, b"one", new_id, b"moved", 0, 0), results.append)
    stage.until(lambda: len(results) == 5)
    assert peer.bound == [one.id, two.id]
    assert [op.kind.name for op in peer.operations] == ["WRITE", "WRITE", "WRITE", "CREATE", "RENAME"]
    stage.primary.forgotten(0, two.id)
    stage.until_sent(peer)
    assert peer.bound == [one.id]
    stage.write(two, b"y", results)
    stage.until(lambda: len(results) == 6)
    assert peer.bound == [one.id, two.id]


def test_what_lies_deep_is_introduced_from_the_top(stage: Stage) -> None:
    (stage.root / "dir/sub").mkdir(parents=True)
    (stage.root / "dir/sub/file").write_bytes(b"")
    stage.settle()
    peer = stage.complete()
    chain = [stage.inode("dir")]
    for name in (b"sub", b"file"):
        inode, _ = stage.volume.lookup(chain[-1], name)
        chain.append(inode)
    stage.write(chain[-1], b"x", [])
    stage.until_sent(peer)
    assert peer.bound == [inode.id for inode in chain]


def test_a_lost_peer_holds_all_until_the_record_is_settled_without_it(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    results: list[int] = []
    stage.write(stage.inode("one"), b"new", results)
    stage.until_sent(peer)
    peer.close()
    stage.until(lambda: stage.events)
    assert [type(event) for event in stage.events] == [control.PeerLost]
    assert stage.primary.completions.held
    stage.settle("b")
    assert len(stage.of(control.PeerLost)) == 2, "the agent listed a node that is lost: it is told again"
    assert results == []
    stage.settle()
    assert results == [3]


def test_a_node_that_the_record_still_lists_is_not_touched(stage: Stage) -> None:
    stage.settle("b")
    peer = stage.secondary()
    stage.until(lambda: peer.hellos)
    stage.loop.turn(20)
    assert stage.joiners == []
    assert peer.operations == []
    stage.settle()
    stage.until(lambda: stage.joiners)
    assert stage.of(control.PeerConnected) == [control.PeerConnected("b", "instance-b")]


def test_a_joining_peer_is_sent_everything_but_nothing_waits_for_it(stage: Stage) -> None:
    stage.settle()
    peer = stage.joining()
    results: list[int] = []
    stage.write(stage.inode("one"), b"new", results)
    assert results == [3]
    stage.until_sent(peer)
    assert len(peer.operations) == 1
    assert stage.joiners[0].calls == ["start", "may_ship WRITE"]
    peer.close()
    stage.until(lambda: stage.of(control.PeerLost))
    assert stage.joiners[0].calls[-1] == "lost"
    assert not stage.primary.completions.held


def test_what_has_to_be_listed_first_is_listed_at_a_quiet_moment_and_nothing_overtakes(stage: Stage) -> None:
    stage.settle()
    first = stage.complete("b")
    second = stage.joining("c")
    one, two, results = stage.inode("one"), stage.inode("two"), list[int]()
    joiner = stage.joiners[-1]
    stage.write(one, b"1", results)
    joiner.allows = False
    stage.write(two, b"22", results)
    joiner.allows = True
    stage.write(one, b"333", results)
    stage.until_sent(first)
    assert [len(op.data) for op in first.operations if isinstance(op, Write)] == [1]
    assert "prepare WRITE" not in joiner.calls
    first.acknowledges = True
    first.acknowledge()
    stage.until(lambda: len(results) == 3)
    stage.until_sent(second)
    assert results == [1, 2, 3]
    assert [kind for kind in second.kinds() if kind != FrameKind.BIND] == [
        FrameKind.WRITE, FrameKind.LISTING, FrameKind.WRITE, FrameKind.WRITE,
    ]  # fmt: skip
    assert joiner.calls == ["start", "may_ship WRITE", "may_ship WRITE", "prepare WRITE", "may_ship WRITE"]


def test_past_the_join_point_completions_wait_and_the_agent_is_told_when_it_is_on_the_disk(stage: Stage) -> None:
    stage.settle()
    peer = stage.joining()
    stage.primary.when_quiet(lambda: stage.primary.streams.join_point(stage.joiners[0].peer))
    results: list[int] = []
    stage.write(stage.inode("one"), b"new", results)
    assert results == []
    stage.until_sent(peer)
    finish = next(sequence for kind, sequence, _ in peer.frames if kind == FrameKind.FINISH)
    peer.acknowledge()
    stage.until(lambda: results)
    assert stage.of(control.PeerComplete) == []
    assert stage.primary.streams.states() == {"b": "joining"}
    peer.send(FrameKind.DURABLE, finish)
    stage.until(lambda: stage.of(control.PeerComplete))
    assert stage.of(control.PeerComplete) == [control.PeerComplete("b", "boot-b", "instance-b", 5)]
    assert stage.primary.streams.states() == {"b": "complete"}


def test_a_quiet_moment_has_nothing_under_way(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    inode, results, moments = stage.inode("one"), list[int](), list[bytes]()
    stage.write(inode, b"before", results)
    stage.primary.when_quiet(lambda: moments.append(content(stage)[:6]))
    stage.write(inode, b"after!", results)
    stage.until_sent(peer)
    assert moments == []
    assert len(peer.operations) == 1
    peer.acknowledges = True
    peer.acknowledge()
    stage.until(lambda: len(results) == 2)
    assert moments == [b"before"]


def test_what_is_under_way_on_an_inode_is_what_was_shipped_and_is_not_applied(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    one, results = stage.inode("one"), list[int]()

    def under_way() -> list[int]:
        found = stage.primary.underway_on(0, one.id)
        assert stage.primary.underway_on(0, one.id + 1) == []
        return [operation.offset for operation in found if isinstance(operation, Write)]

    for offset in (3, 5):
        stage.write(one, b"x", results, offset=offset)
    stage.primary.freeze()
    stage.write(one, b"waits", results, offset=7)
    assert under_way() == [3, 5]
    stage.until_sent(peer)
    peer.acknowledge()
    stage.until(lambda: len(results) == 2)
    assert under_way() == []


def test_what_waits_for_what_it_needs_to_be_listed_is_under_way(stage: Stage) -> None:
    """It is shipped next, and no joiner is asked about it once more."""
    stage.settle()
    first = stage.complete("b")
    stage.joining("c")
    one, two, results = stage.inode("one"), stage.inode("two"), list[int]()
    stage.write(one, b"1", results)
    stage.joiners[-1].allows = False
    stage.write(two, b"22", results)
    stage.joiners[-1].allows = True
    stage.write(two, b"waits", results)
    assert [operation.inode for operation in stage.primary.underway_on(0, two.id)] == [two.id]
    first.acknowledges = True
    stage.until_sent(first)
    first.acknowledge()
    stage.until(lambda: len(results) == 3)
    assert stage.primary.underway_on(0, two.id) == []


def test_frozen_nothing_is_taken_until_it_is_thawed(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    inode, results = stage.inode("one"), list[int]()
    stage.write(inode, b"1", results)
    stage.primary.freeze()
    stage.write(inode, b"22", results)
    stage.until_sent(peer)
    assert stage.of(control.Frozen) == []
    peer.acknowledge()
    stage.until(lambda: stage.of(control.Frozen))
    assert results == [1]
    stage.loop.turn(5)
    assert len(peer.operations) == 1
    peer.acknowledges = True
    stage.primary.thaw()
    stage.until(lambda: len(results) == 2)
    assert len(stage.of(control.Frozen)) == 1


def test_a_slow_peer_is_dropped_within_the_timeout_though_nothing_waits(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    for _ in range(60):
        if stage.of(control.PeerLost):
            break
        stage.loop.advance(TIMEOUT_MS / 1000 / 20)
        stage.loop.turn(10)
    assert "slow" in str(stage.of(control.PeerLost))
    assert FrameKind.PING in peer.kinds()


def test_a_peer_that_speaks_and_acknowledges_nothing_is_slow(stage: Stage) -> None:
    """As one that acknowledges what its disk has, and whose disk hangs: it tells of its free space all the time."""
    stage.settle()
    peer = stage.complete()
    for _ in range(60):
        if stage.of(control.PeerLost):
            break
        peer.send(FrameKind.FREE, 0, messages.encode_free([Free(1, 1)]))
        stage.loop.advance(TIMEOUT_MS / 1000 / 20)
        stage.loop.turn(10)
    assert "slow" in str(stage.of(control.PeerLost))


def test_a_peer_that_answers_pings_is_kept(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    peer.acknowledges = True
    for _ in range(100):
        stage.loop.advance(TIMEOUT_MS / 1000 / 20)
        stage.loop.turn(10)
    assert stage.events == []
    assert peer.kinds().count(FrameKind.PING) > 15


def test_an_idle_peer_that_dies_is_dropped_within_the_timeout_of_its_last_word(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    peer.acknowledges = True
    stage.until_sent(peer)
    peer.acknowledge()
    tick_s = TIMEOUT_MS / 1000 / 20
    for _ in range(33):
        stage.loop.advance(tick_s)
        stage.loop.turn(10)
    peer.acknowledges = False
    ticks = 0
    while not stage.of(control.PeerLost):
        ticks += 1
        assert ticks < 20, "it took longer than the timeout"
        stage.loop.advance(tick_s)
        stage.loop.turn(10)
    assert ticks > 13, "hardly more than a ping was missed"


def test_after_this_process_stood_still_the_peer_is_not_blamed(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    stage.write(stage.inode("one"), b"x", [])
    stage.until_sent(peer)
    peer.acknowledges = True
    stage.loop.advance(5 * TIMEOUT_MS / 1000)
    peer.acknowledge()
    stage.loop.turn(20)
    assert stage.events == []


def test_fenced_nothing_is_applied_though_it_is_acknowledged(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    results: list[int] = []
    stage.write(stage.inode("one"), b"NEW", results)
    stage.until_sent(peer)
    stage.fence.fenced = True
    peer.acknowledge()
    stage.loop.turn(20)
    assert results == []
    assert content(stage).startswith(b"old")


def test_past_the_deadline_it_waits_for_the_warden_or_a_late_renewal(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    results: list[int] = []
    stage.write(stage.inode("one"), b"NEW", results)
    stage.until_sent(peer)
    stage.fence.due = True
    peer.acknowledge()
    stage.loop.turn(20)
    assert results == []
    assert content(stage).startswith(b"old")
    stage.fence.due = False
    stage.primary.drain()
    assert results == [3]


def test_a_refusal_is_noted_once_and_tried_again(stage: Stage) -> None:
    stage.settle()
    peer = stage.secondary(answer=Refused(Refusal.NOT_FOLLOWING, "not yet"))
    for wanted in range(1, 5):
        stage.loop.advance(1.0)
        stage.until(lambda wanted=wanted: len(peer.hellos) >= wanted)  # type: ignore[misc]
    assert stage.notes == ["record.settled ", "peer.not_connected refused: not_following: not yet"]
    assert stage.events == []


def test_who_does_not_answer_the_greeting_is_left_and_tried_again(stage: Stage) -> None:
    stage.settle()
    peer = stage.secondary()
    peer.silent = True
    stage.until(lambda: peer.hellos)
    stage.loop.advance(TIMEOUT_MS / 1000 / 2)
    stage.loop.turn(10)
    assert peer.lost == 0
    peer.silent = False
    stage.loop.advance(TIMEOUT_MS / 1000 / 2)
    stage.until(lambda: peer.lost)
    stage.until(lambda: stage.joiners)


def test_the_wrong_node_at_the_endpoint_is_not_taken(stage: Stage) -> None:
    stage.settle()
    peer = stage.secondary("b")
    peer.node = "x"
    stage.until(lambda: any("node x answers" in note for note in stage.notes))
    assert stage.joiners == []


@pytest.mark.parametrize(
    ("kind", "sequence", "body"),
    [
        (FrameKind.ACK, 1 << 40, b""),
        (FrameKind.FSYNCED, 1, bytes(4)),
        (FrameKind.DURABLE, 1 << 20, b""),
        (FrameKind.WANT, 0, b""),
        (FrameKind.PING, 1, b""),
        (FrameKind.FREE, 0, bytes(48)),
        (FrameKind.FAILED, 0, b"the disk is broken"),
    ],
)
def test_what_a_peer_must_not_say_drops_it(stage: Stage, kind: FrameKind, sequence: int, body: bytes) -> None:
    stage.settle()
    peer = stage.complete()
    peer.send(kind, sequence, body)
    stage.until(lambda: stage.of(control.PeerLost))


def test_the_file_system_knows_what_the_peer_has_free(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    peer.send(FrameKind.FREE, 0, messages.encode_free([Free(bytes=12345, inodes=1 << 20)]))
    stage.until(lambda: any(free is not None and free.bytes == 12345 for _, free, _ in stage.space))
    peer.close()
    stage.until(lambda: stage.of(control.PeerLost))
    assert stage.space[-1] == (0, None, None)


def test_a_new_agent_is_told_what_stands(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    told = stage.primary.outstanding()
    assert [type(event) for event in told] == [control.PeerConnected, control.PeerComplete]
    stage.primary.streams.connect("b", "127.0.0.1", peer.port)
    assert stage.events == told
    peer.close()
    stage.until(lambda: stage.of(control.PeerLost))
    assert [type(event) for event in stage.primary.outstanding()] == [control.PeerLost]


def test_a_new_agent_is_told_that_nothing_completes_any_more(stage: Stage) -> None:
    stage.settle()
    stage.complete()
    stage.primary.fail("the disk is gone")
    assert stage.primary.outstanding()[-1] == control.Failed("the disk is gone")


def test_after_a_loss_the_next_stream_begins_when_the_agent_asks_for_it(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    assert peer.link is not None
    peer.link.close()
    stage.until(lambda: stage.of(control.PeerLost))
    stage.settle()
    stage.loop.advance(1.0)
    stage.until(lambda: len(peer.hellos) == 2)
    stage.loop.turn(20)
    assert len(stage.joiners) == 1
    stage.primary.streams.connect("b", "127.0.0.1", peer.port)
    stage.until(lambda: len(stage.joiners) == 2)


def test_a_forgotten_node_is_not_connected_to_again(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    stage.primary.streams.forget("b")
    stage.until(lambda: peer.lost)
    stage.loop.advance(5.0)
    stage.loop.turn(20)
    assert len(peer.hellos) == 1


def test_the_data_path_makes_no_task(stage: Stage) -> None:
    stage.settle()
    peer = stage.complete()
    peer.acknowledges = True
    made: list[object] = []
    stage.loop.set_task_factory(made.append)  # type: ignore[arg-type]
    inode, results = stage.inode("one"), list[int]()
    for _ in range(50):
        stage.write(inode, b"x" * 4096, results)
    stage.until(lambda: len(results) == 50)
    assert made == []


def test_what_waited_while_its_inode_lost_its_last_name_is_no_concern_of_a_stream_that_began_since(
    stage: Stage,
) -> None:
    stage.settle()
    first = stage.complete()
    inode, results = stage.inode("one"), list[int]()
    stage.primary.issue(Unlink(0, inode.id, 1, b"one"), results.append)
    second = stage.secondary("c")
    stage.until(lambda: second.hellos and stage.primary.completions.gated)
    stage.write(inode, b"late", results)
    stage.until_sent(first)
    first.acknowledge()
    stage.until(lambda: len(stage.joiners) > 1)
    stage.until_sent(second)
    for secondary in (first, second):
        stage.until_sent(secondary)
        secondary.acknowledge()
    stage.until(lambda: len(results) == 2)
    assert results == [0, 4]
    assert second.operations == []
    assert stage.of(control.Failed) == []


def test_a_moment_that_lasts_lets_the_loop_turn_and_nothing_be_issued(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary, "TURN_S", 0.0)
    stage.settle()
    inode, results, turns = stage.inode("one"), list[int](), list[int]()

    def moment() -> Iterator[None]:
        for turn in range(5):
            turns.append(turn)
            yield

    stage.primary.when_quiet(moment)
    stage.write(inode, b"waits", results)
    stage.primary.when_quiet(lambda: turns.append(99))
    assert (turns, results) == ([0], [])
    stage.until(lambda: results)
    assert turns == [0, 1, 2, 3, 4, 99]
    assert results == [5]


def test_a_peer_that_is_lost_while_something_is_listed_for_it_holds_nobody_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary, "TURN_S", 0.0)
    stage.settle()
    secondary, results = stage.joining(), list[int]()
    stage.joiners[0].allows, stage.joiners[0].turns = False, 1000
    stage.write(stage.inode("one"), b"new", results)
    assert results == []
    secondary.close()
    stage.until(lambda: stage.of(control.PeerLost))
    stage.joiners[0].turns = 0
    stage.until(lambda: results)
    assert results == [3]
    assert stage.of(control.Failed) == []


def test_frozen_while_a_moment_lasts_is_frozen_after_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primary, "TURN_S", 0.0)
    stage.settle()
    stage.primary.when_quiet(lambda: iter([None] * 3))
    stage.primary.freeze()
    assert stage.of(control.Frozen) == []
    stage.until(lambda: stage.of(control.Frozen))
