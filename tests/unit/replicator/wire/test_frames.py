import contextlib
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.errors import PeerProtocolError
from replicator.core.operations import Kind, Operation
from replicator.wire import frames
from replicator.wire.frames import BODY_BOUNDS, HEADER, MAGIC, MAX_BODY, FrameKind, pack, pack_compressed, seal
from replicator.wire.operations import encode
from replicator.wire.reader import FrameReader
from tests.unit.replicator.wire.strategies import operations

EPOCH = 7
Frame = tuple[int, int, bytes]


def _frame(kind: int, sequence: int, body: bytes, epoch: int = EPOCH) -> bytes:
    return pack(kind, epoch, sequence, body) + body


def _forged(kind: int = FrameKind.PING, length: int = 0, plain: int = 0, flags: int = 0, magic: int = MAGIC) -> bytes:
    """A header with a good checksum and whatever else."""
    return seal(HEADER.pack(0, 1, EPOCH, length, plain, kind, flags, magic)[8:])


def _feed(reader: FrameReader, pieces: Iterable[bytes]) -> Iterator[Frame]:
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            space = reader.space()
            count = min(len(space), len(rest))
            space[:count] = rest[:count]
            reader.received(count)
            rest = rest[count:]
            while (frame := reader.next()) is not None:
                kind, sequence, body = frame
                yield kind, sequence, bytes(body)


def _read(stream: bytes, epoch: int = EPOCH) -> list[Frame]:
    return list(_feed(FrameReader(epoch), [stream]))


def _some(operations: list[Operation]) -> tuple[list[Frame], bytes]:
    found = [(int(o.kind), i + 1, b"".join(encode(o))) for i, o in enumerate(operations)]
    return found, b"".join(_frame(*frame) for frame in found)


@given(st.lists(operations, max_size=4), st.data())
def test_split_anywhere(some: list[Operation], data: st.DataObject) -> None:
    expected, stream = _some(some)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert list(_feed(FrameReader(EPOCH), pieces)) == expected


@given(st.lists(operations, min_size=1, max_size=2))
def test_split_at_every_byte(some: list[Operation]) -> None:
    expected, stream = _some(some)
    assert list(_feed(FrameReader(EPOCH), (stream[i : i + 1] for i in range(len(stream))))) == expected


def test_large_frames_arrive_in_place_between_small_ones() -> None:
    large = bytes(range(256)) * 4096
    body = bytes(20) + large
    stream = b"".join(_frame(FrameKind.WRITE, i, body if i % 3 else body[: i * 100]) for i in range(1, 13))
    for size in (1 << 20, 65536, 40000, 1000):
        reader = FrameReader(EPOCH)
        pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
        found = list(_feed(reader, pieces))
        assert [sequence for _, sequence, _ in found] == list(range(1, 13))
        assert all(body.startswith(found_body) for _, _, found_body in found)
        assert reader.buffered_bytes == 0


def test_the_buffer_does_not_grow() -> None:
    reader = FrameReader(EPOCH)
    space = {memoryview(reader.space().obj).nbytes}
    for _ in range(20):
        list(_feed(reader, [_frame(FrameKind.LISTING, 1, bytes(MAX_BODY)), _frame(FrameKind.PING, 2, b"")]))
        space.add(memoryview(reader.space().obj).nbytes)
    assert len(space) == 1


@given(st.binary(min_size=HEADER.size, max_size=400))
def test_garbage_is_refused_for_good(garbage: bytes) -> None:
    reader = FrameReader(EPOCH)
    reader.space()[: len(garbage)] = garbage
    reader.received(len(garbage))
    for _ in range(2):
        with pytest.raises(PeerProtocolError):
            reader.next()


@given(operations, st.data())
def test_a_changed_frame_never_decodes_to_something_else(operation: Operation, data: st.DataObject) -> None:
    frame = bytearray(_frame(operation.kind, 1, b"".join(encode(operation))))
    index = data.draw(st.integers(0, len(frame) - 1))
    frame[index] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(PeerProtocolError):
        assert _read(bytes(frame)) == []  # a greater length: it waits for what will not match


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (_forged(kind=0), "unknown kind 0"),
        (_forged(kind=31), "unknown kind 31"),
        (_forged(kind=255), "unknown kind 255"),
        (_forged(magic=1), "magic"),
        (_forged(plain=1, length=1), "1 bytes for kind 35"),
        (_forged(FrameKind.LISTING, MAX_BODY + 1, MAX_BODY + 1), "bytes for kind"),
        (_forged(FrameKind.LISTING, 1 << 31, 1 << 31), "bytes for kind"),
        (_forged(FrameKind.WRITE, 19, 19), "bytes for kind"),
        (_forged(FrameKind.LISTING, 5, 6), "5 of 6"),
        (_forged(FrameKind.LISTING, 5, 5000, flags=2), "flags 0x2"),
        (_forged(FrameKind.LISTING, 5, 4095, flags=1), "flags 0x1"),
        (_forged(FrameKind.LISTING, 5000, 5000, flags=1), "flags 0x1"),
        (_forged(FrameKind.LISTING, 0, 5000, flags=1), "flags 0x1"),
        (_frame(FrameKind.PING, 1, b"", EPOCH - 1), "epoch 6 on a stream of epoch 7"),
        (_frame(FrameKind.PING, 1, b"", EPOCH + 1), "epoch 8 on a stream of epoch 7"),
    ],
)
def test_bad_headers_are_refused_before_their_body_is_there(frame: bytes, reason: str) -> None:
    with pytest.raises(PeerProtocolError, match=reason):
        _read(frame)


def test_before_the_handshake_little_is_taken() -> None:
    with pytest.raises(PeerProtocolError, match="before the handshake"):
        _read(_frame(FrameKind.LISTING, 1, bytes(100_000))[:200], epoch=0)
    with pytest.raises(PeerProtocolError, match="epoch 0"):
        _read(_frame(FrameKind.HELLO, 0, b"{}", epoch=0), epoch=0)
    assert _read(_frame(FrameKind.HELLO, 0, b"{}"), epoch=0) == [(FrameKind.HELLO, 0, b"{}")]


def test_agreeing_keeps_what_has_come() -> None:
    reader = FrameReader(0)
    stream = _frame(FrameKind.HELLO, 0, b"{}") + _frame(FrameKind.PING, 1, b"")
    reader.space()[: len(stream)] = stream
    reader.received(len(stream))
    hello = reader.next()
    reader.agree(EPOCH)
    assert hello is not None
    assert bytes(hello[2]) == b"{}"
    assert list(_feed(reader, [_frame(FrameKind.PING, 2, b"")])) == [(FrameKind.PING, 1, b""), (FrameKind.PING, 2, b"")]
    large = _frame(FrameKind.LISTING, 2, bytes(MAX_BODY))
    assert list(_feed(reader, [large])) == [(FrameKind.LISTING, 2, bytes(MAX_BODY))]


def test_operations_have_the_same_numbers_as_frames() -> None:
    assert {kind.name: int(kind) for kind in FrameKind if kind < 32} == {kind.name: int(kind) for kind in Kind}
    assert set(BODY_BOUNDS) == set(FrameKind)
    assert all(least <= most <= MAX_BODY for least, most in BODY_BOUNDS.values())
    from_primary = frames.FROM_PRIMARY | frames.ASIDE
    both = from_primary & frames.FROM_SECONDARY
    handshake = {FrameKind.HELLO, FrameKind.WELCOME, FrameKind.REFUSED}
    assert not both
    assert from_primary | frames.FROM_SECONDARY | handshake == set(FrameKind)
    assert not frames.FROM_PRIMARY & frames.ASIDE


def test_a_compressed_body_must_be_what_it_says() -> None:
    bad = pack_compressed(FrameKind.LISTING, EPOCH, 1, 5000, b"no zstd") + b"no zstd"
    reader = FrameReader(EPOCH)
    reader.space()[: len(bad)] = bad
    reader.received(len(bad))
    for _ in range(2):
        with pytest.raises(PeerProtocolError):
            reader.next()
