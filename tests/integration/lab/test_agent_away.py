"""An agent that is killed and started again, or exchanged for an upgrade: the application does not notice.

Where its replicator was killed too, nothing is to be adopted, and the next agent first removes what they left.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from manager.lab.demo.timeline import wall_time
from manager.lab.files import AGENT_INIT_SCRIPT
from manager.lab.layout import VIRTUAL_ADDRESS
from manager.lab.machine import RunningMachine, What
from tests.support.client_history import longest_gap_ms
from tests.support.common_clock import now_ns
from tests.support.lab import lab_directory, make_lab
from tests.support.recorded_cluster import CALM_MS, Recorded, RecordedCluster

LEASE_TTL_S = 30
"""A machine that is short of cores needs many seconds to start an agent, and this is not about how many: of fifteen,
nine are left where the former one's last renewal was asked for a while ago."""
UNNOTICED_MS = 5000
NONE_S = 1.0
"""For so long there is no agent."""
TOLD_S = 30.0
ENDED_S = 90
"""Five for the replicator's word, and the agent's start: seconds, or many on a machine that is short of cores. Nobody
else would end it in any time."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedCluster]:
    lab = make_lab(lab_directory(tmp_path_factory.mktemp("lab")), lease_ttl_s=LEASE_TTL_S)
    try:
        made = RecordedCluster(lab, Recorded(pause_ms=CALM_MS))
        made.open()
        made.start_clients(2)
        yield made
    finally:
        lab.down()


def kill_and_start(cluster: RecordedCluster, name: str) -> None:
    cluster.kill(name, What.AGENT)
    killed_ns = now_ns()
    time.sleep(NONE_S)
    # However quick the next one is: nothing waits for it.
    assert [call for call in cluster.calls() if call.wrote and call.begun_ns > killed_ns], "no write was completed"
    cluster.lab.start_agents([cluster.lab.node(name)])


def upgrade(cluster: RecordedCluster, name: str) -> None:
    cluster.lab.node(name).run([AGENT_INIT_SCRIPT, "upgrade"], seconds=60)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("exchange", [kill_and_start, upgrade])
def test_an_agent_that_is_exchanged_is_not_noticed(
    cluster: RecordedCluster, exchange: Callable[[RecordedCluster, str], None]
) -> None:
    """The secondary's, and then the primary's."""
    cluster.wait_for_answers()
    primary = cluster.primary()
    serving = cluster.lab.node(primary)
    processes = {p.pid for p in serving.processes(What.APPLICATION)}
    assert processes
    begun_ns = now_ns()
    for node in sorted(cluster.lab.nodes, key=lambda node: node.name == primary):
        agents = {p.pid for p in node.processes(What.AGENT)}
        exchange(cluster, node.name)
        assert agents.isdisjoint({p.pid for p in node.processes(What.AGENT)})
    # Past the end of the leases that the former agents had.
    time.sleep(LEASE_TTL_S)
    assert {p.pid for p in serving.processes(What.APPLICATION)} == processes
    assert longest_gap_ms(cluster.calls(), begun_ns, now_ns()) < UNNOTICED_MS
    assert cluster.primary() == primary
    cluster.wait_for_two_copies()


@pytest.mark.timeout(240)
def test_what_a_killed_agent_and_its_replicator_left_is_removed_at_once(cluster: RecordedCluster) -> None:
    cluster.wait_for_answers()
    node = cluster.lab.node(cluster.primary())
    begun = time.time()
    cluster.kill(node.name, What.AGENT)
    cluster.kill(node.name, What.REPLICATOR)
    assert VIRTUAL_ADDRESS in node.run(["ip", "-o", "address"]), "the kernel would have it for the rest of the lease"
    assert node.processes(What.APPLICATION)
    cluster.lab.start_agents([node])
    removed = first_entry(node, begun, "module.removed")
    assert removed["addresses"] == [f"{VIRTUAL_ADDRESS}/24"] and removed["replicator_lived"] is False
    assert wall_time(first_entry(node, begun, "agent.started")["at"]) > wall_time(removed["at"])
    cluster.wait_for_answers()
    cluster.wait_for_two_copies()


@pytest.mark.timeout(240)
def test_what_a_replicator_holds_that_hangs_is_ended_by_the_next_agent_though_it_hears_no_etcd(
    cluster: RecordedCluster,
) -> None:
    """Its warden hangs as well: nobody else would end the application, while another node serves."""
    cluster.wait_for_answers()
    node, begun = cluster.lab.node(cluster.primary()), time.time()
    cluster.lab.freeze(node.name, What.REPLICATOR)
    cluster.kill(node.name, What.AGENT)
    cluster.lab.cut(node.name)
    assert node.processes(What.APPLICATION)
    node.run([AGENT_INIT_SCRIPT, "start"])
    end = time.monotonic() + ENDED_S
    while (
        node.processes(What.APPLICATION)
        or node.processes(What.REPLICATOR)
        or VIRTUAL_ADDRESS in node.run(["ip", "-o", "address"])
    ):
        assert time.monotonic() < end, "something of it is left"
        time.sleep(0.1)
    # Not by its own end: that the kernel drops it is tried elsewhere.
    assert first_entry(node, begun, "module.removed")["addresses"]
    cluster.lab.heal()
    cluster.wait_for_answers()
    cluster.wait_for_two_copies()


def first_entry(node: RunningMachine, after: float, event: str) -> dict[str, Any]:
    """The first of this kind in the agent's log after that time; wall time in seconds. What was done is told later."""
    log, end = Path(node.layout.logs(node.machine), "mirrorfarm", "agent.log"), time.monotonic() + TOLD_S
    while True:
        for entry in map(json.loads, log.read_text().splitlines()):
            if entry["event"] == event and wall_time(entry["at"]) > after:
                return dict(entry)
        assert time.monotonic() < end, f"nothing of {event}"
        time.sleep(0.1)


def test_nothing_was_lost(cluster: RecordedCluster) -> None:
    cluster.end_clients()
    cluster.stop()
    assert cluster.violations() == []
