"""Modules as an operator may write them, from ``apply`` to ``remove``: the least one, and services of the system."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.lab.lab import Lab
from manager.lab.layout import VIRTUAL_ADDRESS
from manager.lab.machine import RunningMachine, What
from tests.support.operators import ask, done

LEAST = """name = "db"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/db"]

[[address]]
ip = "10.77.0.100/24"
"""
SERVICES = """name = "shop"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/shop"]
services = ["store", "front"]
"""
TOLD = "/srv/shop/told"
_INIT_SCRIPT = f"""#!/bin/sh
### BEGIN INIT INFO
# Provides:          NAME
# Required-Start:    $remote_fs
# Required-Stop:     $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: NAME, which sleeps
### END INIT INFO
set -eu
case $1 in
start)
    start-stop-daemon --start --quiet --background --make-pidfile --pidfile /run/NAME.pid --exec /bin/sleep -- 10000
    ;;
stop)
    start-stop-daemon --stop --quiet --oknodo --retry 5 --remove-pidfile --pidfile /run/NAME.pid
    ;;
*)
    exit 3
    ;;
esac
echo "$1 NAME on $(hostname)" >>{TOLD}
"""


def write(node: RunningMachine, path: str, text: str) -> None:
    node.run(["install", "-D", "/dev/null", path])
    node.run(["tee", path], stdin=text)


def start_on_both(lab: Lab, toml: str, name: str) -> None:
    """Applied and started; a has the good data, and b a copy."""
    a = lab.node("a")
    write(a, f"/root/{name}/module.toml", toml)
    done(a, "module", "apply", f"/root/{name}")
    done(a, "start", name)
    done(a, "prim", name, "--yes", "a")
    done(a, "wait", name, "SECOND", "--node", "b")


def has_address(node: RunningMachine) -> bool:
    return f" {VIRTUAL_ADDRESS}/24 " in node.run(["ip", "-o", "address"])


def is_mounted(node: RunningMachine, directory: str) -> bool:
    return f" {directory} " in node.run(["cat", "/proc/mounts"])


def test_the_least_module_works_as_it_stands_and_leaves_plain_files(lab: Lab) -> None:
    a, b = lab.nodes
    start_on_both(lab, LEAST, "db")
    assert (has_address(a), has_address(b)) == (True, False)
    a.run(["sh", "-c", "echo completed > /srv/db/file"])
    assert b.run(["cat", "/srv/db/file"]) == "completed\n"
    assert done(b, "module", "show", "db") == LEAST
    refused = ask(a, "module", "remove", "db", "--yes")
    assert refused.code == 1 and "mirrorfarm stop db" in refused.err
    done(a, "stop", "db")
    assert not has_address(a) and not is_mounted(a, "/srv/db") and not is_mounted(b, "/srv/db")
    assert "/srv/db stays on every node" in done(a, "module", "remove", "db", "--yes")
    for node in (a, b):
        # The other node hears of it from etcd.
        end = time.monotonic() + 20
        while (unknown := ask(node, "state", "db")).code == 0:
            assert time.monotonic() < end, unknown
        assert unknown.code == 1 and "There is no module db" in unknown.err
        assert json.loads(done(node, "state", "--json"))["modules"] == []
        assert node.run(["cat", "/srv/db/file"]) == "completed\n"


@pytest.fixture
def services(lab: Lab) -> Iterator[Lab]:
    """Two services of the system on each node, that start at boot, as Debian's packages leave theirs."""
    for node in lab.nodes:
        node.run(["install", "-d", "/srv/shop"])
        for name in ("store", "front"):
            write(node, f"/etc/init.d/{name}", _INIT_SCRIPT.replace("NAME", name))
            node.run(["chmod", "755", f"/etc/init.d/{name}"])
            node.run(["update-rc.d", name, "defaults"])
    yield lab
    # They are on the machines' own disks.
    assert not Path("/etc/init.d/store").exists()


def sleeping(node: RunningMachine) -> list[str]:
    return [p.command for p in node.processes(What.APPLICATION)]


def at_boot(node: RunningMachine) -> list[str]:
    return [n for n in node.run(["ls", "/etc/rc2.d"]).split() if n[0] == "S" and n[3:] in ("front", "store")]


def test_services_of_the_system_run_where_the_module_is_primary_and_nowhere_at_boot(services: Lab) -> None:
    a, b = services.nodes
    write(a, "/root/shop/module.toml", SERVICES)
    assert at_boot(b) == ["S01front", "S01store"]
    assert "It starts at boot, by itself" in done(a, "check", "/root/shop")
    start_on_both(services, SERVICES, "shop")
    assert sleeping(a) == ["/bin/sleep 10000"] * 2 and sleeping(b) == []
    assert "there, and not started at boot" in done(a, "check", "/root/shop")
    assert [at_boot(node) for node in (a, b)] == [[], []]
    done(a, "swap", "shop")
    done(b, "wait", "shop", "SECOND", "--node", "a")
    assert sleeping(a) == [] and len(sleeping(b)) == 2
    assert "store" in done(b, "logs", "shop", "--script", "start_store")
    done(b, "stop", "shop")
    assert sleeping(b) == []
    assert b.run(["cat", TOLD]).splitlines() == [
        f"{action} {name} on {node}"
        for node in ("a", "b")
        for action, names in (("start", ("store", "front")), ("stop", ("front", "store")))
        for name in names
    ]
    done(b, "module", "remove", "shop", "--yes")
