"""Decisions go by a clock that counts a suspension (S11): in a time namespace CLOCK_BOOTTIME alone is set forward."""

import subprocess
import sys
import time

import pytest

AHEAD_S = 100_000
_NS = 1_000_000_000


@pytest.mark.parametrize("clock", ["agent.adapters.host.now_ns", "replicator.warden.boottime_ns"])
def test_what_a_suspension_adds_is_counted(clock: str) -> None:
    module = clock.rpartition(".")[0]
    code = f"import {module}; print({clock}())"
    said = subprocess.run(
        ["unshare", "--fork", "--time", "--boottime", str(AHEAD_S), sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    ahead_s = (int(said.stdout) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / _NS
    assert AHEAD_S - 60 < ahead_s <= AHEAD_S
