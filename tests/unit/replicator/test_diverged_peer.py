"""A peer whose copy went on by itself gets nothing before it has set aside what differs, and nobody waits for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from manager.model.errors import PeerProtocolError
from replicator.peer import Peer
from replicator.wire.frames import FrameKind
from replicator.wire.verifying import encode_found
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.secondaries import Secondary, Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with stepped_loop() as loop:
        stage = Stage(loop, tmp_path)
        stage.settle()
        yield stage
        stage.close()


class Asking:
    """Asks nothing; remembers what it is told."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.losses = 0

    def answered(self, sequence: int, body: memoryview) -> None:
        self.answers.append((sequence, bytes(body)))
        if not body:
            raise PeerProtocolError("no answer")

    def lost(self) -> None:
        self.losses += 1


def diverged(stage: Stage) -> tuple[Secondary, Peer, Asking]:
    """One that sets aside what differs."""
    secondary = Secondary(stage.loop)
    secondary.diverged, secondary.bases = True, ("0123456789abcdef",)
    stage.secondaries.append(secondary)
    stage.primary.streams.connect("b", "127.0.0.1", secondary.port)
    stage.until(lambda: stage.setting_aside)
    peer, asking = stage.setting_aside[-1][0], Asking()
    peer.ask_by(asking)
    return secondary, peer, asking


def test_its_stream_begins_when_that_is_done(stage: Stage) -> None:
    secondary, peer, _ = diverged(stage)
    results: list[int] = []
    stage.write(stage.inode("one"), b"x", results)
    stage.until(lambda: results)  # nobody waits for it
    peer.send(FrameKind.SET_ASIDE)
    secondary.acknowledges = True
    stage.until(lambda: secondary.kinds() == [FrameKind.SET_ASIDE])
    assert (stage.joiners, stage.primary.standing, stage.events) == ([], (), [])
    stage.setting_aside[0][1]()
    stage.until(lambda: stage.joiners)
    assert stage.joiners[0].calls == ["start"]
    assert peer.bases == (), "what it did alone is on no list"
    stage.write(stage.inode("two"), b"y", results)
    stage.until(lambda: len(results) == 2 and secondary.operations)
    assert [operation.kind.name for operation in secondary.operations] == ["WRITE"]
    assert len(stage.of(control.PeerConnected)) == 1


def test_answers_go_to_who_asked(stage: Stage) -> None:
    secondary, peer, asking = diverged(stage)
    sequence = peer.send(FrameKind.SET_ASIDE)
    stage.until(lambda: secondary.sequence == sequence)
    secondary.send(FrameKind.VERIFY_ANSWER, sequence, encode_found(0, ()))
    stage.until(lambda: asking.answers)
    assert asking.answers == [(sequence, encode_found(0, ()))]
    secondary.send(FrameKind.VERIFY_ANSWER, sequence + 1, encode_found(0, ()))
    stage.until(lambda: asking.losses)
    assert len(asking.answers) == 1


def test_one_that_is_lost_meanwhile_is_asked_again_when_it_is_back(stage: Stage) -> None:
    secondary, peer, asking = diverged(stage)
    secondary.send(FrameKind.FAILED, 0, b"no room")
    stage.until(lambda: asking.losses)
    stage.setting_aside[0][1]()  # it comes too late
    stage.until(lambda: len(stage.setting_aside) == 2)
    assert stage.setting_aside[1][0] is not peer
    assert (asking.losses, stage.joiners, stage.primary.standing) == (1, [], ())
    assert stage.of(control.PeerLost) == []


def test_nothing_begins_while_the_record_lists_it(stage: Stage) -> None:
    stage.settle("b")
    secondary = Secondary(stage.loop)
    secondary.diverged = True
    stage.secondaries.append(secondary)
    stage.primary.streams.connect("b", "127.0.0.1", secondary.port)
    stage.until(lambda: secondary.hellos)
    stage.loop.turn(50)
    assert stage.setting_aside == []
    stage.settle()
    stage.until(lambda: stage.setting_aside)


def test_a_peer_that_is_silent_meanwhile_is_given_up(stage: Stage) -> None:
    _, peer, asking = diverged(stage)
    peer.send(FrameKind.SET_ASIDE)
    for _ in range(60):
        stage.loop.advance(0.05)
    assert asking.losses == 1
