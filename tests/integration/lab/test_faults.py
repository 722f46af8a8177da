"""Faults of the lab beside crash, cut and freeze: in one direction, of etcd alone, slow, full, another clock."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from manager.lab.errors import LabError
from manager.lab.etcd import MemberState
from manager.lab.lab import Lab
from manager.lab.machine import What
from manager.lab.states import MachineState
from manager.lab.switch import Lost

_SENT_BYTES = 100_000


@pytest.fixture(autouse=True)
def whole(bare_lab: Lab) -> Iterator[None]:
    """Each test gets all machines up and nothing cut, slow or full."""
    yield
    bare_lab.heal()
    for machine in bare_lab.machines:
        if not machine.is_up:
            bare_lab.start(machine.name, agents=False)
    bare_lab.etcd.start([m for m in bare_lab.etcd.members if not m.processes(What.ETCD)])
    for member in bare_lab.etcd.members:
        bare_lab.etcd.wait_until_ready(member)


def state_of(lab: Lab, name: str) -> MachineState:
    return next(s for s in lab.states() if s.name == name)


def counted(lab: Lab, name: str, counter: str) -> int:
    return int(lab[name].run(["sh", "-c", f"awk '/^{counter}/ {{print $2}}' /proc/net/snmp6"]))


@pytest.mark.parametrize(("name", "other", "lost"), [("a", "b", Lost.SENT), ("b", "a", Lost.RECEIVED)])
def test_a_cut_in_one_direction_lets_the_other_one_through(bare_lab: Lab, name: str, other: str, lost: Lost) -> None:
    cut = bare_lab.cut(name, other, lost=lost)
    assert (state_of(bare_lab, "a").cut_from, state_of(bare_lab, "b").cut_from) == (("to b",), ("from a",))
    # Nobody hears an answer; but what b asks arrives.
    before = counted(bare_lab, "a", "Ip6InReceives")
    for one, address in (("a", "fd77::2"), ("b", "fd77::1")):
        done = subprocess.run(
            bare_lab[one].command(["ping", "-c2", "-i0.2", "-W1", "-q", address]),
            stdout=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode != 0
    assert counted(bare_lab, "a", "Ip6InReceives") > before
    bare_lab.mend(cut)
    assert state_of(bare_lab, "a").cut_from == ()
    bare_lab["a"].run(["ping", "-c1", "-W2", "10.77.0.2"])


def test_a_cut_of_etcd_alone_leaves_the_nodes_to_hear_one_another(bare_lab: Lab) -> None:
    cut = bare_lab.cut("a", etcd_alone=True)
    bare_lab["a"].run(["ping", "-c1", "-W2", "10.77.0.2"])
    with pytest.raises(LabError):
        bare_lab["a"].run(["etcdctl", "--endpoints=http://10.77.0.2:2379", "--command-timeout=1s", "get", "x"])
    bare_lab["b"].run(["etcdctl", "--endpoints=http://10.77.0.2:2379", "--command-timeout=5s", "get", "x"])
    assert state_of(bare_lab, "a").cut_from == ("etcd of b", "etcd of client", "etcd of witness")
    bare_lab.mend(cut)
    bare_lab["a"].run(["etcdctl", "--endpoints=http://10.77.0.2:2379", "--command-timeout=5s", "get", "x"])


@pytest.mark.parametrize(("lost", "told"), [(Lost.SENT, "to etcd of b"), (Lost.RECEIVED, "from etcd of b")])
def test_etcd_may_be_cut_off_in_one_direction(bare_lab: Lab, lost: Lost, told: str) -> None:
    cut = bare_lab.cut("a", "b", lost=lost, etcd_alone=True)
    assert state_of(bare_lab, "a").cut_from == (told,)
    bare_lab["a"].run(["ping", "-c1", "-W2", "10.77.0.2"])
    for one, address in (("a", "10.77.0.2"), ("b", "10.77.0.1")):
        with pytest.raises(LabError):
            bare_lab[one].run(["etcdctl", f"--endpoints=http://{address}:2379", "--command-timeout=1s", "get", "x"])
    bare_lab.mend(cut)
    bare_lab["a"].run(["etcdctl", "--endpoints=http://10.77.0.2:2379", "--command-timeout=5s", "get", "x"])


def test_of_two_cuts_one_is_mended(bare_lab: Lab) -> None:
    first = bare_lab.cut("a", "client")
    bare_lab.cut("b", "client", lost=Lost.SENT)
    bare_lab.mend(first)
    assert state_of(bare_lab, "client").cut_from == ("from b",)
    bare_lab.mend(first)  # There is nothing to undo, and it is no error.


def test_a_slow_cable_lets_no_more_through_in_either_direction(bare_lab: Lab) -> None:
    bare_lab.slow("a", "1mbit")
    assert state_of(bare_lab, "a").slow_bits == 1_000_000
    listening = "import socket; s = socket.create_server(('', 7000)); print(flush=True); c = s.accept()[0]\n"
    for one, other in (("a", "b"), ("b", "a")):
        receive = listening + f"n = 0\nwhile n < {_SENT_BYTES}: n += len(c.recv(65536))\nc.send(b'!')"
        receiver = subprocess.Popen(bare_lab[other].command(["python", "-c", receive]), stdout=subprocess.PIPE)
        assert receiver.stdout is not None
        receiver.stdout.readline()
        address = bare_lab.layout.machine(other).ipv4
        send = f"import socket; s = socket.create_connection(('{address}', 7000)); s.sendall(bytes({_SENT_BYTES}))"
        begun = time.monotonic()
        bare_lab[one].run(["python", "-c", send + "; s.recv(1)"])
        # The bucket's first bytes are not held back.
        assert time.monotonic() - begun > (_SENT_BYTES - 20_000) * 8 / 1e6
        assert receiver.wait(10) == 0
    bare_lab.heal()
    assert state_of(bare_lab, "a").slow_bits == 0


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_full_disk_takes_nothing_more_until_it_is_freed(bare_lab: Lab, name: str) -> None:
    machine = bare_lab[name]
    write = ["dd", "if=/dev/zero", "of=/srv/file", "bs=64k", "count=16", "conv=fsync", "status=none"]
    bare_lab.fill(name)
    with pytest.raises(LabError, match="No space left"):
        machine.run(write)
    bare_lab.free(name)
    machine.run(write)
    with pytest.raises(LabError, match="was not filled"):
        bare_lab.free(name)
    bare_lab.fill(name, leave_bytes=4 << 20)
    machine.run(write)
    bare_lab.free(name)


def test_only_a_node_can_be_filled(bare_lab: Lab) -> None:
    with pytest.raises(LabError, match="only nodes have"):
        bare_lab.fill("witness")


def test_a_killed_member_of_etcd_is_gone_and_comes_back(bare_lab: Lab) -> None:
    bare_lab.kill("witness", What.ETCD)
    end = time.monotonic() + 10  # A signal is sent at once; its end takes the kernel a moment.
    while bare_lab["witness"].processes(What.ETCD):
        assert time.monotonic() < end
        time.sleep(0.01)
    with pytest.raises(LabError, match="on witness no etcd is running"):
        bare_lab.kill("witness", What.ETCD)
    assert bare_lab.etcd.states(bare_lab.client)["witness"] is MemberState.STOPPED


def boottime(lab: Lab, name: str) -> float:
    return float(lab[name].run(["python", "-c", "import time; print(time.clock_gettime(time.CLOCK_BOOTTIME))"]))


def test_each_machine_counts_the_time_since_it_got_power(bare_lab: Lab) -> None:
    found_s = dict[str, float]()
    for name in ("a", "b"):
        before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        found_s[name] = boottime(bare_lab, name)
        assert before_s < found_s[name] - bare_lab[name].clock_offset_s < time.clock_gettime(time.CLOCK_BOOTTIME)
    assert abs(bare_lab["a"].clock_offset_s - bare_lab["b"].clock_offset_s) > 1
    bare_lab.crash("a")
    bare_lab.crash("b", power=True)
    for name in ("a", "b"):
        bare_lab.start(name, agents=False)
    assert boottime(bare_lab, "a") > found_s["a"], "no power was lost: it counts on"
    assert boottime(bare_lab, "b") < 60.0
