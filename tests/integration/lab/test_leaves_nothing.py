"""``down`` leaves no process, namespace, mount, loop device, cgroup or file; nor does a lab that could not be made."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from manager.lab.errors import LabError
from manager.lab.etcd import MemberState
from manager.lab.lab import Lab, remove_leftovers
from manager.lab.machine import loops_below
from manager.lab.record import Records
from manager.lab.states import MachineState
from tests.support.lab import make_lab

_DOWN_BEGAN: dict[Path, tuple[int, frozenset[tuple[int, str]]]] = {}
"""Of the lab in a directory: when ``down`` was called, in clock ticks since the start; who was in which namespace."""
_KINDS = ("mnt", "pid", "net", "uts", "ipc", "cgroup")


@contextlib.contextmanager
def making(directory: Path, nodes: tuple[str, ...] = ("a", "b"), ttl_s: float = 300.0) -> Iterator[Lab]:
    """A lab that is gone afterwards, also when the test has failed; a second ``down`` finds nothing to do."""
    lab = make_lab(directory, nodes, agents=False, ttl_s=ttl_s)
    try:
        yield lab
    finally:
        _DOWN_BEGAN[directory] = ticks_now(), members_of_namespaces()
        lab.down()


@dataclass(frozen=True)
class Traces:
    """What a lab has made on the host, besides its directory; other programs make things of the kind, too."""

    pids: frozenset[int]
    namespaces: frozenset[str]
    loops: frozenset[str]
    cgroup: str


def traces_of(lab: Lab) -> Traces:
    processes = [p for m in lab.machines for p in m.processes()] + lab.switch.cgroup.processes()
    namespaces = {os.readlink(f"/proc/{p.pid}/ns/{kind}") for p in processes for kind in _KINDS}
    pids = {p.pid for p in processes} | {lab.record.watchdog_pid}
    loops = {entry.split(" ")[0] for entry in loops_below(lab.layout.directory)}
    return Traces(
        frozenset(pids), frozenset(namespaces), frozenset(loops), os.path.dirname(lab.switch.cgroup.directory)
    )


def ticks_now() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def alive(pid: int, started_until: int = sys.maxsize) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] not in "ZX" and int(fields[19]) <= started_until


def members_of_namespaces() -> frozenset[tuple[int, str]]:
    """Each process with each of its namespaces."""
    found = set()
    for process in (p for p in Path("/proc").glob("[0-9]*") if alive(int(p.name))):
        for kind in _KINDS:
            try:
                found.add((int(process.name), os.readlink(process / "ns" / kind)))
            except OSError:
                continue  # It ended meanwhile.
    return frozenset(found)


def assert_nothing_is_left(traces: Traces, directory: Path) -> None:
    now = members_of_namespaces()
    began, before = _DOWN_BEGAN.get(directory, (ticks_now(), now))
    assert [pid for pid in traces.pids if alive(pid, began)] == []
    # Who came into one since: the kernel gives the number of one that is gone to the next.
    assert [(pid, namespace) for pid, namespace in now & before if namespace in traces.namespaces] == []
    assert str(directory) not in Path("/proc/self/mountinfo").read_text()
    assert loops_below(str(directory)) == []
    assert not os.path.exists(traces.cgroup)
    assert not directory.exists()
    assert not os.path.exists(Records().directory)


def test_down_leaves_nothing_whatever_was_done_to_the_lab(tmp_path: Path) -> None:
    links = set(os.listdir("/sys/class/net"))
    with making(tmp_path / "lab", ("a", "b", "c")) as lab:
        traces = traces_of(lab)
        assert len(traces.loops) == 8
        added = set(os.listdir("/sys/class/net")) - links
        assert not added & {"a", "b", "c", "witness", "client", "eth0"}, "it is in the host's network"
        lab["a"].run(["sh", "-c", "setsid sleep 1000 & mount -t tmpfs more /mnt"])
        lab.crash("b", power=True)
        lab.cut("c")
        lab.slow("c", "1mbit")
        lab.fill("a")
        lab.freeze("a")
    assert_nothing_is_left(traces, tmp_path / "lab")


def test_a_directory_that_was_there_is_left_as_it_was(tmp_path: Path) -> None:
    with making(tmp_path):
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []


def test_a_second_lab_is_refused_and_the_first_is_unharmed(tmp_path: Path) -> None:
    with making(tmp_path / "first") as lab:
        with pytest.raises(LabError, match=rf"a lab is up already, in {tmp_path}/first .*lab down removes it"):
            Lab.up(directory=str(tmp_path / "second"), agents=False)
        assert lab["a"].run(["hostname"]) == "a\n"
        assert not (tmp_path / "second").exists()


def test_a_lab_that_cannot_be_made_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be made: No such file or directory"):
        make_lab(tmp_path / "no" / "lab", agents=False)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(LabError, match="there already, and not empty"):
        make_lab(tmp_path, agents=False)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(LabError, match="no lab is up"):
        Lab.find()


def test_a_lab_ends_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    # So long, that it is looked at as a whole before.
    with making(tmp_path / "lab", ttl_s=6.0) as lab:
        traces = traces_of(lab)
        end = time.monotonic() + 60
        while os.path.exists(Records().directory) or alive(lab.record.watchdog_pid):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert_nothing_is_left(traces, tmp_path / "lab")


def test_what_was_left_half_made_is_removed(tmp_path: Path) -> None:
    with making(tmp_path / "lab") as lab:
        traces = traces_of(lab)
        for machine in lab.machines:
            if machine.name != "b":
                machine.cgroup.kill()
        assert remove_leftovers()
        assert_nothing_is_left(traces, tmp_path / "lab")
        assert not remove_leftovers()


def test_the_command_line_makes_enters_and_removes_one(tmp_path: Path) -> None:
    def command(*words: str) -> "subprocess.CompletedProcess[str]":
        argv = [os.path.join(sys.prefix, "bin", "mirrorfarm"), "lab", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)

    def done(*words: str) -> None:
        told = command(*words)
        assert told.returncode == 0, (words, told)

    def seen(name: str) -> MachineState:
        return next(s for s in Lab.find().states() if s.name == name)

    ping_b = ("ping", "-c", "1", "-W", "1", "b")
    # What asked for the neighbour during the cut may give up a moment after it, and with it what waits for the answer.
    reach_b = ("sh", "-c", f"for i in 1 2 3 4 5; do {' '.join(ping_b)} && exit; done; exit 1")
    made = command("up", "--no-agents", "--dir", str(tmp_path / "lab"), "--ttl", "300")
    try:
        assert (made.returncode, made.stderr) == (0, "")
        assert "lab exec a -- mirrorfarm start db" in made.stdout
        assert command("exec", "b", "--", "sh", "-c", "hostname; exit 9").returncode == 9
        assert command("client", "--", "hostname").stdout == "client\n"
        assert command("crash", "a").returncode == 0
        assert '"power": "down"' in command("state", "--json").stdout
        again = command("crash", "a")
        assert again.returncode == 1
        assert "a is down" in again.stderr
        assert command("start", "a").returncode == 0
        assert command("exec", "a", "--", "/etc/init.d/mirrorfarm-agent", "status").returncode == 0
        done("cut", "a", "b")
        assert command("exec", "a", "--", *ping_b).returncode == 1
        done("heal")
        done("exec", "a", "--", *reach_b)
        done("freeze", "b")
        told = {s["name"]: s["power"] for s in json.loads(command("state", "--json").stdout)}
        assert told == {"a": "up", "b": "frozen", "witness": "up", "client": "up"}
        done("thaw", "b")
        assert seen("b").power == "up"
        done("etcd", "stop", "witness")
        assert seen("witness").etcd is MemberState.STOPPED
        done("etcd", "start", "witness")
        assert seen("witness").etcd not in (MemberState.FROZEN, MemberState.STOPPED)
        done("etcd", "freeze", "witness")
        assert seen("witness").etcd is MemberState.FROZEN
        done("thaw")
        assert seen("witness").etcd not in (MemberState.FROZEN, MemberState.STOPPED)
    finally:
        assert command("down").returncode == 0
    assert command("state").stderr == "mirrorfarm lab: no lab is up: mirrorfarm lab up makes one\n"
