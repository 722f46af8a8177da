"""What a machine of the lab is, and what becomes of it in a crash, a cut and a freeze. No agents: the lab alone."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.lab.errors import LabError
from manager.lab.etcd import MemberState
from manager.lab.lab import Lab
from manager.lab.machine import What

ROOT = Path(__file__).resolve().parents[3]
DISKS = ("/srv", "/var/lib/mirrorfarm", "/etc")


@pytest.fixture(autouse=True)
def whole(bare_lab: Lab) -> Iterator[None]:
    """Each test gets all machines up, nothing cut and nothing frozen."""
    yield
    bare_lab.thaw()
    bare_lab.heal()
    for machine in bare_lab.machines:
        if not machine.is_up:
            bare_lab.start(machine.name, agents=False)
    stopped = [m for m in bare_lab.etcd.members if not m.processes(What.ETCD)]
    bare_lab.etcd.start(stopped)
    for member in bare_lab.etcd.members:
        bare_lab.etcd.wait_until_ready(member)


def hears(lab: Lab, one: str, other: str) -> bool:
    """Whether both families get through, or neither: they take the same cable.

    Asked again where they disagree, since a neighbour that could not be found is not looked for again at once.
    """
    target = lab.layout.machine(other)
    ping = ["ping", "-c1", "-W1", "-q"]
    for _ in range(5):
        asked = [
            subprocess.Popen(lab[one].command([*ping, address]), stdout=subprocess.DEVNULL)
            for address in (target.ipv4, target.ipv6)
        ]
        heard = {ping.wait(timeout=20) == 0 for ping in asked}
        if len(heard) == 1:
            return heard.pop()
    raise AssertionError(f"{one} hears {other} over one of IPv4 and IPv6 only")


def test_a_command_has_exit_code_input_and_a_clean_environment(bare_lab: Lab) -> None:
    argv = bare_lab["a"].command(["sh", "-c", "cat; pwd; hostname; id -u; echo ${PYTHONUNBUFFERED-unset}; exit 7"])
    done = subprocess.run(argv, input="said\n", capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.split() == ["said", "/root", "a", "0", "unset"]


def test_a_command_finds_ours(bare_lab: Lab) -> None:
    assert bare_lab["a"].run(["mirrorfarm", "--version"]).startswith("mirrorfarm ")
    assert "agent.toml" in bare_lab["a"].run(["mirrorfarm", "check", "--json"])


def test_what_was_set_up_is_compiled_no_more(bare_lab: Lab) -> None:
    """Inside nobody could keep what he has compiled: each start would take twice as long."""
    subprocess.run([ROOT / "scripts" / "setup"], check=True, timeout=60)
    python = [sys.executable, "-v", "-c", "import agent.runtime.assembly, manager.cli.main, replicator.main"]
    told = subprocess.run(bare_lab["a"].command(python), capture_output=True, text=True, timeout=60, check=True).stderr
    assert f"# code object from '{ROOT}/replicator/__pycache__/main." in told
    assert re.findall(f"# code object from '{ROOT}/.*[.]py'", told) == []


def test_a_machine_is_alone_in_its_namespaces(bare_lab: Lab) -> None:
    for kind in ("mnt", "pid", "net", "uts", "ipc", "cgroup", "time"):
        namespaces = {os.readlink(f"/proc/{m.pid}/ns/{kind}") for m in bare_lab.machines}
        assert len(namespaces | {os.readlink(f"/proc/self/ns/{kind}")}) == len(bare_lab.machines) + 1, kind


def test_nothing_that_is_written_inside_is_on_the_host_or_on_another_machine(bare_lab: Lab) -> None:
    paths = [f"{d}/mirrorfarm-lab-test" for d in ("/etc", "/var/lib", "/usr", "/root", "/tmp", "/run", "/srv")]
    bare_lab["a"].run(["touch", *paths])
    for path in paths:
        assert not os.path.exists(path), path
        with pytest.raises(LabError):
            bare_lab["b"].run(["test", "-e", path])


def test_the_hosts_checkout_cannot_be_changed_from_inside(bare_lab: Lab) -> None:
    here = Path(__file__).resolve()
    with pytest.raises(LabError, match="Read-only"):
        bare_lab["a"].run(["touch", str(here)])


def test_orphans_are_reaped(bare_lab: Lab) -> None:
    bare_lab["a"].run(["sh", "-c", "for i in 1 2 3; do (sleep 0.01 &) ; done"])
    end = time.monotonic() + 5
    while "Z" in (states := bare_lab["a"].run(["ps", "-eo", "state="])).split():
        assert time.monotonic() < end, states
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["a", "b"])
def test_after_a_loss_of_power_what_was_synced_is_there_and_nothing_else(bare_lab: Lab, name: str) -> None:
    machine = bare_lab[name]
    boot_id = machine.run(["cat", "/proc/sys/kernel/random/boot_id"])
    for place in DISKS:
        machine.run(["sh", "-c", f"echo kept > {place}/kept && sync {place}/kept {place} && echo lost > {place}/lost"])
    bare_lab.crash(name, power=True)
    assert not machine.is_up
    bare_lab.start(name, agents=False)
    for place in DISKS:
        assert machine.run(["cat", f"{place}/kept"]) == "kept\n"
        assert machine.run(["sh", "-c", f"cat {place}/lost 2>/dev/null || true"]) == "", place
    assert machine.run(["cat", "/proc/sys/kernel/random/boot_id"]) not in ("", boot_id)
    bare_lab.etcd.wait_until_ready(machine)


def test_after_a_crash_without_loss_of_power_all_that_was_written_is_there(bare_lab: Lab) -> None:
    machine = bare_lab["a"]
    boot_id = machine.run(["cat", "/proc/sys/kernel/random/boot_id"])
    machine.run(["sh", "-c", "echo written > /srv/written"])
    sleeper = subprocess.Popen(machine.command(["sleep", "600"]))
    bare_lab.crash("a")
    assert sleeper.wait(timeout=10) != 0
    with pytest.raises(LabError, match=r"a is down.*lab start a"):
        machine.run(["true"])
    bare_lab.start("a", agents=False)
    assert machine.run(["cat", "/srv/written"]) == "written\n"
    assert machine.run(["cat", "/proc/sys/kernel/random/boot_id"]) == boot_id
    bare_lab.etcd.wait_until_ready(machine)


def test_a_crashed_machine_has_left_the_network_with_all_its_addresses(bare_lab: Lab) -> None:
    bare_lab["a"].run(["ip", "addr", "add", "10.77.0.99/24", "dev", "eth0"])
    bare_lab["client"].run(["ping", "-c1", "-W2", "10.77.0.99"])
    bare_lab.crash("a")
    with pytest.raises(LabError):
        bare_lab["client"].run(["arping", "-c1", "-w1", "-I", "eth0", "10.77.0.99"])
    assert "a" not in bare_lab.switch.ports()


def test_a_cut_between_two_leaves_the_others(bare_lab: Lab) -> None:
    bare_lab.cut("a", "b")
    assert not hears(bare_lab, "a", "b")
    assert not hears(bare_lab, "b", "a")
    assert hears(bare_lab, "a", "witness")
    assert [s.cut_from for s in bare_lab.states() if s.name in ("a", "b")] == [("b",), ("a",)]
    bare_lab.heal()
    assert hears(bare_lab, "a", "b")


def test_a_cut_from_all_outlives_a_crash(bare_lab: Lab) -> None:
    bare_lab.cut("a")
    bare_lab.crash("a")
    bare_lab.start("a", agents=False)
    for other in ("b", "witness", "client"):
        assert not hears(bare_lab, "a", other), other
    assert hears(bare_lab, "b", "client")
    assert bare_lab["a"].run(["cat", "/sys/class/net/eth0/carrier"]) == "1\n"


def test_a_frozen_machine_does_nothing_and_goes_on_as_if_nothing_had_been(bare_lab: Lab) -> None:
    script = "while :; do echo; sleep 0.02; done"
    ticker = subprocess.Popen(bare_lab["a"].command(["sh", "-c", script]), stdout=subprocess.PIPE)
    assert ticker.stdout is not None
    try:
        assert ticker.stdout.readline()
        bare_lab.freeze("a")
        time.sleep(0.1)
        os.set_blocking(ticker.stdout.fileno(), False)
        ticker.stdout.read()
        time.sleep(0.2)
        assert not ticker.stdout.read(), "it went on"
        assert next(s.power for s in bare_lab.states() if s.name == "a") == "frozen"
        bare_lab.thaw("a")
        os.set_blocking(ticker.stdout.fileno(), True)
        assert ticker.stdout.readline()
    finally:
        ticker.kill()
        ticker.wait(timeout=10)


def test_a_frozen_machine_can_crash(bare_lab: Lab) -> None:
    bare_lab.freeze("a")
    bare_lab.crash("a")
    bare_lab.start("a", agents=False)
    assert bare_lab["a"].run(["hostname"]) == "a\n"


def test_etcd_goes_on_without_one_member_and_not_without_two(bare_lab: Lab) -> None:
    # A leader that is stopped hands over, and may wait half a minute for one that is frozen.
    bare_lab.etcd.lead("a", bare_lab.client)
    bare_lab.etcd.freeze([bare_lab["witness"]])
    bare_lab.etcd.stop([bare_lab["b"]])
    states = bare_lab.etcd.states(bare_lab.client)
    assert (states["witness"], states["b"]) == (MemberState.FROZEN, MemberState.STOPPED)
    with pytest.raises(LabError, match="not ready"):
        bare_lab.etcd.wait_until_ready(bare_lab["a"], seconds=0.5)
    bare_lab.thaw("witness")
    bare_lab.etcd.wait_until_ready(bare_lab["a"])
    assert bare_lab.etcd.leader(bare_lab.client) in ("a", "witness")


def test_what_etcd_has_taken_survives_the_loss_of_power_of_all(bare_lab: Lab) -> None:
    etcdctl = ["etcdctl", "--endpoints=http://10.77.0.1:2379"]
    bare_lab.client.run([*etcdctl, "put", "kept", "yes"])
    members = [m.name for m in bare_lab.etcd.members]
    for name in members:
        bare_lab.crash(name, power=True)
    for name in members:
        bare_lab.start(name, agents=False)
    bare_lab.etcd.wait_until_ready(bare_lab["a"])
    assert bare_lab.client.run([*etcdctl, "get", "--print-value-only", "kept"]) == "yes\n"


def test_what_cannot_be_frozen_says_so(bare_lab: Lab) -> None:
    with pytest.raises(LabError, match="on a no agent is running"):
        bare_lab.freeze("a", What.AGENT)
    with pytest.raises(LabError, match="a is up already"):
        bare_lab.start("a")


def test_debians_postgresql_runs_on_both_nodes_at_once(bare_lab: Lab) -> None:
    version = sorted(os.listdir("/usr/lib/postgresql"))[-1]
    script = f"pg_createcluster {version} main --datadir /srv/pg -- --no-sync && service postgresql start"
    # A server leaves the command that has started it behind, and would hold its output open.
    begun = [subprocess.Popen(n.command(["sh", "-c", f"{script} >/dev/null 2>&1"])) for n in bare_lab.nodes]
    try:
        assert [process.wait(timeout=60) for process in begun] == [0, 0]
        for node in bare_lab.nodes:
            query = f"select '{node.name}' || count(*) from pg_database"
            assert node.run(["su", "postgres", "-c", f'psql -Atc "{query}"']).startswith(node.name)
    finally:
        for node in bare_lab.nodes:
            node.run(["service", "postgresql", "stop"])
