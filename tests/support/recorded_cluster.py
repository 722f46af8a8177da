"""A cluster of the lab whose module runs ``tests.support.recorded_work``, what can fail in it, and what must hold then.

It does not choose what fails when: tests do.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from manager.lab.cgroup import send
from manager.lab.lab import Lab
from manager.lab.layout import VIRTUAL_ADDRESS
from manager.lab.machine import RunningMachine, What
from tests.support import compare_trees, history
from tests.support.recorded_work import LINE_BYTES, SERVED

MODULE = "db"
DIRECTORY = "/srv/db"
ROOT = Path(__file__).resolve().parents[2]
_RECORDS = "/var/log/mirrorfarm/work"
_WAIT = "90 s"
_WORK_S = 60.0
_LOOK_S = 0.1
_RUN_BYTES = 30_000
"""Of records: more than a hundred operations."""

_START = f"""#!/bin/sh
PYTHONPATH={ROOT} setsid {sys.executable} -m tests.support.recorded_work {DIRECTORY}/work {_RECORDS} \
  >>/var/log/mirrorfarm/work.out 2>&1 </dev/null &
"""


class RecordedCluster:
    """Module ``db`` on nodes ``a`` and ``b``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.power_lost_ns: list[int] = []
        """When both nodes lost their power."""
        self._numbers = 0

    def open(self) -> None:
        """Applies the module and waits until it has two copies."""
        a = self.lab.node("a")
        a.run(["install", "-d", "/etc/mirrorfarm/modules/db/scripts"])
        a.run(["tee", "/etc/mirrorfarm/modules/db/scripts/start_prim"], stdin=_START)
        self.mirrorfarm("a", "module", "apply", "/etc/mirrorfarm/modules/db")
        self.mirrorfarm("a", "start", MODULE, "--timeout", _WAIT)
        self.mirrorfarm("a", "prim", MODULE, "--timeout", _WAIT)
        self.wait_for_two_copies()

    def mirrorfarm(self, node: str, *words: str) -> str:
        """The command's output."""
        return self.lab.node(node).run(["mirrorfarm", *words], seconds=150)

    def primary(self, asked: str = "a") -> str:
        """As ``asked`` has it."""
        return str(json.loads(self.mirrorfarm(asked, "state", MODULE, "--json"))["modules"][0]["primary"])

    def wait_for_two_copies(self) -> None:
        """Both nodes see a secondary, which there is beside a primary alone."""
        for node in ("a", "b"):
            self.mirrorfarm(node, "wait", MODULE, "SECOND", "--timeout", _WAIT)

    def heal(self) -> None:
        """Undoes whatever was done, and waits for two copies."""
        self.lab.thaw()
        self.lab.heal()
        for machine in self.lab.nodes:
            if not machine.is_up:
                self.lab.start(machine.name)
            elif not machine.processes(What.AGENT):
                self.lab.start_agents([machine])
        self.wait_for_two_copies()

    def start(self) -> None:
        """The operator's start, and two copies."""
        self.mirrorfarm("a", "start", MODULE, "--timeout", _WAIT)
        self.wait_for_two_copies()

    def kill(self, node: str, what: What) -> None:
        """SIGKILL to a part of a node.

        Raises:
            AssertionError: there was nothing to kill.
        """
        found = self.lab.node(node).processes(what)
        assert found, f"no {what} on {node}"
        send(found, signal.SIGKILL)

    # The work

    def wait_for_work(self, nodes: tuple[str, ...] = ("a", "b"), *, since_ns: int = 0, seconds: float = _WORK_S) -> str:
        """Until an application that one of ``nodes`` started after ``since_ns`` has done some work; which node that is.

        Without ``since_ns``: until more was done.
        """
        done, end = self._worked(nodes, since_ns), time.monotonic() + seconds
        if since_ns:
            done = dict.fromkeys(nodes, 0)
        while True:
            for node, size in self._worked(nodes, since_ns).items():
                if size >= done[node] + _RUN_BYTES:
                    return node
            assert time.monotonic() < end, f"no work on {nodes} within {seconds:g} s"
            time.sleep(_LOOK_S)

    def _worked(self, nodes: tuple[str, ...], since_ns: int) -> dict[str, int]:
        return {
            node: sum(
                log.stat().st_size for log in self._records(node).glob("*/*.log") if int(log.parent.name) > since_ns
            )
            for node in nodes
        }

    def _records(self, node: str) -> Path:
        return Path(self.lab.layout.logs(self.lab.node(node).machine), "mirrorfarm", "work")

    def client(self) -> "NumberClient":
        """Starts one; its numbers are new."""
        self._numbers += 1_000_000
        return NumberClient(self.lab.client, self._numbers, Path(self.lab.layout.directory, "numbers"))

    # What must hold

    def violations(self) -> list[str]:
        """What the records and the copies prove to be wrong; the module is stopped on both nodes."""
        runs = [run for node in ("a", "b") for run in history.read_runs(self._records(node), node)]
        wrong = history.violations(runs, self.power_lost_ns)
        for worker, (before, after) in history.expected(runs).items():
            there = {path.name: path.read_bytes() for path in (self.tree("a") / "work" / worker).iterdir()}
            wrong += [f"{worker}: at the end: {words}" for words in history.differences(there, before, after)]
        wrong += compare_trees.differences(self.tree("a"), self.tree("b"))
        epochs = [int(e["epoch"]) for e in json.loads(self.mirrorfarm("a", "history", MODULE, "--json"))["entries"]]
        if len(set(epochs)) != len(epochs):
            wrong.append(f"an epoch had two primaries: {epochs}")
        return wrong

    def lost_numbers(self, client: "NumberClient") -> list[int]:
        """Those that the client was answered and that are not in place; the module is stopped."""
        lines = (self.tree("a") / "work" / SERVED).read_bytes()
        served = [int(lines[at : at + LINE_BYTES]) for at in range(0, len(lines), LINE_BYTES)]
        own = [number for number in served if number in client.sent]
        assert own == sorted(set(own)), "twice, or not in order"
        assert client.answered, "the client was never answered"
        return sorted(client.answered - set(own))

    def tree(self, node: str) -> Path:
        """A node's plain directory, as the host sees it."""
        return Path(f"/proc/{self.lab.node(node).pid}/root{DIRECTORY}")

    def forget(self) -> None:
        """Removes the records, so that a new history begins; the module is stopped."""
        self.power_lost_ns.clear()
        for node in ("a", "b"):
            shutil.rmtree(self._records(node), ignore_errors=True)


class NumberClient:
    """``tests.support.number_client`` while it runs."""

    def __init__(self, machine: RunningMachine, first: int, out: Path) -> None:
        self._out = out
        command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.support.number_client"]
        with out.open("wb") as file:
            self._process = subprocess.Popen(
                machine.command([*command, VIRTUAL_ADDRESS, str(first)]), stdin=subprocess.DEVNULL, stdout=file
            )

    def end(self) -> None:
        """It sends no more."""
        self._process.kill()
        self._process.wait()

    @property
    def sent(self) -> set[int]:
        """What may have been taken."""
        return self._said("?")

    @property
    def answered(self) -> set[int]:
        """What was taken, as it was told."""
        return self._said("!")

    def _said(self, mark: str) -> set[int]:
        return {int(line[1:]) for line in self._out.read_text().splitlines(keepends=True) if line[0] == mark}


Fault = Callable[[RecordedCluster, str, str], None]
"""Given the primary's name and the other node's."""
