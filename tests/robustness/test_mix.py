"""Two farms and three mirrors on the same three nodes, whatever fails at any moment: nothing is lost, and every module
heals by itself.

``MIRRORFARM_SEED=N`` begins there. ``MIRRORFARM_SOAK=1`` goes on for ten minutes, with new seeds; ``python -m
tests.robustness.soak --mix --seed N --schedules 1`` repeats one schedule.
"""

import os
import time

import pytest

from tests.robustness.reports import summary
from tests.robustness.soak import DIRECTORY, Soak

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
SEED = int(os.environ.get("MIRRORFARM_SEED", str(time.time_ns() % 1_000_000) if SOAK else "5"))
_MINUTES = 10.0


@pytest.mark.timeout(1500 if SOAK else 400)
def test_nothing_is_lost_and_every_module_heals_by_itself() -> None:
    print(f"MIRRORFARM_SEED={SEED}")
    soak = Soak(DIRECTORY, wall_clock=False, short=not SOAK, mix=True)
    soak.run(SEED, None if SOAK else 1, _MINUTES if SOAK else None)
    print(summary(soak.reports))
    assert [f"{report.repeat}: {words}" for report in soak.reports for words in report.violations] == []
    assert sum(report.completed for report in soak.reports) > 0
