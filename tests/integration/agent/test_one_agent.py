"""One agent with a real etcd and a real replicator: apply, start, prim, state, why, stop."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model.api import Action, ApiError, ErrorKind, WhyArguments
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness, Run
from tests.integration.agent.nodes import CLUSTER, MODULE, Node, module_toml, scripts_for, until
from tests.support.etcd import EtcdCluster


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster() as cluster:
        yield cluster


@pytest.fixture
def node(etcd: EtcdCluster, short_path: Path, cgroup_base: str) -> Iterator[Node]:
    etcd.control("del", "--prefix", f"/mirrorfarm/{CLUSTER}/")
    shared = short_path / "srv"
    shared.mkdir()
    one = Node("a", short_path, shared, etcd.endpoints, cgroup_base)
    one.start()
    yield one
    one.crash()


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
