"""One agent with a real etcd and a real replicator: apply, start, prim, state, why, stop."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model.api import ApiError, ErrorKind, WhyArguments
from manager.model.api_log_levels import LogLevelArguments, LogLevelsArguments, ReplicatorLevel
from manager.model.api_requests import Action
from manager.model.log_words import LogLevel
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness, Run
from tests.integration.agent.nodes import CLUSTER, MODULE, Node, alone, module_toml, scripts_for, until
from tests.support.etcd import EtcdCluster
from tests.support.syslog_daemon import SyslogDaemon


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster() as cluster:
        yield cluster


@pytest.fixture
def node(etcd: EtcdCluster, short_path: Path, cgroup_base: str) -> Iterator[Node]:
    with alone(etcd, short_path, cgroup_base) as one:
        yield one


def keys(etcd: EtcdCluster) -> list[str]:
    return etcd.control("get", "--prefix", "--keys-only", f"/mirrorfarm/{CLUSTER}/").split()


def test_from_the_first_apply_to_the_clean_stop(node: Node, etcd: EtcdCluster) -> None:
    node.apply(module_toml(node.shared), scripts_for(node.shared))
    assert node.on("a").state is ModuleState.STOP and node.on("a").reason == Reason.NEVER_STARTED

    node.desired(Run.STARTED)
    until(lambda: node.on("a").reason == Reason.NO_DATA_NAMED, 20, node.tail)
    assert (node.on("a").state, node.on("a").readiness) == (ModuleState.WAIT, Readiness.BLOCKED)
    assert node.on("b").registered is False

    node.request(Action.PRIM)
    node.wait("a", ModuleState.ALONE)
    until(lambda: "beat" in node.run("cat", str(node.shared / "pulse")), 10, node.tail)
    why = node.call(WhyArguments(MODULE))
    assert why.last_takeover is not None and why.last_takeover.reason == Reason.FIRST_START
    assert why.module.holders == ("a",) and why.module.epoch == 1
    assert why.last_request.startswith("prim done")

    with pytest.raises(ApiError) as refused:
        node.request(Action.SWAP)
    assert refused.value.kind is ErrorKind.REFUSED and refused.value.reason == Reason.NO_SECONDARY

    node.desired(Run.STOPPED)
    node.wait("a", ModuleState.STOP)
    log = (node.home / "own" / "log").read_text()
    assert log == "start\nstop\n"
    assert node.replicator_pid() is None
    # The node says so before etcd has taken it.
    until(lambda: not [k for k in keys(etcd) if "/members/" in k or k.endswith("/primary")], 10, node.tail)
    assert [k for k in keys(etcd) if k.endswith("/insync")]

    assert node.stop() == 0
    left = etcd.control("get", "--prefix", "--keys-only", f"/mirrorfarm/{CLUSTER}/nodes/").split()
    assert left == [] and not os.path.exists(node.home / "run" / "agent.sock")


def test_a_restart_takes_changed_scripts_and_a_clean_stop_of_the_agent_stops_the_module(node: Node) -> None:
    node.apply(module_toml(node.shared), scripts_for(node.shared))
    node.desired(Run.STARTED)
    until(lambda: node.on("a").reason == Reason.NO_DATA_NAMED, 20, node.tail)
    node.request(Action.PRIM)
    node.wait("a", ModuleState.ALONE)

    changed = {name: text.replace("echo start", "echo changed") for name, text in scripts_for(node.shared).items()}
    node.apply(module_toml(node.shared), changed)
    node.request(Action.RESTART)
    node.wait("a", ModuleState.ALONE)
    assert (node.home / "own" / "log").read_text() == "start\nstop\nchanged\n"

    assert node.stop() == 0
    assert not node.cgroup.populated()
    assert (node.home / "own" / "log").read_text() == "start\nstop\nchanged\nstop\n"
    node.client.close()
    node.start()
    node.wait("a", ModuleState.ALONE)
    assert node.module().epoch == 2


def test_one_that_is_stopped_before_it_has_heard_etcd_leaves_nothing_of_a_former_agents(
    etcd: EtcdCluster, short_path: Path, cgroup_base: str
) -> None:
    etcd.control("del", "--prefix", f"/mirrorfarm/{CLUSTER}/")
    shared = short_path / "srv"
    shared.mkdir()
    # What nobody ends by then is long not over.
    node = Node("a", short_path, shared, etcd.endpoints, cgroup_base, ttl_s=60)
    try:
        node.start()
        node.apply(module_toml(node.shared), scripts_for(node.shared))
        node.desired(Run.STARTED)
        until(lambda: node.on("a").reason == Reason.NO_DATA_NAMED, 20, node.tail)
        node.request(Action.PRIM)
        node.wait("a", ModuleState.ALONE)
        node.kill()
        sock = node.home / "run" / "agent.sock"
        sock.unlink()
        node.config.write_text(node.config.read_text().replace(etcd.endpoints[0], "127.0.0.1:1"))
        node.restart_in_place()
        until(sock.exists, 20, node.tail)
        assert node.cgroup.populated() and node.replicator_pid() is not None
        assert node.stop() == 0
        assert not node.cgroup.populated() and node.replicator_pid() is None
    finally:
        node.crash()


def test_levels_change_while_it_runs_and_the_syslog_has_what_is_logged(
    etcd: EtcdCluster, short_path: Path, cgroup_base: str
) -> None:
    """Of agent and replicator: their lines, another level for a while, and no syslog any more."""
    etcd.control("del", "--prefix", f"/mirrorfarm/{CLUSTER}/")
    daemon, shared = SyslogDaemon(short_path / "log"), short_path / "srv"
    shared.mkdir()
    node = Node("a", short_path, shared, etcd.endpoints, cgroup_base)
    log = f'[log]\nto = ["file", "syslog"]\nsyslog_socket = "{daemon.path}"\n'
    node.config.write_text(node.config.read_text().replace('[log]\nlevel = "debug"\n', log))
    both = {"mirrorfarm-agent", "mirrorfarm-replicator"}

    def programs(lines: list[str]) -> set[str]:
        return {line.partition(">")[2].partition("[")[0] for line in lines}

    try:
        with daemon.reading() as said:
            node.start()
            node.apply(module_toml(node.shared), scripts_for(node.shared))
            node.desired(Run.STARTED)
            until(lambda: node.on("a").reason == Reason.NO_DATA_NAMED, 20, node.tail)
            assert node.call(LogLevelsArguments()).replicators == (ReplicatorLevel(MODULE, LogLevel.INFO),)
            until(lambda: programs([line for line in said if f" node=a module={MODULE} " in line]) == both, 10)
            assert not [line for line in said if line.startswith("<31>")]

            found = node.call(LogLevelArguments(LogLevel.DEBUG, for_ms=60_000))
            assert found.replicators == (ReplicatorLevel(MODULE, LogLevel.DEBUG),)
            node.request(Action.PRIM)
            node.wait("a", ModuleState.ALONE)
            until(lambda: programs([line for line in said if line.startswith("<31>")]) == both, 10)
            assert [one.level for one in node.state().log_levels] == [LogLevel.DEBUG]

        daemon.stop()
        node.kill()
        node.restart_in_place()
        until(node.answers, 20, node.tail)
        node.wait("a", ModuleState.ALONE)
        found = node.call(LogLevelsArguments())
        assert (found.standing, found.replicators) == ((), (ReplicatorLevel(MODULE, LogLevel.INFO),)), node.tail()
        assert "syslog.unreached" in (node.home / "log" / "agent.log").read_text()
        assert "syslog.unreached" in (node.home / "log" / MODULE / "replicator.log").read_text()
    finally:
        node.crash()
