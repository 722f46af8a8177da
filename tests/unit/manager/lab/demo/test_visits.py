import json

import pytest

from manager.lab.demo.visits import Visit, Visits, parse


def answered(node: str, begun: float) -> Visit:
    return Visit(node, begun, begun + 0.01, "")


LOST = Visit("", 2.0, 3.0, "timed out")
VISITS = Visits((answered("b", 1.0), answered("a", 1.5), LOST, answered("b", 3.0)))


def test_a_line_of_the_visitor_is_read() -> None:
    assert parse(json.dumps({"node": "a", "begun": 1.5, "at": 1.51, "why": ""})) == Visit("a", 1.5, 1.51, "")


def test_what_is_no_line_of_the_visitor_is_refused() -> None:
    with pytest.raises(ValueError):
        parse("Traceback")


def test_who_answered_is_counted_and_so_is_who_did_not() -> None:
    assert VISITS.answered_by() == {"a": 1, "b": 2}
    assert VISITS.unanswered == (LOST,)
    assert VISITS.told() == "of 4 requests a answered 1, b answered 2, nobody 1"
    assert Visits(()).told() == "no requests"


def test_a_visit_belongs_to_the_time_when_it_was_begun() -> None:
    assert VISITS.between(1.5, 3.0).lines == (answered("a", 1.5), LOST)
    assert VISITS.between(2.5).told() == "of 1 requests b answered 1"
