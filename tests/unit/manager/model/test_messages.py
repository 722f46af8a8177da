"""The two line protocols: between agent and replicator, and between CLI and agent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model import api, api_calls, api_lines, control
from manager.model.codec import DecodeError
from manager.model.records import RECORD_VERSION
from manager.model.versions import RecordVersion

MESSAGES = [(control.COMMANDS, kind) for kind in control.COMMANDS.values()] + [
    (control.EVENTS, kind) for kind in control.EVENTS.values()
]


@pytest.mark.parametrize(("kinds", "kind"), MESSAGES, ids=lambda v: getattr(v, "__name__", ""))
@given(data=st.data())
def test_every_control_message_comes_back_the_same(kinds: dict[str, type], kind: type, data: st.DataObject) -> None:
    message = data.draw(st.from_type(kind))
    line = control.to_line(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert control.from_line(kinds, line) == message


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "an object with a string 'type'"),
        (b'{"type": 3}', "an object with a string 'type'"),
        (b'{"type": "Explode"}', "unknown type 'Explode'"),
        (b'{"type": "Serve", "epoch": 1}', "Serve.revision: missing"),
        (b'{"type": "Hello", "pid": 1}', "unknown type 'Hello'"),
    ],
)
def test_what_is_no_command_is_refused(line: bytes, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        control.from_line(control.COMMANDS, line)


@given(st.binary(max_size=100))
def test_garbage_is_a_decode_error_and_nothing_else(line: bytes) -> None:
    with pytest.raises(DecodeError):
        control.from_line(control.EVENTS, line)


st.register_type_strategy(RecordVersion, st.just(RECORD_VERSION))  # Another one is read by no release.


@pytest.mark.parametrize("call", api_calls.CALLS)
@given(data=st.data())
def test_every_call_goes_through(call: str, data: st.DataObject) -> None:
    arguments_kind, result_kind = api_calls.CALLS[call]
    arguments = data.draw(st.from_type(arguments_kind))
    request, read = api_lines.read_request(api_lines.request_line(7, arguments))
    assert (request.id, request.call, read) == (7, call, arguments)
    result = data.draw(st.from_type(result_kind))
    answer = api_lines.read_answer(call, api_lines.result_line(7, result))
    assert (answer.id, answer.result) == (7, result)
    if call in api_calls.PROGRESS:
        progress = data.draw(st.from_type(api_calls.PROGRESS[call]))
        assert api_lines.read_answer(call, api_lines.progress_line(7, progress)).progress == progress


def test_an_error_goes_through() -> None:
    error = api.ApiError(api.ErrorKind.REFUSED, "No.", meaning="Nothing.", remedy="Wait.", reason="busy")
    told = api_lines.read_answer("state", api_lines.error_line(3, error)).error
    assert told is not None
    assert (told.kind, told.message, told.meaning, told.remedy, told.reason) == (
        api.ErrorKind.REFUSED, "No.", "Nothing.", "Wait.", "busy",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        ({"id": 1, "call": "reboot"}, "unknown call 'reboot'; known: node.info"),
        ({"id": "1", "call": "state"}, "Request.id: int is expected"),
        ({"id": 1, "call": "why", "arguments": {}}, "WhyArguments.module: missing"),
        ({"id": 1, "call": "logs", "arguments": {"module": "db", "lines": "ten"}}, "LogsArguments.lines"),
        ([1], "an object is expected"),
    ],
)
def test_a_bad_request_says_what_is_wrong(plain: Any, why: str) -> None:
    with pytest.raises(api.ApiError) as raised:
        api_lines.read_request(json.dumps(plain).encode())
    assert raised.value.kind is api.ErrorKind.BAD_REQUEST
    assert why in raised.value.message


@pytest.mark.parametrize(
    ("line", "number"), [(b'{"id": 5}', 5), (b'{"id": true}', 0), (b"{}", 0), (b"x", 0), (b"[5]", 0)]
)
def test_the_id_of_a_line_that_may_be_no_request(line: bytes, number: int) -> None:
    assert api_lines.request_id_of(line) == number
