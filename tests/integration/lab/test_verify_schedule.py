"""Copies compared by themselves: over a failover in the middle, with a difference found and mended in the end."""

import time
from collections.abc import Callable
from typing import Any

from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from tests.support.asking import state_of
from tests.support.operators import operate

FOLDER = "/etc/mirrorfarm/modules/desk"
DIRECTORY = "/srv/desk"
_TOML = f"""\
name = "desk"
kind = "mirror"
nodes = ["a", "b"]
directories = ["{DIRECTORY}"]

[verify]
schedule = [{{ from = "00:00", to = "24:00" }}]
bandwidth = "1 MiB/s"
"""
_BELOW = """\
set -eu
mkdir -p /tmp/below
mount "$(awk '$2 == "/srv" { print $1; exit }' /proc/mounts)" /tmp/below
printf X | dd of="/tmp/below/desk/$1" bs=1 seek=7 conv=notrunc status=none
sync -f /tmp/below
umount /tmp/below
"""
_FILES = 24
_BYTES = 1 << 20


def noted(node: RunningMachine) -> dict[str, Any]:
    """What is known of comparisons, as any node has it."""
    return state_of(node, "desk")["verify"] or {"last": None, "unfinished": None, "alarm": None}


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.3)


def in_a_line(text: str) -> str:
    return " ".join(text.split())


def far(node: RunningMachine) -> int:
    """How much the comparison that is under way here has compared; 0: none is."""
    states = state_of(node, "desk")["nodes"]
    progress = next(n["progress"] for n in states if n["progress"] or n is states[-1])
    return int(progress["bytes_done"]) if progress and progress["work"] == "verify" else 0


def test_it_goes_on_on_the_other_node_and_what_it_finds_is_an_alarm_until_it_is_mended(lab: Lab) -> None:
    a, b = lab.nodes
    a.run(["install", "-d", FOLDER])
    a.run(["tee", f"{FOLDER}/module.toml"], stdin=_TOML)
    for node in (a, b):
        node.run(["install", "-d", DIRECTORY])
    a.run(["sh", "-c", f"for n in $(seq 10 {_FILES + 9}); do head -c {_BYTES} /dev/urandom > {DIRECTORY}/$n; done"])
    for words in (
        ["module", "apply", FOLDER],
        ["start", "desk"],
        ["prim", "desk", "--yes", "a"],
        ["wait", "desk", "SECOND"],
    ):
        operate(a, *words)

    until(lambda: far(a) > 2 * _BYTES)
    operate(a, "swap", "desk")
    operate(b, "wait", "desk", "SECOND", "--node", "a")
    a.run(["sh", "-c", _BELOW, "sh", str(_FILES + 9)])
    until(lambda: noted(b)["unfinished"] is not None and bool(noted(b)["unfinished"]["bytes"]))
    first = noted(b)["unfinished"]
    assert first["node"] == "a" and first["place"] and first["bytes"] < _FILES * _BYTES

    until(lambda: noted(a)["last"] is not None)
    last = noted(a)["last"]
    assert (last["node"], last["by"], last["parts"], last["differences"]) == ("b", "schedule", 2, 1)
    assert (last["entries"], last["bytes"]) == (_FILES, _FILES * _BYTES), "nothing twice, nothing left out"
    for node in (a, b):
        says = in_a_line(operate(node, "state", "desk"))
        assert f"the copies differ: 1 difference found on {noted(node)['alarm']['at']} by b" in says
        assert f"{DIRECTORY}/{_FILES + 9} (content)" in says
    assert "mirrorfarm verify desk on the primary" in in_a_line(operate(a, "why", "desk"))

    operate(b, "verify", "desk", "--repair", "--yes", "--bandwidth", "0 MiB/s")
    until(lambda: noted(a)["alarm"] is None)
    assert noted(a)["last"]["by"] == "operator" and "copies differ" not in operate(a, "state", "desk")
