"""A farm in the lab as operators and its application's own scripts steer it: traffic, figures, restarts, refusals."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from manager.lab.errors import LabError
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine, What
from manager.model.farm import SLOTS
from tests.support.asking import state_of
from tests.support.farm_lab import (
    ADDRESS,
    EVEN,
    NODES,
    PORT,
    Clients,
    director,
    farm_lab,
    shares_become,
    tables,
)
from tests.support.operators import operate
from tests.support.told_program import ROOT

pytestmark = pytest.mark.timeout(240)

_MODULE = f"""\
name = "web"
kind = "farm"
nodes = ["a", "b", "c"]
traffic = "script"

[[address]]
ip = "{ADDRESS}/24"

[[rule]]
protocol = "tcp"
ports = "{PORT}"

[scripts]
stop_timeout = "5 s"
"""
_START = f"""\
#!/bin/sh
cd {ROOT} && setsid {sys.executable} -m tests.support.farm_server $NODE {PORT} >/dev/null 2>&1 &
(said=; while sleep 0.5; do
    now=open; if test -e /run/cold; then now=close; fi
    test "$now" = "$said" || {{ mirrorfarm farm $now && said=$now; }}
done) >/dev/null 2>&1 &
"""
"""Whatever it has to say it says until it was taken, and then no more: on three nodes that would keep a core busy."""
_STOP = '#!/bin/sh\necho "$ACTION${FORCE:+ by force}" >>/run/stops\n'
_DIRECTORY = "/root/web"
_OPEN = 60
_PATIENCE_S = 40.0


def _put(node: RunningMachine, toml: str) -> None:
    node.run(["install", "-d", f"{_DIRECTORY}/scripts"])
    node.run(["tee", f"{_DIRECTORY}/module.toml"], stdin=toml)
    for name, text in (("start_both", _START), ("stop_both", _STOP)):
        node.run(["tee", f"{_DIRECTORY}/scripts/{name}"], stdin=text)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """As for the other tests of a farm, but with scripts of its own."""
    with farm_lab(tmp_path_factory.mktemp("lab"), request) as made:
        a = made.node("a")
        operate(a, "stop", "web")
        _put(a, _MODULE)
        operate(a, "module", "apply", _DIRECTORY)
        operate(a, "start", "web")
        yield made


@pytest.fixture
def farm(lab: Lab) -> Lab:
    """All open, and every slot where it belongs."""
    for node in lab.nodes:
        node.run(["rm", "-f", "/run/cold", "/run/stops"])
    operate(lab.node("a"), "start", "web")
    shares_become(lab, EVEN)
    return lab


def _state(node: RunningMachine) -> dict[str, Any]:
    return {n["node"]: n for n in state_of(node, "web")["nodes"]}


def _until(what: str, holds: Any) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def _refused(node: RunningMachine, *words: str) -> str:
    """What the command says, that must not succeed."""
    with pytest.raises(LabError) as refused:
        operate(node, *words)
    return str(refused.value)


def _agent_is_back(lab: Lab, node: RunningMachine) -> None:
    lab.kill(node.name, What.AGENT)
    lab.start_agents([node])


def _nothing_begins_on(node: RunningMachine) -> bool:
    """As it is said there: no slot is its own, and those that leave it leave it by the rules of all nodes."""
    (table,) = tables(node)
    left = [one for one in table["moving"] if node.name in (one["giver"], one["taker"])]
    return not table["shares"].get(node.name) and all(one["switched"] for one in left)


def _why(farm: Lab, node: str) -> str:
    return operate(farm.node("a"), "why", "web", "--node", node)


def test_a_node_that_its_scripts_close_gets_nothing_new_and_keeps_what_it_has(farm: Lab) -> None:
    closed = next(n for n in farm.nodes if n.name != director(farm).name)
    others = {n: SLOTS / 2 for n in NODES if n != closed.name}
    with Clients(farm, _OPEN) as clients:
        closed.run(["touch", "/run/cold"])
        _until("closed", lambda: _state(closed)[closed.name]["reason"] == "traffic_closed")
        # By etcd no slot is its own a moment before the director's kernel has heard of it.
        _until("nothing begins there any more", lambda: _nothing_begins_on(closed))
        assert _state(closed)[closed.name]["farm"]["slots"] == {ADDRESS: 0}
        assert "closed by root, which the application's scripts are, too" in _why(farm, closed.name)
        since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        time.sleep(1.0)
        _agent_is_back(farm, closed)
        _until("closed still", lambda: _state(closed)[closed.name]["reason"] == "traffic_closed")
        assert "who has closed it is not known to its agent" in _why(farm, closed.name)
        time.sleep(2.0)
    assert clients.broken() == []
    late = [one for one in clients.seen if one.began_ns > since_ns and one.node == closed.name]
    assert late == []
    shares_become(farm, others)
    closed.run(["rm", "/run/cold"])
    shares_become(farm, EVEN)


def test_each_start_of_the_application_closes_its_node(farm: Lab) -> None:
    node = next(n for n in farm.nodes if n.name != director(farm).name)
    node.run(["touch", "/run/cold"])
    said = _refused(node, "restart", "web", "--node", node.name, "--timeout", "15s")
    assert f"{node.name} was restarted, and did not get its share of web back in time" in said
    assert _state(node)[node.name]["reason"] == "traffic_closed"
    node.run(["rm", "/run/cold"])
    operate(node, "wait", "web", "UP", "--node", node.name)


def test_where_no_application_runs_nothing_is_opened(farm: Lab) -> None:
    c = farm.node("c")
    operate(c, "stop", "web", "--node", "c")
    assert "does not run on c" in _refused(c, "farm", "open", "web")
    operate(c, "farm", "close", "web")


def test_every_node_shows_what_each_has_open_and_is_given(farm: Lab) -> None:
    with Clients(farm, _OPEN):
        time.sleep(1.0)

        def is_shown(node: RunningMachine) -> bool:
            traffic = [n["farm"]["traffic"] for n in _state(node).values()]
            known = all(t["connections"] is not None and t["packets_s"] for t in traffic)
            return known and sum(t["connections"] for t in traffic) >= _OPEN

        for node in farm.nodes:
            _until(f"the figures on {node.name}", lambda node=node: is_shown(node))
        shown = operate(farm.node("b"), "farm", "show", "web")
        assert shown.count("connections: ") == len(NODES) and "packets in a second: " in shown
        assert "web: connections: a " in operate(farm.node("c"), "state", "web")


def test_a_restart_goes_from_node_to_node_and_the_others_serve(farm: Lab) -> None:
    last = director(farm).name
    with Clients(farm, _OPEN, rate=20.0) as clients:
        operate(farm.node("a"), "restart", "web")
    shares_become(farm, EVEN)
    for node in farm.nodes:
        assert node.run(["cat", "/run/stops"]).splitlines()[0] == "restart"
    ended = {n: max((one.ended_ns for one in clients.broken() if one.node == n), default=0) for n in NODES}
    assert max(ended, key=lambda n: ended[n]) == last, "who directs is the last one"
    unserved = [one for one in clients.seen if one.kind == "short" and one.how in ("refused", "hung")]
    assert unserved == []


def test_another_configuration_than_is_stored_is_told(farm: Lab) -> None:
    a, c = farm.node("a"), farm.node("c")

    def shown() -> Any:
        return json.loads(operate(c, "farm", "show", "web", "--json"))

    former = shown()["generation"]
    _put(a, _MODULE.replace('"5 s"', '"6 s"'))
    operate(a, "module", "apply", _DIRECTORY)
    _until("c has heard of it", lambda: shown()["generation"] == former + 1)
    stored = shown()
    assert stored["running"] == dict.fromkeys(NODES, former)
    assert "is stored, and shown here" in operate(c, "state", "web")
    operate(a, "stop", "web", "--node", "c")
    operate(a, "start", "web", "--node", "c")
    _until("the newest runs", lambda: _state(a)["c"]["farm"]["generation"] == stored["generation"])


def test_no_client_has_the_farms_own_address(farm: Lab) -> None:
    assert "is an address of web itself" in _refused(farm.node("a"), "farm", "where", "web", ADDRESS)


def test_what_a_former_agent_left_and_nobody_wants_is_stopped_by_its_scripts(farm: Lab) -> None:
    c = farm.node("c")
    farm.kill("c", What.AGENT)
    operate(farm.node("a"), "stop", "web", "--node", "c", "--no-wait")
    assert f"farm_server c {PORT}" in c.run(["ps", "-e", "-o", "args"])
    farm.start_agents([c])
    operate(c, "wait", "web", "STOP", "--node", "c")
    _until("nothing is left", lambda: c.run(["ls", "/run/mirrorfarm/web"]).split() == [])
    assert c.run(["cat", "/run/stops"]).splitlines()[0] == "stop"
    assert f"farm_server c {PORT}" not in c.run(["ps", "-e", "-o", "args"])
    assert ADDRESS not in c.run(["ip", "-o", "address"])


_OTHER = """\
name = "other"
kind = "farm"
nodes = ["a", "{node}"]

[[address]]
ip = "{ip}/24"

[[rule]]
protocol = "tcp"
ports = "{ports}"

[[rule]]
protocol = "tcp"
ports = "85"
"""


@pytest.mark.parametrize(
    ("node", "ip", "ports", "reason"),
    [
        ("b", "10.77.0.130", "80-90", "85"),
        ("b", "10.77.0.130", "90-80", "the lower one first"),
        ("z", "10.77.0.130", "80", "no node of that name has been in the cluster"),
        ("b", ADDRESS, "80", "an address of module web"),
        ("b", "10.77.0.3", "80", "which node c has by itself"),
        ("b", "10.77.0.200", "80", "for which 02:77:00:00:00:c8 on eth0 answers"),
        ("b", "10.78.0.130", "80", "no address of a link is of the same subnet: 10.77.0.1/24 on eth0"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(lab: Lab, node: str, ip: str, ports: str, reason: str) -> None:
    a = lab.node("a")
    a.run(["install", "-d", "/root/other"])
    a.run(["tee", "/root/other/module.toml"], stdin=_OTHER.format(node=node, ip=ip, ports=ports))
    said = _refused(a, "module", "apply", "/root/other")
    assert reason in said
    assert [m["name"] for m in json.loads(operate(a, "state", "--json"))["modules"]] == ["web"]
