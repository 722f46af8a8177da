import contextlib
import itertools
import random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from manager.model.errors import PeerProtocolError
from replicator.wire.compression import MOST_SKIPPED, THRESHOLD, Compressor, Decompressor
from replicator.wire.frames import MAX_BODY, FrameKind, pack_compressed
from replicator.wire.reader import FrameReader

TEXT = b"".join(b"2026-11-25 host app[%d]: request %d took %d us\n" % (i, i * 7, i * 31 % 977) for i in range(3000))
NOISE = random.Random(1).randbytes(1 << 17)


def _decompress(body: bytes, plain: int) -> bytes:
    return bytes(Decompressor().decompress(memoryview(body), plain))


@given(st.integers(THRESHOLD, len(TEXT)), st.integers(0, 100))
def test_text_shrinks_and_comes_back(size: int, head: int) -> None:
    parts = (NOISE[:head], memoryview(TEXT)[: size - head])
    body = Compressor().compress(parts, size)
    assert body is not None
    assert len(body) < size / 2
    assert _decompress(body, size) == b"".join(parts)


def test_small_bodies_are_never_compressed() -> None:
    assert Compressor().compress((TEXT[: THRESHOLD - 1],), THRESHOLD - 1) is None


def test_what_does_not_shrink_is_tried_more_and_more_rarely() -> None:
    compressor = Compressor()
    tried = []
    for i in range(1000):
        before = compressor._skip
        assert compressor.compress((NOISE,), len(NOISE)) is None
        if not before:
            tried.append(i)
    gaps = [b - a - 1 for a, b in itertools.pairwise(tried)]
    assert gaps[:6] == [1, 2, 4, 8, 16, 32]
    assert set(gaps[6:]) == {MOST_SKIPPED}


def test_it_takes_to_text_again() -> None:
    compressor = Compressor()
    for _ in range(1000):
        compressor.compress((NOISE,), len(NOISE))
    results = [compressor.compress((TEXT,), len(TEXT)) for _ in range(MOST_SKIPPED + 3)]
    assert results[-1] is not None
    assert results[-2] is not None


def test_a_sample_that_misleads_costs_one_attempt() -> None:
    mixed = NOISE[:60_000] + TEXT[:8192] + NOISE[60_000:120_000]
    assert Compressor().compress((mixed,), len(mixed)) is None


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (zstandard.compress(TEXT), len(TEXT) - 1),
        (zstandard.compress(TEXT), len(TEXT) + 1),
        (zstandard.compress(TEXT)[:-5], len(TEXT)),
        (zstandard.compress(TEXT) + b"more", len(TEXT)),
        (zstandard.compress(TEXT) + zstandard.compress(b""), len(TEXT)),
        (zstandard.ZstdCompressor(write_content_size=False).compress(TEXT), len(TEXT)),
        (zstandard.compress(bytes(MAX_BODY + 1)), MAX_BODY + 1),
        (b"", 4096),
        (TEXT, len(TEXT)),
    ],
)
def test_what_is_not_so_many_bytes_is_refused(body: bytes, plain: int) -> None:
    with pytest.raises(PeerProtocolError):
        _decompress(body, plain)


@given(st.data())
def test_damage_raises_nothing_but_protocol_errors(data: st.DataObject) -> None:
    body = bytearray(zstandard.compress(TEXT[:20_000]))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(PeerProtocolError):
        assert len(_decompress(bytes(body), 20_000)) == 20_000  # the frame's checksum would have caught it


def test_a_frame_says_how_much_it_will_be() -> None:
    compressed = Compressor().compress((TEXT,), len(TEXT))
    assert compressed is not None
    frame = pack_compressed(FrameKind.LISTING, 3, 1, len(TEXT), compressed) + compressed
    reader = FrameReader(3)
    reader.space()[: len(frame)] = frame
    reader.received(len(frame))
    found = reader.next()
    assert found is not None
    assert (found[0], found[1], bytes(found[2])) == (FrameKind.LISTING, 1, TEXT)
    assert reader.wire_bytes == len(compressed)
