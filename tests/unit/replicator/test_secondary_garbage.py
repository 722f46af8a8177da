"""Whatever comes on a connection: it ends, nothing of it is applied from the first wrong byte on, memory stays flat."""

import gc
import random
import socket
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.core.operations import Create, Write
from replicator.wire import messages
from replicator.wire.frames import FrameKind, pack
from replicator.wire.operations import encode
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.primaries import EPOCH, HELLO, Stage

FILE = (EPOCH << 40) + 1
FLAT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def _frame(kind: int, sequence: int, *parts: bytes | memoryview) -> bytes:
    return pack(kind, EPOCH, sequence, *parts) + b"".join(parts)


GREETING = _frame(FrameKind.HELLO, 0, messages.encode_handshake(HELLO))


def _operations(first: int, count: int) -> list[bytes]:
    """Frames that each make a file named by their sequence."""
    frames = []
    for sequence in range(1, count + 1):
        inode = FILE + first + sequence
        create = Create(0, inode, 1, b"%d-%d" % (first, sequence), stat.S_IFREG | 0o600, 0, 0, 0, 0, b"")
        frames.append(_frame(create.kind, sequence, *encode(create)))
    return frames


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with stepped_loop() as loop:
        stage = Stage(loop, tmp_path)
        stage.follow()
        yield stage
        stage.close()


def _say(stage: Stage, said: bytes) -> None:
    """Says it on a connection of its own, until the other end has closed it."""
    with stage.dial() as sock:
        sock.setblocking(False)
        rest = memoryview(said)

        def is_over() -> bool:
            nonlocal rest
            try:
                if rest:
                    rest = rest[sock.send(rest) :]
                    if not rest:
                        sock.shutdown(socket.SHUT_WR)
                return not sock.recv(1 << 16)
            except BlockingIOError:
                return False
            except ConnectionError:  # it has had enough
                return True

        if not rest:
            sock.shutdown(socket.SHUT_WR)
        stage.until(is_over)
    stage.until(lambda: not stage.secondary.is_following)


@FLAT
@given(st.binary(max_size=3000))
def test_garbage_instead_of_a_handshake(stage: Stage, garbage: bytes) -> None:
    _say(stage, garbage)
    assert stage.names() == set()
    assert stage.events == []


_runs = iter(range(0, 1 << 40, 1000))


@FLAT
@given(st.integers(0, 8), st.integers(0, 200), st.integers(1, 255))
def test_a_stream_is_applied_up_to_its_first_wrong_byte(stage: Stage, good: int, where: int, change: int) -> None:
    run = next(_runs)
    frames = _operations(run, 9)
    bad = bytearray(frames[good])
    bad[where % len(bad)] ^= change
    _say(stage, GREETING + b"".join(frames[:good]) + bytes(bad) + b"".join(frames[good + 1 :]))
    made = {name for name in stage.names() if name.startswith(f"{run}-")}
    assert made == {f"{run}-{sequence}" for sequence in range(1, good + 1)}
    assert stage.events[-1].__class__.__name__ == "StreamLost"


@FLAT
@given(st.lists(st.binary(max_size=400), max_size=4))
def test_bodies_that_no_primary_sends(stage: Stage, bodies: list[bytes]) -> None:
    rng = random.Random(b"".join(bodies))
    for kind in rng.sample(range(1, 14), 2):
        frames = b"".join(_frame(kind, i + 1, body) for i, body in enumerate(bodies) if body)
        _say(stage, GREETING + frames)
    assert stage.names() == set()


def test_memory_stays_flat(stage: Stage) -> None:
    rng = random.Random(4)
    bodies = [rng.randbytes(2000) for _ in range(20)]

    def attack(times: int) -> None:
        for i in range(times):
            _say(stage, bodies[i % 20])
            _say(stage, GREETING + bodies[i % 20])
            _say(stage, GREETING + _frame(FrameKind.PING, 2) + bodies[i % 20])
            stage.events.clear()
            stage.copiers.clear()

    attack(10)
    stage.loop.advance(5)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        attack(60)
        stage.loop.advance(5)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000
    assert len(stage.refusals) == 1


def test_a_write_is_neither_copied_nor_given_to_a_task(stage: Stage) -> None:
    size = 1 << 20
    primary = stage.connect()
    stage.until(lambda: primary.frames)
    primary.link._compressor = None
    create = Create(0, FILE, 1, b"large", stat.S_IFREG | 0o600, 0, 0, 0, 0, b"")
    data = memoryview(random.Random(5).randbytes(size))
    tasks = []
    stage.loop.set_task_factory(lambda *arguments, **_: tasks.append(arguments))  # type: ignore[arg-type]
    last = primary.ship(create, Write(0, FILE, 0, data))
    stage.until(lambda: last in primary.acknowledged)
    tracemalloc.start()
    try:
        for i in range(10):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            last = primary.ship(Write(0, FILE, i * size, data))
            stage.until(lambda last=last: last in primary.acknowledged)  # type: ignore[misc]
            assert tracemalloc.get_traced_memory()[1] - before < size // 8
    finally:
        tracemalloc.stop()
    assert tasks == []
    assert (stage.roots[0] / "large").read_bytes() == bytes(data) * 10
