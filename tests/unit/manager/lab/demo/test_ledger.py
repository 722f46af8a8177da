import json

import pytest

from manager.lab.demo.ledger import Ledger, Said, parse


def done(number: int, begun: float, at: float) -> Said:
    return Said("done", number, begun, at, "")


def unknown(number: int, begun: float, at: float) -> Said:
    return Said("unknown", number, begun, at, "psql has ended")


LEDGER = Ledger((done(1, 10.0, 10.1), done(3, 10.2, 10.3), unknown(2, 10.25, 11.25), done(4, 20.0, 20.1)))


def test_a_line_of_the_client_is_read() -> None:
    line = json.dumps({"kind": "done", "number": 7, "begun": 1.5, "at": 2.5, "why": ""})
    assert parse(line) == done(7, 1.5, 2.5)


def test_what_is_no_line_of_the_client_is_refused() -> None:
    with pytest.raises(ValueError):
        parse("psql: error")


def test_a_remembered_commit_that_is_not_there_is_a_lost_write() -> None:
    assert LEDGER.missing_from([1, 2, 4]) == [3]
    assert LEDGER.missing_from([1, 3, 4]) == []


def test_what_was_never_answered_may_be_there_and_what_was_never_sent_may_not() -> None:
    assert LEDGER.never_sent([1, 2, 3, 4]) == []
    assert LEDGER.never_sent([1, 3, 4, 9]) == [9]


def test_a_transfer_is_in_flight_from_its_sending_until_it_was_given_up() -> None:
    assert [s.number for s in LEDGER.in_flight_at(10.26)] == [2]
    assert LEDGER.in_flight_at(10.2) == []
    assert LEDGER.in_flight_at(11.25) == []


def test_the_first_commit_after_a_moment_was_begun_after_it() -> None:
    assert LEDGER.first_done_after(10.25) == done(4, 20.0, 20.1)
    assert LEDGER.first_done_after(30.0) is None


def test_the_longest_silence_counts_from_and_to_the_ends() -> None:
    assert LEDGER.longest_silence(10.0, 21.0) == pytest.approx(9.8)
    assert LEDGER.longest_silence(20.5, 24.5) == 4.0
