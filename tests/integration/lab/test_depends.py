"""A farm that depends on a mirror, in the lab: it waits for it, finds it, and goes on through its fail-over."""

import json
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from tests.support.asking import state_of
from tests.support.lab import LogKeeper, lab_directory, make_lab
from tests.support.operators import ask, done

DB, WEB = "10.77.0.120", "10.77.0.110"
PORT = 5000
WORD = "found"
_MODULES = {
    "db": f"""\
name = "db"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/db"]

[[address]]
ip = "{DB}/24"
""",
    "web": f"""\
name = "web"
kind = "farm"
nodes = ["a", "b", "c"]
depends = ["db"]

[[address]]
ip = "{WEB}/24"

[[rule]]
protocol = "tcp"
ports = "80"
""",
}
_START_DB = f"""\
#!/bin/sh
cd /srv/db && setsid {sys.executable} -m http.server {PORT} >/dev/null 2>&1 &
"""
_FOUND = "/srv/found"
"""On each node: a line for each start of the farm's application there, with what it has read from the mirror."""
_FETCH = f"""\
import os, time, urllib.request
for attempt in range(100):
    try:
        with urllib.request.urlopen(f"http://{{os.environ['DEPENDS_DB_ADDRESS']}}:{PORT}/word", timeout=2) as answer:
            print(answer.read().decode())
        break
    except OSError:
        time.sleep(0.1)
else:
    raise SystemExit("the mirror was not found")
"""
_START_WEB = f"""\
#!/bin/sh
{sys.executable} -c "$FETCH" >>{_FOUND} || exit 1
setsid sleep 100000 >/dev/null 2>&1 &
"""
_SETTLE_S = 60.0
_LOOK_S = 0.1


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _SETTLE_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(_LOOK_S)


def apply(node: RunningMachine, module: str, scripts: dict[str, str], env: str = "") -> None:
    folder = f"/etc/mirrorfarm/modules/{module}"
    node.run(["install", "-d", f"{folder}/scripts"])
    node.run(["tee", f"{folder}/module.toml"], stdin=_MODULES[module] + env)
    for name, text in scripts.items():
        node.run(["tee", f"{folder}/scripts/{name}"], stdin=text)
    done(node, "module", "apply", folder)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Both modules are applied and started; nobody has said yet which node has the mirror's good data."""
    logs = LogKeeper(request)
    made = make_lab(lab_directory(tmp_path_factory.mktemp("lab")), ("a", "b", "c"))
    try:
        a, b = made.node("a"), made.node("b")
        for node in (a, b):
            node.run(["install", "-d", "/srv/db"])
        a.run(["tee", "/srv/db/word"], stdin=WORD + "\n")
        apply(a, "db", {"start_prim": _START_DB})
        apply(a, "web", {"start_both": _START_WEB}, f"[env]\nFETCH = {json.dumps(_FETCH)}\n")
        for module in ("web", "db"):
            done(a, "start", module)
        yield made
    finally:
        logs.tell(made)
        made.down()


def found(node: RunningMachine) -> list[str]:
    """What the farm's application has found, at each of its starts on ``node``."""
    return node.run(["sh", "-c", f"cat {_FOUND} 2>/dev/null || true"]).split()


def state(asked: RunningMachine, module: str, name: str) -> tuple[str, str, str]:
    node = next(n for n in state_of(asked, module)["nodes"] if n["node"] == name)
    return node["state"], node["readiness"], node["reason"]


def becomes(asked: RunningMachine, module: str, name: str, *wanted: str) -> None:
    until(lambda: state(asked, module, name) == wanted, f"{module} on {name} is not {wanted}")


@pytest.mark.timeout(400)  # A fail-over, and a dozen commands on a machine that may be busy.
def test_the_farm_waits_starts_and_goes_on(lab: Lab) -> None:
    a, b, c = (lab.node(name) for name in "abc")
    for node in (a, b, c):
        becomes(node, "web", node.name, "WAIT", "transient", "waiting_for_module")
        assert found(node) == []
    why = done(b, "why", "web", "--node", "c")
    assert "Its application is started once db serves." in why and "mirrorfarm why db" in why
    refused = ask(a, "module", "remove", "db", "--yes")
    assert refused.code and "the application of web would not be started" in refused.err

    done(a, "prim", "db", "--node", "a", "--yes", "a")
    for node in (a, b, c):
        becomes(node, "web", node.name, "UP", "ready", "serving")
        assert found(node) == [WORD]
    done(a, "wait", "db", "SECOND")

    lab.crash("a")
    becomes(b, "db", "b", "ALONE", "ready", "serving_without_peer")
    for node in (b, c):
        assert state(b, "web", node.name) == ("UP", "ready", "serving")
        assert found(node) == [WORD], "it was started again"

    # The address is where the mirror is: what is started now finds the new primary by the same one.
    done(c, "restart", "web", "--node", "c")
    assert found(c) == [WORD, WORD]

    # Without the mirror what runs goes on, and what is to be started waits until it is back.
    done(b, "stop", "db", "--node", "b")
    done(b, "stop", "web", "--node", "c")
    done(b, "start", "web", "--node", "c")
    becomes(b, "web", "c", "WAIT", "transient", "waiting_for_module")
    assert state(b, "web", "b") == ("UP", "ready", "serving") and found(b) == [WORD]
    done(b, "start", "db", "--node", "b")
    becomes(b, "web", "c", "UP", "ready", "serving")
    assert found(c) == [WORD, WORD, WORD] and found(b) == [WORD]
