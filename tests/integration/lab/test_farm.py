"""A farm in the lab: three nodes share the connections to one address, and only a dead node's are ever cut off."""

import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from manager.model.farm import SLOTS
from tests.support.farm_lab import (
    ADDRESS,
    BACK_S,
    LATER_CLIENTS,
    NODES,
    SECOND_NS,
    Beginners,
    Clients,
    director,
    farm_lab,
    restored,
    shares_become,
    tables,
)
from tests.support.operators import operate
from tests.support.two_disks import is_soak

_GIVEN_S = 60.0
_GONE_S = 10.0
_FEW = 40
"""Connections: of so many some come to a node with a part of the slots."""
_WAYS_OUT = ("stop a member", "restart the director", *(("stop the director", "restart a member") if is_soak() else ()))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with farm_lab(tmp_path_factory.mktemp("lab"), request) as made:
        yield made


@pytest.fixture
def farm(lab: Lab) -> Lab:
    return restored(lab)


def test_all_nodes_serve_by_their_weights_and_the_cli_says_who_serves_whom(farm: Lab) -> None:
    with Clients(farm) as clients:
        time.sleep(3.0)
    assert clients.broken() == []
    assert set(clients.answered_by()) == set(NODES)
    for one in clients.seen[:20]:
        where = json.loads(operate(farm.node("b"), "farm", "where", "web", one.source, "--json"))
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
    operate(farm.node("a"), "stop", "web", "--node", newcomer.name)
    shares_become(farm, others)
    with Clients(farm) as clients:
        operate(farm.node("a"), "start", "web", "--node", newcomer.name)
        operate(farm.node("a"), "wait", "web", "UP", "--node", newcomer.name)
        end = time.monotonic() + _GIVEN_S
        answered: set[str] = set()
        while newcomer.name not in answered:
            assert time.monotonic() < end, f"it has been given nothing: {tables(farm.node('a'))}"
            with Clients(farm, _FEW, network=LATER_CLIENTS) as later:
                pass
            assert later.broken() == []
            answered = set(later.answered_by())
    assert clients.broken() == []


def test_the_director_may_move_and_nobody_is_cut_off(farm: Lab) -> None:
    former = director(farm)
    with Clients(farm) as clients:
        operate(farm.node("a"), "stop", "web", "--node", former.name)
        shares_become(farm, {n: SLOTS / 2 for n in NODES if n != former.name})
    assert director(farm).name != former.name
    assert {one.node for one in clients.broken()} == {former.name}


@pytest.mark.parametrize("what", _WAYS_OUT)
def test_a_node_that_stops_or_restarts_resets_nobody_in_the_handshake(farm: Lab, what: str) -> None:
    action, who = what.split()[0], what.split()[-1]
    node = director(farm) if who == "director" else next(n for n in farm.nodes if n.name != director(farm).name)
    with Beginners(farm) as beginners:
        operate(farm.node("a"), action, "web", "--node", node.name)
    assert beginners.broken() == []
    answered = Counter(one.node for one in beginners.seen if one.node)
    assert set(answered) == set(NODES) and answered.total() > 0.9 * len(beginners.seen)


def test_a_director_that_dies_is_replaced_and_what_others_serve_goes_on(farm: Lab) -> None:
    former = director(farm)
    with Clients(farm) as clients:
        farm.crash(former.name)
        shares_become(farm, {n: SLOTS / 2 for n in NODES if n != former.name})
        time.sleep(2.0)
    # They wait until somebody receives for the address again.
    assert {one.node for one in clients.broken() if one.how == "reset"} == {former.name}
    assert set(clients.answered_by()) == set(NODES)


def until_gone(node: RunningMachine, command: list[str], what: str) -> None:
    end = time.monotonic() + _GONE_S
    while what in (said := node.run(command)):
        assert time.monotonic() < end, said
        time.sleep(0.1)


def test_after_a_stop_nothing_of_it_is_left_on_the_nodes(farm: Lab) -> None:
    operate(farm.node("a"), "stop", "web")
    for node in farm.nodes:
        operate(farm.node("a"), "wait", "web", "STOP", "--node", node.name)
        assert ADDRESS not in node.run(["ip", "-o", "address"])
        # Nobody waits for the kernel to be rid of the rules, which are told last.
        until_gone(node, ["nft", "list", "tables"], "mirrorfarm")
        assert node.run(["cat", "/proc/sys/net/ipv4/conf/eth0/arp_ignore"]).strip() == "0"
        assert node.run(["ls", "/run/mirrorfarm/web"]).split() == []
