"""What an operator is told at three in the morning: it is true, says what it means, and what to do next."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from agent.runtime.colleagues import FRESH_S
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from tests.support.majority import hold_mostly
from tests.support.operators import Watching, ask, done, watching

FOLDER = "/etc/mirrorfarm/modules/desk"
DIRECTORY = "/srv/desk"
TIMES = 5
_TOML = f"""\
name = "desk"
kind = "mirror"
nodes = ["a", "b"]
directories = ["{DIRECTORY}"]
"""
_BELOW = """\
set -eu
mkdir -p /tmp/below
mount "$(awk '$2 == "/srv" { print $1; exit }' /proc/mounts)" /tmp/below
printf X | dd of="/tmp/below/desk/$1" bs=1 seek=7 conv=notrunc status=none
sync -f /tmp/below
umount /tmp/below
"""
"""Changes a byte of file ``$1`` behind the back of whoever is mounted over it."""


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Ask until ``holds``."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end


def code_of_state(node: RunningMachine) -> int:
    return ask(node, "state", "desk", "--quiet").code


@pytest.fixture(scope="module")
def both(lab: Lab) -> Lab:
    """The module is applied; its directory is there on b only."""
    lab.node("a").run(["install", "-d", FOLDER])
    lab.node("a").run(["tee", f"{FOLDER}/module.toml"], stdin=_TOML)
    lab.node("b").run(["install", "-d", DIRECTORY])
    return lab


@pytest.fixture
def pair(both: Lab) -> Lab:
    """PRIM on a and SECOND on b, by whatever that takes."""
    a = both.node("a")
    if not is_home(a):
        a.run(["install", "-d", DIRECTORY])
        done(a, "module", "apply", FOLDER)
        done(a, "start", "desk")
        if "no_data_named" in done(a, "state", "desk", "--json"):
            done(a, "prim", "desk", "--yes", "a")
        done(a, "wait", "desk", "SECOND")
        if code_of_state(a) == 4:
            done(both.node("b"), "swap", "desk")
            done(a, "wait", "desk", "SECOND", "--node", "b")
    return both


def is_home(a: RunningMachine) -> bool:
    told = ask(a, "state", "desk", "--json")
    if told.code:
        return False
    nodes = json.loads(told.out)["modules"][0]["nodes"]
    return [(n["state"], n["readiness"]) for n in nodes] == [("PRIM", "ready"), ("SECOND", "ready")]


def test_the_first_start_says_step_by_step_what_is_missing(both: Lab) -> None:
    a = both.node("a")
    missing = ask(a, "prim", "desk")
    assert missing.code == 1 and "There is no module desk" in missing.err
    done(a, "module", "apply", FOLDER)
    early = ask(a, "prim", "desk", "--yes", "a")
    assert early.code == 1 and "mirrorfarm start desk --node a" in early.err
    assert code_of_state(a) == 0
    ask(a, "start", "desk", "--timeout", "1 s")
    until(lambda: f"{DIRECTORY}: not a directory" in done(a, "why", "desk"))
    told = ask(a, "check")
    assert told.code == 1 and f"mkdir -p {DIRECTORY}" in told.out
    assert "election timeout 600 ms (process " in told.out
    a.run(["install", "-d", DIRECTORY])
    done(a, "restart", "desk", "--node", "a")
    named = ask(a, "start", "desk")
    assert named.code == 0 and "mirrorfarm prim desk --node NODE" in named.err
    assert code_of_state(a) == 1
    unasked = ask(a, "prim", "desk")
    assert unasked.code == 1 and "what only b has in them is deleted" in unasked.err
    assert "no_data_named" in done(a, "state", "desk", "--json")


def test_a_refusal_says_who_should_be_asked_and_changes_nothing(pair: Lab) -> None:
    a, b = pair.nodes
    assert (code_of_state(a), code_of_state(b)) == (3, 4)
    swap = ask(b, "swap", "desk")
    assert swap.code == 1 and "mirrorfarm swap desk --node a" in swap.err
    assert "mirrorfarm swap desk" in ask(b, "prim", "desk").err
    force = ask(b, "prim", "desk", "--force")
    assert force.code == 1 and "mirrorfarm swap desk" in force.err
    assert "its nodes are a, b" in ask(a, "why", "desk", "--node", "zz").err
    done(a, "stop", "desk", "--node", "b")
    until(lambda: code_of_state(a) == 2)
    assert "mirrorfarm start desk --node b" in done(a, "why", "desk")
    alone = ask(a, "swap", "desk")
    assert alone.code == 1 and "no secondary" in alone.err


def test_a_byte_changed_below_the_mount_of_either_node_is_found_and_can_be_mended(pair: Lab) -> None:
    a, b = pair.nodes
    a.run(["sh", "-c", f"for n in a b; do head -c 100000 /dev/zero > {DIRECTORY}/$n; done; sync {DIRECTORY}/*"])
    assert "the copies are equal" in done(a, "verify", "desk")
    a.run(["sh", "-c", _BELOW, "sh", "a"])
    b.run(["sh", "-c", _BELOW, "sh", "b"])
    unequal = ask(a, "verify", "desk")
    assert unequal.code == 1
    found = {line.split()[0] for line in unequal.out.splitlines() if " content " in line}
    assert found == {f"{DIRECTORY}/a", f"{DIRECTORY}/b"}
    assert "mirrorfarm verify desk --repair" in unequal.out
    unasked = ask(a, "verify", "desk", "--repair")
    assert unasked.code == 1 and "what b has instead is overwritten or deleted" in unasked.err
    repaired = done(a, "verify", "desk", "--repair", "--yes", "--bandwidth", "100 MiB/s")
    assert "differences repaired" in repaired and "the copies are equal" in repaired
    done(a, "wait", "desk", "SECOND", "--node", "b")
    assert "the copies are equal" in done(a, "verify", "desk", "--repair", "--yes")
    assert "If it were lost now" in done(a, "diff", "desk")
    assert json.loads(done(a, "diff", "desk", "--json"))["in_sync"] is True
    elsewhere = ask(b, "diff", "desk")
    assert elsewhere.code == 1 and "not the primary" in elsewhere.err


def test_output_whose_reader_has_gone_ends_and_has_no_colours(pair: Lab) -> None:
    a = pair.node("a")
    lines = a.run(
        ["sh", "-c", "mirrorfarm logs desk --follow | head -1; mirrorfarm state --watch | head -1"], seconds=20
    )
    assert lines.splitlines()[1].split()[:2] == ["MODULE", "NODE"]
    assert "\x1b" not in lines


def test_a_user_without_rights_is_told_whom_to_be(both: Lab) -> None:
    a = both.node("a")
    read = ["--inh-caps", "-all,+dac_read_search", "--ambient-caps", "-all,+dac_read_search"]
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *read]
    ran = subprocess.run(a.command([*nobody, "mirrorfarm", "state"]), capture_output=True, text=True, timeout=30)
    assert ran.returncode == 1
    assert "socket.group" in ran.stderr


def test_without_etcd_nothing_is_said_that_is_not_known(pair: Lab) -> None:
    a = pair.node("a")
    with watching(a) as screen:
        screen.sees("desk on a (here): PRIM, ready", "desk on b: SECOND, ready", "etcd answers", "Registered: a (here)")
        screen.sees("LATEST EVENTS", "desk: a became primary", "desk: stream of a: sent")
        _without_etcd(pair, a, screen)
        assert screen.ends(b"q") == 0


def told_by_b(a: RunningMachine) -> dict[str, Any]:
    """The state, of which b tells itself most times; who is run late on a busy machine is too late for one."""

    def shown() -> dict[str, Any]:
        time.sleep(FRESH_S)  # Else it is what was answered last time.
        found: dict[str, Any] = json.loads(done(a, "state", "--json"))
        return found

    return hold_mostly(shown, lambda found: found["told_by"] == ["b"], TIMES)[-1]


def _without_etcd(pair: Lab, a: RunningMachine, screen: Watching) -> None:
    pair.etcd.stop(pair.etcd.members)
    try:
        told = ask(a, "start", "desk", "--timeout", "2 s")
        assert told.code == 1 and "Nothing was changed" in told.err
        late = ask(a, "wait", "desk", "STOP", "--timeout", "2 s")
        assert late.code == 4 and "etcd does not answer" in late.err
        shown = told_by_b(a)
        other = shown["modules"][0]["nodes"][1]
        assert shown["store_reachable"] is False
        assert (other["state"], other["registered"], other["listed"]) == ("SECOND", None, None), "as b itself says"
        why = done(a, "why", "desk")
        assert "Primary: unknown (a, when etcd was last heard)" in why
        assert "Until etcd answers nothing can be decided" in why
        assert ask(a, "check").code == 1
        screen.sees("etcd silent for", "desk on b: SECOND", "but for what the agent of b has just said", "desk on a")
    finally:
        pair.etcd.start(pair.etcd.members)
    done(a, "wait", "desk", "PRIM")
    screen.sees("etcd answers", "desk on a (here): PRIM, ready", "etcd, as a hears it, answers again.")


def test_a_module_that_was_changed_while_it_ran_is_seen_to_stop(both: Lab) -> None:
    a, b = both.nodes
    until(lambda: ask(a, "start", "desk").code == 0)  # etcd may be between two leaders, on a busy disk
    done(a, "wait", "desk", "SECOND")
    a.run(["sh", "-c", f"echo '# changed' >> {FOLDER}/module.toml"])
    assert "mirrorfarm restart desk" in done(a, "module", "apply", FOLDER)
    done(a, "restart", "desk")
    done(b, "stop", "desk", "--timeout", "20 s")
    seen = json.loads(done(a, "state", "desk", "--json"))["modules"][0]
    assert [n["state"] for n in seen["nodes"]] == ["STOP", "STOP"]
    assert seen["holders"] == ["a", "b"]
    done(a, "module", "export", "desk", "/tmp/exported")
    assert "unchanged" in done(a, "module", "apply", "/tmp/exported")
