"""Random schedules of faults, each from its seed, on one lab: nothing that completed is lost, whatever fails at any
moment; a cluster that was repaired has two equal copies again within the time that ``campaign`` states.

A failure prints its seed and the command that repeats it. ``MIRRORFARM_SEED=N`` begins there; ``MIRRORFARM_SOAK=1``
runs 200 of them, with new seeds; ``tests.robustness.soak`` goes on for as long as it is told.
"""

import os
import time

import pytest

from tests.robustness.reports import summary
from tests.robustness.schedules import Kind
from tests.robustness.soak import DIRECTORY, Soak

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
SCHEDULES = 200 if SOAK else 2
SEED = int(os.environ.get("MIRRORFARM_SEED", str(time.time_ns() % 1_000_000) if SOAK else "36"))
WALL_CLOCK = SOAK and os.environ.get("MIRRORFARM_WALL_CLOCK", "1") != "0"
"""Wall time is the whole machine's: every day's tests leave it alone."""
_SCHEDULE_S = 180.0


@pytest.mark.timeout(SCHEDULES * _SCHEDULE_S)
def test_nothing_is_lost_whatever_fails_at_any_moment() -> None:
    print(f"MIRRORFARM_SEED={SEED}")
    soak = Soak(DIRECTORY, wall_clock=WALL_CLOCK, short=not SOAK)
    soak.run(SEED, SCHEDULES)
    print(summary(soak.reports))
    assert [f"{report.repeat}: {words}" for report in soak.reports for words in report.violations] == []
    assert sum(report.completed for report in soak.reports) > 0
    # A lab that could make none of the faults would find nothing either.
    faults = [fault for report in soak.reports for fault in report.faults]
    made = [fault for fault in faults if not fault.not_possible]
    assert 2 * len(made) > len(faults)
    if SOAK:
        wanted = set(Kind) if WALL_CLOCK else set(Kind) - {Kind.WALL_CLOCK}
        assert wanted == {Kind(fault.name.split()[0]) for fault in made}
