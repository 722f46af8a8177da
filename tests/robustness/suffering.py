"""Has all faults of a schedule made in their time, and undone, and notes what was not possible.

It does not know how a fault is made (``faults``), nor what is to come of it.
"""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from manager.lab.errors import LabError
from tests.robustness import faults
from tests.robustness.schedules import Fault, Schedule
from tests.robustness.sufferer import Sufferer
from tests.support.common_clock import now_ns


@dataclass(slots=True)
class Made:
    """A fault, and when it was."""

    fault: Fault
    begun_ns: int = 0
    ended_ns: int = 0
    """When it was to be undone."""
    not_possible: str = ""
    """Why it was not made; empty: it was."""
    not_undone: str = ""
    """Why it was made, and could not be undone then; empty: it was."""


def suffer_all(cluster: Sufferer, schedule: Schedule, begin_ns: int) -> list[Made]:
    """Returns once the last one has been undone."""
    made = [Made(fault) for fault in schedule.faults]
    with ThreadPoolExecutor(len(made)) as hands:
        for done in [hands.submit(_make, cluster, one, begin_ns) for one in made]:
            done.result()
    return made


def _make(cluster: Sufferer, made: Made, begin_ns: int) -> None:
    fault = made.fault
    _sleep_until(begin_ns + fault.at_ms * 1_000_000)
    made.begun_ns = now_ns()
    with contextlib.ExitStack() as undoing:
        try:
            undoing.enter_context(faults.suffer(cluster, fault))
        except LabError as error:
            made.not_possible, made.ended_ns = str(error), now_ns()
            return
        _sleep_until(made.begun_ns + fault.lasting_ms * 1_000_000)
        made.ended_ns = now_ns()
        try:
            undoing.close()
        except LabError as error:
            made.not_undone = str(error)


def _sleep_until(at_ns: int) -> None:
    time.sleep(max(0.0, (at_ns - now_ns()) / 1e9))
