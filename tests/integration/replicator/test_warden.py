"""The warden by itself: a real mount, a real application stuck in a held write, real addresses, and no agent."""

import contextlib
import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from manager.model.replicator_spec import SpecAddress
from tests.support.majority import hold_mostly
from tests.support.replicators import Node, Options, boottime, changed, nodes

VIRTUAL = ("10.98.0.100/24", "fd98::100/64")
LEASE_S = 1.0
WITHIN_S = 1.0
"""Of the deadline, or of the thaw."""
HELD = """
import asyncio, os
from replicator.serving import Serving
unmount = Serving._unmount
async def later(self, file_system):
    while os.path.exists({hold!r}):
        await asyncio.sleep(0.01)
    await unmount(self, file_system)
Serving._unmount = later
"""
"""The role is being put away while a file is there."""
WRITE = "import os, sys; os.pwrite(os.open(sys.argv[1], os.O_RDWR), b'new', 0)"


def sh(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=10).stdout


class Net:
    """A network namespace with one interface, which has addresses of its own."""

    name = f"mf-warden-{os.getpid()}"

    def up(self) -> None:
        sh("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", "mfw", "type", "veth", "peer", "name", "mfx")
        for end in ("mfw", "mfx"):
            self.ip("link", "set", end, "up")
        self.ip("addr", "add", "10.98.0.1/24", "dev", "mfw")
        self.ip("addr", "add", "fd98::1/64", "dev", "mfw", "nodad")

    def ip(self, *argv: str) -> str:
        return sh("ip", "-n", self.name, *argv)

    def add_virtual(self) -> None:
        for address in VIRTUAL:
            self.ip("addr", "add", address, "dev", "mfw", "valid_lft", "600", "preferred_lft", "600")

    def has(self, address: str, device: str = "mfw") -> bool:
        return f" {address} " in self.ip("-o", "addr", "show", "dev", device)

    def down(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            sh("ip", "netns", "del", self.name)


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def node(tmp_path: Path, net: Net, cgroup: Path) -> Iterator[Node]:
    """A replicator in the namespace; its module's addresses are the virtual ones, wherever they are."""
    addresses = tuple(
        SpecAddress(ip, int(length), "") for ip, _, length in (address.partition("/") for address in VIRTUAL)
    )
    command = ("nsenter", f"--net=/run/netns/{net.name}", sys.executable, "-m", "replicator.main")
    with nodes(tmp_path, ("a",), Options(cgroup=str(cgroup), addresses=addresses, command=command)) as (made,):
        yield made


class Stuck:
    """An application in the cgroup whose write is held, since a node of the record is not there."""

    def __init__(self, node: Node, cgroup: Path, epoch: int = 1) -> None:
        (node.data / "file").write_bytes(b"old")
        node.serve(epoch, number=1)
        node.settled(epoch, ("b",), number=2)
        self.process = subprocess.Popen((sys.executable, "-c", WRITE, str(node.data / "file")))
        (cgroup / "cgroup.procs").write_text(str(self.process.pid))
        end = time.monotonic() + 10.0
        while not node.status().counters["operations_under_way"]:
            assert time.monotonic() < end, "the write does not come"
            time.sleep(0.01)

    def killed_after(self, since: float) -> float:
        """Waits for its end; how many seconds after ``since``, in the time of leases, it came."""
        assert self.process.wait(10.0) == -signal.SIGKILL
        return boottime() - since


@pytest.mark.parametrize("replicator", ["runs", "frozen"])
def test_without_an_agent_nothing_of_a_former_primary_is_left_that_serves(
    net: Net, node: Node, cgroup: Path, replicator: str
) -> None:
    epochs = itertools.count(1)
    after_s = hold_mostly(lambda: freed_after(net, node, cgroup, replicator, next(epochs)), lambda s: s < WITHIN_S)
    print(f"freed {after_s} s after it was due")


def freed_after(net: Net, node: Node, cgroup: Path, replicator: str, epoch: int) -> float:
    """How many seconds after it was due nothing was left; infinite where it was due before it was frozen."""
    net.add_virtual()
    stuck = Stuck(node, cgroup, epoch)
    due = node.lease(LEASE_S)
    node.status()  # it has heard of the lease
    node.disconnect()
    if replicator == "frozen":
        os.kill(node.pid, signal.SIGSTOP)
        frozen_in_time = boottime() < due
        time.sleep(LEASE_S + 0.5)
        assert not frozen_in_time or (net.has(VIRTUAL[0]) and stuck.process.poll() is None)
        due = boottime() if frozen_in_time else -math.inf
        os.kill(node.pid, signal.SIGCONT)
    after_s = stuck.killed_after(due)
    assert after_s > 0
    while any(net.has(address) for address in VIRTUAL):  # the kill waits for these but for a moment
        after_s = boottime() - due
        assert after_s < 10.0 or after_s == math.inf
    assert net.has("10.98.0.1/24") and net.has("fd98::1/64")
    node.connect()
    node.wait_for_role("idle")
    assert not os.path.ismount(node.data)
    assert (node.data / "file").read_bytes() == b"old", "the held write was never completed, nor applied"
    assert "the deadline passed" in node.said()
    return after_s


def test_the_report_comes_when_all_is_done(net: Net, node: Node, cgroup: Path) -> None:
    net.add_virtual()
    stuck = Stuck(node, cgroup)
    node.lease(0.2)
    assert node.wait(control.Fenced).reason == "the deadline passed"
    assert "populated 0" in (cgroup / "cgroup.events").read_text()
    assert stuck.process.wait(10.0) == -signal.SIGKILL
    assert not any(net.has(address) for address in VIRTUAL)


def remove_there(net: Net, *wanted: SpecAddress, first: str = "pass") -> str:
    """What remove_addresses returns to a process in the namespace, as text."""
    code = f"import os; from replicator.addresses import *; {first}; print(remove_addresses({wanted!r}))"
    return sh("nsenter", f"--net=/run/netns/{net.name}", sys.executable, "-c", code).strip()


def test_an_address_that_is_not_ours_or_elsewhere_stays(net: Net) -> None:
    net.ip("addr", "add", VIRTUAL[0], "dev", "mfw")  # an operator's own: without an end of life
    net.ip("addr", "add", VIRTUAL[1], "dev", "mfx", "valid_lft", "600", "preferred_lft", "600")
    wanted = (SpecAddress("10.98.0.100", 24, ""), SpecAddress("fd98::100", 64, "mfw"))

    assert remove_there(net, *wanted) == "[]"
    assert net.has(VIRTUAL[0]) and net.has(VIRTUAL[1], "mfx")
    assert remove_there(net, SpecAddress("fd98::100", 64, "mfx")) == "[]"
    assert not net.has(VIRTUAL[1], "mfx")


def test_who_may_not_remove_addresses_says_so(net: Net) -> None:
    net.add_virtual()
    said = remove_there(net, SpecAddress("10.98.0.100", 24, ""), first="os.setgroups([]); os.setgid(1); os.setuid(1)")
    assert said == "['address 10.98.0.100: Operation not permitted']"
    assert net.has(VIRTUAL[0])


def test_an_agent_that_comes_while_the_role_is_put_away_hears_that_it_was_fenced(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    with nodes(tmp_path, ("a",), Options(command=changed(HELD.format(hold=str(hold))))) as (a,):
        a.serve(1)
        a.lease(0.3)
        a.wait(control.Fenced)
        assert a.connect().role == "primary"
        a.wait(control.Fenced)
        hold.unlink()
        a.wait(control.Idled)
        assert a.connect().role == "idle"
