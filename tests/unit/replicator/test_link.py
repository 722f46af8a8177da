import random
import socket
from collections.abc import Iterator

import pytest

from manager.model.errors import PeerProtocolError
from replicator.core.operations import Operation, Unlink, Write
from replicator.link import LINGER_S, Link
from replicator.wire.frames import FrameKind, pack
from replicator.wire.operations import WRITE_SIZE, decode
from tests.unit.replicator.loops import SteppedLoop, stepped_loop

EPOCH = 5
NOISE = random.Random(2).randbytes(1 << 20)
TEXT = b"".join(b"line %d of a log that is much like the next one\n" % i for i in range(4000))


class End:
    """One end: a Link, and what it was told."""

    def __init__(self, loop: SteppedLoop, sock: socket.socket, compression: bool = False) -> None:
        self.frames: list[tuple[int, int, bytes]] = []
        self.batches: list[int] = []
        self.lost: list[str] = []
        self.error: BaseException | None = None
        self.link = Link(loop, sock, EPOCH, self._on_frame, self.lost.append, self._on_batch, compression)

    def _on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        self.frames.append((kind, sequence, bytes(body)))
        if self.error is not None:
            raise self.error

    def _on_batch(self) -> None:
        self.batches.append(len(self.frames))


class Pair:
    """Two ends of a connection."""

    def __init__(self, loop: SteppedLoop, compression: bool = False) -> None:
        self.loop = loop
        here, there = socket.socketpair()
        self.a, self.b = End(loop, here, compression), End(loop, there)


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped_loop() as loop:
        yield loop


@pytest.fixture
def pair(loop: SteppedLoop) -> Iterator[Pair]:
    pair = Pair(loop)
    yield pair
    pair.a.link.close()
    pair.b.link.close()


@pytest.fixture
def raw(loop: SteppedLoop) -> Iterator[tuple[End, socket.socket]]:
    """An end, and the other socket as it is."""
    here, there = socket.socketpair()
    end = End(loop, here)
    yield end, there
    end.link.close()
    there.close()


def test_frames_go_both_ways(loop: SteppedLoop, pair: Pair) -> None:
    pair.a.link.send(FrameKind.FAILED, 1, b"why", memoryview(b" not"))
    pair.b.link.send_bare(FrameKind.ACK, 9)
    loop.turn()
    assert pair.b.frames == [(FrameKind.FAILED, 1, b"why not")]
    assert pair.a.frames == [(FrameKind.ACK, 9, b"")]
    assert pair.a.link.counters()["frames_sent"] == 1


def test_operations_go_as_they_are(loop: SteppedLoop, pair: Pair) -> None:
    operations: list[Operation] = [
        Write(1, 7, 8, memoryview(b"data")),
        Unlink(0, 7, 1, b"n"),
        Write(0, 7, 0, b""),
    ]
    for i, operation in enumerate(operations):
        pair.a.link.send_operation(i + 1, operation)
    loop.turn()
    assert [decode(kind, memoryview(body), 2) for kind, _, body in pair.b.frames] == operations


def test_all_that_is_there_is_one_batch(loop: SteppedLoop, pair: Pair) -> None:
    for i in range(50):
        pair.a.link.send(FrameKind.PING, i + 1)
    loop.turn()
    assert len(pair.b.frames) == 50
    assert pair.b.batches == [50]


def test_parts_are_held_until_they_are_sent(loop: SteppedLoop, raw: tuple[End, socket.socket]) -> None:
    end, there = raw
    done: list[str] = []
    end.link.send(FrameKind.LISTING, 1, NOISE, b"tail", done=lambda: done.append("large"))
    end.link.send(FrameKind.FAILED, 2, b"small", done=lambda: done.append("small"))
    assert not done
    assert end.link.unsent_bytes > 1 << 18
    expected = pack(FrameKind.LISTING, EPOCH, 1, NOISE, b"tail") + NOISE + b"tail"
    expected += pack(FrameKind.FAILED, EPOCH, 2, b"small") + b"small"
    there.setblocking(False)
    received = b""
    while len(received) < len(expected):
        loop.turn(1)
        received += there.recv(1 << 18)
    assert received == expected
    loop.turn()
    assert done == ["large", "small"]
    assert end.link.unsent_bytes == 0


def test_what_was_not_sent_is_given_back_when_it_is_closed(raw: tuple[End, socket.socket]) -> None:
    end, _ = raw
    done: list[int] = []
    for i in range(3):
        end.link.send(FrameKind.LISTING, i, NOISE, done=lambda i=i: done.append(i))  # type: ignore[misc]
    end.link.close()
    assert done == [0, 1, 2]
    end.link.send(FrameKind.LISTING, 4, NOISE, done=lambda: done.append(4))
    assert done == [0, 1, 2, 4]
    assert end.link.unsent_bytes == 0
    assert end.lost == []


def test_who_is_told_that_it_is_sent_may_close_it(loop: SteppedLoop, raw: tuple[End, socket.socket]) -> None:
    """As a primary that drops a joining peer for what follows from an operation that waited for that."""
    end, there = raw
    end.link.send(FrameKind.LISTING, 1, NOISE, done=end.link.close)
    assert end.link.unsent_bytes
    there.setblocking(False)
    while not end.link.closed:
        there.recv(1 << 18)
        loop.turn(1)
    assert not loop.errors
    assert end.lost == []


def test_what_is_sent_at_once_is_done_at_once(pair: Pair) -> None:
    done: list[int] = []
    pair.a.link.send_operation(1, Write(0, 7, 0, b"x"), lambda: done.append(1))
    assert done == [1]


def test_large_frames_pass_whole(loop: SteppedLoop, pair: Pair) -> None:
    data = memoryview(NOISE)
    for i in range(4):
        pair.a.link.send_operation(i + 1, Write(0, 7, i << 20, data[: len(data) - i]))
    loop.until(lambda: len(pair.b.frames) == 4)
    assert [len(body) - WRITE_SIZE for _, _, body in pair.b.frames] == [len(NOISE) - i for i in range(4)]
    assert pair.b.frames[0][2][WRITE_SIZE:] == NOISE


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: mirrorfarm\r\n\r\n", "magic"),
        (pack(FrameKind.PING, EPOCH - 1, 1), "epoch 4 on a stream of epoch 5"),
        (pack(FrameKind.FAILED, EPOCH, 1, b"said") + b"sent", "checksum"),
    ],
)
def test_what_is_no_frame_ends_it(loop: SteppedLoop, raw: tuple[End, socket.socket], bad: bytes, reason: str) -> None:
    end, there = raw
    there.send(pack(FrameKind.PING, EPOCH, 1) + bad + pack(FrameKind.PING, EPOCH, 2))
    loop.turn()
    assert end.frames == [(FrameKind.PING, 1, b"")]
    assert len(end.lost) == 1
    assert reason in end.lost[0]
    assert end.link.closed
    assert there.recv(1) == b""


def test_after_a_frame_that_is_refused_nothing_is_handed_on(loop: SteppedLoop, pair: Pair) -> None:
    pair.b.error = PeerProtocolError("out of order")
    for i in range(3):
        pair.a.link.send(FrameKind.PING, i + 1)
    loop.turn()
    assert len(pair.b.frames) == 1
    assert pair.b.batches == []
    assert pair.b.lost == ["out of order"]
    assert pair.a.lost


def test_an_invariant_that_breaks_closes_it_and_is_not_swallowed(loop: SteppedLoop, pair: Pair) -> None:
    pair.b.error = ZeroDivisionError()
    for i in range(3):
        pair.a.link.send(FrameKind.PING, i + 1)
    loop.turn()
    assert loop.errors == [pair.b.error]
    loop.errors.clear()
    assert pair.b.link.closed
    assert len(pair.b.frames) == 1


def test_the_other_end_closes(loop: SteppedLoop, pair: Pair) -> None:
    pair.a.link.close()
    loop.turn()
    assert pair.b.lost == ["closed by the other end"]
    assert pair.a.lost == []


def test_sending_to_one_that_is_gone_is_told_later(loop: SteppedLoop, raw: tuple[End, socket.socket]) -> None:
    end, there = raw
    there.close()
    end.link.send(FrameKind.PING, 1)
    assert end.lost == []
    assert end.link.closed
    loop.turn()
    assert end.lost == ["cannot send: Broken pipe"]


def test_closed_by_the_owner_nothing_is_told(loop: SteppedLoop, raw: tuple[End, socket.socket]) -> None:
    end, there = raw
    there.close()
    end.link.send(FrameKind.PING, 1)
    end.link.close()
    loop.turn()
    assert end.lost == []


def test_finishing_delivers_what_was_said_last(loop: SteppedLoop, raw: tuple[End, socket.socket]) -> None:
    end, there = raw
    there.send(pack(FrameKind.PING, EPOCH, 1) * 100)  # it is not read before the end
    end.link.send(FrameKind.LISTING, 1, NOISE)
    end.link.send(FrameKind.FAILED, 2, b"why")
    end.link.finish()
    there.setblocking(False)
    received = b""
    while not received.endswith(b"why"):
        loop.turn(1)
        received += there.recv(1 << 18)
    loop.turn()
    assert there.recv(1) == b""
    there.close()
    loop.turn()
    assert end.frames == []
    assert end.lost == []


def test_finishing_does_not_wait_for_ever(loop: SteppedLoop, raw: tuple[End, socket.socket]) -> None:
    end, there = raw
    end.link.send(FrameKind.FAILED, 1, b"why")
    end.link.finish()
    end.link.send(FrameKind.PING, 2)
    there.settimeout(5)
    assert there.recv(100) == pack(FrameKind.FAILED, EPOCH, 1, b"why") + b"why"
    loop.advance(LINGER_S)
    with pytest.raises(BrokenPipeError):
        there.send(b"x")


def test_what_is_sent_together_is_sent_at_the_end_of_that_and_in_its_order(loop: SteppedLoop, pair: Pair) -> None:
    done: list[int] = []
    with pair.a.link.together():
        for i in range(200):  # more parts than one call takes
            pair.a.link.send_operation(i + 1, Write(0, 7, i, NOISE[i : i + 10 * i]), lambda i=i: done.append(i))  # type: ignore[misc]
            with pair.a.link.together():
                pair.a.link.send_bare(FrameKind.PING, 1000 + i)
        loop.turn()
        assert (pair.b.frames, done) == ([], [])
        assert pair.a.link.unsent_bytes > 200 * 199 // 2 * 10
    loop.until(lambda: len(pair.b.frames) == 400)
    assert [sequence for _, sequence, _ in pair.b.frames] == [n for i in range(200) for n in (i + 1, 1000 + i)]
    assert [body[WRITE_SIZE:] for _, _, body in pair.b.frames[::2]] == [NOISE[i : i + 10 * i] for i in range(200)]
    assert done == list(range(200))
    assert pair.a.link.unsent_bytes == 0
    assert pair.b.batches[0] > 1
    pair.a.link.send(FrameKind.PING, 5000)
    loop.turn()
    assert pair.b.frames[-1][1] == 5000


def test_what_is_sent_together_and_more_than_there_is_room_for_waits_as_ever(
    loop: SteppedLoop, raw: tuple[End, socket.socket]
) -> None:
    end, there = raw
    with end.link.together():
        for sequence in (1, 2, 3):
            end.link.send(FrameKind.LISTING, sequence, NOISE)
    with end.link.together():
        end.link.send(FrameKind.PING, 4)
    assert end.link.unsent_bytes
    other = End(loop, there)
    loop.until(lambda: len(other.frames) == 4)
    assert [sequence for _, sequence, _ in other.frames] == [1, 2, 3, 4]
    assert end.link.unsent_bytes == 0
    other.link.close()


def test_a_link_that_is_finished_or_lost_meanwhile_sends_what_it_can(
    loop: SteppedLoop, pair: Pair, raw: tuple[End, socket.socket]
) -> None:
    with pair.a.link.together():
        pair.a.link.send(FrameKind.FAILED, 1, b"why")
        pair.a.link.finish()
    loop.turn()
    assert pair.b.frames == [(FrameKind.FAILED, 1, b"why")]
    assert pair.b.lost == ["closed by the other end"]
    end, there = raw
    there.close()
    done: list[int] = []
    with end.link.together():
        end.link.send(FrameKind.PING, 1, done=lambda: done.append(1))
        end.link.send(FrameKind.PING, 2, done=lambda: done.append(2))
    assert done == [1, 2]
    loop.turn()
    assert end.lost == ["cannot send: Broken pipe"]


def test_nothing_is_read_while_it_is_paused(loop: SteppedLoop, pair: Pair) -> None:
    pair.b.link.pause_reading()
    pair.a.link.send(FrameKind.PING, 1)
    loop.turn()
    assert pair.b.frames == []
    pair.b.link.resume_reading()
    loop.turn()
    assert len(pair.b.frames) == 1


def test_draining_hands_on_what_the_kernel_holds(pair: Pair) -> None:
    for i in range(100):
        pair.a.link.send(FrameKind.PING, i + 1)
    pair.a.link.close()
    pair.b.link.drain()
    assert len(pair.b.frames) == 100
    assert pair.b.lost == []  # that comes by the loop


@pytest.mark.parametrize(
    ("data", "compressed"),
    [(TEXT, True), (NOISE[: len(TEXT)], False), (TEXT[:4096], False)],
    ids=["text", "noise", "small"],
)
def test_text_travels_compressed(loop: SteppedLoop, data: bytes, compressed: bool) -> None:
    pair = Pair(loop, compression=True)
    done: list[int] = []
    for i in range(10):
        pair.a.link.send_operation(i + 1, Write(0, 7, 0, memoryview(data)), lambda: done.append(1))
        loop.turn()
    loop.until(lambda: len(pair.b.frames) == 10)
    assert {body[WRITE_SIZE:] for _, _, body in pair.b.frames} == {data}
    counters = pair.a.link.counters()
    assert counters["frames_compressed"] == (10 if compressed else 0)
    assert counters["bytes_plain"] == 10 * (len(data) + WRITE_SIZE)
    assert (counters["bytes_wire"] < counters["bytes_plain"] / 2) == compressed
    assert pair.b.link.counters()["bytes_received"] == counters["bytes_wire"]
    assert len(done) == 10
    pair.a.link.close()
    pair.b.link.close()


def test_it_remembers_when_something_came_and_went(loop: SteppedLoop, pair: Pair) -> None:
    before = pair.b.link.received_at
    loop.advance(10)
    pair.a.link.send(FrameKind.PING, 1)
    loop.turn()
    assert pair.b.link.received_at >= before + 10
    assert pair.a.link.sent_at >= before + 10
    assert pair.b.link.sent_at < before + 10


def test_a_frame_aside_overtakes_what_waits_but_for_the_one_at_the_head(
    loop: SteppedLoop, raw: tuple[End, socket.socket]
) -> None:
    end, there = raw
    held = list[str]()
    for sequence in (1, 2, 3):
        end.link.send(FrameKind.LISTING, sequence, NOISE, done=lambda: held.append("sent"))
    sent_at = end.link.sent_at
    loop.advance(1.0)
    before = end.link.unsent_bytes
    end.link.send_aside(FrameKind.PROMISE_ASK, bytes(8))
    assert end.link.unsent_bytes == before + 40
    assert (end.link.sent_at, end.link.counters()["frames_sent"]) == (sent_at, 4)
    other = End(loop, there)
    loop.until(lambda: len(other.frames) == 4)
    kinds = [(kind, sequence) for kind, sequence, _ in other.frames]
    aside = (FrameKind.PROMISE_ASK, 0)
    assert kinds == [(FrameKind.LISTING, 1), aside, (FrameKind.LISTING, 2), (FrameKind.LISTING, 3)]
    assert [body for _, _, body in other.frames] == [NOISE, bytes(8), NOISE, NOISE]
    assert (end.link.unsent_bytes, held) == (0, ["sent"] * 3)
    other.link.close()


def test_a_frame_aside_goes_at_once_where_nothing_waits_and_is_no_sign_of_life(loop: SteppedLoop, pair: Pair) -> None:
    sent_at = pair.a.link.sent_at
    loop.advance(1.0)
    pair.a.link.send_aside(FrameKind.PROMISE_ASK, b"12345678")
    loop.turn()
    assert pair.b.frames == [(FrameKind.PROMISE_ASK, 0, b"12345678")]
    assert pair.a.link.sent_at == sent_at
    pair.a.link.close()
    pair.a.link.send_aside(FrameKind.PROMISE_ASK, b"12345678")
    assert pair.a.link.unsent_bytes == 0
