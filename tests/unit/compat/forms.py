"""Every JSON form that nodes, processes and releases give each other: how it is written, and how it is read. One list.

A form is missed by nobody who adds to one of the tables it is made of (``CALLS``, ``COMMANDS`` …); the others stand
here by name.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.adapters import link_settings, probe_messages
from agent.adapters.replicator_process import PidRecord
from agent.runtime.lease_keeper import LeaseNote
from manager.model import farm, records
from manager.model.api import ApiError
from manager.model.api_calls import CALLS, PROGRESS
from manager.model.api_channel import Greeting
from manager.model.api_lines import (
    ErrorAnswer,
    error_line,
    greeting_line,
    progress_line,
    read_answer,
    read_greeting,
    read_request,
    request_line,
    result_line,
)
from manager.model.asides import Aside, AsideItem
from manager.model.codec import decode, encode
from manager.model.control import COMMANDS, EVENTS, from_line, to_line
from manager.model.replicator_spec import ReplicatorSpec
from manager.model.verify_record import VerifyRecord
from manager.pki.register import Register
from replicator.disk.identity import NotedIdentity
from replicator.wire import messages

_NUMBER = 7
RECORDS = (
    records.ClusterIdentity,
    records.NodeRecord,
    records.KnownNode,
    records.ModuleConfigRecord,
    records.DesiredRecord,
    records.PrimaryRecord,
    records.InsyncRecord,
    records.MemberRecord,
    records.LackingRecord,
    records.RequestRecord,
    records.HistoryRecord,
    VerifyRecord,
    farm.DirectorRecord,
    farm.SlotsRecord,
)
NOTES = (
    records.DiskIdentity,
    NotedIdentity,
    Aside,
    AsideItem,
    LeaseNote,
    link_settings._Note,
    PidRecord,
    ReplicatorSpec,
    Register,
)
"""On disks, beside records."""


class Manner(enum.StrEnum):
    """What becomes of a word that a reader does not know."""

    DONE = "done"
    """It is acted on: the whole is refused."""
    TOLD = "told"
    """It is shown: the word is unknown."""


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of object, and the line or text that it travels in."""

    kind: type
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    manner: Manner = Manner.DONE
    inside: str = ""
    """Under which name the object stands in its line; empty: it is the line."""


def forms() -> Mapping[str, Form]:
    """By name."""
    found = {f"record {k.__name__}": _text(k) for k in RECORDS} | {f"note {k.__name__}": _text(k) for k in NOTES}
    found |= {f"command {name}": _control(COMMANDS, kind, Manner.DONE) for name, kind in COMMANDS.items()}
    found |= {f"event {name}": _control(EVENTS, kind, Manner.TOLD) for name, kind in EVENTS.items()}
    for call, (arguments, result) in CALLS.items():
        found[f"call {call}"] = _call(arguments)
        found[f"result {call}"] = _answer(result, call, "result", result_line)
    for call, progress in PROGRESS.items():
        found[f"progress {call}"] = _answer(progress, call, "progress", progress_line)
    found["error"] = Form(ErrorAnswer, _write_error, _read_error, Manner.TOLD, "error")
    found["greeting"] = Form(Greeting, greeting_line, read_greeting)
    found["handshake Hello"] = _handshake(messages.Hello, messages.decode_hello)
    found["handshake Welcome"] = _handshake(messages.Welcome, messages.decode_welcome)
    found["handshake Refused"] = _handshake(messages.Refused, messages.decode_refused, Manner.TOLD)
    found["probe probe"] = Form(probe_messages._Probe, probe_messages.pack, probe_messages.unpack)
    found["probe answer"] = Form(probe_messages._Reply, probe_messages.pack, probe_messages.unpack)
    found["probe figures"] = Form(probe_messages._Told, probe_messages.pack, probe_messages.unpack)
    return found


def _text(kind: type) -> Form:
    return Form(kind, lambda record: encode(record).encode(), lambda text: decode(kind, text))


def _control(kinds: dict[str, type], kind: type, manner: Manner) -> Form:
    return Form(kind, to_line, lambda line: from_line(kinds, line), manner)


def _call(kind: type) -> Form:
    return Form(
        kind,
        lambda arguments: request_line(_NUMBER, arguments, "b", "root"),
        lambda line: read_request(line)[1],
        inside="arguments",
    )


def _answer(kind: type, call: str, inside: str, write: Callable[[int, Any], bytes]) -> Form:
    return Form(
        kind,
        lambda told: write(_NUMBER, told),
        lambda line: getattr(read_answer(call, line), inside),
        Manner.TOLD,
        inside,
    )


def _write_error(error: ErrorAnswer) -> bytes:
    told = ApiError(error.kind, error.message, meaning=error.meaning, remedy=error.remedy, reason=error.reason)
    return error_line(_NUMBER, told)


def _read_error(line: bytes) -> ErrorAnswer:
    error = read_answer("state", line).error
    assert error is not None
    return ErrorAnswer(error.kind, error.message, error.meaning, error.remedy, error.reason)


def _handshake(kind: type, read: Callable[[memoryview], Any], manner: Manner = Manner.DONE) -> Form:
    return Form(kind, messages.encode_handshake, lambda body: read(memoryview(body)), manner)
