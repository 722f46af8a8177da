"""When a comparison of the schedule is due, where it goes on, and how long what was found counts."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.verify_plan import Part, broken_off, ended, is_due, is_open, part_of, under_way, window_at
from manager.model.config import VerifyConfig, VerifyWindow
from manager.model.control import Difference, Progress, Verify, VerifyReport
from manager.model.verify_record import OPERATOR, VerifyRecord

NIGHT = VerifyWindow(22 * 60, 6 * 60, ("sat",))
NOON = VerifyWindow(12 * 60, 13 * 60)
SATURDAY = datetime(2026, 11, 28)
CONFIG = VerifyConfig((NIGHT,), 5)
FOUND = Difference("/srv/db/x", "content", "h", "t")
NOTHING = VerifyRecord()
W1, W2 = "2026-11-28 22:00", "2026-12-05 22:00"


@pytest.mark.parametrize(
    ("at", "window"),
    [
        (timedelta(hours=21, minutes=59), ""),
        (timedelta(hours=22), "2026-11-28 22:00"),
        (timedelta(hours=29, minutes=59), "2026-11-28 22:00"),
        (timedelta(hours=30), ""),
        (timedelta(hours=5), ""),  # Friday's night
        (timedelta(hours=12), "2026-11-28 12:00"),
        (timedelta(hours=36, minutes=59), "2026-11-29 12:00"),
        (timedelta(hours=13), ""),
        (timedelta(hours=46), ""),  # Sunday's night
    ],
)
def test_a_window_is_known_by_when_it_began(at: timedelta, window: str) -> None:
    assert window_at((NIGHT, NOON), SATURDAY + at) == window


def test_a_whole_day_and_a_whole_week() -> None:
    sunday = VerifyWindow(0, 24 * 60, ("sun",))
    assert window_at((sunday,), SATURDAY) == ""
    for hour in (24, 47):
        assert window_at((sunday,), SATURDAY + timedelta(hours=hour)) == "2026-11-29 00:00"
    assert window_at((sunday,), SATURDAY + timedelta(hours=48)) == ""
    assert window_at((), SATURDAY) == ""


def test_of_several_windows_the_one_that_began_last_counts() -> None:
    around, inside = VerifyWindow(10 * 60, 20 * 60), VerifyWindow(12 * 60, 13 * 60)
    for schedule in ((around, inside), (inside, around)):
        assert window_at(schedule, SATURDAY + timedelta(hours=11)) == "2026-11-28 10:00"
        noon = SATURDAY + timedelta(hours=12, minutes=30)
        assert window_at(schedule, noon) == "2026-11-28 12:00"
        assert is_open(schedule, "2026-11-28 10:00", noon) and is_open(schedule, "2026-11-28 12:00", noon)
        after = noon + timedelta(hours=1)
        assert window_at(schedule, after) == "2026-11-28 10:00" and not is_open(schedule, "2026-11-28 12:00", after)


def begin(record: VerifyRecord, window: str = W1, config: VerifyConfig = CONFIG, node: str = "a") -> Part:
    assert is_due(record, window)
    return part_of(record, config, window, node, f"r{window}{record.part}", "t0")


def report(differences: int = 0, error: str = "", place: str = "", repairing: bool = False) -> VerifyReport:
    found = (FOUND,) if differences else ()
    return VerifyReport("r", error, 10, 100, differences, found, repairing=repairing, place=place)


def operators(record: VerifyRecord, outcome: VerifyReport) -> VerifyRecord:
    return ended(record, Part(Verify("o"), "a", OPERATOR, "t0"), outcome, "t1")


def test_one_a_window() -> None:
    assert not is_due(NOTHING, "") and is_due(NOTHING, W1)
    part = begin(NOTHING)
    assert (part.command.place, part.command.bytes_s, part.command.repair) == ("", 5, False)
    record = under_way(NOTHING, part, None, "t0")
    assert is_due(record, W1), "its node may be gone since"
    record = ended(NOTHING, part, report(), "t1")
    assert record.last is not None and (record.last.entries, record.last.bytes, record.last.parts) == (10, 100, 1)
    assert (record.last.began_at, record.last.ended_at, record.last.node, record.last.by) == (
        "t0",
        "t1",
        "a",
        "schedule",
    )
    assert record.unfinished is None and record.alarm is None
    assert not is_due(record, W1) and is_due(record, W2)


def test_what_was_cut_short_goes_on_at_its_place_on_whichever_node() -> None:
    record = ended(NOTHING, begin(NOTHING), report(error="its window was over", place="p1"), "t1")
    assert record.unfinished is not None and record.unfinished.stopped == "its window was over"
    assert is_due(record, W1) and record.last is None
    second = begin(record, W2, node="b")
    assert second.command.place == "p1"
    done = ended(record, second, report(), "t2")
    assert done.last is not None
    assert (done.last.began_at, done.last.node, done.last.entries, done.last.parts) == ("t0", "b", 20, 2)
    assert not is_due(done, W2)


def test_of_a_node_that_dies_what_it_noted_last_is_known() -> None:
    part = begin(NOTHING)
    progress = Progress("verify", "b", 7, 70, 0, 0, 0, place="p7", differences=1)
    record = under_way(NOTHING, part, progress, "t1")
    assert record == under_way(NOTHING, part, progress, "t1")
    assert record.unfinished is not None and record.alarm is not None and record.alarm.total == 1
    assert (record.unfinished.place, record.unfinished.bytes, record.unfinished.stopped) == ("p7", 70, "")
    assert begin(record, W1, node="b").command.place == "p7"
    broken = broken_off(NOTHING, part, progress, "signal 9", "t1")
    assert broken.unfinished == replace(record.unfinished, stopped="signal 9")
    assert broken_off(NOTHING, part, None, "refused", "t1").alarm is None


def test_a_difference_counts_until_one_of_everything_finds_none() -> None:
    record = ended(NOTHING, begin(NOTHING), report(2, "lost", "p1"), "t1")
    assert record.alarm is not None and (record.alarm.total, record.alarm.examples) == (2, (FOUND,))
    record = ended(record, begin(record), report(), "t2")
    assert record.alarm is not None and record.last is not None and record.last.differences == 2, "by its first part"
    record = ended(record, begin(record, W2), report(0, "lost", "p1"), "t3")
    assert record.alarm is not None
    record = ended(record, begin(record, W2), report(), "t4")
    assert record.alarm is None


def test_an_operators_counts_like_one_of_the_schedule() -> None:
    record = ended(NOTHING, begin(NOTHING), report(0, "lost", "p1"), "t1")
    assert operators(record, report(0, "lost")).unfinished == record.unfinished
    found = operators(record, report(1, "lost"))
    assert found.alarm is not None and found.last is None
    assert found.unfinished is None, "its first part has not found what there is"
    equal = operators(replace(found, unfinished=record.unfinished), report())
    assert (equal.alarm, equal.unfinished) == (None, None) and equal.last is not None
    part = Part(Verify("o"), "a", OPERATOR, "t0")
    assert broken_off(record, part, None, "gone", "t1") == record
    assert broken_off(record, part, Progress("verify", "b", 1, 1, 0, 0, 0), "gone", "t1") == record
    lost = broken_off(record, part, Progress("verify", "b", 1, 1, 0, 0, 0, differences=3), "gone", "t1")
    assert lost.alarm is not None and lost.alarm.total == 3


REPAIRS = replace(CONFIG, repair=True)


@pytest.mark.parametrize("error", ["", "its window was over"])
def test_what_is_repaired_is_compared_again_once_in_a_window(error: str) -> None:
    first = begin(NOTHING, config=REPAIRS)
    assert first.command.repair
    record = ended(NOTHING, first, report(1, error, "p1" if error else "", repairing=True), "t1")
    assert record.alarm is not None and record.unfinished is None
    again = begin(record, config=REPAIRS)
    assert not again.command.repair and again.command.place == ""
    assert ended(record, again, report(), "t2").alarm is None
    differs = ended(record, again, report(1), "t2")
    assert differs.alarm is not None and not is_due(differs, W1)
    assert begin(differs, W2, REPAIRS).command.repair


def test_what_was_found_and_not_repaired_is_looked_for_again() -> None:
    record = ended(NOTHING, begin(NOTHING, config=REPAIRS), report(1, "the peer was lost", "p1"), "t1")
    again = begin(record, config=REPAIRS)
    assert again.command.place == "" and again.command.repair
    done = ended(record, again, report(), "t2")
    assert done.last is not None and (done.last.entries, done.last.parts, done.alarm) == (10, 1, None)


def test_what_was_repaired_in_a_window_within_another_is_not_repaired_again_in_that() -> None:
    record = ended(NOTHING, begin(NOTHING, "2026-11-28 12:00", REPAIRS), report(1, repairing=True), "t1")
    assert not begin(record, "2026-11-28 10:00", REPAIRS).command.repair


# The rule of what is due, against hours that are counted one by one

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOURLY = st.builds(
    lambda begin, length, days: VerifyWindow(begin * 60, (begin + length) * 60 % (24 * 60), tuple(days)),
    st.integers(0, 23),
    st.integers(1, 23),
    st.lists(st.sampled_from(["fri", "sat", "sun", "mon"]), min_size=1, unique=True),
)
SCHEDULES = st.lists(HOURLY, min_size=1, max_size=4)


def begins(schedule: list[VerifyWindow], hour: datetime) -> bool:
    """Whether a window begins in it."""
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[hour.weekday()]
    return any(window.from_minute == hour.hour * 60 and day in window.days for window in schedule)


class Clock:
    """A schedule that is looked at each hour by the clock; whatever is due is compared at once."""

    def __init__(self, schedule: list[VerifyWindow]) -> None:
        self.schedule = schedule
        self.record = NOTHING
        self.compared: list[tuple[datetime, str]] = []

    def show(self, hour: datetime) -> None:
        window = window_at(self.schedule, hour)
        if is_due(self.record, window):
            self.record = ended(self.record, begin(self.record, window), report(), "t1")
            self.compared.append((hour, window))

    def goes(self, since: datetime, hours: int) -> datetime:
        for hour in range(hours):
            self.show(since + hour * HOUR)
        return since + hours * HOUR


@given(SCHEDULES)
def test_one_in_each_window_whichever_overlap(schedule: list[VerifyWindow]) -> None:
    """From Thursday, on which none begins, on."""
    clock = Clock(schedule)
    thursday = SATURDAY - 2 * DAY
    clock.goes(thursday, 24 * 14)
    fortnight = [thursday + hour * HOUR for hour in range(24 * 14)]
    begun = [hour for hour in fortnight if begins(schedule, hour)]
    assert clock.compared == [(hour, f"{hour:%Y-%m-%d %H:%M}") for hour in begun]


@given(SCHEDULES, st.lists(st.tuples(st.integers(1, 30), st.integers(-24, 400)), max_size=5))
def test_a_clock_that_is_set_back_by_a_day_at_the_most_has_nothing_compared_twice(
    schedule: list[VerifyWindow], changes: list[tuple[int, int]]
) -> None:
    """However far it leaps ahead."""
    clock, hour = Clock(schedule), SATURDAY
    highest = hour
    for hours, change in changes:
        hour = clock.goes(hour, hours)
        highest = max(highest, hour)
        hour = max(hour + change * HOUR, highest - DAY)
    clock.goes(hour, 24)
    windows = [window for _, window in clock.compared]
    assert len(windows) == len(set(windows))


@given(SCHEDULES, st.lists(st.tuples(st.integers(1, 30), st.integers(-9000, 9000)), max_size=5))
def test_however_wrong_a_clock_was_each_window_is_compared_a_day_after_it_was_set_right(
    schedule: list[VerifyWindow], changes: list[tuple[int, int]]
) -> None:
    clock, hour = Clock(schedule), SATURDAY
    for hours, change in changes:
        hour = clock.goes(hour, hours) + change * HOUR
    hour = clock.goes(hour, 25)
    clock.compared.clear()
    clock.goes(hour, 24 * 8)
    week = [hour + number * HOUR for number in range(24 * 8)]
    expected = [(each, f"{each:%Y-%m-%d %H:%M}") for each in week if begins(schedule, each)]
    assert [each for each in clock.compared if f"{each[0]:%Y-%m-%d %H:%M}" == each[1]] == expected


OUTCOMES = st.tuples(
    st.sampled_from(["schedule", "operator", "dies"]), st.booleans(), st.integers(0, 1), st.integers(0, 1)
)


@given(st.lists(OUTCOMES, max_size=12), st.booleans())
def test_whatever_happens_an_alarm_ends_only_with_everything_compared_since(
    outcomes: list[tuple[str, bool, int, int]], repair: bool
) -> None:
    """Two halves, each of which may differ when it is compared; a comparison is of both, or of what is left."""
    record, config = NOTHING, replace(CONFIG, repair=repair)
    equal_since_found = {"1", "2"}
    for number, (by, whole, *differ) in enumerate(outcomes):
        window = f"2026-12-{1 + number // 2:02} 22:00"
        if by != "operator" and not is_due(record, window):
            continue
        part = Part(Verify(f"o{number}"), "a", OPERATOR, "t0")
        if by != "operator":
            part = part_of(record, config, window, "a", f"r{number}", "t0")
        first = int(part.command.place == "2")
        found = sum(differ[first:]) if whole else sum(differ[first:1])
        for half in ("1", "2")[first : 2 if whole else 1]:
            if differ[int(half) - 1]:
                equal_since_found.clear()
        if not any(differ[first : 2 if whole else 1]):
            equal_since_found |= set(("1", "2")[first : 2 if whole else 1])
        if by == "dies":
            progress = Progress("verify", "b", 1, 1, 0, 0, 0, place="" if whole else "2", differences=found)
            record = under_way(record, part, progress, "t1")
        else:
            repairing = part.command.repair and bool(found)
            outcome = report(found, "" if whole else "cut", "" if whole else "2", repairing)
            record = ended(record, part, outcome, "t1")
        if found:
            assert record.alarm is not None
        if equal_since_found != {"1", "2"}:
            assert record.alarm is not None
