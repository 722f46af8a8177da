"""How fast a resync may go: never faster than it is told, and never in the way; but it comes to its end."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.replicator_spec import SpecWindow
from replicator.pacing import BATCH_BYTES, BURST_BYTES, Bandwidth, Courtesy

MIB = 1 << 20
NOON = 12 * 60


def burst(bytes_s: int) -> float:
    return max(BURST_BYTES, bytes_s / 10)


# What may be sent


def test_without_a_limit_all_may_be_sent() -> None:
    bandwidth = Bandwidth(0, ())
    assert [bandwidth.take(1.0, NOON, 1 << 40) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_burst_may_be_sent_at_once_and_then_the_rate() -> None:
    bandwidth = Bandwidth(MIB, ())
    assert bandwidth.take(5.0, NOON, BURST_BYTES) == 0.0
    assert bandwidth.take(5.0, NOON, MIB // 8) == pytest.approx(0.125)
    assert bandwidth.take(5.1, NOON, MIB // 8) == pytest.approx(0.025)
    assert bandwidth.take(5.126, NOON, MIB // 8) == 0.0


def test_what_could_not_wait_is_made_up_for() -> None:
    bandwidth = Bandwidth(MIB, ())
    bandwidth.spend(0.0, NOON, BURST_BYTES + MIB // 2)
    assert bandwidth.take(0.0, NOON, MIB // 8) == pytest.approx(0.625)
    assert bandwidth.take(0.62, NOON, MIB // 8) > 0
    assert bandwidth.take(0.626, NOON, MIB // 8) == 0.0


def test_more_than_a_burst_goes_when_the_bucket_is_full() -> None:
    bandwidth = Bandwidth(MIB, ())
    assert bandwidth.take(0.0, NOON, 2 * MIB) == 0.0
    assert bandwidth.take(1.74, NOON, 1) > 0
    assert bandwidth.take(1.76, NOON, 1) == 0.0


def test_it_is_asked_again_within_a_second() -> None:
    bandwidth = Bandwidth(64 << 10, ())
    bandwidth.take(0.0, NOON, BURST_BYTES)
    assert bandwidth.take(0.0, NOON, BURST_BYTES) == 1.0


WINDOWS = (SpecWindow(12 * 60, 13 * 60, 1), SpecWindow(12 * 60 + 30, 14 * 60, 2), SpecWindow(22 * 60, 6 * 60, 3))


@pytest.mark.parametrize(
    ("minute", "bytes_s"),
    [
        (719, 9), (720, 1), (750, 1), (779, 1), (780, 2), (839, 2), (840, 9),
        (1319, 9), (1320, 3), (1439, 3), (0, 3), (359, 3), (360, 9),
    ],
)  # fmt: skip
def test_the_first_window_that_it_is_in_counts(minute: int, bytes_s: int) -> None:
    assert Bandwidth(9, WINDOWS).bytes_s(minute) == bytes_s


def test_a_whole_day() -> None:
    bandwidth = Bandwidth(9, (SpecWindow(0, 24 * 60, 4),))
    assert {bandwidth.bytes_s(minute) for minute in range(24 * 60)} == {4}


def test_a_limit_that_begins_finds_an_empty_bucket() -> None:
    bandwidth = Bandwidth(MIB, (SpecWindow(0, NOON, 0),))
    assert bandwidth.take(100.0, NOON - 1, 100 * MIB) == 0.0
    assert bandwidth.take(101.0, NOON, MIB // 8) == pytest.approx(0.125)


RATES = st.sampled_from((64 << 10, MIB, 10 * MIB, 100 * MIB))


@given(RATES, st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, BURST_BYTES)), min_size=1, max_size=60))
def test_never_more_than_the_rate_and_a_burst(bytes_s: int, asked: list[tuple[float, int]]) -> None:
    bandwidth, now_s = Bandwidth(bytes_s, ()), 1000.0
    sent: list[tuple[float, int]] = []
    for passed_s, count in asked:
        now_s += passed_s
        if not bandwidth.take(now_s, NOON, count):
            sent.append((now_s, count))
    assert_within(sent, lambda first_s, last_s: (last_s - first_s) * bytes_s + burst(bytes_s))


@given(RATES, RATES, st.lists(st.tuples(st.floats(0, 5), st.integers(1, BURST_BYTES)), min_size=1, max_size=60))
def test_nor_where_the_rate_changes(before: int, after: int, asked: list[tuple[float, int]]) -> None:
    """At second 60, a minute's begin."""
    bandwidth, now_s = Bandwidth(after, (SpecWindow(0, NOON + 1, before),)), 30.0
    sent: list[tuple[float, int]] = []
    for passed_s, count in asked:
        now_s += passed_s
        if not bandwidth.take(now_s, NOON + int(now_s // 60), count):
            sent.append((now_s, count))

    def allowed(first_s: float, last_s: float) -> float:
        early_s = max(0.0, min(last_s, 60.0) - min(first_s, 60.0))
        return early_s * before + (last_s - first_s - early_s) * after + max(burst(before), burst(after))

    assert_within(sent, allowed)


def assert_within(sent: list[tuple[float, int]], allowed: Callable[[float, float], float]) -> None:
    for first, last in itertools.combinations_with_replacement(range(len(sent)), 2):
        count = sum(bytes_ for _, bytes_ in sent[first : last + 1])
        assert count <= allowed(sent[first][0], sent[last][0]) * (1 + 1e-9) + 1


@given(RATES, st.lists(st.integers(1, BURST_BYTES), min_size=20, max_size=60))
def test_who_waits_as_told_gets_the_whole_rate(bytes_s: int, counts: list[int]) -> None:
    bandwidth, now_s = Bandwidth(bytes_s, ()), 0.0
    for count in counts:
        while wait_s := bandwidth.take(now_s, NOON, count):
            now_s += wait_s + 1e-6
    assert now_s <= max(0.0, sum(counts) - burst(bytes_s)) / bytes_s + 1e-3


# When the application is left alone


def test_as_long_as_nothing_is_done_pieces_overlap() -> None:
    courtesy = Courtesy()
    for _ in range(16):
        assert courtesy.wait_s(7.0, MIB) == 0.0
        courtesy.begin(7.0, MIB)
    assert courtesy.piece_bytes(7.0, MIB) == MIB
    assert courtesy.moment_wait_s(7.0) == 0.0


def busy() -> Courtesy:
    courtesy = Courtesy()
    courtesy.operations += 1
    return courtesy


def test_while_it_works_one_batch_at_a_time_and_a_rest_after_it() -> None:
    courtesy = busy()
    assert courtesy.piece_bytes(1.0, MIB) == BATCH_BYTES
    assert courtesy.piece_bytes(1.0, 4096) == 4096
    assert courtesy.wait_s(1.0, BATCH_BYTES) == 0.0
    courtesy.begin(1.0, BATCH_BYTES)
    assert courtesy.wait_s(1.001, 1) > 0
    courtesy.end(1.01)
    assert courtesy.wait_s(1.01, 1) == pytest.approx(0.02)
    assert courtesy.wait_s(1.0301, 1) == 0.0


def test_small_pieces_share_a_batch() -> None:
    courtesy, begun = busy(), 0
    while not courtesy.wait_s(1.0, 4096):
        courtesy.begin(1.0, 4096)
        begun += 1
    assert begun == 16
    for ended in range(begun):
        assert courtesy.wait_s(1.0 + ended / 1000, 4096) > 0
        courtesy.end(1.0 + ended / 1000)
    assert courtesy.wait_s(1.015, 4096) == pytest.approx(0.03)


def test_a_batch_is_not_prolonged_by_what_joins_it() -> None:
    courtesy, now_s, begun = busy(), 1.0, 1
    courtesy.begin(now_s, 4096)
    while not courtesy.wait_s(now_s, 4096):
        courtesy.begin(now_s, 4096)
        courtesy.end(now_s)
        begun, now_s = begun + 1, now_s + 0.001
    assert begun == 16


def test_it_works_until_a_second_after_its_last_operation() -> None:
    courtesy = busy()
    assert courtesy.is_busy(1.0)
    assert courtesy.is_busy(1.99)
    assert not courtesy.is_busy(2.0)
    courtesy.operations += 1
    assert courtesy.is_busy(2.5)


def test_pieces_from_before_it_worked_end_first() -> None:
    courtesy = Courtesy()
    courtesy.begin(1.0, MIB)
    courtesy.begin(1.0, MIB)
    courtesy.operations += 1
    assert courtesy.wait_s(1.01, 1) > 0
    courtesy.end(1.02)
    assert courtesy.wait_s(1.03, 1) > 0
    courtesy.end(1.04)
    assert courtesy.wait_s(1.05, 1) == pytest.approx(0.07)


def test_few_of_its_operations_meet_a_moment() -> None:
    courtesy = busy()
    assert courtesy.moment_wait_s(1.0) == 0.0
    courtesy.moment_ended(1.004, 1.0)
    assert courtesy.moment_wait_s(1.004) == pytest.approx(0.4)
    courtesy.operations += 199
    assert courtesy.moment_wait_s(1.03) > 0
    courtesy.operations += 1
    assert courtesy.moment_wait_s(1.03) == 0.0


def test_one_that_does_little_meets_one_in_a_hundred_times() -> None:
    courtesy = busy()
    courtesy.is_busy(1.0)
    courtesy.moment_ended(1.004, 1.0)
    assert courtesy.moment_wait_s(1.405) == 0.0
    courtesy.moment_ended(3.0, 2.0)
    courtesy.operations += 1
    assert courtesy.moment_wait_s(3.0) == 1.0


@given(st.lists(st.floats(1e-4, 0.12), min_size=50, max_size=100))
def test_a_busy_application_has_two_thirds_of_the_time_and_no_more(lengths_s: list[float]) -> None:
    courtesy, now_s, worked_s = Courtesy(), 0.0, 0.0
    for length_s in lengths_s:
        courtesy.operations += 1
        while wait_s := courtesy.wait_s(now_s, BATCH_BYTES):
            now_s += wait_s
        courtesy.begin(now_s, BATCH_BYTES)
        now_s += length_s
        courtesy.operations += 1
        courtesy.end(now_s)
        worked_s += length_s
    now_s += courtesy.wait_s(now_s, BATCH_BYTES)
    assert now_s == pytest.approx(3 * worked_s)


@given(st.lists(st.floats(0.2, 30), min_size=10, max_size=20))
def test_nor_does_a_slow_disk_stop_it(lengths_s: list[float]) -> None:
    courtesy, now_s = Courtesy(), 0.0
    for length_s in lengths_s:
        courtesy.operations += 1
        courtesy.begin(now_s - length_s, BATCH_BYTES)
        courtesy.end(now_s)
        assert 0 < courtesy.wait_s(now_s, BATCH_BYTES) < 0.2501
        now_s += length_s + 1
