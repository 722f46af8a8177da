import random
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from manager.model.node_identity import NodeIdentity
from manager.pki.credentials import Contexts, Credentials
from replicator.link import Link
from replicator.secure_socket import RECORD, SecureSocket, _pieces
from replicator.securing import APPLICATION
from replicator.wire.frames import FrameKind
from tests.support.certificates import Cluster
from tests.unit.replicator.loops import SteppedLoop, stepped_loop
from tests.unit.replicator.test_link import EPOCH, NOISE, End
from tests.unit.replicator.tls_ends import secure_pair, shake_hands


def contexts(directory: Path, node: str) -> Contexts:
    return Credentials(str(directory), node, APPLICATION, lambda _: None, lambda why, _: pytest.fail(why)).contexts()


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped_loop() as loop:
        yield loop


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "pki", "a", "b")


@pytest.fixture
def pair(loop: SteppedLoop, cluster: Cluster) -> Iterator[tuple[SecureSocket, SecureSocket]]:
    server, client = contexts(cluster.directory("b"), "b").server, contexts(cluster.directory("a"), "a").client
    made = secure_pair(loop, server, client)
    yield made
    for end in made:
        end.close()


def send_all(end: SecureSocket, other: SecureSocket, *parts: bytes) -> bytes:
    """What comes of it, whatever the socket takes at once."""
    left, received = [memoryview(part) for part in parts], bytearray()
    space = memoryview(bytearray(1 << 20))
    while left or end.begun_bytes:
        try:
            sent = end.sendmsg(left)
        except BlockingIOError:
            sent = 0
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if sent:
            left[0] = left[0][sent:]
        try:
            while True:
                received += space[: other.recv_into(space)]
        except BlockingIOError:
            pass
    return bytes(received)


def test_both_ends_know_each_other(loop: SteppedLoop, cluster: Cluster) -> None:
    server, client = contexts(cluster.directory("b"), "b"), contexts(cluster.directory("a"), "a")
    ends = shake_hands(loop, server.server, client.client, socket.socketpair())
    identity = cluster.authority.cluster_id
    assert ends[0].identity == NodeIdentity(identity, "main", "a")
    assert ends[1].identity == NodeIdentity(identity, "main", "b")
    assert server.own == ends[1].identity
    for end in ends:
        end.close()


@pytest.mark.parametrize("sizes", [(1,), (32, 4096), (52, RECORD - 52), (52, RECORD), (52, RECORD, 7), (RECORD,)])
def test_parts_arrive_as_one(pair: tuple[SecureSocket, SecureSocket], sizes: tuple[int, ...]) -> None:
    parts = [NOISE[:size] for size in sizes]
    assert send_all(pair[0], pair[1], *parts) == b"".join(parts)


def test_more_than_the_socket_takes_arrives_in_order(pair: tuple[SecureSocket, SecureSocket]) -> None:
    parts = [b"h" * 52, NOISE, b"g" * 52, NOISE[: RECORD + 1], b"i" * 52, NOISE[5:]]
    assert send_all(pair[0], pair[1], *parts) == b"".join(parts)


def test_pieces_are_the_parts_and_nothing_large_is_copied() -> None:
    dice = random.Random(3)
    for _ in range(200):
        sizes = [dice.choice((0, 1, 52, 4096, RECORD - 1, RECORD, RECORD + 1, 300_000)) for _ in range(5)]
        parts = [memoryview(NOISE)[:size] for size in sizes]
        pieces = list(_pieces(parts))
        assert b"".join(pieces) == b"".join(parts)
        assert all(len(piece) <= RECORD for piece in pieces if isinstance(piece, bytes))
        assert all(pieces)


def test_what_is_begun_is_told_until_it_is_taken(pair: tuple[SecureSocket, SecureSocket]) -> None:
    end, other = pair
    assert end.begun_bytes == 0
    filled = 0
    with pytest.raises(BlockingIOError):
        while True:
            filled += end.sendmsg([NOISE[:4096]])
    assert end.begun_bytes == 4096
    space = memoryview(bytearray(1 << 20))
    assert other.recv_into(space) > 0
    end.sendmsg([NOISE[:4096]])
    assert end.begun_bytes == 0


def test_all_that_has_arrived_is_received_at_once(pair: tuple[SecureSocket, SecureSocket]) -> None:
    for _ in range(5):
        pair[0].sendmsg([b"x" * 100])
    space = memoryview(bytearray(1 << 16))
    assert pair[1].recv_into(space) == 500
    with pytest.raises(BlockingIOError):
        pair[1].recv_into(space)


def test_what_does_not_fit_stays_and_is_told(pair: tuple[SecureSocket, SecureSocket]) -> None:
    pair[0].sendmsg([b"x" * 1000])
    assert pair[1].recv_into(memoryview(bytearray(300))) == 300
    assert pair[1].pending() == 700
    assert pair[1].recv_into(memoryview(bytearray(5000))) == 700


def test_the_end_is_told_as_a_sockets(pair: tuple[SecureSocket, SecureSocket]) -> None:
    pair[0].sendmsg([b"last"])
    pair[0].close()
    space = memoryview(bytearray(100))
    assert pair[1].recv_into(space) == 4
    assert pair[1].recv_into(space) == 0


def test_what_was_altered_on_the_way_is_not_received(loop: SteppedLoop, cluster: Cluster) -> None:
    server, client = contexts(cluster.directory("b"), "b").server, contexts(cluster.directory("a"), "a").client
    here, there = secure_pair(loop, server, client)
    raw = socket.socket(fileno=socket.dup(here.fileno()))
    raw.send(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises(OSError, match="TLS: "):
        there.recv_into(memoryview(bytearray(100)))
    for end in (raw, here, there):
        end.close()


# A link over it


@pytest.fixture
def ends(loop: SteppedLoop, pair: tuple[SecureSocket, SecureSocket]) -> Iterator[tuple[End, End]]:
    made = [End.__new__(End) for _ in pair]
    for end, sock in zip(made, pair, strict=True):
        end.frames, end.batches, end.lost, end.error = [], [], [], None
        end.link = Link(loop, sock, EPOCH, end._on_frame, end.lost.append, end._on_batch)
    yield made[0], made[1]
    for end in made:
        end.link.close()


def test_frames_of_all_sizes_arrive_whole(loop: SteppedLoop, ends: tuple[End, End]) -> None:
    here, there = ends
    done: list[int] = []
    sizes = [0, 1, 4096, RECORD - 32, RECORD, 100_000, 1 << 20] * 3
    for number, size in enumerate(sizes):
        here.link.send(FrameKind.LISTING, number, NOISE[:size], done=partial(done.append, number))
    loop.until(lambda: len(there.frames) == len(sizes))
    assert [(sequence, body) for _, sequence, body in there.frames] == [(n, NOISE[:s]) for n, s in enumerate(sizes)]
    loop.until(lambda: done == list(range(len(sizes))))
    assert here.link.unsent_bytes == 0
    assert not here.lost and not there.lost


def test_what_overtakes_does_not_break_what_is_begun(loop: SteppedLoop, ends: tuple[End, End]) -> None:
    """A small frame goes before those that wait, and never into the middle of one, nor of what OpenSSL has begun."""
    here, there = ends
    there.link.pause_reading()
    for number in range(40):
        here.link.send(FrameKind.LISTING, number, NOISE[: 3000 + number])
        here.link.send(FrameKind.LISTING, 1000 + number, NOISE[:60_000])
    assert here.link.unsent_bytes
    asides = 0
    for _ in range(60):
        loop.turn()
        here.link.send_aside(FrameKind.PROMISE_ASK, asides.to_bytes(8, "little"))
        asides += 1
        there.link.resume_reading()
        loop.turn(1)
        there.link.pause_reading()
    there.link.resume_reading()
    loop.until(lambda: len(there.frames) == 80 + asides)
    assert not there.lost
    bodies = {sequence: body for kind, sequence, body in there.frames if kind == FrameKind.LISTING}
    assert all(bodies[n] == NOISE[: 3000 + n] and bodies[1000 + n] == NOISE[:60_000] for n in range(40))
    questions = {body for kind, _, body in there.frames if kind == FrameKind.PROMISE_ASK}
    assert questions == {number.to_bytes(8, "little") for number in range(asides)}


def test_a_pause_keeps_what_is_decrypted_and_the_rest_comes_after_it(loop: SteppedLoop, ends: tuple[End, End]) -> None:
    here, there = ends

    def pause() -> None:
        there.link.pause_reading()

    there.link.on_batch = pause
    for number in range(200):
        here.link.send(FrameKind.LISTING, number, NOISE[:2000])
    while len(there.frames) < 200:
        before = len(there.frames)
        loop.turn()
        assert len(there.frames) - before < 200
        there.link.resume_reading()
    assert [sequence for _, sequence, _ in there.frames] == list(range(200))


def test_draining_hands_on_all_that_has_come(loop: SteppedLoop, ends: tuple[End, End]) -> None:
    here, there = ends
    for number in range(20):
        here.link.send(FrameKind.LISTING, number, NOISE[:1000])
    there.link.drain()
    assert len(there.frames) == 20


def test_a_link_that_finishes_has_sent_all(loop: SteppedLoop, ends: tuple[End, End]) -> None:
    here, there = ends
    there.link.pause_reading()
    for number in range(30):
        here.link.send(FrameKind.LISTING, number, NOISE[:60_000])
    there.link.send_bare(FrameKind.ACK, 1)
    here.link.finish()
    there.link.resume_reading()
    loop.until(lambda: there.lost)
    assert len(there.frames) == 30
    assert there.lost == ["closed by the other end"]
