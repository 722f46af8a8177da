"""Real replicators: a secondary's copy that was changed at random below its cover, again and again, is repaired."""

import contextlib
import os
import random
import time
from pathlib import Path

import pytest

from manager.model import control
from tests.support import compare_trees
from tests.support.damages import repair
from tests.support.random_changes import RandomChanges
from tests.support.replicators import pair
from tests.support.two_disks import is_soak

ROUNDS = 100 if is_soak() else 4
SEED = random.randrange(1 << 32) if is_soak() else 7
SETTLE_S = 10.0


def differences(here: str, there: str) -> list[str]:
    """That both copies have in the end, when the times are shipped."""
    end = time.monotonic() + SETTLE_S
    while (found := compare_trees.differences(here, there)) and time.monotonic() < end:
        time.sleep(0.1)
    return found


@pytest.mark.timeout(1800 if is_soak() else 240)
def test_random_damage_is_repaired(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    changes = RandomChanges(chance)
    with contextlib.ExitStack() as opened:
        below = []
        for name in ("a", "b"):
            (tmp_path / name / "data0").mkdir(parents=True)
            descriptor = os.open(tmp_path / name / "data0", os.O_RDONLY | os.O_DIRECTORY)
            opened.callback(os.close, descriptor)
            below.append(f"/proc/self/fd/{descriptor}/.")
        two = opened.enter_context(pair(tmp_path))
        changes.change(two.a.data, 150)
        for number in range(ROUNDS):
            seed = f"seed {SEED}, round {number}"
            changes.change(two.a.data, 10)
            assert not differences(*below), seed
            while not compare_trees.differences(*below):
                changes.change(Path(below[1]), chance.choice((1, 5, 40)))
            repair(two)
            changes.change(two.a.data, 10)
            found = differences(*below)
            assert not found, f"{seed}: {found[:20]}"
            two.a.tell(control.Verify("after"))
            report = two.a.wait(control.VerifyReport, lambda event: event.request_id == "after")
            assert (report.error, report.differences) == ("", ()), seed
