"""The rate of the last seconds, and the time left: known only where the reports say it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from manager.model.control import Progress
from manager.model.pace import SPAN_MS, Pace, PaceMeter


def at(elapsed_ms: int, examined: int = 0, total: int = 0, entries: int = 0, sent: int = 0) -> Progress:
    return Progress("join", "b", entries, examined, sent, total, elapsed_ms)


def test_the_first_report_counts_from_the_beginning() -> None:
    assert PaceMeter().heard(at(2_000, 4_000, 10_000, 60, 1_000)) == Pace(30, 2_000, 500, 3_000)


def test_one_that_is_heard_in_the_middle_knows_nothing_of_the_last_seconds() -> None:
    meter = PaceMeter()
    assert meter.heard(at(60_000, 4_000, 10_000)) is None
    assert meter.heard(at(61_000, 5_000, 10_000)) == Pace(0, 1_000, 0, 5_000)


def test_what_slows_it_down_now_is_seen_within_the_span() -> None:
    meter = PaceMeter()
    for second in range(1, 31):
        meter.heard(at(second * 1_000, second * 1_000_000, 100_000_000))
    for second in range(31, 41):
        pace = meter.heard(at(second * 1_000, 30_000_000 + (second - 30) * 1_000, 100_000_000))
    assert pace == Pace(0, 1_000, 0, 69_990_000)


def test_without_a_known_end_the_time_left_is_unknown() -> None:
    assert PaceMeter().heard(at(1_000, 4_000)) == Pace(0, 4_000, 0, None)


def test_an_estimate_gives_one_of_the_time_left() -> None:
    progress = replace(at(1_000, 4_000), bytes_expected=12_000)
    assert PaceMeter().heard(progress) == Pace(0, 4_000, 0, 2_000)
    assert PaceMeter().heard(replace(progress, bytes_found=16_000)) == Pace(0, 4_000, 0, 3_000)
    assert PaceMeter().heard(replace(progress, bytes_total=8_000)) == Pace(0, 4_000, 0, 1_000)


def test_many_small_files_take_the_time_of_their_names() -> None:
    progress = replace(at(1_000, 9_000, entries=100), bytes_expected=10_000, entries_expected=1_000)
    assert PaceMeter().heard(progress) == Pace(100, 9_000, 0, 9_000)
    assert PaceMeter().heard(replace(progress, entries_done=0)) == Pace(0, 9_000, 0, None)


def test_one_that_is_exceeded_gives_none() -> None:
    assert PaceMeter().heard(replace(at(1_000, 4_000), bytes_expected=3_000)) == Pace(0, 4_000, 0, None)


def test_nor_when_nothing_moves() -> None:
    meter = PaceMeter()
    meter.heard(at(20_000, 4_000, 10_000))
    assert meter.heard(at(31_000, 4_000, 10_000)) == Pace(0, 0, 0, None)


def test_at_the_end_nothing_is_left() -> None:
    meter = PaceMeter()
    meter.heard(at(20_000, 10_000, 10_000))
    assert meter.heard(at(31_000, 10_000, 10_000)) == Pace(0, 0, 0, 0)


def test_another_piece_of_work_begins_anew() -> None:
    meter = PaceMeter()
    meter.heard(at(5_000, 50_000, 100_000))
    assert meter.heard(at(1_000, 1_000, 100_000)) == Pace(0, 1_000, 0, 99_000)
    assert meter.heard(replace(at(2_000, 3_000), work="verify")) == Pace(0, 1_500, 0, None)


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 1 << 30)), min_size=1, max_size=80))
def test_the_rate_is_never_older_than_the_span_and_a_report(steps: list[tuple[int, int]]) -> None:
    meter, elapsed_ms, examined, seen = PaceMeter(), 0, 0, [(0, 0)]
    for passed_ms, count in steps:
        elapsed_ms, examined = elapsed_ms + passed_ms, examined + count
        seen.append((elapsed_ms, examined))
        pace = meter.heard(at(elapsed_ms, examined, examined + 1))
        if pace is None:
            continue
        rates = [(examined - e) * 1000 // (elapsed_ms - ms) for ms, e in seen if 0 < elapsed_ms - ms <= SPAN_MS + 3_000]
        assert pace.bytes_s in rates
