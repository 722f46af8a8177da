"""A farm in the lab: three nodes share the connections to one address, and only a dead node's are ever cut off."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from manager.model.farm import SLOTS
from tests.support.farm_client import OPEN, Seen
from tests.support.lab import LogKeeper, lab_directory, make_lab
from tests.support.recorded_cluster import ROOT
from tests.support.two_disks import is_soak

NODES = ("a", "b", "c")
ADDRESS = "10.77.0.110"
PORT = 8080
CLIENTS = "10.78.0.0/16"
SECOND_NS = 1_000_000_000
BACK_S = 2.0
"""A dead node's share is served by others within this."""
_OPEN = 2_000 if is_soak() else 150
_MODULE = f"""\
name = "web"
kind = "farm"
nodes = ["a", "b", "c"]

[[address]]
ip = "{ADDRESS}/24"

[[rule]]
protocol = "tcp"
ports = "{PORT}"
"""
_START = f"""\
#!/bin/sh
cd {ROOT} && setsid {sys.executable} -m tests.support.farm_server $NODE {PORT} >/dev/null 2>&1 &
"""
_DIRECTORY = "/etc/mirrorfarm/modules/web"
_SETTLE_S = 30.0
_LOOK_S = 0.1


def mirrorfarm(node: RunningMachine, *words: str) -> str:
    return node.run(["mirrorfarm", *words], seconds=100)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three nodes that run the farm, and a client that has all addresses of a network."""
    logs = LogKeeper(request)
    made = make_lab(lab_directory(tmp_path_factory.mktemp("lab")), NODES)
    try:
        made.client.run(["ip", "route", "add", "local", CLIENTS, "dev", "lo"])
        for node in made.nodes:
            node.run(["ip", "route", "add", CLIENTS, "via", made.client.machine.ipv4])
        a = made.node("a")
        a.run(["install", "-d", f"{_DIRECTORY}/scripts"])
        a.run(["tee", f"{_DIRECTORY}/module.toml"], stdin=_MODULE)
        a.run(["tee", f"{_DIRECTORY}/scripts/start_both"], stdin=_START)
        mirrorfarm(a, "module", "apply", _DIRECTORY)
        mirrorfarm(a, "start", "web")
        yield made
    finally:
        logs.tell(made)
        made.down()


@pytest.fixture
def farm(lab: Lab) -> Lab:
    """All nodes up, whatever the test before did, and every slot where it belongs."""
    lab.heal()
    lab.thaw()
    for node in lab.nodes:
        if not node.is_up:
            lab.start(node.name)
            node.run(["ip", "route", "replace", CLIENTS, "via", lab.client.machine.ipv4])
    mirrorfarm(lab.node("a"), "start", "web")
    shares_become(lab, dict.fromkeys(NODES, SLOTS / len(NODES)))
    return lab


class Clients:
    """A load from the client's machine, for as long as the context lasts; then what it saw."""

    def __init__(self, lab: Lab, connections: int = _OPEN) -> None:
        self.seen: list[Seen] = []
        command = [sys.executable, "-m", "tests.support.farm_client", ADDRESS, str(PORT), "--network", CLIENTS]
        command += ["--connections", str(connections)]
        self._command = lab.client.command(["sh", "-c", 'cd "$0" && exec "$@"', str(ROOT), *command])

    def __enter__(self) -> "Clients":
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == OPEN
        return self

    def __exit__(self, *raised: object) -> None:
        told, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        self.seen = [Seen(**json.loads(line)) for line in told.splitlines()]

    def answered_by(self) -> Counter[str]:
        return Counter(one.node for one in self.seen if one.node)

    def broken(self) -> list[Seen]:
        return [one for one in self.seen if one.how]


def tables(node: RunningMachine) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(mirrorfarm(node, "farm", "show", "web", "--json"))["tables"]
    return found


def shares_become(lab: Lab, wanted: dict[str, float]) -> None:
    """Until the table is settled and each node has about that many slots."""
    end = time.monotonic() + _SETTLE_S
    while True:
        node = next(n for n in lab.nodes if n.is_up)
        found = tables(node)
        if found and not found[0]["moving"]:
            shares = found[0]["shares"]
            assert isinstance(shares, dict)
            if shares.keys() == wanted.keys() and all(abs(shares[n] - wanted[n]) <= 1 for n in wanted):
                return
        assert time.monotonic() < end, f"{found}, not {wanted}"
        time.sleep(_LOOK_S)


def director(lab: Lab) -> RunningMachine:
    return lab.node(str(tables(next(n for n in lab.nodes if n.is_up))[0]["director"]))


def test_all_nodes_serve_by_their_weights_and_the_cli_says_who_serves_whom(farm: Lab) -> None:
    with Clients(farm) as clients:
        time.sleep(3.0)
    assert clients.broken() == []
    assert set(clients.answered_by()) == set(NODES)
    for one in clients.seen[:20]:
        where = json.loads(mirrorfarm(farm.node("b"), "farm", "where", "web", one.source, "--json"))
        assert where["node"] == one.node


def test_a_node_that_dies_is_served_by_the_others_in_two_seconds_and_nobody_else_is_cut_off(farm: Lab) -> None:
    victim = next(n for n in farm.nodes if n.name != director(farm).name)
    with Clients(farm) as clients:
        farm.crash(victim.name)
        time.sleep(5.0)
    lost = clients.broken()
    assert {one.node for one in lost if one.node} == {victim.name}
    died_ns = max(one.answered_ns for one in clients.seen if one.node == victim.name)
    late = [one for one in lost if one.began_ns > died_ns + BACK_S * SECOND_NS]
    assert late == []
    assert all(one.how == "reset" for one in lost if one.answered_ns), "a connection hung instead of being reset"


def test_one_that_comes_takes_its_share_and_nobody_is_cut_off(farm: Lab) -> None:
    newcomer = next(n for n in farm.nodes if n.name != director(farm).name)
    others = {n: SLOTS / 2 for n in NODES if n != newcomer.name}
    mirrorfarm(farm.node("a"), "stop", "web", "--node", newcomer.name)
    shares_become(farm, others)
    with Clients(farm) as clients:
        mirrorfarm(farm.node("a"), "start", "web", "--node", newcomer.name)
        mirrorfarm(farm.node("a"), "wait", "web", "UP", "--node", newcomer.name)
        time.sleep(4.0)
    assert clients.broken() == []
    assert newcomer.name in clients.answered_by()


def test_the_director_may_move_and_nobody_is_cut_off(farm: Lab) -> None:
    former = director(farm)
    with Clients(farm) as clients:
        mirrorfarm(farm.node("a"), "stop", "web", "--node", former.name)
        shares_become(farm, {n: SLOTS / 2 for n in NODES if n != former.name})
    assert director(farm).name != former.name
    assert {one.node for one in clients.broken()} == {former.name}


def test_a_director_that_dies_is_replaced_and_what_others_serve_goes_on(farm: Lab) -> None:
    former = director(farm)
    with Clients(farm) as clients:
        farm.crash(former.name)
        shares_become(farm, {n: SLOTS / 2 for n in NODES if n != former.name})
        time.sleep(2.0)
    # They wait until somebody receives for the address again.
    assert {one.node for one in clients.broken() if one.how == "reset"} == {former.name}
    assert set(clients.answered_by()) == set(NODES)


def test_after_a_stop_nothing_of_it_is_left_on_the_nodes(farm: Lab) -> None:
    mirrorfarm(farm.node("a"), "stop", "web")
    for node in farm.nodes:
        mirrorfarm(farm.node("a"), "wait", "web", "STOP", "--node", node.name)
        assert ADDRESS not in node.run(["ip", "-o", "address"])
        assert "mirrorfarm" not in node.run(["nft", "list", "tables"])
        assert node.run(["cat", "/proc/sys/net/ipv4/conf/eth0/arp_ignore"]).strip() == "0"
        assert node.run(["ls", "/run/mirrorfarm/web"]).split() == []
