"""How long clients wait when something fails, measured by one of them: ``python -m tests.robustness.outages``. As root.

It begins a synced write every 20 ms on the virtual address; an outage is the longest time without one that completed.
Each case is repeated, the pair made whole before; the application is a small server, so that what is measured is the
cluster's share. Printed beside what the lease's TTL allows; with ``--json FILE`` the single figures, too.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from manager.lab.lab import Lab
from manager.lab.layout import DEFAULT_LEASE_TTL_S
from manager.lab.machine import What
from tests.robustness.reports import table
from tests.support import client_history
from tests.support.common_clock import now_ns
from tests.support.lab import lab_directory, make_lab
from tests.support.recorded_cluster import DIRECTORY, MODULE, RecordedCluster
from tests.support.told_program import ROOT

_AFTER_S = 2.0
_LONGEST_S = 30.0
_LAB_S = 4 * 3600.0
_START = f"""#!/bin/sh
PYTHONPATH={ROOT} setsid {sys.executable} -m tests.support.recorded_server {DIRECTORY}/work \
  >>/var/log/mirrorfarm/work.out 2>&1 </dev/null &
"""

Act = Callable[[RecordedCluster, str, str], None]
"""Given the primary's name and the secondary's."""


@dataclass(frozen=True, slots=True)
class Case:
    """What fails."""

    name: str
    act: Act
    allowed: str
    """What the TTL, here T, and the peer's timeout, here P, allow."""
    leader: str = "witness"
    """Where etcd's leader is: ``primary``, or a machine."""


def _crash(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.crash(primary)


def _power(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.crash(primary, power=True)


def _freeze(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.freeze(primary)


def _cut_off(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.cut(primary)


def _cut_etcd(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.cut(primary, etcd_alone=True)


def _cut_apart(cluster: RecordedCluster, primary: str, secondary: str) -> None:
    cluster.lab.cut(primary, secondary)


def _lose_secondary(cluster: RecordedCluster, _: str, secondary: str) -> None:
    cluster.lab.crash(secondary, power=True)


def _kill(what: What) -> Act:
    def act(cluster: RecordedCluster, primary: str, _: str) -> None:
        cluster.lab.kill(primary, what)

    return act


def _freeze_replicator(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.freeze(primary, What.REPLICATOR)


def _restart_agent(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.lab.kill(primary, What.AGENT)
    cluster.lab.start_agents([cluster.lab.node(primary)])


def _etcd_dead(cluster: RecordedCluster, *_: str) -> None:
    """For longer than any lease."""
    for member in cluster.lab.etcd.members:
        member.kill(What.ETCD)
    time.sleep(4 * cluster.lab.record.lease_ttl_s)
    cluster.lab.etcd.start(cluster.lab.etcd.members)


def _swap(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.mirrorfarm(primary, "swap", MODULE)


def _stop(cluster: RecordedCluster, primary: str, _: str) -> None:
    cluster.mirrorfarm(primary, "stop", MODULE, "--node", primary)


CASES = (
    Case("crash of the primary", _crash, "T + 1"),
    Case("crash of the primary and etcd's leader", _crash, "T + 3.5", "primary"),
    Case("power of the primary", _power, "T + 1"),
    Case("power of the secondary", _lose_secondary, "P"),
    Case("freeze of the primary", _freeze, "T + 1"),
    Case("freeze of the primary's replicator", _freeze_replicator, "P + 2"),
    Case("kill of the primary's replicator", _kill(What.REPLICATOR), "1"),
    Case("kill of the primary's application", _kill(What.APPLICATION), "2"),
    Case("kill of the primary's agent", _kill(What.AGENT), "T + 1"),
    Case("kill of the primary's agent, started again", _restart_agent, "0"),
    Case("cut of the primary from all", _cut_off, "T + 1"),
    Case("cut of the primary from etcd", _cut_etcd, "0"),
    Case("cut between the two", _cut_apart, "P"),
    Case("etcd dead for 4 T", _etcd_dead, "0"),
    Case("swap", _swap, "1"),
    Case("stop of the primary's node", _stop, "1"),
)


class Meter:
    """Measures on one lab."""

    def __init__(self, lab: Lab) -> None:
        self._cluster = RecordedCluster(lab)
        self._cluster.open(_START)

    def measure(self, case: Case) -> int:
        """One outage, in milliseconds.

        Raises:
            AssertionError: nobody serves in time.
        """
        cluster = self._cluster
        cluster.repair()
        cluster.start()
        cluster.forgive()
        cluster.wait_for_two_copies()
        primary = cluster.primary()
        secondary = "a" if primary == "b" else "b"
        leader = primary if case.leader == "primary" else case.leader
        cluster.lab.etcd.lead(leader, cluster.lab.client)
        probe = cluster.start_probe()
        cluster.wait_for_answers(5, _LONGEST_S)
        begun_ns = now_ns()
        case.act(cluster, primary, secondary)
        cluster.wait_for_answers(5, _LONGEST_S)
        # Who is served on for a while has his outage, if any, once the lease is over.
        time.sleep(cluster.lab.record.lease_ttl_s + _AFTER_S)
        cluster.end_clients()
        outage_ms = client_history.longest_gap_ms(probe.calls(), begun_ns, now_ns())
        cluster.forget()
        return outage_ms


def measure_all(cases: Iterable[Case], repeat: int, lease_ttl_s: int) -> dict[str, list[int]]:
    """Each case so often; milliseconds by what the table calls it."""
    found: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as otherwise:
        lab = make_lab(lab_directory(Path(otherwise)), ttl_s=_LAB_S, lease_ttl_s=lease_ttl_s)
        try:
            meter = Meter(lab)
            for case in cases:
                named = f"{case.name} (allowed: {case.allowed} s)"
                found[named] = [meter.measure(case) for _ in range(repeat)]
                print(f"{named}: {found[named]}", file=sys.stderr, flush=True)
        finally:
            lab.down()
    return found


def main() -> int:
    """Exit code 0: all was measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.outages", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="how often each (default: 5)")
    parser.add_argument("--lease-ttl", metavar="S", type=int, default=DEFAULT_LEASE_TTL_S, help="T, in seconds")
    parser.add_argument("--only", metavar="WORDS", help="only cases with these words in their names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the single figures")
    args = parser.parse_args()
    # The lab goes with whoever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cases = [case for case in CASES if not args.only or args.only in case.name]
    found = measure_all(cases, args.repeat, args.lease_ttl)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    print(f"T = {args.lease_ttl} s, P = 5 s")
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
