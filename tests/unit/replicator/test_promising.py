"""Promises not to stand: asked by the primary past the stream's order, answered on that very stream or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from replicator.secondary import MOST_ASKED
from replicator.wire import messages
from replicator.wire.frames import FrameKind
from tests.unit.replicator import primaries, secondaries
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.primaries import EPOCH
from tests.unit.replicator.secondaries import TIMEOUT_MS

ASKED = 123_456_789_012


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[secondaries.Stage]:
    """A primary, and the secondaries that the test makes."""
    with stepped_loop() as loop:
        made = secondaries.Stage(loop, tmp_path)
        made.settle()
        yield made
        made.close()


@pytest.fixture
def secondary(tmp_path: Path) -> Iterator[primaries.Stage]:
    """A secondary, and the primaries that the test makes."""
    with stepped_loop() as loop:
        made = primaries.Stage(loop, tmp_path)
        yield made
        made.close()


# The primary


def test_peers_past_their_join_point_are_asked_and_their_answers_told(primary: secondaries.Stage) -> None:
    peer = primary.complete()
    sequence = peer.sequence
    primary.primary.streams.ask_promises(ASKED)
    primary.until(lambda: peer.asked)
    assert (peer.asked, peer.sequence) == ([ASKED], sequence)
    peer.send(FrameKind.PROMISE, 0, messages.encode_promise(ASKED, 8000))
    primary.until(lambda: primary.events)
    assert primary.events == [control.Promised("b", "instance-b", EPOCH, ASKED, 8000)]
    assert primary.notes[-1].startswith("record.settled"), "nothing is logged of it"


def test_a_peer_that_joins_is_not_asked(primary: secondaries.Stage) -> None:
    peer = primary.joining()
    primary.primary.streams.ask_promises(ASKED)
    primary.loop.turn(10)
    assert peer.asked == []


def test_a_promise_of_a_peer_that_joins_ends_its_stream(primary: secondaries.Stage) -> None:
    peer = primary.joining()
    peer.send(FrameKind.PROMISE, 0, messages.encode_promise(ASKED, 8000))
    primary.until(lambda: primary.of(control.PeerLost))
    assert primary.of(control.Promised) == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(messages.encode_promise(ASKED + 1, 8000), id="later than any question"),
        pytest.param(messages.encode_promise(ASKED, 0), id="for no time"),
        pytest.param(messages.encode_promise(ASKED, messages.MAX_PROMISE_MS + 1), id="for ever"),
        pytest.param(b"short", id="short"),
    ],
)
def test_what_is_no_answer_ends_the_stream(primary: secondaries.Stage, body: bytes) -> None:
    peer = primary.complete()
    primary.primary.streams.ask_promises(ASKED)
    peer.send(FrameKind.PROMISE, 0, body)
    primary.until(lambda: primary.of(control.PeerLost))
    assert primary.of(control.Promised) == []


def test_questions_do_not_keep_a_peer_alive_that_answers_nothing(primary: secondaries.Stage) -> None:
    peer = primary.complete()
    tick_s = TIMEOUT_MS / 1000 / 20
    for ticks in range(60):
        primary.primary.streams.ask_promises(ASKED + ticks)
        primary.loop.advance(tick_s * 0.999)
        if primary.of(control.PeerLost):
            break
    assert primary.of(control.PeerLost), "it was pinged all the same"
    assert FrameKind.PING in peer.kinds()


# The secondary


def ask(primary: primaries.Primary, asked_ns: int = ASKED) -> None:
    primary.link.send(FrameKind.PROMISE_ASK, 0, messages.encode_promise_ask(asked_ns))


def answers(primary: primaries.Primary) -> list[tuple[int, int]]:
    return [messages.decode_promise(memoryview(body)) for _, body in primary.of(FrameKind.PROMISE)]


def asked(stage: primaries.Stage) -> list[control.PromiseAsked]:
    return [event for event in stage.events if isinstance(event, control.PromiseAsked)]


def test_a_question_is_told_at_any_place_of_the_stream_and_answered_once(secondary: primaries.Stage) -> None:
    primary = secondary.stream()
    primary.send(FrameKind.PING)
    ask(primary)
    primary.send(FrameKind.PING)
    secondary.until(lambda: primary.acknowledged[-1:] == [2])
    assert asked(secondary) == [control.PromiseAsked("a", EPOCH, ASKED)]
    for _ in range(2):
        secondary.secondary.promise(control.Promise(EPOCH, ASKED, 8000))
    secondary.until(lambda: answers(primary))
    secondary.loop.turn()
    assert answers(primary) == [(ASKED, 8000)]


@pytest.mark.parametrize(
    "promise",
    [
        control.Promise(EPOCH + 1, ASKED, 8000),
        control.Promise(EPOCH, ASKED + 1, 8000),
        control.Promise(EPOCH, ASKED, 0),
    ],
)
def test_what_answers_no_question_of_the_stream_is_not_said(
    secondary: primaries.Stage, promise: control.Promise
) -> None:
    primary = secondary.stream()
    ask(primary)
    secondary.until(lambda: asked(secondary))
    secondary.secondary.promise(promise)
    secondary.loop.turn(10)
    assert answers(primary) == [] and not primary.lost


def test_a_question_of_a_former_stream_is_not_answered_on_the_next(secondary: primaries.Stage) -> None:
    ask(secondary.stream())
    secondary.until(lambda: asked(secondary))
    second = secondary.stream()
    secondary.secondary.promise(control.Promise(EPOCH, ASKED, 8000))
    secondary.loop.turn(10)
    assert answers(second) == []


def test_without_a_stream_nothing_is_said(secondary: primaries.Stage) -> None:
    primary = secondary.stream()
    ask(primary)
    secondary.until(lambda: asked(secondary))
    secondary.secondary.close_stream()
    secondary.secondary.promise(control.Promise(EPOCH, ASKED, 8000))
    secondary.loop.turn(10)
    assert answers(primary) == []


def test_an_agent_that_is_late_answers_the_last_questions(secondary: primaries.Stage) -> None:
    primary = secondary.stream()
    for number in range(MOST_ASKED + 3):
        ask(primary, ASKED + number)
    secondary.until(lambda: len(asked(secondary)) == MOST_ASKED + 3)
    for event in asked(secondary):
        secondary.secondary.promise(control.Promise(EPOCH, event.asked_ns, 8000))
    secondary.until(lambda: len(answers(primary)) == MOST_ASKED)
    assert answers(primary)[0] == (ASKED + 3, 8000)
    assert not primary.lost


@pytest.mark.parametrize(
    ("sequence", "body"),
    [(0, messages.encode_promise_ask(0)), (0, b"1234567"), (1, messages.encode_promise_ask(ASKED)), (0, bytes(9))],
)
def test_a_question_that_is_none_ends_the_stream(secondary: primaries.Stage, sequence: int, body: bytes) -> None:
    primary = secondary.stream()
    primary.link.send(FrameKind.PROMISE_ASK, sequence, body)
    secondary.until_gone(primary)
    assert asked(secondary) == []


def test_a_promise_is_the_secondarys_word(secondary: primaries.Stage) -> None:
    primary = secondary.stream()
    primary.link.send(FrameKind.PROMISE, 0, messages.encode_promise(ASKED, 8000))
    secondary.until_gone(primary)
