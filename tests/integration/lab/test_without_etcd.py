"""A pair that works goes on while all of etcd is frozen or dead, in the same epoch; what it cannot decide then waits.

Ten seconds are more than two leases; ``MIRRORFARM_SOAK=1`` makes it a minute.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from manager.lab.lab import Lab
from manager.lab.layout import DEFAULT_LEASE_TTL_S
from manager.lab.machine import What
from tests.support.client_history import longest_gap_ms
from tests.support.common_clock import now_ns
from tests.support.etcd_events import read
from tests.support.recorded_cluster import CALM_MS, MODULE, Recorded, RecordedCluster

pytestmark = pytest.mark.usefixtures("worked")

AWAY_S = 65.0 if os.environ.get("MIRRORFARM_SOAK") == "1" else 3.5 * DEFAULT_LEASE_TTL_S
UNNOTICED_MS = 2000
"""Far below a lease; no write takes so long on a busy machine."""


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> RecordedCluster:
    made = RecordedCluster(lab, Recorded(pause_ms=CALM_MS))
    made.open()
    return made


@dataclass(frozen=True)
class Place:
    """Who serves."""

    primary: str
    secondary: str
    epoch: int


def place(cluster: RecordedCluster) -> Place:
    """As etcd has it."""
    key = read(cluster.lab, f"modules/{MODULE}/primary")
    assert key is not None, "nobody has the primary's key"
    return Place(key["node"], "a" if key["node"] == "b" else "b", key["epoch"])


def freeze_all(lab: Lab) -> None:
    lab.etcd.freeze([m for m in lab.etcd.members if m.is_up])


def kill_all(lab: Lab) -> None:
    for member in lab.etcd.members:
        if member.is_up:
            member.kill(What.ETCD)


def bring_back(lab: Lab) -> None:
    lab.thaw()
    there = [m for m in lab.etcd.members if m.is_up]
    lab.etcd.start([m for m in there if not m.processes(What.ETCD)])
    for member in there:
        lab.etcd.wait_until_ready(member)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lose", [freeze_all, kill_all])
def test_a_pair_goes_on_without_etcd_and_in_the_same_epoch_with_it(
    cluster: RecordedCluster, lose: Callable[[Lab], None]
) -> None:
    before, begun_ns = place(cluster), now_ns()
    lose(cluster.lab)
    time.sleep(AWAY_S)
    bring_back(cluster.lab)
    # A key that expired is taken back within a lease.
    time.sleep(2 * DEFAULT_LEASE_TTL_S)
    assert longest_gap_ms(cluster.calls(), begun_ns, now_ns()) < UNNOTICED_MS
    assert place(cluster) == before
    cluster.wait_for_two_copies()


@pytest.mark.timeout(300)
def test_when_the_secondary_dies_meanwhile_writes_wait_until_etcd_is_back(cluster: RecordedCluster) -> None:
    here = place(cluster)
    freeze_all(cluster.lab)
    time.sleep(1.5 * DEFAULT_LEASE_TTL_S)
    cluster.lab.crash(here.secondary)
    died_ns = now_ns()
    time.sleep(DEFAULT_LEASE_TTL_S)
    assert not any(call.wrote and call.begun_ns > died_ns for call in cluster.calls()), "it has only one copy"
    bring_back(cluster.lab)
    cluster.wait_for_answers()
    assert place(cluster).primary == here.primary


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lose", [freeze_all, kill_all])
def test_a_primary_that_is_alone_in_the_record_goes_on_without_etcd(
    cluster: RecordedCluster, lose: Callable[[Lab], None]
) -> None:
    here = place(cluster)
    cluster.lab.crash(here.secondary)
    cluster.mirrorfarm(here.primary, "wait", MODULE, "ALONE", "--timeout", "60 s")
    cluster.wait_for_answers()
    before, begun_ns = place(cluster), now_ns()
    lose(cluster.lab)
    time.sleep(AWAY_S)
    bring_back(cluster.lab)
    time.sleep(2 * DEFAULT_LEASE_TTL_S)
    assert longest_gap_ms(cluster.calls(), begun_ns, now_ns()) < UNNOTICED_MS
    assert place(cluster) == before


@pytest.mark.timeout(300)
def test_a_swap_is_given_up_without_etcd_and_the_application_goes_on_where_it_was(cluster: RecordedCluster) -> None:
    """Its place was not offered yet: the application's stop takes longer than noticing that etcd is silent."""
    before = place(cluster)
    cluster.lab.freeze(before.primary, What.APPLICATION)
    cluster.mirrorfarm(before.primary, "swap", MODULE, "--no-wait")
    end = time.monotonic() + 10
    while reason_on(cluster, before.primary) != "stopping_application":
        assert time.monotonic() < end
        time.sleep(0.1)
    kill_all(cluster.lab)
    time.sleep(DEFAULT_LEASE_TTL_S)
    cluster.lab.thaw(before.primary)
    cluster.wait_for_answers(seconds=15)
    bring_back(cluster.lab)
    time.sleep(2 * DEFAULT_LEASE_TTL_S)
    assert place(cluster) == before
    told = cluster.mirrorfarm(before.primary, "why", MODULE, "--node", before.primary)
    assert "swap: failed. etcd does not answer" in told


def reason_on(cluster: RecordedCluster, node: str) -> str:
    """The cause that ``node`` itself shows."""
    view = json.loads(cluster.mirrorfarm(node, "state", MODULE, "--json"))["modules"][0]
    return str(next(shown["reason"] for shown in view["nodes"] if shown["node"] == node))
