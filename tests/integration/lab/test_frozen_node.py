"""What becomes of a node that is frozen past its lease once it is thawed, and of writes that are held."""

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from manager.lab.layout import DEFAULT_LEASE_TTL_S, VIRTUAL_ADDRESS
from manager.lab.machine import RunningMachine, What
from tests.support import history
from tests.support.common_clock import now_ns
from tests.support.recorded_cluster import DIRECTORY, RecordedCluster

pytestmark = pytest.mark.usefixtures("worked")

GONE_S = 1.0
HELD_S = 3.0
"""Far less than a peer's timeout, after which nothing is held any more."""
ACKNOWLEDGED_S = 0.3
"""What was acknowledged before a cut is told within this, by whom is run."""


def wait_until(holds: Callable[[], bool], seconds: float, words: str) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s: {words}"
        time.sleep(0.02)


def has_address(machine: RunningMachine) -> bool:
    said = subprocess.run(
        ["nsenter", "--target", str(machine.pid), "--net", "ip", "-o", "address"],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return VIRTUAL_ADDRESS in said.stdout


def is_mounted(machine: RunningMachine) -> bool:
    """Whether the application's file system is there, seen from the host: nothing asks it anything."""
    mounts = Path(f"/proc/{machine.pid}/mountinfo").read_text().splitlines()
    return any(line.split()[4] == DIRECTORY and " - fuse" in line for line in mounts)


def is_left(machine: RunningMachine) -> list[str]:
    """What serves on it, or could."""
    found = [f"process {p.pid} ({p.state}) {p.command}" for p in machine.processes(What.APPLICATION)]
    found += ["the virtual address"] if has_address(machine) else []
    return found + (["the mount"] if is_mounted(machine) else [])


def completed_after(cluster: RecordedCluster, node: str, at_ns: int) -> list[history.Operation]:
    """Operations of the starts before ``at_ns`` on ``node`` that ended well after it."""
    runs = [run for run in cluster.runs(node) if run.started_ns < at_ns]
    return [op for run in runs for op in run.operations if op.done and (op.ended_ns or 0) > at_ns]


@pytest.mark.timeout(240)
def test_a_node_that_was_frozen_past_its_lease_serves_nothing_once_it_is_thawed(cluster: RecordedCluster) -> None:
    primary = cluster.primary()
    machine = cluster.lab.node(primary)
    other = "a" if primary == "b" else "b"
    assert len(is_left(machine)) > 2
    # Held for certain: without the cut, one that had completed may be told of after the thaw.
    cluster.lab.cut(primary, other)
    wait_until(lambda: is_held(machine) and tells_nothing(cluster, primary), HELD_S, "a write is held")
    frozen_ns = now_ns()
    cluster.lab.freeze(primary)
    cluster.wait_for_work((other,), since_ns=frozen_ns)
    assert not has_address(machine), "the kernel keeps it while all processes are frozen"
    thawed_ns = now_ns()
    cluster.lab.thaw(primary)
    wait_until(lambda: is_left(machine) == [], GONE_S, "nothing is left")
    assert completed_after(cluster, primary, thawed_ns) == []


@pytest.mark.timeout(240)
def test_a_process_in_a_held_write_is_freed(cluster: RecordedCluster) -> None:
    """The secondary is gone, and etcd is: no write can complete, and nobody can promise anything."""
    primary = cluster.primary()
    machine = cluster.lab.node(primary)
    other = "a" if primary == "b" else "b"
    cluster.lab.freeze(other)
    cluster.lab.freeze("witness")
    frozen_ns = now_ns()
    wait_until(lambda: is_held(machine), 5.0, "a write is held")
    wait_until(lambda: is_left(machine) == [], 2 * DEFAULT_LEASE_TTL_S + GONE_S, "nothing is left")
    # Writes that were acknowledged in the moment of the freeze aside.
    assert completed_after(cluster, primary, frozen_ns + 1_000_000_000) == []


def tells_nothing(cluster: RecordedCluster, node: str) -> bool:
    """For a while nothing new is written down of what the application there does."""
    before = told(cluster, node)
    time.sleep(ACKNOWLEDGED_S)
    return told(cluster, node) == before


def told(cluster: RecordedCluster, node: str) -> int:
    """How many operations were written down as done there."""
    return sum(operation.done for run in cluster.runs(node) for operation in run.operations)


def is_held(machine: RunningMachine) -> bool:
    """A thread of the application waits in the kernel for what its file system answers."""
    for process in machine.processes(What.APPLICATION):
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if "request_wait" in (task / "wchan").read_text():
                    return True
    return False
