"""Whatever is killed under load, at moments that a seed gives: each operation that completed is on the survivor, once
and in place, one node served at a time, and both copies are equal in the end.

``MIRRORFARM_SEED=N`` repeats the choice of a run; a failure prints its N. Here it is known what must come of each;
``test_schedules`` does anything at any moment.
"""

import json
import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from manager.lab.machine import What
from tests.support.recorded_cluster import MODULE, RecordedCluster

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
SEED = int(os.environ.get("MIRRORFARM_SEED", str(time.time_ns() % 1_000_000) if SOAK else "7"))
LONGEST_WAIT_S = 1.5

Fault = Callable[[RecordedCluster, str, str], None]
"""Given the primary's name and the other node's."""


def kill_replicator(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.kill(primary, What.REPLICATOR)


def freeze_replicator(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.freeze(primary, What.REPLICATOR)


def kill_application(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.kill(primary, What.APPLICATION)


def kill_agent(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.kill(primary, What.AGENT)


def kill_agent_that_is_started_again(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.kill(primary, What.AGENT)
    cluster.lab.start_agents([cluster.lab.node(primary)])


def crash_primary(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.crash(primary)


def power_off_primary(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.crash(primary, power=True)


def kill_secondary_replicator(cluster: RecordedCluster, _: str, secondary: str) -> None:
    cluster.kill(secondary, What.REPLICATOR)


def freeze_secondary_replicator(cluster: RecordedCluster, _: str, secondary: str) -> None:
    cluster.lab.freeze(secondary, What.REPLICATOR)


def kill_secondary_agent(cluster: RecordedCluster, _: str, secondary: str) -> None:
    cluster.kill(secondary, What.AGENT)


def power_off_secondary(cluster: RecordedCluster, _: str, secondary: str) -> None:
    cluster.lab.crash(secondary, power=True)


KILLED: tuple[Fault, ...] = (kill_replicator, kill_application, kill_agent, crash_primary, power_off_primary)

TAKEN_OVER = (*KILLED, freeze_replicator)
"""After these the other node serves."""

KEPT: tuple[Fault, ...] = (
    kill_secondary_replicator, freeze_secondary_replicator, kill_secondary_agent, power_off_secondary,
)  # fmt: skip
"""After these the application goes on where it is, and does not notice."""

EITHER: tuple[Fault, ...] = (kill_agent_that_is_started_again,)
"""An agent that is back before its lease ends goes on; on a busy machine it is not."""

ALL = TAKEN_OVER + KEPT + EITHER


def chosen(chance: random.Random) -> list[Fault]:
    """In a soak each once; else those that end a part of the primary, or all of it: other tests freeze and cut."""
    return chance.sample(ALL, len(ALL)) if SOAK else chance.sample(KILLED, len(KILLED))


@pytest.fixture(autouse=True)
def served(cluster: RecordedCluster) -> Iterator[None]:
    """Each test finds the module served, with a history that begins, and leaves it stopped and forgotten."""
    cluster.start()
    yield
    cluster.end_clients()
    cluster.stop()
    cluster.forget()


def suffer(cluster: RecordedCluster, fault: Fault) -> None:
    """``fault``, what must come of it, and back to two copies."""
    cluster.wait_for_work()
    primary = cluster.primary()
    other = "a" if primary == "b" else "b"
    print(f"{fault.__name__}: primary {primary}", flush=True)
    moment_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    fault(cluster, primary, other)
    if fault in TAKEN_OVER:
        assert cluster.wait_for_work((other,), since_ns=moment_ns) == other
        assert cluster.primary(asked=other) == other
    elif fault in KEPT:
        # Its calls wait for the lost secondary, and it has no more than that to notice.
        assert cluster.wait_for_work((primary,)) == primary
    else:
        cluster.wait_for_work()
    cluster.heal()
    if fault is kill_application:
        cluster.start()  # A node on which it failed does not get it back before an operator says so.
    if fault in KEPT:
        assert cluster.primary() == primary
    cluster.wait_for_work()


def assert_nothing_is_wrong(cluster: RecordedCluster) -> None:
    """``verify`` finds nothing; nor do the records and the second comparer, once the module is stopped."""
    cluster.end_clients()
    report = json.loads(cluster.mirrorfarm(cluster.primary(), "verify", MODULE, "--json"))
    assert (report["error"], report["differences"]) == ("", [])
    cluster.stop()
    assert cluster.violations() == []
    assert any(call.wrote for call in cluster.calls()), "no client was ever answered"


@pytest.mark.timeout(1800 if SOAK else 400)
def test_what_completed_is_on_the_survivor_whatever_is_killed(cluster: RecordedCluster) -> None:
    print(f"MIRRORFARM_SEED={SEED}")
    chance = random.Random(SEED)
    cluster.start_clients()
    for fault in chosen(chance):
        time.sleep(chance.random() * LONGEST_WAIT_S)
        suffer(cluster, fault)
    assert_nothing_is_wrong(cluster)


@pytest.mark.timeout(300)
def test_what_was_synced_is_there_after_both_have_lost_their_power(cluster: RecordedCluster) -> None:
    """And they serve again by themselves, since both come back (P2)."""
    cluster.start_clients()
    cluster.wait_for_work()
    for name in random.Random(SEED).sample(["a", "b"], 2):
        moment_ns = cluster.lab.crash(name, power=True)
    cluster.power_lost_ns.append(moment_ns)
    for name in ("a", "b"):
        cluster.lab.start(name)
    cluster.wait_for_work(since_ns=moment_ns)
    cluster.wait_for_two_copies()
    assert_nothing_is_wrong(cluster)
