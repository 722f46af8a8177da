"""Records go to JSON and come back the same; what is not a record is refused with the field's name."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model import records
from manager.model.codec import DecodeError, OtherRecordVersion, decode, encode, from_plain, to_plain, told_from_plain
from manager.model.control import Scope
from manager.model.states import ModuleState, Readiness, Run

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
)

INSYNC = records.InsyncRecord(3, 7, "a", (records.Holder("a", "boot", "i1"), records.Holder("b", "boot2", "i2")))


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
def test_every_record_comes_back_the_same(kind: type, data: st.DataObject) -> None:
    record = replace(data.draw(st.from_type(kind)), version=records.RECORD_VERSION)
    assert decode(kind, encode(record)) == record


def test_keys_stand_in_the_order_of_the_fields() -> None:
    fields = ["epoch", "number", "last_primary", "holders", "released", "because", "decided", "version"]
    assert list(json.loads(encode(INSYNC))) == fields


def test_unknown_fields_of_a_newer_release_are_ignored() -> None:
    plain = to_plain(INSYNC) | {"added_later": [1, 2]}
    assert from_plain(records.InsyncRecord, plain) == INSYNC


def test_fields_with_a_default_may_be_missing() -> None:
    assert decode(records.DesiredRecord, '{"run": "started"}') == records.DesiredRecord(Run.STARTED)


def without(field: str) -> Any:
    return {k: v for k, v in to_plain(INSYNC).items() if k != field}


@pytest.mark.parametrize(
    ("plain", "where"),
    [
        (without("epoch"), "InsyncRecord.epoch: missing"),
        (to_plain(INSYNC) | {"epoch": "3"}, "InsyncRecord.epoch: int is expected, found '3'"),
        (to_plain(INSYNC) | {"epoch": True}, "InsyncRecord.epoch: int is expected, found True"),
        (to_plain(INSYNC) | {"holders": {}}, "InsyncRecord.holders: a list is expected"),
        (to_plain(INSYNC) | {"holders": [{"node": "a"}]}, "InsyncRecord.holders[0].boot_id: missing"),
        ([], "InsyncRecord: an object is expected"),
    ],
)
def test_what_is_wrong_is_named(plain: Any, where: str) -> None:
    with pytest.raises(DecodeError) as raised:
        from_plain(records.InsyncRecord, plain)
    assert where in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff\xfe\x00", "nul"])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(DecodeError, match="not JSON"):
        decode(records.DesiredRecord, text)


def test_a_word_that_is_none_of_an_enum_is_refused_with_those_that_are() -> None:
    with pytest.raises(DecodeError, match=r"run: one of started, stopped is expected, found 'maybe'"):
        decode(records.DesiredRecord, '{"run": "maybe"}')


@given(st.binary(max_size=200))
def test_garbage_raises_a_decode_error_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(records.InsyncRecord, garbage)


@pytest.mark.parametrize("text", [r"\ud800", r"\uDC80", "\udfff", b"\xed\xa0\x80", r"\ud83d \ude00"])
def test_what_no_file_can_have_is_refused(text: str | bytes) -> None:
    """A script of a module with it, which is written to a file, would end all of its agents."""
    quoted = f'{{"run": "started", "switches": {{"a": "{text}"}}}}' if isinstance(text, str) else b'["' + text + b'"]'
    with pytest.raises(DecodeError, match=r"UTF-8|utf-8"):
        decode(records.DesiredRecord, quoted)


def test_a_pair_of_surrogates_is_a_character() -> None:
    found = decode(records.DesiredRecord, r'{"run": "started", "switches": {"a": "\ud83d\ude00 \\ud800"}}')
    assert found.switches == {"a": "\N{GRINNING FACE} \\ud800"}


def test_exit_codes_are_safekits() -> None:
    assert {s.value: s.exit_code for s in ModuleState} == {
        "STOP": 0, "WAIT": 1, "ALONE": 2, "UP": 2, "PRIM": 3, "SECOND": 4,
    }  # fmt: skip
    assert [s for s in ModuleState if s.is_primary] == [ModuleState.ALONE, ModuleState.PRIM]
    assert {r.value for r in Readiness} == {"blocked", "transient", "ready"}


def test_a_record_of_a_newer_version_is_none_whatever_else_it_says() -> None:
    for plain in (to_plain(INSYNC) | {"version": 2}, {"version": 2, "other": "fields"}):
        with pytest.raises(OtherRecordVersion, match=r"InsyncRecord.version: 1 and older ones are understood, found 2"):
            from_plain(records.InsyncRecord, plain)


@dataclass(frozen=True, slots=True)
class Told:
    scope: Scope
    state: ModuleState | None
    readiness: Readiness


def test_a_word_that_is_none_is_unknown_where_people_are_told_if_there_is_a_word_for_that() -> None:
    plain = {"scope": "half", "state": "MOVING", "readiness": "ready"}
    assert told_from_plain(Told, plain) == Told(Scope.UNKNOWN, None, Readiness.READY)
    with pytest.raises(
        DecodeError, match=r"Told.readiness: one of blocked, transient, ready is expected, found 'soon'"
    ):
        told_from_plain(Told, plain | {"readiness": "soon"})
    for field, value in (("scope", "half"), ("state", "MOVING")):
        known = {"scope": "changes", "state": None, "readiness": "ready"}
        with pytest.raises(DecodeError, match=f"Told.{field}: one of"):
            from_plain(Told, known | {field: value})


@pytest.mark.parametrize("value", [3, True, None, [], {}])
def test_what_is_no_word_is_refused_where_people_are_told_too(value: Any) -> None:
    with pytest.raises(DecodeError, match=r"Told.scope"):
        told_from_plain(Told, {"scope": value, "state": None, "readiness": "ready"})
