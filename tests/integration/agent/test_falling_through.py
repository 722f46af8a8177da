"""No application goes on below its file systems: what it changed in the plain directory would be on one node alone."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.cgroups import Cgroup, read_process
from manager.model.api_requests import Action
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Run
from tests.integration.agent.nodes import MODULE, Node, Scripts, alone, module_toml, until
from tests.support.etcd import EtcdCluster

LOOKS_BELOW: Scripts = {
    "prestart": "#!/bin/sh\nsleep 1\n",
    "start_prim": "#!/bin/sh\n"
    "setsid sh -c 'while :; do [ -e {directory}/.mirrorfarm ] && echo >>{directory}/below; done' >/dev/null 2>&1 &\n",
    "stop_prim": "#!/bin/sh\n",
}
"""An application, slow to prepare, that writes only where nothing of ours is mounted: the mount hides that name."""


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster() as cluster:
        yield cluster


@pytest.fixture
def node(etcd: EtcdCluster, short_path: Path, cgroup_base: str) -> Iterator[Node]:
    """The primary, alone, with :data:`LOOKS_BELOW`."""
    with alone(etcd, short_path, cgroup_base) as one:
        scripts = {name: text.format(directory=one.shared) for name, text in LOOKS_BELOW.items()}
        one.apply(module_toml(one.shared), scripts)
        one.desired(Run.STARTED)
        until(lambda: one.on("a").reason == Reason.NO_DATA_NAMED, 20, one.tail)
        one.request(Action.PRIM)
        one.wait("a", ModuleState.ALONE)
        yield one


def application_of(node: Node) -> Cgroup:
    return Cgroup(os.path.join(node.cgroup.directory, "mirrorfarm", MODULE, "app"))


def replicator_of(node: Node) -> int:
    pid = node.replicator_pid()
    assert pid is not None
    return pid


def was_below(node: Node) -> bool:
    return (node.home / "own" / "below").exists()


def test_a_killed_replicators_mount_is_removed_once_the_application_is_dead(node: Node) -> None:
    pid = replicator_of(node)
    os.kill(pid, signal.SIGKILL)
    until(lambda: node.replicator_pid() not in (None, pid), 20, node.tail)
    node.wait("a", ModuleState.ALONE)
    assert not was_below(node)


def test_an_agent_that_finds_a_hung_replicator_ends_the_application_with_it(node: Node) -> None:
    pid = replicator_of(node)
    node.kill()
    os.kill(pid, signal.SIGSTOP)
    node.restart_in_place()
    until(lambda: node.replicator_pid() not in (None, pid), 40, node.tail)
    node.wait("a", ModuleState.ALONE)
    assert not was_below(node)


def test_one_that_dies_before_a_new_agent_adopts_it_is_replaced_and_the_application_starts_again(node: Node) -> None:
    pid = replicator_of(node)
    node.kill()
    node.restart_in_place()
    until(node.answers, 20, node.tail)
    os.kill(pid, signal.SIGKILL)
    until(lambda: node.replicator_pid() not in (None, pid), 20, node.tail)
    node.wait("a", ModuleState.ALONE)
    assert not was_below(node)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_an_agent_that_cannot_read_what_was_started_ends_the_application_all_the_same(
    node: Node, number: signal.Signals
) -> None:
    """As one of a former release, of what a later one has started."""
    pid = replicator_of(node)
    node.kill()
    os.kill(pid, number)
    (node.home / "run" / MODULE / "replicator.json").write_text("{}")
    node.restart_in_place(beside=application_of(node).processes()[0].pid)
    until(lambda: node.replicator_pid() not in (None, pid), 40, node.tail)
    node.wait("a", ModuleState.ALONE)
    assert not was_below(node)


def test_a_replicator_that_is_told_to_end_by_a_signal_ends_the_application_without_an_agent(node: Node) -> None:
    pid = replicator_of(node)
    application = application_of(node)
    assert application.populated()
    node.kill()
    os.kill(pid, signal.SIGTERM)
    until(lambda: read_process(pid) is None, 20, node.tail)
    assert not application.populated() and not was_below(node)
