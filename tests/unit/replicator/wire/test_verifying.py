"""Bodies of the frames that verify and keep: what goes in comes out, and garbage is refused and nothing else."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.errors import PeerProtocolError
from replicator.wire import verifying
from replicator.wire.copying import BLOCK
from replicator.wire.verifying import CheckState, Found, Keep, VerifyCompare, What
from tests.unit.replicator.wire.strategies import digests_of, names


@given(st.integers(0, 2**40), st.integers(1, 16 * BLOCK))
def test_comparisons_come_out_as_they_went_in(offset: int, length: int) -> None:
    for found in (digests_of(length), ()):
        verify = VerifyCompare(1, (b"a", b"\xff"), offset, length, found)
        assert verifying.decode_verify_compare(memoryview(verifying.encode_verify_compare(verify)), 2) == verify


def test_what_is_reserved_is_not_compared() -> None:
    body = verifying.encode_verify_compare(VerifyCompare(0, (b".mirrorfarm", b"identity.json"), 0, 1, ()))
    with pytest.raises(PeerProtocolError):
        verifying.decode_verify_compare(memoryview(body), 1)


@given(path=st.lists(names, min_size=1, max_size=5))
def test_what_is_to_be_kept_comes_out_as_it_went_in(path: list[bytes]) -> None:
    keep = Keep(1, tuple(path))
    body = memoryview(verifying.encode_keep(keep))
    assert verifying.decode_keep(body, 2) == keep
    for wrong, volumes in ((body, 1), (body[:-1], 2), (memoryview(bytes(body) + b"x"), 2)):
        with pytest.raises(PeerProtocolError):
            verifying.decode_keep(wrong, volumes)


@pytest.mark.parametrize("path", [(), (b".mirrorfarm", b"identity.json"), (b"..",)])
def test_what_is_no_part_of_a_copy_is_not_to_be_kept(path: tuple[bytes, ...]) -> None:
    with pytest.raises(PeerProtocolError):
        verifying.decode_keep(memoryview(verifying.encode_keep(Keep(0, path))), 1)


def test_answers_come_out_as_they_went_in() -> None:
    found = [Found(b"\xff", What.MODE, "0o1", "0o2"), Found(b"", What.XATTR, "\udcff" * 999, "")]
    total, decoded = verifying.decode_found(memoryview(verifying.encode_found(7, found)))
    assert (total, decoded[0]) == (7, found[0])
    assert len(decoded[1].here) <= 200
    checked = verifying.encode_checked(CheckState.COMPARED, 1)
    assert verifying.decode_checked(memoryview(checked), 1) == (CheckState.COMPARED, 1)


DECODERS: list[Callable[[memoryview], object]] = [
    lambda body: verifying.decode_verify_compare(body, 3),
    lambda body: verifying.decode_checked(body, 16),
    lambda body: verifying.decode_found(body),
    lambda body: verifying.decode_keep(body, 3),
]


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    for decode in DECODERS:
        with contextlib.suppress(PeerProtocolError):
            decode(memoryview(data))
