"""Two farms and three mirrors on the same three nodes, whatever fails at any moment: nothing is lost, and every module
heals by itself.

Ten minutes, with ``MIRRORFARM_SOAK=1`` alone. ``MIRRORFARM_SEED=N`` begins there; ``python -m
tests.robustness.soak --mix --seed N --schedules 1`` repeats one schedule.
"""

import os
import time

import pytest

from tests.robustness.reports import summary
from tests.robustness.soak import DIRECTORY, Soak

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
SEED = int(os.environ.get("MIRRORFARM_SEED", str(time.time_ns() % 1_000_000)))
_MINUTES = 10.0


@pytest.mark.skipif(not SOAK, reason="four minutes for one schedule: a part of make soak")
@pytest.mark.timeout(1500)
def test_nothing_is_lost_and_every_module_heals_by_itself() -> None:
    print(f"MIRRORFARM_SEED={SEED}")
    soak = Soak(DIRECTORY / "mix", wall_clock=False, short=False, mix=True)
    soak.run(SEED, None, _MINUTES)
    print(summary(soak.reports))
    assert [f"{report.repeat}: {words}" for report in soak.reports for words in report.violations] == []
    assert sum(report.completed for report in soak.reports) > 0
