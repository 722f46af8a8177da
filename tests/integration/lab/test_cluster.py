"""The commands of the manual do in the lab what they do on real machines, and a take-over is as quick as it says."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.runtime.pulse import LEAST_LIMIT_NS
from manager.lab.demo.ledger import Ledger
from manager.lab.demo.timeline import of_take_over, wall_time
from manager.lab.lab import Lab
from manager.lab.layout import DEFAULT_LEASE_TTL_S
from manager.lab.machine import RunningMachine, What

FILE = "/srv/db/file"
PEER_TIMEOUT_S = 5.0
"""The default of a module."""
_HUNG_S = LEAST_LIMIT_NS / 1e9
_TRIES = 3
_START = "#!/bin/sh\nsetsid sleep 10000 >/dev/null 2>&1 &\n"


def mirrorfarm(node: RunningMachine, *words: str) -> str:
    return node.run(["mirrorfarm", *words], seconds=100)


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Lab:
    """Module ``db`` of the manual, with a script that starts something, PRIM on a and SECOND on b."""
    a = lab.node("a")
    a.run(["install", "-d", "/etc/mirrorfarm/modules/db/scripts"])
    a.run(["tee", "/etc/mirrorfarm/modules/db/scripts/start_prim"], stdin=_START)
    mirrorfarm(a, "module", "apply", "/etc/mirrorfarm/modules/db")
    mirrorfarm(a, "start", "db")
    mirrorfarm(a, "prim", "db")
    return lab


@pytest.fixture(autouse=True)
def at_home(cluster: Lab) -> Iterator[None]:
    """Each test finds PRIM on a and SECOND on b."""
    mirrorfarm(cluster.node("a"), "wait", "db", "SECOND", "--node", "b")
    yield
    go_home(cluster)


def go_home(lab: Lab) -> None:
    """Undo whatever was done, until a is PRIM and b is SECOND."""
    lab.heal()
    lab.thaw()
    for node in lab.nodes:
        if not node.is_up:
            lab.start(node.name)
    b = lab.node("b")
    mirrorfarm(b, "start", "db")
    primary = next(m["primary"] for m in json.loads(mirrorfarm(b, "state", "--json"))["modules"])
    mirrorfarm(b, "wait", "db", "SECOND", "--node", "a" if primary == "b" else "b")
    if primary == "b":
        mirrorfarm(b, "swap", "db")
    mirrorfarm(b, "wait", "db", "SECOND", "--node", "b")


def wall_time_of(moment_ns: int) -> float:
    """Seconds; of an instant of CLOCK_BOOTTIME."""
    return time.time() - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - moment_ns) / 1e9


def agent_log(lab: Lab, node: str) -> list[str]:
    return Path(lab.layout.logs(lab.node(node).machine), "mirrorfarm", "agent.log").read_text().splitlines()


def first_after(lab: Lab, node: str, after: float, **fields: object) -> float:
    """When the first entry with these fields came into the agent's log after that time; wall time in seconds."""
    for entry in map(json.loads, agent_log(lab, node)):
        if wall_time(entry["at"]) > after and all(entry.get(name) == value for name, value in fields.items()):
            return wall_time(entry["at"])
    raise AssertionError(f"nothing on {node} says {fields}")


def take_over_seconds(lab: Lab, leader: str) -> float:
    """From the crash of a to the address and the application on b, while ``leader`` leads etcd."""
    lab.etcd.lead(leader, lab.client)
    crash = wall_time_of(lab.crash("a", power=True))
    b = lab.node("b")
    mirrorfarm(b, "wait", "db", "ALONE", "--node", "b")
    _, _, address, application, _ = of_take_over(crash, "db", agent_log(lab, "b"), Ledger(())).steps
    assert address.at is not None
    assert application.at is not None
    return max(address.at, application.at) - crash


def test_what_was_written_on_the_primary_is_on_the_survivor_and_both_are_equal_again(cluster: Lab) -> None:
    a, b = cluster.nodes
    a.run(["sh", "-c", f"echo written > {FILE}"])
    assert b.run(["cat", FILE]) == "written\n"
    cluster.crash("a", power=True)
    mirrorfarm(b, "wait", "db", "ALONE")
    assert b.run(["cat", FILE]) == "written\n"
    b.run(["sh", "-c", f"echo more >> {FILE}"])
    cluster.start("a")
    mirrorfarm(b, "wait", "db", "SECOND", "--node", "a")
    assert a.run(["cat", FILE]) == "written\nmore\n"
    assert json.loads(mirrorfarm(b, "verify", "db", "--json"))["differences_total"] == 0


def quickest_seconds(lab: Lab, measure: Callable[[Lab], float], enough: float) -> float:
    """The quickest of up to three: what a machine that is short of cores needs once says little of what is waited for.

    None is repeated when the first was ``enough``. What is measured ends at the instant that a log has, not when the
    test came to look.
    """
    seconds: list[float] = []
    for _ in range(_TRIES):
        if seconds:
            go_home(lab)
        seconds.append(measure(lab))
        if seconds[-1] < enough:
            break
    return min(seconds)


def test_a_take_over_takes_the_ttl_and_a_second(cluster: Lab) -> None:
    limit = DEFAULT_LEASE_TTL_S + 1.0
    assert quickest_seconds(cluster, lambda lab: take_over_seconds(lab, "witness"), limit) < limit


def test_a_take_over_from_the_node_that_led_etcd_takes_two_and_a_half_seconds_more(cluster: Lab) -> None:
    limit = DEFAULT_LEASE_TTL_S + 1.0 + 2.5
    assert quickest_seconds(cluster, lambda lab: take_over_seconds(lab, "a"), limit) < limit


def lost_peer_seconds(lab: Lab) -> float:
    """From the crash of b to ALONE on a that writes, while the witness leads etcd."""
    lab.etcd.lead("witness", lab.client)
    writer = f"setsid sh -c 'while sleep 0.02; do date > {FILE}; done' >/dev/null 2>&1 </dev/null &"
    lab.node("a").run(["sh", "-c", writer])
    crash = wall_time_of(lab.crash("b", power=True))
    a = lab.node("a")
    mirrorfarm(a, "wait", "db", "ALONE", "--node", "a")
    return first_after(lab, "a", crash, event="state.changed", state="ALONE", readiness="ready") - crash


def test_a_lost_peer_is_given_up_within_its_timeout_and_writes_go_on(cluster: Lab) -> None:
    assert quickest_seconds(cluster, lost_peer_seconds, PEER_TIMEOUT_S) < PEER_TIMEOUT_S
    # The writer was held meanwhile, and goes on.
    a = cluster.node("a")
    a.run(["timeout", "5", "sh", "-c", f"cp {FILE} /tmp/was; until ! cmp -s {FILE} /tmp/was; do sleep 0.1; done"])
    a.run(["pkill", "-f", "while sleep 0.02"])


def test_a_frozen_replicator_loses_its_module_to_the_other_node(cluster: Lab) -> None:
    """Its agent renews the lease, and notices that nobody listens: five seconds of silence, at its next look."""
    a, b = cluster.nodes
    a.run(["sh", "-c", f"echo before > {FILE} && sync {FILE}"])
    frozen = time.time()
    cluster.freeze("a", What.REPLICATOR)
    mirrorfarm(b, "wait", "db", "ALONE", "--node", "b")
    noticed = first_after(cluster, "a", frozen, event="replicator.gone") - frozen
    promoted = first_after(cluster, "b", frozen, event="transaction.settled", tag="elect", succeeded=True) - frozen
    assert noticed < _HUNG_S + 2.0
    assert promoted - noticed < DEFAULT_LEASE_TTL_S, "it waited for the end of the lease"
    assert b.run(["cat", FILE]) == "before\n"
    assert a.processes(What.APPLICATION) == []


def test_a_frozen_replicator_of_the_secondary_is_replaced(cluster: Lab) -> None:
    a, b = cluster.nodes
    former = {p.pid for p in b.processes(What.REPLICATOR)}
    cluster.freeze("b", What.REPLICATOR)
    mirrorfarm(a, "wait", "db", "ALONE", "--node", "a")
    a.run(["sh", "-c", f"echo meanwhile > {FILE}"])
    mirrorfarm(a, "wait", "db", "SECOND", "--node", "b")
    assert former.isdisjoint(p.pid for p in b.processes(What.REPLICATOR))
    assert b.run(["cat", FILE]) == "meanwhile\n"


def test_swap_and_stop_wait_for_no_timeout(cluster: Lab) -> None:
    a, b = cluster.nodes
    begun = time.monotonic()
    mirrorfarm(a, "swap", "db")
    swapped = time.monotonic()
    mirrorfarm(b, "wait", "db", "SECOND", "--node", "a")
    mirrorfarm(b, "swap", "db")
    mirrorfarm(a, "wait", "db", "SECOND", "--node", "b")
    stopping = time.monotonic()
    mirrorfarm(a, "stop", "db")
    stopped = time.monotonic()
    assert swapped - begun < DEFAULT_LEASE_TTL_S
    assert stopped - stopping < DEFAULT_LEASE_TTL_S


def test_a_frozen_agent_loses_its_module_to_the_other_node(cluster: Lab) -> None:
    b = cluster.node("b")
    cluster.freeze("a", What.AGENT)
    assert next(s.agent for s in cluster.states() if s.name == "a") == "frozen"
    mirrorfarm(b, "wait", "db", "ALONE", "--node", "b")
    owners = [n.name for n in cluster.nodes if "10.77.0.100" in n.run(["ip", "-o", "address"])]
    assert owners == ["b"]
    assert cluster.node("a").processes(What.APPLICATION) == []


def test_parts_of_a_node_are_told_apart(cluster: Lab) -> None:
    a = cluster.node("a")
    commands = {what: {p.command for p in a.processes(what)} for what in What}
    assert any("agent" in c for c in commands[What.AGENT])
    assert any("replicator" in c for c in commands[What.REPLICATOR])
    assert commands[What.APPLICATION] == {"sleep 10000"}
    assert len(commands[What.ETCD]) == 1
    assert not commands[What.AGENT] & commands[What.REPLICATOR]
