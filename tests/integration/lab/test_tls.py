"""A cluster comes to TLS as an operator brings it there: an authority, a certificate for each node, and on."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from manager.lab.files import AGENT_INIT_SCRIPT
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from manager.model.node_identity import NODE_FILES, NODE_KEY, OPERATOR_FILES, REVOKED
from tests.support.operators import ask, done

PKI = "/etc/mirrorfarm/pki"
FOLDER = "/etc/mirrorfarm/modules/db"


def carry(
    here: RunningMachine, source: str, there: RunningMachine, to: str = PKI, names: Sequence[str] = NODE_FILES
) -> None:
    """As scp -p."""
    there.run(["install", "-d", "-m", "700", to])
    for name in names:
        mode = "600" if name.endswith(".key") else "644"
        there.run(["install", "-m", mode, "/dev/stdin", f"{to}/{name}"], stdin=here.run(["cat", f"{source}/{name}"]))


@pytest.fixture(scope="module")
def secured(lab: Lab) -> Lab:
    """Both nodes have certificates, and take nothing but TLS."""
    a, b = lab.node("a"), lab.node("b")
    for node in (a, b):
        node.run(["sed", "-i", 's/^mode = "off"/mode = "on"/', "/etc/mirrorfarm/agent.toml"])
    missing = ask(a, "check")
    assert missing.code == 1 and "mirrorfarm pki issue a" in missing.out
    done(a, "pki", "init")
    done(a, "pki", "issue", "a")
    done(a, "pki", "issue", "b", "--address", "10.77.0.2")
    carry(a, f"{PKI}/nodes/b", b)
    a.run(["rm", "-r", f"{PKI}/nodes/b"])
    for node in (a, b):
        node.run([AGENT_INIT_SCRIPT, "restart"])
        assert "is good until" in done(node, "check")
    done(a, "module", "apply", FOLDER)
    done(a, "start", "db")
    done(a, "prim", "db", "--yes", "a")
    done(a, "wait", "db", "SECOND", "--node", "b")
    return lab


def events(node: RunningMachine, event: str) -> list[dict[str, str]]:
    text = node.run(["cat", "/var/log/mirrorfarm/db/replicator.log"])
    said = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in said if line["event"] == event]


def roles(secured: Lab) -> tuple[RunningMachine, RunningMachine]:
    """The secondary and the primary, once there are both: a swap is done before its former primary has caught up."""
    a, b = secured.node("a"), secured.node("b")
    done(a, "wait", "db", "SECOND")
    return (b, a) if ask(b, "state", "db", "--quiet").code == 4 else (a, b)


def test_a_pair_is_mirrored_by_tls_and_taken_over(secured: Lab) -> None:
    a, b = secured.node("a"), secured.node("b")
    for node in (a, b):
        (taken,) = events(node, "tls.files_taken")
        assert taken["identity"].endswith(f":{node.name}")
    a.run(["tee", "/srv/db/file"], stdin="by tls\n")
    assert b.run(["cat", "/srv/db/file"]) == "by tls\n"
    secured.crash("a", power=True)
    done(b, "wait", "db", "ALONE")
    b.run(["tee", "/srv/db/later"], stdin="alone\n")
    secured.start("a")
    done(b, "wait", "db", "SECOND", "--node", "a")
    assert secured.node("a").run(["cat", "/srv/db/later"]) == "alone\n"


def test_agents_ask_each_other_by_tls_and_steer(secured: Lab) -> None:
    here, other = roles(secured)
    done(here, "wait", "db", "SECOND", "--node", here.name)
    assert ask(here, "--node", other.name, "state", "db", "--quiet").code == 3
    assert "the copies are equal" in done(here, "--node", other.name, "verify", "db")
    levels = json.loads(done(here, "loglevel", "debug", "--node", other.name, "--json"))
    assert (levels["node"], levels["replicators"]) == (other.name, [{"module": "db", "level": "debug", "refused": ""}])
    assert f"{other.name}: the agent logs from info on" in done(here, "--node", other.name, "loglevel", "configured")
    done(here, "--node", other.name, "swap", "db")
    assert ask(here, "state", "db", "--quiet").code == 3
    asked = other.run(["cat", "/var/log/mirrorfarm/agent.log"])
    said = [json.loads(line) for line in asked.splitlines() if "channel.asked" in line]
    assert {(line["caller"], line["call"]) for line in said} >= {
        (f"root on {here.name}", "verify"),
        (f"root on {here.name}", "request"),
        (f"root on {here.name}", "log.level"),
    }


def test_an_operator_does_from_one_node_on_the_other_what_a_node_may_not_ask(secured: Lab) -> None:
    a, b = secured.node("a"), secured.node("b")
    here, other = roles(secured)
    done(a, "pki", "issue", "--operator", "alice")
    if here.name == b.name:
        carry(a, f"{PKI}/operators/alice", b, f"{PKI}/operators/alice", OPERATOR_FILES)
    as_node, as_alice = ("--node", other.name), ("--node", other.name, "--operator", "alice")
    done(here, "wait", "db", "SECOND", "--node", here.name)
    assert "from another node" in ask(here, *as_node, "verify", "db", "--repair", "--yes").err
    told = ask(here, *as_alice, "verify", "db", "--repair")
    assert told.code == 1 and f"what {here.name} has instead" in told.err and "--yes does not ask" in told.err
    assert "the copies are equal" in done(here, *as_alice, "verify", "db", "--repair", "--yes")
    assert "nothing was removed" in ask(here, *as_alice, "module", "remove", "db").err
    done(a, "pki", "revoke", "--operator", "alice", "--yes", "alice")
    if other.name == b.name:
        carry(a, PKI, b, PKI, (REVOKED,))
    told = ask(here, *as_alice, "aside", "db", "clear", "all", "--yes")
    assert told.code == 3 and "is revoked" in told.err, told
    said = [json.loads(one) for one in other.run(["cat", "/var/log/mirrorfarm/agent.log"]).splitlines()]
    assert ("operator alice", "verify") in {(one.get("caller"), one.get("call")) for one in said}
    assert "tls_revoked" in {one.get("reason") for one in said if one["event"] == "channel.refused"}
    assert ask(here, "state", "db", "--quiet").code == 4


def test_a_node_that_goes_back_to_plain_is_refused_and_the_other_one_serves(secured: Lab) -> None:
    other, primary = roles(secured)
    toml = "/etc/mirrorfarm/agent.toml"
    done(other, "stop", "db", "--node", other.name)
    other.run(["sed", "-i", 's/^mode = "on"/mode = "off"/', toml])
    other.run([AGENT_INIT_SCRIPT, "restart"])
    ask(other, "start", "db", "--node", other.name, "--timeout", "4 s")
    assert done(primary, "state", "db", "--json")
    reason, end = "TLS, and this node takes plain connections only", time.monotonic() + 60
    while not any(reason in refused["reason"] for refused in events(other, "stream.refused")):
        assert time.monotonic() < end
        time.sleep(0.5)
    primary.run(["tee", "/srv/db/still"], stdin="served\n")
    other.run(["sed", "-i", 's/^mode = "off"/mode = "on"/', toml])
    done(other, "stop", "db", "--node", other.name)
    other.run([AGENT_INIT_SCRIPT, "restart"])
    done(other, "start", "db", "--node", other.name)
    done(primary, "wait", "db", "SECOND", "--node", other.name)
    assert other.run(["cat", "/srv/db/still"]) == "served\n"


def until_why(node: RunningMachine, holds: Callable[[str], bool], seconds: float = 60) -> str:
    """What ``why`` says there, once that holds."""
    end = time.monotonic() + seconds
    while not holds(told := done(node, "why", "db")):
        assert time.monotonic() < end, told
        time.sleep(0.5)
    return told


def test_both_nodes_tell_why_a_stream_is_refused_until_the_files_are_replaced(secured: Lab) -> None:
    """Somebody makes the authority anew, and gives one node a certificate of it."""
    a = secured.node("a")
    other, primary = roles(secured)
    done(a, "pki", "init", "--directory", "/root/other")
    done(a, "pki", "issue", other.name, "--directory", "/root/other")
    issued = "/root/other" if other.name == a.name else f"/root/other/nodes/{other.name}"
    other.run(["cp", "-a", PKI, "/root/good"])
    carry(a, issued, other)
    done(other, "stop", "db", "--node", other.name)
    ask(other, "start", "db", "--node", other.name, "--timeout", "4 s")
    refuses = f"db: {primary.name} refuses the stream of {other.name} since "
    for node in (primary, other):
        why = until_why(node, lambda told: refuses in told)
        assert "was not signed by the authority" in why
        assert f"mirrorfarm pki renew {other.name}" in why or f"mirrorfarm pki renew {primary.name}" in why
        assert refuses in done(node, "state", "db")
    assert f"db on {primary.name}: ALONE" in done(primary, "why", "db")
    for name in NODE_FILES:
        other.run(["cp", "-p", f"/root/good/{name}", f"{PKI}/{name}.copied"])
        other.run(["mv", f"{PKI}/{name}.copied", f"{PKI}/{name}"])
    done(primary, "wait", "db", "SECOND", "--node", other.name)
    for node in (primary, other):
        until_why(node, lambda told: "refuses the stream" not in told and "no stream with" not in told)


def test_no_key_is_in_a_log_or_in_etcd(secured: Lab) -> None:
    a = secured.node("a")
    key = a.run(["cat", f"{PKI}/{NODE_KEY}"]).splitlines()[1]
    authority = a.run(["cat", f"{PKI}/authority/authority.key"]).splitlines()[1]
    for log in Path(secured.layout.directory).glob("*/log/mirrorfarm/**/*.log"):
        text = log.read_text(errors="replace")
        assert key not in text and authority not in text
    store = a.run(["env", "ETCDCTL_API=3", "etcdctl", "get", "--prefix", "/mirrorfarm/"])
    assert "/modules/db/config" in store
    assert key not in store and authority not in store
