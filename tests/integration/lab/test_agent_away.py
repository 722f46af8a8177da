"""An agent that is killed and started again, as an upgrade does it: the application does not notice."""

import time
from collections.abc import Iterator

import pytest

from manager.lab.machine import What
from tests.support.client_history import longest_gap_ms
from tests.support.common_clock import now_ns
from tests.support.lab import lab_directory, make_lab
from tests.support.recorded_cluster import RecordedCluster

LEASE_TTL_S = 15
"""A machine that is short of cores needs seconds to start a process, and this is not about how many."""
UNNOTICED_MS = 2000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedCluster]:
    lab = make_lab(lab_directory(tmp_path_factory.mktemp("lab")), lease_ttl_s=LEASE_TTL_S)
    try:
        made = RecordedCluster(lab)
        made.open()
        made.start_clients(2)
        yield made
    finally:
        lab.down()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("of", ["secondary", "primary"])
def test_an_agent_that_is_killed_and_started_again_is_not_noticed(cluster: RecordedCluster, of: str) -> None:
    cluster.wait_for_answers()
    primary = cluster.primary()
    name = primary if of == "primary" else "a" if primary == "b" else "b"
    serving = cluster.lab.node(primary)
    processes = {p.pid for p in serving.processes(What.APPLICATION)}
    assert processes
    begun_ns = now_ns()
    cluster.kill(name, What.AGENT)
    cluster.lab.start_agents([cluster.lab.node(name)])
    # Past the end of the lease that the former agent had.
    time.sleep(LEASE_TTL_S)
    assert {p.pid for p in serving.processes(What.APPLICATION)} == processes
    assert longest_gap_ms(cluster.calls(), begun_ns, now_ns()) < UNNOTICED_MS
    assert cluster.primary() == primary
    cluster.wait_for_two_copies()


def test_nothing_was_lost(cluster: RecordedCluster) -> None:
    cluster.end_clients()
    cluster.stop()
    assert cluster.violations() == []
