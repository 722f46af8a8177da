"""A control group of the test's own."""

import os
from pathlib import Path


def own_cgroup() -> Path:
    """One of the unified hierarchy, wherever that is mounted; whoever asks removes it."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        root = next(line.split()[4] for line in lines if " - cgroup2 " in line)
    made = Path(root) / f"mirrorfarm-test-{os.getpid()}"
    made.mkdir()
    return made
