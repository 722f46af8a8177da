"""What a schedule comes to: faults that could not be made, or undone, who could have served, and what is not known."""

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import pytest

from manager.lab.errors import LabError
from tests.robustness.campaign import Campaign
from tests.robustness.reports import Report
from tests.robustness.schedules import Fault, Kind, Schedule
from tests.robustness.sufferer import Sufferer
from tests.robustness.suffering import suffer_all
from tests.support.common_clock import now_ns
from tests.support.moments import Moments

STOP = Schedule(7, (Fault(0, 0, Kind.STOP, ("a",), module="db"),))


class Pretended:
    """A cluster of which some calls fail; ``lab`` is one whose machines are not frozen."""

    power_losses = 0

    def __init__(self, *failing: str, wrong: tuple[str, ...] = ()) -> None:
        self._failing = failing
        self._wrong = wrong
        self.lab = self
        self.frozen = False
        self.whole: bool | None = None
        """As it was said when copies were looked at."""

    def __getitem__(self, _: str) -> "Pretended":
        return self

    @property
    def cgroup(self) -> "Pretended":
        return self

    def __getattr__(self, name: str) -> Any:
        """What returns nothing."""
        return lambda *_, **__: self._do(name)

    def _do(self, name: str) -> None:
        if name in self._failing:
            raise LabError(f"{name} fails")

    def mirrorfarm(self, _: str, *words: str, seconds: float = 0.0) -> str:
        self._do(f"mirrorfarm {words[0]}")
        return f"{seconds:g}"

    def calls(self) -> list[Any]:
        return []

    def serving_at(self, _: int) -> str:
        return "a"

    def operations(self) -> int:
        return 3

    def recover(self, _: float) -> None:
        self._do("recover")

    def verify(self) -> list[str]:
        self._do("verify")
        return []

    def violations(self, _: Moments, *, whole: bool) -> list[str]:
        self.whole = whole
        return list(self._wrong)

    def lost(self) -> int:
        self._do("lost")
        return len(self._wrong)


class Seen:
    """By one who looked on."""

    def __init__(self, *wrong: str) -> None:
        self.moments = Moments()
        self.wrong = list(wrong)
        self.longest_ns = 7_000_000


def sufferer(pretended: Pretended) -> Sufferer:
    return cast(Sufferer, pretended)


def run(pretended: Pretended, *stuck: str) -> Report:
    @contextlib.contextmanager
    def watch(_: Sufferer) -> Iterator[Seen]:
        yield Seen(*stuck)

    return Campaign(sufferer(pretended), "again", watch).run(STOP)


@pytest.mark.parametrize(
    ("failing", "not_possible", "not_undone"),
    [
        ("", "", ""),
        ("mirrorfarm stop", "mirrorfarm stop fails", ""),
        ("mirrorfarm start", "", "mirrorfarm start fails"),
    ],
)
def test_a_fault_that_was_made_and_not_undone_was_possible(failing: str, not_possible: str, not_undone: str) -> None:
    (made,) = suffer_all(sufferer(Pretended(failing)), STOP, now_ns())
    assert (made.not_possible, made.not_undone) == (not_possible, not_undone)
    assert made.begun_ns <= made.ended_ns
    (told,) = run(Pretended(failing)).faults
    assert (told.not_possible, told.not_undone) == (not_possible, not_undone)


def test_who_could_have_served_and_did_not_makes_a_schedule_wrong() -> None:
    report = run(Pretended(), "for 59 s nobody serves")
    assert (report.violations, report.stuck_ms) == (("for 59 s nobody serves",), 7)
    assert run(Pretended()).violations == ()


def test_what_is_lost_is_looked_for_also_where_it_did_not_converge() -> None:
    pretended = Pretended("recover", wrong=("5 is lost",))
    report = run(pretended)
    assert (report.converged_ms, report.lost, pretended.whole) == (None, 1, False)
    assert report.violations == ("not as it is to be after the repair: recover fails", "5 is lost")


@pytest.mark.parametrize("failing", ["end_clients", "lost"])
def test_and_is_not_known_where_it_does_not_come_to_rest(failing: str) -> None:
    report = run(Pretended("verify", failing, wrong=("5 is lost",)))
    assert report.lost is None
    assert report.violations[-1] == f"at rest: {failing} fails"
    assert ("5 is lost" in report.violations) == (failing == "lost")


def test_where_all_is_well_both_copies_are_compared() -> None:
    pretended = Pretended()
    assert (run(pretended).lost, pretended.whole) == (0, True)
