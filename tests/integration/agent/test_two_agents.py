"""Two agents and their replicators over a real etcd: joining, swap, take-over, and what becomes of killed parts.

The copies are compared by ``diff``, which shares no code with ours.
"""

import compileall
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import manager
from agent.adapters.cgroups import Cgroup
from manager.model.api import ApiError, ErrorKind
from manager.model.api_check import CheckFacts, CheckFactsArguments
from manager.model.api_requests import Action
from manager.model.api_verify import VerifyArguments
from manager.model.control import VerifyReport
from manager.model.states import ModuleState, Run
from tests.integration.agent.nodes import CLUSTER, MODULE, Node, module_toml, scripts_for, until
from tests.support.etcd import EtcdCluster

ROOT = Path(__file__).parents[3]
TTL_S = 3
BACK_IN_TIME_TTL_S = 12
"""Of a lease that a killed agent's successor finds alive, on a busy machine too."""
LIVES_S = 1.0
"""So long an application must have run before its end counts as one."""


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster() as cluster:
        yield cluster


@pytest.fixture
def ttl_s() -> int:
    """Of the agents' leases; a test that must be back in time asks for more."""
    return TTL_S


@pytest.fixture
def pair(etcd: EtcdCluster, short_path: Path, cgroup_base: str, ttl_s: int) -> Iterator[tuple[Node, Node]]:
    """The module is PRIM on a, SECOND on b."""
    etcd.control("del", "--prefix", f"/mirrorfarm/{CLUSTER}/")
    shared = short_path / "srv"
    shared.mkdir()
    a, b = (Node(name, short_path, shared, etcd.endpoints, cgroup_base, ttl_s) for name in ("a", "b"))
    (a.home / "own" / "seed").write_text("good data\n")
    (b.home / "own" / "stale").write_text("to be made equal\n")
    try:
        a.start()
        b.start()
        a.apply(module_toml(shared), scripts_for(shared))
        a.desired(Run.STARTED)
        until(lambda: a.on("a").state is ModuleState.WAIT and a.on("b").state is ModuleState.WAIT, 20, a.tail)
        a.request(Action.PRIM)
        a.wait("a", ModuleState.PRIM)
        a.wait("b", ModuleState.SECOND)
        yield a, b
    finally:
        a.crash()
        b.crash()


def pulse(node: Node) -> int:
    """How far the application has come, by the copy of ``node``; it may have been started a moment ago."""
    file = node.home / "own" / "pulse"
    until(file.exists, 10, node.tail)
    return file.stat().st_size


def in_etcd(etcd: EtcdCluster, key: str) -> dict[str, Any]:
    """What is at ``key`` of the cluster, whoever has heard of it."""
    found: dict[str, Any] = json.loads(etcd.control("get", "--print-value-only", f"/mirrorfarm/{CLUSTER}/{key}"))
    return found


def until_renewed(etcd: EtcdCluster, node: Node, ttl_s: int) -> None:
    """Its lease was renewed just now: who comes after it has all the time that there is."""
    key = f"nodes/{node.name}"
    before = in_etcd(etcd, key)["renewal"]
    until(lambda: in_etcd(etcd, key)["renewal"] > before, ttl_s, node.tail)


def same(a: Node, b: Node) -> str:
    """What differs between both copies; our own directory left out."""
    argv = ("diff", "-r", "--no-dereference", "--exclude=.mirrorfarm", str(a.home / "own"), str(b.home / "own"))
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout


def mounted(pid: int, directory: Path) -> bool:
    """Whether a file system of ours is mounted at ``directory``, as the process ``pid`` sees it."""
    try:
        mounts = Path(f"/proc/{pid}/mountinfo").read_text()
    except FileNotFoundError:
        return False
    return any(f" {directory} " in line and "fuse.mirrorfarm" in line for line in mounts.splitlines())


def test_a_swap_hands_over_and_a_full_stop_leaves_both_equal_and_listed(pair: tuple[Node, Node]) -> None:
    a, b = pair
    report = a.call(VerifyArguments(MODULE))
    assert isinstance(report, VerifyReport) and (report.error, report.differences_total) == ("", 0)
    with pytest.raises(ApiError) as refused:
        b.call(VerifyArguments(MODULE))
    assert refused.value.kind is ErrorKind.REFUSED and "not the primary" in refused.value.message

    a.request(Action.SWAP)
    a.wait("b", ModuleState.PRIM)
    a.wait("a", ModuleState.SECOND)
    assert (b.module().epoch, b.module().holders) == (2, ("a", "b"))
    before = pulse(b)
    until(lambda: pulse(a) > before, 10, a.tail)

    a.desired(Run.STOPPED)
    a.wait("a", ModuleState.STOP)
    b.wait("b", ModuleState.STOP)
    assert same(a, b) == ""
    assert b.module().holders == ("a", "b")
    assert (a.home / "own" / "log").read_text() == "start\nstop\nstart\nstop\n"


def test_the_disk_below_what_is_mounted_on_it_is_looked_at_on_both_nodes(pair: tuple[Node, Node]) -> None:
    """Each node's directory is a mount of its own: there is nothing beside it that is of the same one."""
    for node in pair:
        facts = node.call(CheckFactsArguments(()))
        assert isinstance(facts, CheckFacts)
        (disk,) = facts.directories
        assert disk.fsync_us is not None and disk.total_bytes and disk.trusted_attributes is not None, disk
        assert disk.file_system and disk.problem == "" and disk.file_system != "fuse.mirrorfarm"


def test_a_crashed_primary_is_replaced_and_comes_back_as_secondary(pair: tuple[Node, Node]) -> None:
    a, b = pair
    a.crash()
    b.wait("b", ModuleState.ALONE, TTL_S + 10)
    assert b.module().epoch == 2
    a.start()
    b.wait("a", ModuleState.SECOND)
    b.wait("b", ModuleState.PRIM)
    b.desired(Run.STOPPED)
    b.wait("a", ModuleState.STOP)
    b.wait("b", ModuleState.STOP)
    assert same(a, b) == ""


@pytest.mark.parametrize("ttl_s", [BACK_IN_TIME_TTL_S])
def test_a_killed_agent_that_is_back_in_time_is_noticed_by_nobody(
    pair: tuple[Node, Node], etcd: EtcdCluster, ttl_s: int
) -> None:
    a, b = pair
    until_renewed(etcd, a, ttl_s)
    replicator, before = a.replicator_pid(), pulse(a)
    killed_at = time.monotonic()
    a.kill()
    # As an upgrade may: what the new agent would start a replicator with differs a little.
    a.config.write_text(a.config.read_text().replace('level = "debug"', 'level = "info"'))
    a.restart_in_place()
    until(a.answers, 20, a.tail)
    a.wait("a", ModuleState.PRIM)
    # Past the end of the lease that the killed agent had.
    until(lambda: time.monotonic() > killed_at + ttl_s + 0.5, ttl_s + 1)
    until(lambda: pulse(b) > before, 10, a.tail)
    assert a.replicator_pid() == replicator
    assert (a.module().epoch, a.module().primary) == (1, "a")
    assert (a.home / "own" / "log").read_text() == "start\n"


@pytest.mark.parametrize("ttl_s", [BACK_IN_TIME_TTL_S])
def test_an_agent_of_another_release_goes_on_with_what_the_former_one_serves(
    pair: tuple[Node, Node], etcd: EtcdCluster, short_path: Path, ttl_s: int
) -> None:
    a, b = pair
    sources = another_release(short_path / "release", "0.1.1")
    until_renewed(etcd, a, ttl_s)
    replicator, before = a.replicator_pid(), pulse(a)
    killed_at = time.monotonic()
    a.kill()
    a.restart_in_place(sources)
    until(a.answers, 20, a.tail)
    a.wait("a", ModuleState.PRIM)
    until(lambda: time.monotonic() > killed_at + ttl_s + 0.5, ttl_s + 1)
    assert '"0.1.1"' in etcd.control("get", "--print-value-only", f"/mirrorfarm/{CLUSTER}/nodes/a")
    until(lambda: pulse(b) > before, 10, b.tail)
    assert a.replicator_pid() == replicator
    assert (a.module().epoch, a.module().primary) == (1, "a")
    assert (a.home / "own" / "log").read_text() == "start\n"
    # And hands it over to the one of the former release.
    a.request(Action.SWAP)
    b.wait("b", ModuleState.PRIM)
    b.wait("a", ModuleState.SECOND)


def another_release(directory: Path, version: str) -> Path:
    """The same sources, which say that they are of ``version``."""
    for package in ("agent", "manager", "replicator"):
        shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    told = directory / "manager" / "__init__.py"
    told.write_text(told.read_text().replace(manager.__version__, version))
    # As an installation is: an agent that has to compile all that it imports first may come too late for its lease.
    assert compileall.compile_dir(directory, quiet=1)
    return directory


def test_a_killed_agent_that_does_not_come_back_loses_its_place(pair: tuple[Node, Node]) -> None:
    a, b = pair
    replicator = a.replicator_pid()
    assert replicator is not None and mounted(replicator, a.shared)
    a.kill()
    b.wait("b", ModuleState.ALONE, TTL_S + 10)
    before = pulse(a)
    until(lambda: pulse(b) > before, 10, b.tail)
    # The warden has ended what served on a.
    assert pulse(a) == before
    until(lambda: not mounted(replicator, a.shared), 5, a.tail)
    a.restart_in_place()
    b.wait("a", ModuleState.SECOND)
    b.wait("b", ModuleState.PRIM)


def test_an_agent_that_was_frozen_past_its_deadline_comes_back_as_secondary(pair: tuple[Node, Node]) -> None:
    a, b = pair
    os.kill(a.pid, signal.SIGSTOP)
    try:
        b.wait("b", ModuleState.ALONE, TTL_S + 10)
    finally:
        os.kill(a.pid, signal.SIGCONT)
    b.wait("a", ModuleState.SECOND)
    b.wait("b", ModuleState.PRIM)
    assert b.module().epoch == 2


def test_a_killed_replicator_makes_the_other_take_over(pair: tuple[Node, Node]) -> None:
    a, b = pair
    replicator = a.replicator_pid()
    assert replicator is not None
    os.kill(replicator, signal.SIGKILL)
    b.wait("b", ModuleState.PRIM)
    b.wait("a", ModuleState.SECOND)
    assert b.module().epoch == 2


def test_a_killed_application_is_started_on_the_other_node(pair: tuple[Node, Node]) -> None:
    a, b = pair
    time.sleep(LIVES_S)
    a.run("sh", "-c", f"kill -9 $(cat {a.shared}/pid)")
    b.wait("b", ModuleState.PRIM)
    before = pulse(b)
    until(lambda: pulse(b) > before, 10, b.tail)


@pytest.mark.parametrize("ttl_s", [BACK_IN_TIME_TTL_S])
def test_a_clean_stop_of_the_primarys_agent_hands_over_without_waiting_for_the_lease(
    pair: tuple[Node, Node], etcd: EtcdCluster, ttl_s: int
) -> None:
    a, b = pair
    until_renewed(etcd, a, ttl_s)
    begun_s = time.monotonic()
    assert a.stop() == 0
    # What b shows of it may be older than that.
    primary = in_etcd(etcd, f"modules/{MODULE}/primary")
    assert (primary["node"], primary["epoch"]) == ("b", 2)
    b.wait("b", ModuleState.ALONE)
    assert time.monotonic() - begun_s < ttl_s
    before = pulse(b)
    until(lambda: pulse(b) > before, 10, b.tail)
    found = same(a, b).splitlines()
    differ = {line.rpartition("/")[2] for line in found if line.startswith("diff ")}
    assert differ == {"log", "pid", "pulse"} and not [line for line in found if line.startswith("Only in")], found
    for name, since in (("log", "start\n"), ("pulse", "beat\n")):
        left, served = ((node.home / "own" / name).read_text() for node in (a, b))
        assert served.startswith(left + since)
    a.client.close()
    a.start()
    b.wait("b", ModuleState.PRIM)


def test_with_etcd_frozen_a_pair_serves_on_and_nothing_is_guessed(pair: tuple[Node, Node], etcd: EtcdCluster) -> None:
    a, b = pair
    etcd.members[0].freeze()
    try:
        frozen_at = time.monotonic()
        until(lambda: not b.state().store_reachable, 10, b.tail)
        shown = b.on("a")
        assert (shown.state, shown.registered) == (None, None)
        assert b.on("b").state is not None and b.state().age_ms > 0
        with pytest.raises(ApiError) as refused:
            a.desired(Run.STOPPED)
        assert refused.value.kind in (ErrorKind.STORE_UNREACHABLE, ErrorKind.OUTCOME_UNKNOWN)
        until(lambda: time.monotonic() > frozen_at + 2 * TTL_S, 3 * TTL_S)
        before = pulse(a)
        until(lambda: pulse(a) > before, 5, a.tail)
        assert a.on("a").state is ModuleState.PRIM
    finally:
        etcd.members[0].thaw()
    until(lambda: a.state().store_reachable and b.state().store_reachable, 20, a.tail)
    b.wait("a", ModuleState.PRIM)
    b.wait("b", ModuleState.SECOND)
    assert b.module().epoch == 1


def test_with_etcd_frozen_a_primary_stops_once_the_other_node_promises_nothing(
    pair: tuple[Node, Node], etcd: EtcdCluster
) -> None:
    a, b = pair
    etcd.members[0].freeze()
    try:
        until(lambda: not b.state().store_reachable, 10, b.tail)
        os.kill(b.pid, signal.SIGSTOP)
        until(lambda: a.on("a").state is ModuleState.WAIT, TTL_S + 5, a.tail)
        until(lambda: not Cgroup(os.path.join(a.cgroup.directory, "mirrorfarm", MODULE, "app")).populated(), 10, a.tail)
    finally:
        os.kill(b.pid, signal.SIGCONT)
        etcd.members[0].thaw()
    until(lambda: b.module().primary != "" and b.module().epoch >= 2, 30, b.tail)
    primary = b.module().primary
    b.wait(primary, ModuleState.PRIM)
