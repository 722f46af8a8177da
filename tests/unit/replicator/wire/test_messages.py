import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.errors import PeerProtocolError
from replicator.core.filesystem import Free, Limits
from replicator.disk.limits import WHEN_FULL
from replicator.wire import messages
from replicator.wire.frames import BODY_BOUNDS, MAX_SMALL, FrameKind
from replicator.wire.messages import Hello, Refusal, Refused, Welcome
from tests.unit.replicator.wire.strategies import bases, handshakes

_DECODE = {
    Hello: messages.decode_hello,
    Welcome: messages.decode_welcome,
    Refused: messages.decode_refused,
}
_HELLO = Hello("c", "m", "a", "b", "i", 3, 1, (WHEN_FULL,))


@given(handshakes)
def test_round_trip(message: Hello | Welcome | Refused) -> None:
    body = memoryview(messages.encode_handshake(message))
    assert _DECODE[type(message)](body) == message


@given(handshakes, st.data())
def test_a_changed_handshake_raises_nothing_but_protocol_errors(
    message: Hello | Welcome | Refused, data: st.DataObject
) -> None:
    body = bytearray(messages.encode_handshake(message))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for decode in _DECODE.values():
        with contextlib.suppress(PeerProtocolError):
            decode(memoryview(body))


@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    small = (
        messages.decode_free,
        messages.decode_fsynced,
        messages.decode_promise_ask,
        messages.decode_promise,
        messages.decode_finish,
        messages.decode_forget,
    )
    for decode in (*_DECODE.values(), *small):
        try:
            decode(memoryview(garbage))
        except PeerProtocolError:
            continue
        assert decode in small


@pytest.mark.parametrize(
    "message",
    [
        Hello("c", "m", "a", "b", "i", 0, 1, (WHEN_FULL,)),
        Hello("c", "m", "a", "b", "i", 1 << 23, 1, (WHEN_FULL,)),
        Hello("c", "m", "a", "b", "i", 3, 2, (WHEN_FULL,)),
        Hello("c", "m", "a", "b", "i", 3, 0, ()),
        Hello("c", "m", "a", "b", "i", 3, 65, (WHEN_FULL,) * 65),
        Hello("c", "m", "a", "b", "i", 3, 1, (Limits(-1, 1, 1, 1, (), True),)),
        Hello("c", "m", "a", "b", "i", 3, 1, (Limits(1, 1, 1, 1 << 63, (), True),)),
        Hello("c", "m", "a", "b", "i", 1 << 40, 1, (WHEN_FULL,), version=2),
    ],
)
def test_numbers_out_of_range_are_refused(message: Hello) -> None:
    with pytest.raises(PeerProtocolError):
        messages.decode_hello(memoryview(messages.encode_handshake(message)))


def test_another_version_may_say_what_this_one_does_not_know() -> None:
    other = Hello("c", "m", "a", "b", "i", 3, 7, (), version=2)
    assert messages.decode_hello(memoryview(messages.encode_handshake(other))) == other


def test_who_speaks_this_version_too_is_held_to_it() -> None:
    next_one = Hello("c", "m", "a", "b", "i", 3, 1, (WHEN_FULL,), version=2, oldest_version=1)
    decoded = messages.decode_hello(memoryview(messages.encode_handshake(next_one)))
    assert (decoded, decoded.agreed) == (next_one, 1)
    with pytest.raises(PeerProtocolError, match="2 directories, limits of 1"):
        messages.decode_hello(memoryview(messages.encode_handshake(replace(next_one, directories=2))))


def test_a_hello_of_one_number_alone_is_of_no_other_version() -> None:
    assert Hello("c", "m", "a", "b", "i", 3, 1, (WHEN_FULL,), version=2).agreed is None
    assert Hello("c", "m", "a", "b", "i", 3, 1, (WHEN_FULL,)).agreed == 1


def test_a_refusal_of_another_release_is_told_with_its_word() -> None:
    refused = messages.decode_refused(memoryview(b'{"reason": "too_warm", "detail": "40 degrees", "since": 3}'))
    assert refused == Refused(Refusal.UNKNOWN, "too_warm: 40 degrees")


def test_limits_of_a_file_system_travel_whole() -> None:
    hello = messages.decode_hello(memoryview(messages.encode_handshake(_HELLO)))
    assert hello.limits == (WHEN_FULL,)


def test_free_space_out_of_range_is_no_welcome() -> None:
    welcome = Welcome("a", "b", "i", 3, (WHEN_FULL,), (Free(1 << 63, 0),))
    with pytest.raises(PeerProtocolError):
        messages.decode_welcome(memoryview(messages.encode_handshake(welcome)))


_NO_BASES = ["", "0" * 15, "0" * 17, "A" * 16, "0" * 15 + "g", "0" * 16 + "\n", "\u0661" * 16]


@pytest.mark.parametrize("bases", [(base,) for base in _NO_BASES] + [("0" * 16, "1" * 16, "2" * 16)])
def test_bases_that_no_join_has_made_are_no_welcome(bases: tuple[str, ...]) -> None:
    welcome = Welcome("a", "b", "i", 3, (WHEN_FULL,), (Free(1, 0),), bases)
    with pytest.raises(PeerProtocolError):
        messages.decode_welcome(memoryview(messages.encode_handshake(welcome)))


@given(st.lists(st.builds(Free, st.integers(0, (1 << 63) - 1), st.integers(0, (1 << 63) - 1)), min_size=1, max_size=64))
def test_free_space_round_trip(free: list[Free]) -> None:
    assert messages.decode_free(memoryview(messages.encode_free(free))) == free


@given(st.integers(0, 4095))
def test_fsynced_round_trip(error: int) -> None:
    assert messages.decode_fsynced(memoryview(messages.encode_fsynced(error))) == error


@pytest.mark.parametrize("error", [-1, 4096])
def test_no_errno_is_refused(error: int) -> None:
    with pytest.raises(PeerProtocolError):
        messages.decode_fsynced(memoryview(messages.encode_fsynced(error)))


_instants = st.integers(1, (1 << 63) - 1)


@given(_instants)
def test_a_question_for_a_promise_round_trip(asked_ns: int) -> None:
    assert messages.decode_promise_ask(memoryview(messages.encode_promise_ask(asked_ns))) == asked_ns


@given(_instants, st.integers(1, messages.MAX_PROMISE_MS))
def test_a_promise_round_trip(asked_ns: int, for_ms: int) -> None:
    body = messages.encode_promise(asked_ns, for_ms)
    assert messages.decode_promise(memoryview(body)) == (asked_ns, for_ms)


@pytest.mark.parametrize(
    ("asked_ns", "for_ms"), [(0, 1), (1 << 63, 1), (1, 0), (1, messages.MAX_PROMISE_MS + 1), (1, (1 << 32) - 1)]
)
def test_no_promise_is_refused(asked_ns: int, for_ms: int) -> None:
    with pytest.raises(PeerProtocolError):
        messages.decode_promise(memoryview(messages.encode_promise(asked_ns, for_ms)))


@pytest.mark.parametrize("asked_ns", [0, 1 << 63])
def test_an_instant_out_of_range_asks_nothing(asked_ns: int) -> None:
    with pytest.raises(PeerProtocolError):
        messages.decode_promise_ask(memoryview(messages.encode_promise_ask(asked_ns)))


@given(st.text())
def test_a_reason_fits_in_its_frame(reason: str) -> None:
    body = messages.encode_failed(reason * 300)
    assert len(body) <= MAX_SMALL
    assert messages.decode_failed(memoryview(body))[:5] == (reason * 300).encode(errors="replace").decode()[:5]


def test_a_refusal_may_quote_what_is_no_text() -> None:
    body = messages.encode_handshake(Refused(Refusal.MODULE, "\udc80"))
    assert messages.decode_refused(memoryview(body)) == Refused(Refusal.MODULE, "?")


@given(bases)
def test_a_join_point_round_trip(base: str) -> None:
    body = messages.encode_finish(base)
    assert BODY_BOUNDS[FrameKind.FINISH] == (len(body), len(body))
    assert messages.decode_finish(memoryview(body)) == base


@pytest.mark.parametrize("base", [b"", b"0" * 15, b"0" * 17, b"A" * 16, b"0" * 15 + b"\n", b"\xff" * 16])
def test_a_join_point_without_a_base_is_refused(base: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        messages.decode_finish(memoryview(base))


@given(st.integers(1, (1 << 63) - 1))
def test_what_to_forget_round_trip(sequence: int) -> None:
    body = messages.encode_forget(sequence)
    assert BODY_BOUNDS[FrameKind.FORGET] == (len(body), len(body))
    assert messages.decode_forget(memoryview(body)) == sequence


@pytest.mark.parametrize("sequence", [0, 1 << 63])
def test_no_sequence_is_nothing_to_forget(sequence: int) -> None:
    with pytest.raises(PeerProtocolError):
        messages.decode_forget(memoryview(messages.encode_forget(sequence)))
