"""Each revision came between two answers of etcd; the keys are as in the last one."""

import json

from tests.support.etcd_polling import changed
from tests.support.moments import NEVER_NS, Moments


def line(asked_ns: int, answered_ns: int, revision: int, **values: str | None) -> str:
    return json.dumps([asked_ns, answered_ns, revision, values])


def test_a_revision_came_after_one_answer_was_asked_for_and_before_the_next_one_came() -> None:
    moments = Moments()
    moments.take([line(10, 12, 5), line(20, 23, 5), line(30, 34, 8)])
    moments.take([line(40, 41, 9)])
    found = {revision: (moments.earliest_ns(revision), moments.latest_ns(revision)) for revision in (5, 6, 8, 9, 10)}
    assert found == {5: (0, 12), 6: (20, 34), 8: (20, 34), 9: (30, 41), 10: (40, NEVER_NS)}


def test_without_an_answer_nothing_is_known() -> None:
    assert (Moments().earliest_ns(3), Moments().latest_ns(3)) == (0, NEVER_NS)


def test_what_is_told_is_what_has_changed() -> None:
    before, after = {"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "5", "d": "4"}
    assert changed(before, after) == {"b": "5", "c": None, "d": "4"}


def test_the_keys_are_those_of_the_last_answer() -> None:
    moments = Moments()
    moments.take([line(1, 2, 3, a='{"n": 1}', b='{"n": 2}'), line(3, 4, 5, a=None, b='{"n": 3}')])
    assert moments.keys == {"b": {"n": 3}}
