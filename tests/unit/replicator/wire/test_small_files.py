"""Bodies by which small files are compared: what goes in comes out, and garbage is refused and nothing else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.errors import PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.wire.copying import BLOCK
from replicator.wire.frames import BODY_BOUNDS, FrameKind
from replicator.wire.small_files import (
    MAX_SMALL_FILES,
    NOT_THERE,
    SMALL,
    CompareSmall,
    SmallFile,
    decode_compare_small,
    decode_want_small,
    encode_compare_small,
    encode_want_small,
)
from tests.unit.replicator.wire.strategies import names

ID = 1 << 40


def small(inode: int = ID, parent: int = 7, name: bytes = b"name", length: int = 100) -> SmallFile:
    blocks = range(-(-length // BLOCK))
    return SmallFile(inode, parent, name if parent else b"", length, tuple(bytes((block,)) * 16 for block in blocks))


FILES = st.builds(small, st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1), names, st.integers(1, SMALL))


@given(st.integers(0, 2), st.lists(FILES, min_size=1, max_size=5).map(tuple), st.data())
def test_it_comes_out_as_it_went_in(volume: int, files: tuple[SmallFile, ...], data: st.DataObject) -> None:
    compare = CompareSmall(volume, files)
    body = encode_compare_small(compare)
    assert decode_compare_small(memoryview(body), 3) == compare
    short = body[: data.draw(st.integers(0, len(body) - 1))]
    for other, volumes in ((short, 3), (body + b"x", 3), (body, volume)):
        with pytest.raises(PeerProtocolError):
            decode_compare_small(memoryview(other), volumes)


def test_as_many_files_with_the_longest_names_as_may_be_fit_in_a_frame() -> None:
    files = (small(name=b"x" * 255, length=SMALL),) * MAX_SMALL_FILES
    body = encode_compare_small(CompareSmall(0, files))
    assert len(body) <= BODY_BOUNDS[FrameKind.COMPARE_SMALL][1]
    assert decode_compare_small(memoryview(body), 1).files == files
    with pytest.raises(PeerProtocolError, match="65 small files"):
        decode_compare_small(memoryview(encode_compare_small(CompareSmall(0, (*files, files[0])))), 1)


@pytest.mark.parametrize(
    "file",
    [
        small(inode=0),
        small(length=SMALL + 1),
        SmallFile(ID, 7, b"name", 0, ()),
        SmallFile(ID, 0, b"name", 10, (bytes(16),)),
        SmallFile(ID, 7, b"", 10, (bytes(16),)),
        SmallFile(ID, 7, b"..", 10, (bytes(16),)),
        SmallFile(ID, ROOT_INODE, b".mirrorfarm", 10, (bytes(16),)),
        SmallFile(ID, 7, b"name", 10, ()),
        SmallFile(ID, 7, b"name", 10, (bytes(16), bytes(16))),
    ],
    ids=lambda file: f"{file.inode:x}-{file.parent}-{file.name!r}-{file.length}-{len(file.digests)}",
)
def test_what_is_no_small_file_is_refused(file: SmallFile) -> None:
    with pytest.raises(PeerProtocolError):
        decode_compare_small(memoryview(encode_compare_small(CompareSmall(0, (file,)))), 1)


def test_answers_come_out_as_they_went_in() -> None:
    wanted = [0, 1, 3, 2, NOT_THERE]
    lengths = [1, BLOCK, BLOCK + 1, SMALL, 1]
    assert list(decode_want_small(memoryview(encode_want_small(wanted)), lengths)) == wanted


@pytest.mark.parametrize("wanted", [[], [0], [0, 0, 0], [2, 0], [0, 4], [NOT_THERE | 1, 0], [0, 0x40]])
def test_what_answers_something_else_is_refused(wanted: list[int]) -> None:
    with pytest.raises(PeerProtocolError):
        decode_want_small(memoryview(encode_want_small(wanted)), [BLOCK, SMALL])


@given(st.binary(max_size=400))
def test_garbage_is_refused_and_nothing_else(body: bytes) -> None:
    with contextlib.suppress(PeerProtocolError):
        decode_compare_small(memoryview(body), 2)
    with contextlib.suppress(PeerProtocolError):
        decode_want_small(memoryview(body), [100] * 20)
