"""An operator gives up (Ctrl-C) what he asked of a node whose agent hangs: what he is told, and what comes of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent.nodes import CLUSTER, MODULE, Node, module_toml, scripts_for, until
from tests.support.etcd import EtcdCluster

TTL_S = 20
REQUESTS = f"/mirrorfarm/{CLUSTER}/modules/{MODULE}/requests/"


@pytest.fixture
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster() as cluster:
        yield cluster


@pytest.fixture
def pair(etcd: EtcdCluster, short_path: Path, cgroup_base: str) -> Iterator[tuple[Node, Node]]:
    """Two agents, and a module that nobody has started; the agent of b hangs."""
    shared = short_path / "srv"
    shared.mkdir()
    a, b = (Node(name, short_path, shared, etcd.endpoints, cgroup_base, TTL_S) for name in ("a", "b"))
    try:
        a.start()
        b.start()
        a.apply(module_toml(shared), scripts_for(shared))
        until(lambda: a.on("b").registered is True, 20, a.tail)
        os.kill(b.pid, signal.SIGSTOP)
        yield a, b
    finally:
        a.crash()
        b.crash()


def asked(etcd: EtcdCluster) -> str:
    """The status and the cause of the one request; empty: there is none."""
    text = etcd.control("get", "--prefix", "--print-value-only", REQUESTS).strip()
    if not text:
        return ""
    [record] = map(json.loads, text.splitlines())
    return f"{record['status']} {record['reason']}".strip()


def given_up(a: Node, etcd: EtcdCluster, freeze: bool) -> tuple[int, str]:
    """The exit code, and what was said; ``freeze``: etcd hangs by then."""
    words = ("--socket", str(a.home / "run" / "agent.sock"), "swap", MODULE, "--node", "b")
    # As in a terminal, also where these tests were started in the background, which has it ignored.
    command = ["env", "--default-signal=INT", sys.executable, "-c"]
    command += ["import sys; from manager.cli.main import main; sys.exit(main())", *words]
    asking = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until(lambda: asked(etcd) == "pending", 20)
    if freeze:
        etcd.members[0].freeze()
    asking.send_signal(signal.SIGINT)
    _, said = asking.communicate(timeout=30)
    return asking.returncode, said


@pytest.mark.timeout(120)
def test_what_was_not_taken_up_is_withdrawn_and_that_is_said(pair: tuple[Node, Node], etcd: EtcdCluster) -> None:
    a, b = pair
    code, said = given_up(a, etcd, freeze=False)
    assert code == 4 and "Traceback" not in said
    assert "b has not taken up swap of db before it was given up." in said and "was withdrawn" in said
    assert asked(etcd) == "failed timed_out"
    os.kill(b.pid, signal.SIGCONT)
    until(b.answers, 20, b.tail)
    assert asked(etcd) == "failed timed_out"


@pytest.mark.timeout(120)
def test_what_etcd_does_not_let_be_withdrawn_is_so_when_it_answers(pair: tuple[Node, Node], etcd: EtcdCluster) -> None:
    a, _ = pair
    code, said = given_up(a, etcd, freeze=True)
    assert code == 5 and "Traceback" not in said
    assert "it was not withdrawn" in said and "The agent of a goes on trying" in said
    etcd.members[0].thaw()
    until(lambda: asked(etcd) == "failed timed_out", 60, a.tail)
