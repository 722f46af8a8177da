"""The commands of the manual do in the lab what they do on real machines, and a take-over is as quick as it says.

A test finds both nodes up, the module PRIM on either of them and SECOND on the other, and leaves things as they are.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.pulse import LEAST_LIMIT_NS
from manager.lab.commands import trying
from manager.lab.demo.ledger import Ledger
from manager.lab.demo.timeline import of_take_over, wall_time
from manager.lab.errors import LabError
from manager.lab.lab import Lab
from manager.lab.layout import CLUSTER, DEFAULT_LEASE_TTL_S, VIRTUAL_ADDRESS, WITNESS
from manager.lab.machine import RunningMachine, What
from manager.model.keys import ClusterKeys
from tests.support.majority import hold_mostly
from tests.support.operators import operate
from tests.support.two_disks import is_soak

FILE = "/srv/db/file"
KEYS = ClusterKeys(CLUSTER)
PEER_TIMEOUT_S = 5.0
"""The default of a module."""
_SIGNALLED_S = 2.0
_HUNG_S = LEAST_LIMIT_NS / 1e9
_SETTLE_S = 30.0
_LOOK_S = 0.05
_MEASURED = 7 if is_soak() else 3
_SIX = "fd77::100"
_MORE = f"""
[[address]]
ip = "{_SIX}/64"
"""
_START = "#!/bin/sh\nsetsid sleep 10000 >/dev/null 2>&1 &\n"

Pair = tuple[RunningMachine, RunningMachine]
"""The primary, and the other node."""


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Lab:
    """Module ``db`` of the manual, with an IPv6 address beside the other one, and a script that starts something."""
    if is_soak():
        keep_debians_election_timeout(lab)
    a = lab.node("a")
    a.run(["tee", "-a", "/etc/mirrorfarm/modules/db/module.toml"], stdin=_MORE)
    a.run(["install", "-d", "/etc/mirrorfarm/modules/db/scripts"])
    a.run(["tee", "/etc/mirrorfarm/modules/db/scripts/start_prim"], stdin=_START)
    operate(a, "module", "apply", "/etc/mirrorfarm/modules/db")
    operate(a, "start", "db")
    operate(a, "prim", "db", "--yes", "a")
    return lab


def keep_debians_election_timeout(lab: Lab) -> None:
    """In place of the lab's own, which is shorter: with it one time in seven takes too long, as README says."""
    for member in lab.etcd.members:
        member.run(["sed", "-i", "/^ETCD_ELECTION_TIMEOUT=/d", "/etc/default/etcd"])
        # By its init script the last leader would look for another one first.
        member.kill(What.ETCD)
    lab.etcd.start(lab.etcd.members)
    for member in lab.etcd.members:
        lab.etcd.wait_until_ready(member)


@pytest.fixture
def pair(cluster: Lab) -> Pair:
    """Both, after whatever was done by the test before."""
    return settle(cluster)


def settle(lab: Lab) -> Pair:
    """Undo every fault, and wait until there are two copies; who the primary is stays as it is."""
    lab.heal()
    lab.thaw()
    for node in lab.nodes:
        if not node.is_up:
            lab.start(node.name)
    primary, secondary = roles(lab)
    operate(primary, "wait", "db", "SECOND", "--node", secondary.name)
    return primary, secondary


def roles(lab: Lab) -> Pair:
    """As etcd has them: an agent that was frozen shows for a moment what was before."""
    primary = lab.node(str(record(lab, KEYS.module("db").primary)["node"]))
    return primary, next(node for node in lab.nodes if node.name != primary.name)


def lead(lab: Lab, leader: str, renewing: RunningMachine) -> None:
    """``leader`` leads etcd, and ``renewing`` has renewed since: a new leader gives leases more than their TTL."""
    let_lead(lab, leader)
    key = KEYS.node(renewing.name)
    before = int(record(lab, key)["renewal"])
    # The first may have been on its way.
    record(lab, key, lambda found: int(found["renewal"]) >= before + 2)


def let_lead(lab: Lab, leader: str) -> None:
    """A member that has just come may not be asked in time, or be behind."""
    trying(_SETTLE_S, _LOOK_S)(lab.etcd.lead, leader, lab.client)


def record(lab: Lab, key: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
    """What is at ``key`` in etcd, once there is something and it is as ``wanted``."""
    endpoint = f"{lab.layout.machine(WITNESS).ipv4}:2379"
    end = time.monotonic() + _SETTLE_S
    while True:
        text = lab.client.run(["etcdctl", f"--endpoints={endpoint}", "get", "--print-value-only", key])
        found: dict[str, Any] = json.loads(text) if text.strip() else {}
        if found and wanted(found):
            return found
        assert time.monotonic() < end, f"{key}: {found}"
        time.sleep(_LOOK_S)


def wall_time_of(moment_ns: int) -> float:
    """Seconds; of an instant of CLOCK_BOOTTIME."""
    return time.time() - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - moment_ns) / 1e9


def agent_log(node: RunningMachine) -> list[str]:
    return Path(node.layout.logs(node.machine), "mirrorfarm", "agent.log").read_text().splitlines()


def first_after(node: RunningMachine, after: float, **fields: object) -> float:
    """When the first entry with these fields came into the agent's log after that time; wall time in seconds."""
    for entry in map(json.loads, agent_log(node)):
        if wall_time(entry["at"]) > after and all(entry.get(name) == value for name, value in fields.items()):
            return wall_time(entry["at"])
    raise AssertionError(f"nothing on {node.name} says {fields}")


def assert_median_below(limit_s: float, measure: Callable[[Pair], float], lab: Lab) -> None:
    """Of ``_MEASURED`` times the one in the middle is below ``limit_s``.

    Each begins with a settled pair, and ends at an instant that a log has, not when the test came to look.
    """
    seconds = hold_mostly(lambda: measure(settle(lab)), lambda s: s < limit_s, _MEASURED)
    print(f"{seconds} s, of {limit_s:.2f} s")


def take_over_seconds(lab: Lab, pair: Pair, leader: str) -> float:
    """From the loss of the primary's power to the address and the application, while ``leader`` leads etcd.

    What was written before is there at once.
    """
    primary, survivor = pair
    lead(lab, leader, primary)
    primary.run(["sh", "-c", f"echo written on {primary.name} >> {FILE}"])
    written = primary.run(["cat", FILE])
    crash = wall_time_of(lab.crash(primary.name, power=True))
    operate(survivor, "wait", "db", "ALONE", "--node", survivor.name)
    assert survivor.run(["cat", FILE]) == written
    survivor.run(["sh", "-c", f"echo goes on on {survivor.name} >> {FILE}"])
    timeline = of_take_over(crash, agent_log(survivor), Ledger(()), "db")
    at = {step.what.partition(":")[0]: step.at for step in timeline.steps}
    address, application = at["address"], at["application"]
    assert address is not None
    assert application is not None
    return max(address, application) - crash


def test_a_take_over_takes_the_ttl_and_a_second_and_loses_nothing(cluster: Lab) -> None:
    """The median of three losses of power (soak: seven), while the witness leads etcd; who returns has both parts."""
    assert_median_below(DEFAULT_LEASE_TTL_S + 1.0, lambda pair: take_over_seconds(cluster, pair, "witness"), cluster)
    primary, secondary = settle(cluster)
    assert secondary.run(["cat", FILE]) == primary.run(["cat", FILE])
    assert json.loads(operate(primary, "verify", "db", "--json"))["differences_total"] == 0


def test_a_take_over_from_the_node_that_led_etcd_takes_two_and_a_half_seconds_more(cluster: Lab) -> None:
    """The median of three, at the lab's election timeout of etcd; soak: of seven, at Debian's.

    etcd elects first, for one to two of these timeouts, and the new leader gives leases their TTL and one more.
    """
    limit_s = DEFAULT_LEASE_TTL_S + 1.0 + 2.5
    assert_median_below(limit_s, lambda pair: take_over_seconds(cluster, pair, pair[0].name), cluster)


def lost_peer_seconds(lab: Lab, pair: Pair) -> float:
    """From the crash of the secondary to ALONE on the primary, whose writes go on, while the witness leads etcd."""
    primary, secondary = pair
    let_lead(lab, "witness")
    crash = wall_time_of(lab.crash(secondary.name, power=True))
    operate(primary, "wait", "db", "ALONE", "--node", primary.name)
    return first_after(primary, crash, event="state.changed", state="ALONE", readiness="ready") - crash


def test_a_lost_peer_is_given_up_within_its_timeout_and_writes_go_on(cluster: Lab, pair: Pair) -> None:
    """The median of three (soak: seven)."""
    primary, _ = pair
    writer = f"setsid sh -c 'while sleep 0.02; do date > {FILE}; done' >/dev/null 2>&1 </dev/null &"
    primary.run(["sh", "-c", writer])
    assert_median_below(PEER_TIMEOUT_S, lambda pair: lost_peer_seconds(cluster, pair), cluster)
    # The writer was held meanwhile, and goes on.
    primary.run(["timeout", "5", "sh", "-c", f"cp {FILE} /tmp/was; until ! cmp -s {FILE} /tmp/was; do sleep 0.1; done"])
    primary.run(["pkill", "-f", "while sleep 0.02"])


@pytest.mark.timeout(240)
def test_a_frozen_replicator_loses_its_module_to_the_other_node(cluster: Lab) -> None:
    """Its agent renews the lease, and notices that nobody listens: five seconds of silence, at its next look.

    The other one does not wait for the end of the lease then.
    """
    in_time(_HUNG_S + 2.0, DEFAULT_LEASE_TTL_S, lambda: frozen_replicator_seconds(cluster, settle(cluster)))


def frozen_replicator_seconds(lab: Lab, pair: Pair) -> tuple[float, float]:
    """From the freeze until it is noticed, and from then until the other node is the primary."""
    primary, other = pair
    primary.run(["sh", "-c", f"echo before > {FILE} && sync {FILE}"])
    frozen = time.time()
    lab.freeze(primary.name, What.REPLICATOR)
    operate(other, "wait", "db", "ALONE", "--node", other.name)
    noticed = first_after(primary, frozen, event="replicator.gone")
    promoted = first_after(other, frozen, event="transaction.settled", tag="elect", succeeded=True)
    assert other.run(["cat", FILE]) == "before\n"
    assert primary.processes(What.APPLICATION) == []
    return noticed - frozen, promoted - noticed


def in_time(first_s: float, then_s: float, measure: Callable[[], tuple[float, float]]) -> None:
    """Most times both are shorter."""
    found = hold_mostly(measure, lambda seconds: seconds[0] < first_s and seconds[1] < then_s)
    print(f"{found} s, of {first_s:g} and {then_s:g} s")


def test_a_frozen_replicator_of_the_secondary_is_replaced(cluster: Lab, pair: Pair) -> None:
    primary, secondary = pair
    former = {p.pid for p in secondary.processes(What.REPLICATOR)}
    cluster.freeze(secondary.name, What.REPLICATOR)
    operate(primary, "wait", "db", "ALONE", "--node", primary.name)
    primary.run(["sh", "-c", f"echo meanwhile > {FILE}"])
    operate(primary, "wait", "db", "SECOND", "--node", secondary.name)
    assert former.isdisjoint(p.pid for p in secondary.processes(What.REPLICATOR))
    assert secondary.run(["cat", FILE]) == "meanwhile\n"


def test_swap_and_stop_wait_for_no_timeout(cluster: Lab) -> None:
    in_time(DEFAULT_LEASE_TTL_S, DEFAULT_LEASE_TTL_S, lambda: swap_and_stop_seconds(settle(cluster)))


def swap_and_stop_seconds(pair: Pair) -> tuple[float, float]:
    primary, secondary = pair
    begun = time.monotonic()
    operate(primary, "swap", "db")
    swapped = time.monotonic()
    operate(secondary, "wait", "db", "SECOND", "--node", primary.name)
    stopping = time.monotonic()
    operate(secondary, "stop", "db")
    stopped = time.monotonic()
    operate(secondary, "start", "db")
    return swapped - begun, stopped - stopping


def test_a_frozen_agent_loses_its_module_to_the_other_node(cluster: Lab, pair: Pair) -> None:
    primary, other = pair
    cluster.freeze(primary.name, What.AGENT)
    assert next(s.agent for s in cluster.states() if s.name == primary.name) == "frozen"
    operate(other, "wait", "db", "ALONE", "--node", other.name)
    shown = {n.name: n.run(["ip", "-o", "address"]) for n in cluster.nodes}
    for address in (VIRTUAL_ADDRESS, _SIX):
        assert [name for name, text in shown.items() if f" {address}/" in text] == [other.name], shown
        cluster.client.run(["ping", "-c", "1", "-W", "2", address])
    assert primary.processes(What.APPLICATION) == []


def test_a_part_that_is_frozen_goes_on_by_itself_or_with_all_that_is(cluster: Lab, pair: Pair) -> None:
    primary, _ = pair

    def comes_to_stand_still(*parts: What) -> None:
        # A signal is sent at once, and taken when its process is run next.
        end = time.monotonic() + _SIGNALLED_S
        while (still := {what for what in What if any(p.state == "T" for p in primary.processes(what))}) != set(parts):
            assert time.monotonic() < end, f"frozen: {still}"
            time.sleep(0.02)

    cluster.freeze(primary.name, What.APPLICATION)
    comes_to_stand_still(What.APPLICATION)
    cluster.freeze(primary.name, What.REPLICATOR)
    comes_to_stand_still(What.APPLICATION, What.REPLICATOR)
    cluster.thaw(primary.name, What.REPLICATOR)
    comes_to_stand_still(What.APPLICATION)
    cluster.thaw(primary.name)
    comes_to_stand_still()
    cluster.freeze(primary.name)
    try:
        with pytest.raises(LabError, match="frozen as a whole"):
            cluster.thaw(primary.name, What.AGENT)
    finally:
        cluster.thaw(primary.name)


def test_parts_of_a_node_are_told_apart(pair: Pair) -> None:
    primary, _ = pair
    commands = {what: {p.command for p in primary.processes(what)} for what in What}
    assert any("agent" in c for c in commands[What.AGENT])
    assert any("replicator" in c for c in commands[What.REPLICATOR])
    assert commands[What.APPLICATION] == {"sleep 10000"}
    assert len(commands[What.ETCD]) == 1
    assert not commands[What.AGENT] & commands[What.REPLICATOR]
