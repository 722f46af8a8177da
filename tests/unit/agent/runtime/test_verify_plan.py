"""When a comparison of the schedule is due, where it goes on, and how long what was found counts."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.verify_plan import Part, broken_off, ended, is_due, part_of, under_way, window_at
from manager.model.config import VerifyConfig, VerifyWindow
from manager.model.control import Difference, Progress, Verify, VerifyReport
from manager.model.verify_record import OPERATOR, VerifyRecord

NIGHT = VerifyWindow(22 * 60, 6 * 60, ("sat",))
NOON = VerifyWindow(12 * 60, 13 * 60)
SATURDAY = datetime(2026, 11, 28)
CONFIG = VerifyConfig((NIGHT,), 5)
FOUND = Difference("/srv/db/x", "content", "h", "t")
NOTHING = VerifyRecord()


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


def begin(record: VerifyRecord, window: str = "w1", config: VerifyConfig = CONFIG, node: str = "a") -> Part:
    assert is_due(record, window)
    return part_of(record, config, window, node, f"r{window}{record.part}", "t0")


def report(differences: int = 0, error: str = "", place: str = "", repairing: bool = False) -> VerifyReport:
    found = (FOUND,) if differences else ()
    return VerifyReport("r", error, 10, 100, differences, found, repairing=repairing, place=place)


def operators(record: VerifyRecord, outcome: VerifyReport) -> VerifyRecord:
    return ended(record, Part(Verify("o"), "a", OPERATOR, "t0"), outcome, "t1")


def test_one_a_window() -> None:
    assert not is_due(NOTHING, "") and is_due(NOTHING, "w1")
    part = begin(NOTHING)
    assert (part.command.place, part.command.bytes_s, part.command.repair) == ("", 5, False)
    record = under_way(NOTHING, part, None, "t0")
    assert is_due(record, "w1"), "its node may be gone since"
    record = ended(NOTHING, part, report(), "t1")
    assert record.last is not None and (record.last.entries, record.last.bytes, record.last.parts) == (10, 100, 1)
    assert (record.last.began_at, record.last.ended_at, record.last.node, record.last.by) == (
        "t0",
        "t1",
        "a",
        "schedule",
    )
    assert record.unfinished is None and record.alarm is None
    assert not is_due(record, "w1") and is_due(record, "w2")


def test_what_was_cut_short_goes_on_at_its_place_on_whichever_node() -> None:
    record = ended(NOTHING, begin(NOTHING), report(error="its window was over", place="p1"), "t1")
    assert record.unfinished is not None and record.unfinished.stopped == "its window was over"
    assert is_due(record, "w1") and record.last is None
    second = begin(record, "w2", node="b")
    assert second.command.place == "p1"
    done = ended(record, second, report(), "t2")
    assert done.last is not None
    assert (done.last.began_at, done.last.node, done.last.entries, done.last.parts) == ("t0", "b", 20, 2)
    assert not is_due(done, "w2")


def test_of_a_node_that_dies_what_it_noted_last_is_known() -> None:
    part = begin(NOTHING)
    progress = Progress("verify", "b", 7, 70, 0, 0, 0, place="p7", differences=1)
    record = under_way(NOTHING, part, progress, "t1")
    assert record == under_way(NOTHING, part, progress, "t1")
    assert record.unfinished is not None and record.alarm is not None and record.alarm.total == 1
    assert (record.unfinished.place, record.unfinished.bytes, record.unfinished.stopped) == ("p7", 70, "")
    assert begin(record, "w1", node="b").command.place == "p7"
    broken = broken_off(NOTHING, part, progress, "signal 9", "t1")
    assert broken.unfinished == replace(record.unfinished, stopped="signal 9")
    assert broken_off(NOTHING, part, None, "refused", "t1").alarm is None


def test_a_difference_counts_until_one_of_everything_finds_none() -> None:
    record = ended(NOTHING, begin(NOTHING), report(2, "lost", "p1"), "t1")
    assert record.alarm is not None and (record.alarm.total, record.alarm.examples) == (2, (FOUND,))
    record = ended(record, begin(record), report(), "t2")
    assert record.alarm is not None and record.last is not None and record.last.differences == 2, "by its first part"
    record = ended(record, begin(record, "w2"), report(0, "lost", "p1"), "t3")
    assert record.alarm is not None
    record = ended(record, begin(record, "w2"), report(), "t4")
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
    assert differs.alarm is not None and not is_due(differs, "w1")
    assert begin(differs, "w2", REPAIRS).command.repair


def test_what_was_found_and_not_repaired_is_looked_for_again() -> None:
    record = ended(NOTHING, begin(NOTHING, config=REPAIRS), report(1, "the peer was lost", "p1"), "t1")
    again = begin(record, config=REPAIRS)
    assert again.command.place == "" and again.command.repair
    done = ended(record, again, report(), "t2")
    assert done.last is not None and (done.last.entries, done.last.parts, done.alarm) == (10, 1, None)


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
        window = f"w{number // 2}"
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
