"""A farm under load while its nodes join, drain, crash, return and lose their agents, and the director moves: only what
a node had that went away is ever cut off, the shares are those of the weights, and nothing leaves the lab.

``MIRRORFARM_SEED=N`` repeats the order of a run; a failure prints its N. ``MIRRORFARM_SOAK=1`` goes on until 100,000
connections have been begun, thousands of them open at a time.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from pyroute2 import netns

from manager.lab.lab import Lab
from tests.robustness.farm_cluster import Amount, Farm, FarmCluster
from tests.robustness.farm_story import Event, Story
from tests.robustness.soak import DIRECTORY
from tests.support import farm_history, outside
from tests.support.farm_client import Seen
from tests.support.farm_history import How
from tests.support.inside import inside
from tests.support.lab import LogKeeper, lab_directory, make_lab

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
SEED = int(os.environ.get("MIRRORFARM_SEED", str(time.time_ns() % 1_000_000) if SOAK else "3"))
NODES = ("a", "b", "c")
FARM = Farm("web", ("10.77.0.110", "fd77::110"), 8080)
NETWORKS = {False: "10.78.0.0/16", True: "fd78::/64"}
CONNECTIONS = 100_000 if SOAK else 2_000
AMOUNT = Amount(1_000, 40.0, 12.0, 4.0) if SOAK else Amount(60, 40.0, 3.0, 0.5)
"""For each of the addresses."""
CALM_S = 5.0 if SOAK else 2.0
MOST_AWAY_MS = 2_000 if SOAK else 4_000
"""Of a dead node's share; other tests run beside those of every day."""
UNEVEN = 0.05 if SOAK else 0.25
"""How far a node's part of the connections may be from its weight's: of few it is chance."""

ALL: tuple[Event, ...] = (
    Story.crash_a_member, Story.crash_the_director, Story.stop_and_start, Story.move_the_director, Story.drain,
    Story.weigh, Story.kill_an_agent, Story.kill_the_directors_agent,
)  # fmt: skip
EVENTS = ALL if SOAK else (Story.crash_a_member, Story.drain)


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[FarmCluster]:
    """Three nodes with their shares of both addresses, and a client that has all addresses of two networks."""
    logs = LogKeeper(request)
    lab = make_lab(lab_directory(tmp_path_factory.mktemp("lab")), NODES, ttl_s=3600.0)
    try:
        lab.client.run(["sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1"])
        for network in NETWORKS.values():
            lab.client.run(["ip", "route", "add", "local", network, "dev", "lo"])
        made = FarmCluster(lab, FARM, NETWORKS)
        made.route(*NODES)
        made.open()
        yield made
    finally:
        logs.tell(lab)
        lab.down()


def test_what_leaves_a_lab_would_be_noticed_and_nothing_else() -> None:
    name, seen = f"mirrorfarm-outside-{os.getpid()}", list[bytes]()

    def send() -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with outside.listening() as left:
            for address in ("10.77.0.9", "10.79.0.9", "fd77::9", "fd79::9"):
                # Else an IPv6 address is tentative for a moment, on lo too.
                subprocess.run(["ip", "address", "add", address, "dev", "lo", "nodad"], check=True)
                with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as end:
                    end.bind((address, 0))
                    end.sendto(address.encode(), end.getsockname())
        seen.extend(left)

    netns.create(name)
    try:
        inside(name, send)
    finally:
        netns.remove(name)
    assert {packet[28:] for packet in seen if packet[0] >> 4 == 4} == {b"10.77.0.9"}
    assert {packet[48:] for packet in seen if packet[0] >> 4 == 6} == {b"fd77::9"}


@pytest.mark.timeout(2400 if SOAK else 300)
def test_only_what_went_away_is_cut_off_and_the_shares_are_those_of_the_weights(cluster: FarmCluster) -> None:
    print(f"MIRRORFARM_SEED={SEED}")
    story = Story(cluster, SEED, CALM_S)
    seen: list[Seen] = []
    with outside.listening() as left:
        while len(seen) < CONNECTIONS:
            loads = [cluster.load(address, AMOUNT) for address in FARM.addresses]
            with loads[0], loads[1]:
                story.go_through(EVENTS)
            seen += [one for load in loads for one in load.seen]
    shares, away_ms = farm_history.answered(seen, story.calms), _away_ms(story, seen)
    stalls_ms = [(one.ended_ns - one.began_ns) // 1_000_000 for one in seen if one.kind == "stall"]
    wrong = farm_history.violations(seen, story.losses)
    print(
        f"{len(seen)} connections; answered, and due: {shares}; away, in ms: {away_ms}; the clients were not run "
        f"{len(stalls_ms)} times, at the most for {max(stalls_ms, default=0)} ms",
        *wrong,
        sep="\n",
    )
    late = [(node, ms) for node, ms in away_ms if ms > MOST_AWAY_MS]
    if wrong or late:
        print(f"The logs of the lab: {_keep(cluster.lab, story, seen)}")
    assert wrong == []
    assert late == []
    assert {node: found for node, found in shares.items() if abs(found[0] - found[1]) > UNEVEN * found[1]} == {}
    assert left == []
    assert _learned_elsewhere(cluster.lab) == {}


def _keep(lab: Lab, story: Story, seen: list[Seen]) -> Path:
    """What the machines and the clients wrote down, and when nodes went away, for whoever looks for a cause."""
    kept = DIRECTORY / f"farm-{SEED}"
    for machine in lab.layout.machines:
        shutil.copytree(lab.layout.logs(machine), kept / machine.name, dirs_exist_ok=True)
    (kept / "seen.jsonl").write_text("".join(json.dumps(asdict(one)) + "\n" for one in seen))
    (kept / "losses.txt").write_text("".join(f"{loss}\n" for loss in story.losses))
    return kept


def _away_ms(story: Story, seen: list[Seen]) -> list[tuple[str, int]]:
    """Of each death: whose, and how long it was until everything that began was served at once again."""
    died = [loss for loss in story.losses if loss.how is How.DIED]
    return [(loss.node, farm_history.away_ns(seen, loss) // 1_000_000) for loss in died]


def _learned_elsewhere(lab: Lab) -> dict[str, str]:
    """Machines whose frames the switch has learned at another one's port."""
    command = ["nsenter", "--target", str(lab.switch.pid), "--net", "bridge", "-json", "fdb", "show"]
    entries = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    names = {machine.mac: machine.name for machine in lab.layout.machines}
    # A port's own MAC is its veth's end, which no machine has.
    learned = [(names[entry["mac"]], entry["ifname"]) for entry in entries if entry["mac"] in names]
    assert {name for name, _ in learned} >= set(NODES)
    return {name: port for name, port in learned if port != name}
