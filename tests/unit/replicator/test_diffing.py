"""The look at what a resync would look at: in pieces with rests, and not for ever."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

from manager.model.control import Diff, DiffReport, Scope
from replicator.core.dirty import Dirty
from replicator.diffing import LONGEST_S, Diffing
from replicator.disk.lacked import Lacked
from tests.unit.replicator.hand_work import attempt


class Turns:
    """A loop and its threads, turned by hand."""

    def __init__(self) -> None:
        self.jobs: deque[Callable[[], object]] = deque()
        self.now_s = 5.0

    def time(self) -> float:
        return self.now_s

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self.jobs.append(lambda: callback(*arguments))

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> None:
        assert delay > 0
        self.jobs.append(lambda: callback(*arguments))

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[OSError], None]) -> None:
        def job() -> None:
            self.now_s += 0.1
            attempt(work, done, failed)

        self.jobs.append(job)


def answer(steps: Iterator[Lacked], dirty: Dirty | None = None) -> tuple[DiffReport, float]:
    """The report, and how long it took."""
    turns, reports = Turns(), list[DiffReport]()
    Diffing(turns, turns, Diff("r"), dirty or Dirty(), steps, True, reports.append)
    assert not reports
    while turns.jobs:
        turns.jobs.popleft()()
    [report] = reports
    return report, turns.now_s - 5.0


def test_all_is_counted() -> None:
    dirty = Dirty()
    for inode in (5, 6):
        dirty.add_name((0, inode))
    dirty.add_attributes((0, 7))
    report, _ = answer(iter([Lacked(entries=1, new_files=1, new_bytes=4, files=2, bytes=3, unfound=5)] * 1000), dirty)
    assert report == DiffReport(
        "r", Scope.CHANGES, True, True, False, 2, 1000, 1, 2000, 3000, 1000, 4000, 5000
    )  # fmt: skip


def test_what_a_full_compare_looks_at_is_said_to_be_everything() -> None:
    assert answer(iter([]), Dirty(everything=True))[0].scope is Scope.EVERYTHING


def test_it_ends_with_what_it_has_when_its_time_is_over() -> None:
    report, took_s = answer(repeat(Lacked(entries=1)))
    assert not report.whole and report.entries > 1000 and LONGEST_S <= took_s < LONGEST_S + 1


def test_where_a_root_cannot_be_read_it_is_not_whole() -> None:
    def steps() -> Iterator[Lacked]:
        yield Lacked(entries=1)
        raise OSError

    assert not answer(steps())[0].whole
