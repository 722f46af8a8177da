"""Who serves after a loss of power with nobody else there, in maintenance, and once the preferred node is back.

And what an operator does when etcd was restored, or rebuilt: the commands are those of docs/operations.md.
"""

import json
import math
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.lab.demo.timeline import wall_time
from manager.lab.files import AGENT_INIT_SCRIPT
from manager.lab.lab import Lab
from manager.lab.layout import DEFAULT_LEASE_TTL_S
from manager.lab.machine import RunningMachine
from tests.support.asking import state_of
from tests.support.operators import operate

FOLDER = "/etc/mirrorfarm/modules/stand"
DIRECTORY = "/srv/stand"
_TOML = """\
name = "stand"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/stand"]
{more}
[replication]
peer_timeout = "1 s"
"""
AWAY_S = 1.0 + DEFAULT_LEASE_TTL_S
"""So long the other one is waited for (S8): that timeout, and a lease."""


def refused(node: RunningMachine, *words: str) -> str:
    """What the command says that must not be done."""
    ran = subprocess.run(
        node.command(["mirrorfarm", *words]), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90
    )
    assert ran.returncode == 1, ran
    return ran.stderr


def state(asked: RunningMachine, node: str) -> tuple[str, str, str]:
    found = next(n for n in state_of(asked, "stand")["nodes"] if n["node"] == node)
    return found["state"], found["readiness"], found["reason"]


def until_state(asked: RunningMachine, node: str, *wanted: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while (seen := state(asked, node)) != wanted:
        assert time.monotonic() < end, seen
        time.sleep(0.2)


def waited_s(node: RunningMachine) -> float:
    """From when its agent began until the module served there, alone, by that agent's log."""
    log = Path(node.layout.logs(node.machine), "mirrorfarm", "agent.log")
    began_s = served_s = math.inf
    for entry in map(json.loads, log.read_text().splitlines()):
        if entry["event"] == "agent.started":
            began_s, served_s = wall_time(entry["at"]), math.inf
        elif entry["event"] == "state.changed" and entry["state"] == "ALONE":
            served_s = min(served_s, wall_time(entry["at"]))
    return served_s - began_s


def last_reason(asked: RunningMachine) -> str:
    return str(json.loads(operate(asked, "history", "stand", "--json"))["entries"][0]["reason"])


def apply(lab: Lab, more: str = "") -> None:
    """The module with these lines more, in force on both nodes."""
    a = lab.node("a")
    a.run(["install", "-d", FOLDER])
    a.run(["tee", f"{FOLDER}/module.toml"], stdin=_TOML.format(more=more))
    operate(a, "module", "apply", FOLDER)


def write(node: RunningMachine, text: str) -> None:
    node.run(["sh", "-c", f"echo {text} > {DIRECTORY}/file; sync {DIRECTORY}/file"])


def read(node: RunningMachine) -> str:
    return node.run(["cat", f"{DIRECTORY}/file"]).strip()


_BACKUP = "/tmp/etcd.db"
_RESTORE = f"""\
. /etc/default/etcd
mv "$ETCD_DATA_DIR" "$ETCD_DATA_DIR-before-$1"
etcdctl snapshot restore {_BACKUP} --name "$ETCD_NAME" --data-dir "$ETCD_DATA_DIR" \
    --initial-cluster "$ETCD_INITIAL_CLUSTER" --initial-cluster-token "$1" \
    --initial-advertise-peer-urls "$ETCD_INITIAL_ADVERTISE_PEER_URLS"
chown -R etcd:etcd "$ETCD_DATA_DIR"
"""
_REBUILD = """\
. /etc/default/etcd
mv "$ETCD_DATA_DIR" "$ETCD_DATA_DIR-before-$1"
sed -i "s/^ETCD_INITIAL_CLUSTER_TOKEN=.*/ETCD_INITIAL_CLUSTER_TOKEN=$1/" /etc/default/etcd
"""


def replace_etcd(lab: Lab, script: str, token: str) -> None:
    """Every member stops, does ``script`` with the new cluster token, and starts."""
    lab.etcd.stop(lab.etcd.members)
    for member in lab.etcd.members:
        member.run(["sh", "-euc", script, "sh", token])
    lab.etcd.start(lab.etcd.members)
    for member in lab.etcd.members:
        lab.etcd.wait_until_ready(member)


def refused_once_settled(node: RunningMachine) -> str:
    """What ``prim`` says when an etcd that was replaced has been there for a lease's time: before, it says to wait."""
    end = time.monotonic() + 60
    while "a moment ago" in (said := refused(node, "prim", "stand")):
        assert time.monotonic() < end, said
        time.sleep(0.5)
    return said


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Lab:
    """PRIM on a, SECOND on b."""
    for node in lab.nodes:
        node.run(["install", "-d", DIRECTORY])
    apply(lab)
    operate(lab.node("a"), "start", "stand")
    operate(lab.node("a"), "prim", "stand", "--yes", "a")
    return lab


@pytest.fixture
def pair(cluster: Lab) -> Iterator[Lab]:
    """PRIM on a and SECOND on b, whatever the test before has left."""
    for node in cluster.nodes:
        if not node.is_up:
            cluster.start(node.name)
    a, b = cluster.nodes
    operate(a, "maintenance", "stand", "off")
    operate(a, "boot", "prev", "-m", "stand")
    operate(a, "start", "stand")
    operate(a, "wait", "stand", "SECOND")
    if state(a, "a")[0] == "SECOND":
        operate(b, "swap", "stand")
    operate(a, "wait", "stand", "SECOND", "--node", "b")
    yield cluster


def test_one_that_lost_power_serves_when_the_other_one_stays_away(pair: Lab) -> None:
    a = pair.node("a")
    write(a, "synced")
    for node in pair.nodes:
        pair.crash(node.name, power=True)
    pair.start("a")
    operate(a, "wait", "stand", "ALONE", "--node", "a")
    # It has seen by etcd, a moment before it says that it has begun, that the other one is away.
    assert waited_s(a) > AWAY_S - 0.5, "it has not waited for the other one"
    assert read(a) == "synced"
    assert last_reason(a) == "power_loss_others_away"
    assert "Not there: b." in operate(a, "history", "stand")


def test_in_maintenance_nothing_moves_by_itself_and_an_operator_moves_it(pair: Lab) -> None:
    a, b = pair.nodes
    operate(a, "maintenance", "stand", "on")
    assert "maintenance: no node takes over" in operate(b, "state", "stand")
    operate(a, "stop", "stand", "--node", "a")
    until_state(b, "b", "WAIT", "blocked", "failover_off")
    assert "mirrorfarm prim stand --node b" in operate(b, "why", "stand")
    operate(a, "start", "stand", "--node", "a")
    operate(a, "wait", "stand", "SECOND", "--node", "b")
    pair.crash("a", power=True)
    until_state(b, "b", "WAIT", "blocked", "failover_off")
    operate(b, "prim", "stand")
    assert state(b, "b")[0] == "ALONE" and last_reason(b) == "promoted_by_operator"
    operate(b, "boot", "on", "-m", "stand", "--node", "a")
    operate(b, "stop", "stand", "--node", "a", "--no-wait")
    pair.start("a")
    operate(b, "wait", "stand", "SECOND", "--node", "a")
    operate(b, "boot", "off", "-m", "stand", "--node", "a")
    a.run([AGENT_INIT_SCRIPT, "restart"])
    until_state(b, "a", "STOP", "ready", "boot_off")


def test_the_preferred_node_gets_the_module_back_but_not_from_an_operator(pair: Lab) -> None:
    a, b = pair.nodes
    apply(pair, 'preferred_primary = "a"\n')
    operate(a, "stop", "stand")
    operate(a, "start", "stand")
    operate(a, "wait", "stand", "SECOND", "--node", "b")
    write(a, "before")
    pair.crash("a", power=True)
    operate(b, "wait", "stand", "ALONE", "--node", "b")
    write(b, "meanwhile")
    pair.start("a")
    operate(b, "wait", "stand", "PRIM", "--node", "a")
    assert read(a) == "meanwhile" and last_reason(a) == "preferred_primary"
    operate(a, "wait", "stand", "SECOND", "--node", "b")
    operate(a, "swap", "stand")
    operate(a, "wait", "stand", "SECOND", "--node", "a")
    time.sleep(14)
    assert state(a, "b")[0] == "PRIM"


def test_after_a_restore_of_etcd_an_operator_says_which_copy_counts(pair: Lab) -> None:
    a, b = pair.nodes
    a.run(["etcdctl", "snapshot", "save", _BACKUP])
    backup = a.run(["base64", "-w0", _BACKUP])
    for member in pair.etcd.members:
        member.run(["sh", "-c", f"base64 -d > {_BACKUP}"], stdin=backup)
    operate(a, "swap", "stand")
    operate(a, "wait", "stand", "SECOND", "--node", "a")
    write(b, "newest")
    replace_etcd(pair, _RESTORE, "restored")
    for node in ("a", "b"):
        until_state(a, node, "WAIT", "blocked", "store_replaced")
    assert "not known" in operate(a, "why", "stand")
    assert "its copy is of epoch" in refused_once_settled(b)
    operate(b, "prim", "stand", "--yes", "b")
    operate(a, "wait", "stand", "SECOND", "--node", "a")
    assert read(b) == "newest"
    assert json.loads(operate(b, "verify", "stand", "--json"))["differences_total"] == 0


def test_a_rebuilt_etcd_takes_the_module_as_it_was(pair: Lab) -> None:
    a = pair.node("a")
    write(a, "kept")
    replace_etcd(pair, _REBUILD, "rebuilt")
    end = time.monotonic() + 30
    while json.loads(operate(a, "state", "--json"))["modules"]:
        assert time.monotonic() < end, "what is gone from etcd is still shown"
        time.sleep(0.2)
    operate(a, "module", "apply", FOLDER, "--adopt")
    refused_start = refused(a, "start", "stand")
    assert "mirrorfarm prim stand" in refused_start
    assert "its copy is of epoch" in refused_once_settled(a)
    operate(a, "prim", "stand", "--yes", "a")
    operate(a, "wait", "stand", "SECOND", "--node", "b")
    assert read(a) == "kept"
    assert json.loads(operate(a, "verify", "stand", "--json"))["differences_total"] == 0
