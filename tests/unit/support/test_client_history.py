"""The checker of clients' calls finds what is lost, what goes back and who serves too long."""

from tests.support.client_history import (
    Call,
    Outcome,
    longest_gap_ms,
    parse,
    serving_at,
    two_primaries,
    violations,
)

MS = 1_000_000
OK = Outcome.OK


def call(
    number: int, do: str = "write", outcome: Outcome = OK, value: int | None = None, node: str = "a", run: int = 1
) -> Call:
    """Begun at ``number`` times 10 ms, ended 5 ms later."""
    begun_ns = number * 10 * MS
    return Call(number, do, begun_ns, begun_ns + 5 * MS, outcome, number if value is None else value, node, run)


def test_all_that_was_answered_is_in_place() -> None:
    assert violations([call(1), call(2, "sync"), call(3, "read", value=2)], [1, 2], []) == []


def test_what_was_answered_and_is_not_there_is_lost() -> None:
    assert violations([call(1), call(2)], [2], []) == ["1 was completed, and is lost"]


def test_what_nobody_answered_may_be_there_or_not() -> None:
    calls = [call(1), call(2, outcome=Outcome.UNKNOWN), call(3, outcome=Outcome.UNKNOWN)]
    for served in ([1], [1, 2], [1, 2, 3], [1, 3, 2]):
        assert violations(calls, served, []) == []


def test_what_was_refused_is_not_there() -> None:
    found = violations([call(1), call(2, outcome=Outcome.FAILED)], [1, 2], [])
    assert found == ["2 is there, and was refused or never sent"]


def test_nothing_is_there_twice_or_in_another_order_or_from_nowhere() -> None:
    assert violations([call(1), call(2)], [1, 2, 2], []) == ["2 is there twice"]
    assert violations([call(1), call(2)], [2, 1], []) == ["2 stands before 1"]
    assert violations([call(1)], [1, 9], []) == ["9 is there, and was never sent"]


def test_what_was_not_synced_may_go_when_all_have_lost_their_power() -> None:
    calls = [call(1), call(2, "sync"), call(3), call(7)]
    assert violations(calls, [1, 2, 7], [50 * MS]) == []
    # What a later sync covered, and what came after, may not.
    assert violations(calls, [2, 7], [50 * MS]) == ["1 was completed, and is lost"]
    assert violations(calls, [1, 7], [50 * MS]) == ["2 was completed, and is lost"]
    assert violations(calls, [1, 2], [50 * MS]) == ["7 was completed, and is lost"]


def test_a_read_knows_what_was_answered_before_it() -> None:
    calls = [call(1), call(2), call(3, "read", value=1)]
    assert violations(calls, [1, 2], []) == ["a read on a found 1 after 2 was write"]
    assert violations(calls, [1, 2], [25 * MS]) == []


def test_a_read_does_not_go_back_behind_another_read() -> None:
    unknown = call(2, outcome=Outcome.UNKNOWN)
    calls = [call(1), unknown, call(3, "read", value=2), call(4, "read", value=1)]
    assert violations(calls, [1, 2], []) == ["a read on a found 1 after 2 was read"]
    assert violations([call(1), unknown, call(3, "read", value=1), call(4, "read", value=2)], [1, 2], []) == []


def test_a_read_finds_nothing_that_was_never_sent() -> None:
    assert violations([call(1), call(2, "read", value=8)], [1], []) == ["a read on a found 8, which was never sent"]


def test_a_later_start_on_another_node_ends_the_earlier_one() -> None:
    assert two_primaries([call(1), call(2, node="b", run=2), call(3, node="b", run=2)]) == []
    assert two_primaries([call(1), call(2, node="b", run=2), call(3)]) == ["3: a completed it after b had served"]
    # A begins again, later than b.
    assert two_primaries([call(1), call(2, node="b", run=2), call(3, run=3)]) == []


def test_an_outage_is_the_longest_time_without_a_write() -> None:
    calls = [call(1), call(2), call(30), call(31, "read"), call(40)]
    assert longest_gap_ms(calls, 0, 500 * MS) == 280
    # One that began before the end counts wholly.
    assert longest_gap_ms(calls, 20 * MS, 50 * MS) == 280
    assert longest_gap_ms(calls, 350 * MS, 380 * MS) == 55
    assert longest_gap_ms([], 0, 7 * MS) == 7
    assert longest_gap_ms(calls, 420 * MS, 430 * MS, 900 * MS) == 480


def test_who_serves_is_who_answered_last() -> None:
    calls = [call(1), call(2, node="b"), call(3, outcome=Outcome.UNKNOWN)]
    assert (serving_at(calls, 5 * MS), serving_at(calls, 16 * MS), serving_at(calls, 99 * MS)) == ("", "a", "b")


def test_a_call_is_read_from_its_line() -> None:
    assert parse(['[3, "sync", 30000000, 35000000, "ok", 3, "a", 1]\n']) == (call(3, "sync"),)
