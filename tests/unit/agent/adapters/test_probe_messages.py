"""Probes and answers as datagrams: there and back, and nothing else is taken for one."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.probe_messages import (
    Answer,
    Kind,
    Message,
    Module,
    OtherVersion,
    Question,
    pack,
    sequence_of,
    unpack,
)
from manager.model.codec import DecodeError
from manager.model.farm import SLOTS
from manager.model.farm_figures import Flow, NodeFigures

MODULE = Module("cluster", "module")
ADDRESSES = st.sampled_from(("10.0.0.1", "192.0.2.1", "fd99::100"))
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
ANSWERS = st.builds(
    Answer,
    st.booleans(),
    st.booleans(),
    st.dictionaries(ADDRESSES, st.integers(min_value=0, max_value=1 << 60)),
    st.dictionaries(ADDRESSES, MACS),
    st.dictionaries(ADDRESSES, st.frozensets(st.integers(min_value=0, max_value=SLOTS - 1), max_size=4)),
    st.frozensets(ADDRESSES),
    st.dictionaries(ADDRESSES, st.integers(min_value=0, max_value=1 << 40)),
    st.booleans(),
)
QUESTIONS = st.builds(
    Question, st.text(max_size=20), st.dictionaries(ADDRESSES, st.integers(min_value=0, max_value=1 << 60))
)
ALONE = "fd99::100"
FULL = Answer(
    True, False, {ALONE: 7}, {ALONE: "02:00:00:00:00:01"}, {ALONE: frozenset(range(SLOTS))}, frozenset({ALONE}),
    {ALONE: 1_499},
)  # fmt: skip


@given(ANSWERS, QUESTIONS, st.integers(min_value=0, max_value=1 << 62), st.text(max_size=20))
def test_there_and_back(answer: Answer, question: Question, sequence: int, node: str) -> None:
    for message in (
        Message(Kind.ANSWER, MODULE, sequence, node, answer),
        Message(Kind.PROBE, MODULE, sequence, node, question=question),
    ):
        assert unpack(pack(message)) == message


@given(QUESTIONS, st.integers(min_value=0, max_value=1 << 62), st.integers(min_value=0))
def test_the_beginning_of_a_message_tells_its_number_or_none(question: Question, sequence: int, length: int) -> None:
    whole = pack(Message(Kind.PROBE, MODULE, sequence, "b", question=question))
    # Linux sends back what fits into 576 bytes, and less comes only from others.
    assert sequence_of(whole[:548]) == sequence
    assert sequence_of(whole[: length % len(whole)]) in (sequence, None)


@given(st.binary(max_size=200))
def test_garbage_has_no_number(quoted: bytes) -> None:
    assert sequence_of(quoted) is None


@given(st.binary(max_size=200))
def test_garbage_is_refused(datagram: bytes) -> None:
    with pytest.raises(DecodeError):
        unpack(datagram)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_what_is_damaged_or_cut_is_refused_or_is_a_message(at: int, value: int) -> None:
    whole = pack(Message(Kind.ANSWER, MODULE, 5, "b", FULL))
    at %= len(whole)
    for datagram in (whole[:at] + bytes((value,)) + whole[at + 1 :], whole[:at]):
        with contextlib.suppress(DecodeError):
            unpack(datagram)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("macs", {"10.0.0.1": "02:00:00:00:00:01; flush ruleset"}),
        ("macs", {"10.0.0.1": "02:00:00:00:00"}),
        ("busy", {"10.0.0.1": "0x1f"}),
        ("busy", {"10.0.0.1": "f" * (SLOTS // 4 + 1)}),
        ("busy", {"10.0.0.1": ""}),
        ("busy", {"10.0.0.1": 3}),
        ("numbers", {"10.0.0.1": "3"}),
        ("numbers", {"10.0.0.1": -1}),
        ("ready", 1),
        ("adopting", "yes"),
        ("is_open", None),
        ("promises", "10.0.0.1"),
        ("heard_ms", {"10.0.0.1": -1}),
        ("heard_ms", {"10.0.0.1": 0.5}),
        ("sequence", 1.0),
        ("kind", "question"),
    ],
)
def test_a_wrong_field_is_refused(field: str, value: object) -> None:
    plain = json.loads(pack(Message(Kind.ANSWER, MODULE, 5, "b", FULL)))
    with pytest.raises(DecodeError):
        unpack(json.dumps({**plain, field: value}).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("by", 3), ("directs", ["10.0.0.1", 4]), ("directs", None), ("numbers", {ALONE: -1}), ("numbers", {ALONE: "7"}),
        ("numbers", None),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_question_is_refused(field: str, value: object) -> None:
    plain = json.loads(pack(Message(Kind.PROBE, MODULE, 5, "b", question=Question("a", {ALONE: 7}))))
    with pytest.raises(DecodeError):
        unpack(json.dumps({**plain, field: value}).encode())


def test_a_question_that_says_nothing_of_tables_is_understood() -> None:
    whole = json.loads(pack(Message(Kind.PROBE, MODULE, 5, "b", question=Question("a", {ALONE: 7}))))
    assert whole["directs"] == [ALONE], "who knows no numbers finds what it ever did"
    del whole["numbers"]
    assert unpack(json.dumps(whole).encode()).question == Question("a", {ALONE: 0})


def test_another_version_is_told_from_garbage() -> None:
    plain = json.loads(pack(Message(Kind.PROBE, MODULE, 5, "b")))
    with pytest.raises(OtherVersion):
        unpack(json.dumps({**plain, "version": 1}).encode())


def test_an_answer_of_one_address_fits_into_a_frame() -> None:
    ids = Module("c" * 32, "m" * 32)
    assert len(pack(Message(Kind.ANSWER, ids, 1 << 50, "n" * 63, FULL))) < 1_232


def test_what_a_node_has_counted_there_and_back() -> None:
    for figures in (
        NodeFigures({ALONE: 7}, {ALONE: {"a": Flow(1, 2, 3, None)}}, 12),
        NodeFigures(None, None, 0),
    ):
        message = Message(Kind.FIGURES, MODULE, 0, "b", figures=figures)
        assert unpack(pack(message)) == message


@pytest.mark.parametrize("figures", [None, {"connections": {ALONE: "7"}, "flows": None, "age_ms": 0}, {"age_ms": 0}])
def test_wrong_figures_are_refused(figures: object) -> None:
    plain = json.loads(pack(Message(Kind.FIGURES, MODULE, 0, "b", figures=NodeFigures(None, None, 0))))
    with pytest.raises(DecodeError):
        unpack(json.dumps({**plain, "figures": figures}).encode())
