"""When a comparison of the schedule is due, and what is to be noted of each: pure.

A window is known by the day and the time at which it began, in local time; those that begin together are one. It may
pass midnight, and then is of the day on which it began. In each, one comparison is begun, or the one that was not
finished goes on; one that comes to its end has none follow it in the same window, unless something was repaired, which
is compared again. Windows may overlap: what is due, is due in the one that began last, and when that ends, those around
it have had theirs. What is under way goes on to the end of its own window.

A clock that is set back by up to a day, as by an hour each autumn, has nothing compared twice: the window that was
noted last is later than the one it is in. Where it is later by more than a day, it was noted by a clock that was wrong,
and does not count: to compare once too often does no harm, to compare never does. A window that a clock leaps over is
left out.

What one has found to differ counts until another one of everything finds nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from manager.model.config import VerifyConfig, VerifyWindow
from manager.model.config.module_config import DAYS
from manager.model.control import Difference, Progress, Verify, VerifyReport
from manager.model.verify_record import MOST_EXAMPLES, OPERATOR, SCHEDULE, Compared, Differing, Unfinished, VerifyRecord

_KNOWN_BY: Final = "%Y-%m-%d %H:%M"
"""Of two windows known so the later one is the greater one."""
_BACK: Final = timedelta(days=1)
"""A clock that is set back by no more than this has nothing compared twice."""


def window_at(schedule: Sequence[VerifyWindow], now: datetime) -> str:
    """The window that ``now``, local time, is in, of several the one that began last; empty: none."""
    return max(_windows_at(schedule, now), default="")


def is_open(schedule: Sequence[VerifyWindow], window: str, now: datetime) -> bool:
    """Whether ``window`` is not over yet, whichever others have begun since."""
    return window in _windows_at(schedule, now)


def _windows_at(schedule: Sequence[VerifyWindow], now: datetime) -> Iterator[str]:
    minute = now.hour * 60 + now.minute
    for window in schedule:
        begun = now
        if window.from_minute >= window.to_minute and minute < window.to_minute:
            begun = now - timedelta(days=1)
        elif minute < window.from_minute or (minute >= window.to_minute > window.from_minute):
            continue
        if DAYS[begun.weekday()] in window.days:
            hours, minutes = divmod(window.from_minute, 60)
            yield f"{begun:%Y-%m-%d} {hours:02}:{minutes:02}"


def is_due(record: VerifyRecord, window: str) -> bool:
    """Whether one is to begin, or go on, in ``window``."""
    return bool(window) and (record.unfinished is not None or _is_new(window, record.window))


def _is_new(window: str, last: str) -> bool:
    """Whether nothing was done in ``window``; ``last`` is the last one in which it was, empty: there is none."""
    return window > last or last > (datetime.strptime(window, _KNOWN_BY) + _BACK).strftime(_KNOWN_BY)


@dataclass(frozen=True, slots=True)
class Part:
    """One comparison by a replicator."""

    command: Verify
    node: str
    by: str
    began_at: str
    window: str = ""
    """Of the schedule; empty: an operator's."""


def part_of(record: VerifyRecord, config: VerifyConfig, window: str, node: str, request_id: str, at: str) -> Part:
    """The part that is due in ``window``, which begins ``at``."""
    repair = config.repair and _is_new(window, record.repaired_window)
    place = record.unfinished.place if record.unfinished is not None and _goes_on(record, repair) else ""
    command = Verify(request_id, MOST_EXAMPLES, repair, config.bandwidth_bytes_s, place)
    return Part(command, node, SCHEDULE, at, window)


def _goes_on(record: VerifyRecord, repair: bool) -> bool:
    """What was found before, and not repaired then, is only repaired when it is found again."""
    return not (repair and record.unfinished is not None and record.unfinished.differences)


def under_way(base: VerifyRecord, part: Part, progress: Progress | None, at: str) -> VerifyRecord:
    """The record while ``part`` of the schedule is under way; ``base``: as it was before."""
    before = base.unfinished
    if before is None or not _goes_on(base, part.command.repair):
        before = Unfinished(part.began_at, part.node, "", 0, 0, 0, 0, at)
    unfinished = replace(before, node=part.node, parts=before.parts + 1, noted_at=at, stopped="")
    record = replace(base, unfinished=unfinished, window=part.window, part=part.command.request_id)
    if progress is None:
        return record
    return _counted(
        record, part, progress.entries_done, progress.bytes_done, progress.differences, (), progress.place, at
    )


def _counted(
    record: VerifyRecord,
    part: Part,
    entries: int,
    count: int,
    differences: int,
    examples: tuple[Difference, ...],
    place: str,
    at: str,
) -> VerifyRecord:
    before = record.unfinished
    assert before is not None
    unfinished = replace(
        before,
        place=place,
        entries=before.entries + entries,
        bytes=before.bytes + count,
        differences=before.differences + differences,
    )
    alarm = _alarm(record, part, unfinished.differences, examples, at) if differences else record.alarm
    return replace(record, unfinished=unfinished, alarm=alarm)


def _alarm(record: VerifyRecord, part: Part, total: int, examples: tuple[Difference, ...], at: str) -> Differing:
    if not examples and record.alarm is not None:
        examples = record.alarm.examples
    return Differing(total, at, part.node, part.by, examples[:MOST_EXAMPLES])


def ended(base: VerifyRecord, part: Part, report: VerifyReport, at: str) -> VerifyRecord:
    """The record after ``part``; ``base``: as it was before."""
    if part.by == OPERATOR:
        return _operators(base, part, report, at)
    record = under_way(base, part, None, at)
    record = _counted(
        record, part, report.entries, report.bytes_compared, report.differences_total, report.differences,
        report.place, at,
    )  # fmt: skip
    unfinished = record.unfinished
    assert unfinished is not None
    if not report.error:
        compared = Compared(
            unfinished.began_at, at, part.node, part.by, unfinished.entries, unfinished.bytes, unfinished.differences,
            unfinished.parts,
        )  # fmt: skip
        alarm = record.alarm if unfinished.differences else None
        record = replace(record, last=compared, unfinished=None, alarm=alarm)
    else:
        record = replace(record, unfinished=replace(unfinished, stopped=report.error))
    if report.repairing:
        return replace(record, unfinished=None, window="", repaired_window=part.window)
    return record


def _operators(base: VerifyRecord, part: Part, report: VerifyReport, at: str) -> VerifyRecord:
    """One of the schedule that was not finished is made needless by it, or has missed what it has found."""
    record = replace(base, part=part.command.request_id)
    if report.differences_total:
        alarm = _alarm(record, part, report.differences_total, report.differences, at)
        record = replace(record, alarm=alarm, unfinished=None)
    if report.error:
        return record
    compared = Compared(
        part.began_at, at, part.node, part.by, report.entries, report.bytes_compared, report.differences_total
    )
    alarm_left = record.alarm if report.differences_total else None
    return replace(record, last=compared, unfinished=None, alarm=alarm_left)


def broken_off(base: VerifyRecord, part: Part, progress: Progress | None, why: str, at: str) -> VerifyRecord:
    """The record after ``part``, of which there is no report."""
    if part.by == SCHEDULE:
        record = under_way(base, part, progress, at)
        assert record.unfinished is not None
        return replace(record, unfinished=replace(record.unfinished, stopped=why))
    if progress is None or not progress.differences:
        return base
    report = VerifyReport(part.command.request_id, why, 0, 0, progress.differences, ())
    return _operators(base, part, report, at)
