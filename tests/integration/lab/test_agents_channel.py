"""Another node's agent is asked from here; while etcd is away each node says itself what it is, or nobody does."""

import io
import json
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agent.adapters.channel_client import REACH_S
from agent.runtime.colleagues import FRESH_S, TOLD_S
from manager.cli.client import AgentClient
from manager.lab.agents import ask_agent, socket_of
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from manager.model.api import ApiError, StateArguments
from tests.support.majority import hold_mostly
from tests.support.operators import ask, done

FOLDER = "/etc/mirrorfarm/modules/db"
SILENT_S = 20.0
"""Within this an agent notices that etcd is silent."""
TIMES = 5
LATE_S = 2.0
"""What a busy machine may add to what an agent waits for another one."""
_PASSWD = "/run/passwd"

_CROWD = """
import socket, sys, threading
def come_again():
    while True:
        try:
            connection = socket.create_connection((sys.argv[1], 9743), 5)
            while connection.recv(4096):
                pass
            connection.close()
        except OSError:
            pass
for _ in range(40):
    threading.Thread(target=come_again, daemon=True).start()
print("there", flush=True)
sys.stdin.read()
"""
"""Connections that ask for nothing, and are there again as soon as they are closed; to the end of the input."""


@pytest.fixture(scope="module")
def served(lab: Lab) -> Lab:
    """db is PRIM on a and SECOND on b, and has a file of somebody else's than root."""
    a = lab.node("a")
    done(a, "module", "apply", FOLDER)
    done(a, "start", "db")
    done(a, "prim", "db", "--yes", "a")
    done(a, "wait", "db", "SECOND", "--node", "b")
    a.run(["sh", "-c", "echo > /srv/db/file && chown games /srv/db/file"])
    return lab


@contextmanager
def frozen(lab: Lab, node: str) -> Iterator[None]:
    lab.freeze(node)
    try:
        yield
    finally:
        lab.thaw(node)


@contextmanager
def without_etcd(lab: Lab) -> Iterator[None]:
    members = [m for m in lab.etcd.members if m.is_up]
    lab.etcd.freeze(members)
    try:
        until(lambda: not state(lab, "a")["store_reachable"])
        yield
    finally:
        lab.thaw()
        for member in members:
            lab.etcd.wait_until_ready(member)
        until(lambda: state(lab, "a")["store_reachable"])


def until(holds: Callable[[], bool], seconds: float = SILENT_S) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def state(lab: Lab, node: str, *before: str) -> dict[str, Any]:
    """As ``mirrorfarm state --json`` on ``node`` has it."""
    told: dict[str, Any] = json.loads(done(lab.node(node), *before, "state", "--json"))
    return told


def told_state(lab: Lab, node: str, by: str) -> dict[str, Any]:
    """The same, of which ``by`` tells itself most times; who is run late on a busy machine is too late for one."""

    def told() -> dict[str, Any]:
        time.sleep(FRESH_S)  # Else it is what was answered last time.
        return state(lab, node)

    return hold_mostly(told, lambda found: found["told_by"] == [by], TIMES)[-1]


def compared(lab: Lab, node: str) -> dict[str, tuple[str, str]]:
    """What ``mirrorfarm check`` on ``node`` finds: subject to level and words, of several findings the first one's."""
    told = json.loads(ask(lab.node(node), "check", "--json").out)
    return {f["subject"]: (f["level"], f"{f['says']} {f['remedy']}") for f in reversed(told["findings"])}


def on(told: dict[str, Any], node: str) -> dict[str, Any]:
    """db on ``node``."""
    found: dict[str, Any] = next(n for n in told["modules"][0]["nodes"] if n["node"] == node)
    return found


def test_state_why_and_logs_of_another_node_are_asked_from_here(served: Lab) -> None:
    a = served.node("a")
    told = state(served, "a", "--node", "b")
    assert (told["node"], on(told, "b")["state"]) == ("b", "SECOND")
    assert ask(a, "--node", "b", "state", "db", "--quiet").code == 4
    assert "db on b: SECOND" in done(a, "--node", "b", "why", "db")
    log = done(a, "--node", "b", "logs", "db", "--lines", "5")
    assert log and log in served.node("b").run(["cat", "/var/log/mirrorfarm/db/replicator.log"])
    found = compared(served, "a")
    assert "b answers" in found["agents"][1]
    assert [found[subject][0] for subject in ("ports", "db: stream")] == ["ok", "ok"]


def test_a_snapshot_has_all_nodes_as_they_are_and_etcd_and_no_secret_and_of_a_frozen_node_that_it_is_unknown(
    served: Lab,
) -> None:
    a = served.node("a")
    a.run(["sh", "-c", "echo 'password = \"zebra\"' >> /var/log/mirrorfarm/db/start_prim.1.log"])
    found = snapshot(a)
    assert "<masked>" in found["nodes/a/logs/db/start_prim.1.log"]
    assert not [name for name, text in found.items() if "zebra" in text]
    for node, state in (("a", "PRIM"), ("b", "SECOND")):
        own = f"nodes/{node}"
        told = json.loads(found[f"{own}/agent/state.json"])
        assert (told["node"], on(told, node)["state"]) == (node, state)
        status = json.loads(found[f"{own}/agent/db/replicator.json"])["status"]
        assert status["role"] == ("primary" if node == "a" else "secondary") and status["counters"]
        assert "replicator.started" in found[f"{own}/logs/db/replicator.log"]
        assert "agent.started" in found[f"{own}/logs/agent.log"]
        assert 'name = "db"' in found[f"{own}/modules/db/module.toml"]
        assert json.loads(found[f"{own}/check.json"])["findings"]
        assert json.loads(found[f"{own}/lacking.json"])["lacking"] == []
    assert json.loads(found["nodes/a/agent/db/diff.json"])["in_sync"] is True
    assert any(m["mount"] == "/srv" and m["bytes"] for m in json.loads(found["nodes/a/machine/space.json"]))
    etcd = json.loads(found["etcd.json"])
    keys = {pair["key"].rpartition("modules/db/")[2]: pair for pair in etcd["keys"]}
    assert keys["primary"]["value"]["node"] == "a" and 0 < keys["primary"]["revision"] <= etcd["revision"]
    with frozen(served, "b"):
        found = snapshot(a, "--since", "1 min", "--without-etcd")
    assert "no answer within 2 s" in found["nodes/b/unknown.txt"] and "b  unknown: " in found["summary.txt"]
    assert "nodes/a/agent/state.json" in found and "etcd.json" not in found
    done(a, "wait", "db", "SECOND", "--node", "b")


def snapshot(node: RunningMachine, *words: str) -> dict[str, str]:
    """The files in one that is made there, by their names below its folder."""
    ran = subprocess.run(
        node.command(["mirrorfarm", "snapshot", "--output", "-", *words]),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=100,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = {}
    with tarfile.open(fileobj=io.BytesIO(ran.stdout), mode="r:gz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            found[member.name.partition("/")[2]] = content.read().decode()
    return found


def test_check_compares_the_pair_from_either_node(served: Lab) -> None:
    for node, other in (("a", "b"), ("b", "a")):
        found = compared(served, node)
        assert {found[f"{what} {other}"][0] for what in ("owners on", "clock of", "kernel of", "versions on")} == {"ok"}
        assert "games" in found[f"owners on {other}"][1]
        level, says = found[f"db: /srv/db on {other}"]
        assert level == "note" and "xfs" in says and "ext4" in says
        assert "a round trip to 10.77.0." in found[f"way to {other}"][1].lower()
        for disk in ("disk of a: /srv/db", "disk of b: /srv/db"):
            assert "n fsync of 4 KiB takes" in found[disk][1]


def test_an_owner_with_another_number_on_the_other_node_is_an_error(served: Lab) -> None:
    a, b = served.node("a"), served.node("b")
    b.run(
        ["sh", "-c", f"sed s/^games:x:5:/games:x:4005:/ /etc/passwd > {_PASSWD} && mount --bind {_PASSWD} /etc/passwd"]
    )
    try:
        level, says = compared(served, "a")["owners on b"]
        assert level == "error" and "user games, who is 5 there and 4005 on b" in says and "usermod -u 5 games" in says
        level, says = compared(served, "b")["owners on a"]
        assert level == "error" and "user games, who is 5 there and 4005 on b" in says
        assert ask(a, "check").code == 1
    finally:
        b.run(["umount", "/etc/passwd"])


def test_in_plain_nothing_is_changed_by_another_node(served: Lab) -> None:
    b = served.node("b")
    for words in (("swap", "db"), ("stop", "db"), ("verify", "db")):
        told = ask(b, "--node", "a", *words)
        assert told.code == 1 and "tls.mode is off" in told.err, told
    assert on(state(served, "b"), "a")["state"] == "PRIM"


def test_a_crowd_of_strangers_keeps_nobody_from_being_answered(served: Lab) -> None:
    a, b = served.node("a"), served.node("b")
    crowd = subprocess.Popen(
        served["client"].command(["python3", "-c", _CROWD, b.machine.ipv4]), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert crowd.stdout is not None and crowd.stdout.readline() == "there\n"
        for _ in range(3):
            assert ask(a, "--node", "b", "state", "db", "--quiet").code == 4
            assert ask(b, "state", "db", "--quiet").code == 4
    finally:
        crowd.communicate("", timeout=20)
    said = [json.loads(line) for line in b.run(["cat", "/var/log/mirrorfarm/agent.log"]).splitlines()]
    reasons = {line["reason"] for line in said if line["event"] == "channel.refused"}
    assert reasons and reasons <= {"crowd", "silent"}


def unanswered_s(asked: RunningMachine, node: str) -> float:
    """How long its agent takes to say that the one of ``node`` does not answer; no command is started for it."""
    client, begun = AgentClient(socket_of(asked)), time.monotonic()
    try:
        with pytest.raises(ApiError, match=f"no answer within {REACH_S:g} s"):
            client.call(StateArguments(), node=node)
    finally:
        client.close()
    return time.monotonic() - begun


def test_a_frozen_node_and_one_that_is_not_there_do_not_answer_and_it_is_said_in_time(served: Lab) -> None:
    a = served.node("a")
    with frozen(served, "b"):
        assert unanswered_s(a, "b") < REACH_S + LATE_S
        told = ask(a, "--node", "b", "state")
        assert (told.code, told.out) == (3, "")
        assert "node b: no answer within 2 s." in told.err
        level, says = compared(served, "a")["pair with b"]
        assert level == "unknown" and "node b: no answer within 2 s." in says
    assert "No node z has been heard of" in ask(a, "--node", "z", "state").err
    done(a, "wait", "db", "SECOND", "--node", "b")


@pytest.mark.timeout(240)
def test_without_etcd_the_state_of_another_node_is_its_own_word_or_unknown(served: Lab) -> None:
    a = served.node("a")
    done(a, "wait", "db", "SECOND", "--node", "b")
    with without_etcd(served):
        told = told_state(served, "a", by="b")
        assert (on(told, "a")["state"], on(told, "b")["state"]) == ("PRIM", "SECOND")
        until(lambda: "but for what the agent of b has just said of itself" in done(a, "state"))
        until(lambda: on(state(served, "b"), "a")["state"] == "PRIM")
        assert state(served, "a", "--node", "b")["node"] == "b"
        with frozen(served, "b"):
            begun = time.monotonic()
            ask_agent(a, StateArguments())
            assert time.monotonic() - begun < TOLD_S + LATE_S
            told = state(served, "a")
            assert (on(told, "b")["state"], told["told_by"]) == (None, [])
            assert "no answer within 1 s" in on(told, "b")["detail"]
            assert "unknown" in done(a, "state")
    done(a, "wait", "db", "SECOND", "--timeout", "60 s")
