"""Two servers and a witness get their etcd as the printed commands say, each as it stands; then a pair lives on it.

Debian's init script starts the members, as their own user, from the files that were carried there.
"""

import re
import shlex

import pytest

from manager.lab.files import AGENT_INIT_SCRIPT
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from tests.support.operators import ask, done

PKI = "/etc/mirrorfarm/pki"
TOML = "/etc/mirrorfarm/agent.toml"
ETCD_INIT_SCRIPT = "/etc/init.d/etcd"
NODE_FILES = "authority.crt node.crt node.key revoked.crl"


def typed(line: str, here: RunningMachine, machines: dict[str, RunningMachine]) -> None:
    """A line of ssh or scp, as an operator types it on ``here``, where root may do both."""
    command, *words = shlex.split(line)
    if command == "ssh":
        machines[words[0].removeprefix("root@")].run(["sh", "-c", " ".join(words[1:])])
        return
    assert (command, words[0]) == ("scp", "-p")
    target, directory = words[-1].removeprefix("root@").rsplit(":", 1)
    for source in here.run(["bash", "-c", f"ls {' '.join(words[1:-1])}"]).split():
        copy(here, source, machines[target], f"{directory}{source.rpartition('/')[2]}")


def copy(here: RunningMachine, source: str, there: RunningMachine, target: str) -> None:
    """As scp -p, of any bytes."""
    mode = here.run(["stat", "-c", "%a", source]).strip()
    content = here.run(["base64", source])
    there.run(["sh", "-c", f"umask 077; base64 -d > {target}; chmod {mode} {target}"], stdin=content)


@pytest.fixture(scope="module")
def printed(bare_lab: Lab) -> list[str]:
    """What is to be typed, with the authority, both nodes' certificates and etcd's files made on ``a``."""
    a, b = bare_lab.node("a"), bare_lab.node("b")
    done(a, "pki", "init")
    for node in (a, b):
        done(a, "pki", "issue", node.name, "--address", node.machine.ipv4)
    b.run(["install", "-d", "-m", "700", PKI])
    for name in NODE_FILES.split():
        copy(a, f"{PKI}/nodes/b/{name}", b, f"{PKI}/{name}")
    members = [f"--member={m.name}={m.machine.ipv4}" for m in bare_lab.etcd.members]
    return done(a, "etcd", "init", *members).splitlines()


@pytest.fixture(scope="module")
def living(bare_lab: Lab, printed: list[str]) -> Lab:
    """A pair on that etcd."""
    a, b = bare_lab.node("a"), bare_lab.node("b")
    machines = {m.machine.ipv4: m for m in bare_lab.etcd.members}
    for line in printed:
        if re.match(r" +(ssh|scp) ", line):
            typed(line.strip(), a, machines)
        elif re.match(r" {4}(install|cp|[(]cd) ", line):
            a.run(["bash", "-c", line])
    restart = next(line for line in printed if ETCD_INIT_SCRIPT in line).rpartition(": ")[2]
    for member in bare_lab.etcd.members:
        member.run(restart.split())
    assert "authentication: on" in done(a, "etcd", "secure")
    begin = next(number for number, line in enumerate(printed) if line.strip() == "[etcd]")
    section = "\n".join(line.strip() for line in printed[begin : begin + 5])
    for node in (a, b):
        toml = node.run(["cat", TOML]).replace('mode = "off"', 'mode = "on"')
        toml = re.sub(r"\[etcd\]\nendpoints = .*", section, toml)
        assert section in toml
        node.run(["tee", TOML], stdin=toml)
        node.run([AGENT_INIT_SCRIPT, "start"])
    done(a, "module", "apply", "/etc/mirrorfarm/modules/db")
    done(a, "start", "db")
    done(a, "prim", "db")
    done(a, "wait", "db", "SECOND", "--node", "b")
    return bare_lab


def test_the_members_keys_are_their_users_alone(living: Lab) -> None:
    for member in living.etcd.members:
        assert member.run(["stat", "-c", "%U:%G %a", "/etc/etcd/etcd.key"]) == "root:etcd 640\n"
        assert member.run(["stat", "-c", "%U:%G %a", "/etc/etcd"]) == "root:etcd 750\n"


def test_check_is_content_with_it(living: Lab) -> None:
    for name in ("a", "b"):
        told = ask(living.node(name), "check")
        said = [line for line in told.out.splitlines() if "etcd" in line]
        assert any("3 voters" in line for line in said), said
        assert any("election timeout 600 ms" in line for line in said), said
        assert not any(line.startswith("error") for line in said), said


def test_nothing_answers_in_plain_and_nobody_without_a_certificate(living: Lab) -> None:
    for member in living.etcd.members:
        address = member.machine.ipv4
        for url in (f"http://{address}:2379", f"https://{address}:2379"):
            command = f"ETCDCTL_API=3 etcdctl --insecure-skip-tls-verify --command-timeout=2s --endpoints={url} get /x"
            answered = living.node("b").run(["sh", "-c", f"{command} >/dev/null 2>&1 && echo answered || echo refused"])
            assert answered == "refused\n"


def test_the_other_node_takes_over_by_it(living: Lab) -> None:
    a, b = living.node("a"), living.node("b")
    a.run(["tee", "/srv/db/file"], stdin="on an etcd of our own\n")
    living.crash("a", power=True)
    done(b, "wait", "db", "ALONE")
    assert b.run(["cat", "/srv/db/file"]) == "on an etcd of our own\n"
