"""A cluster of the lab whose module runs ``tests.support.recorded_work``, with clients, and what must hold then.

It does not choose what fails when: tests do.
"""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manager.lab import filling
from manager.lab.errors import LabError
from manager.lab.lab import Lab
from manager.lab.layout import VIRTUAL_ADDRESS
from manager.lab.machine import RunningMachine, What
from manager.model.config import ReplicationConfig
from tests.simulation.checkers import SECOND_NS
from tests.support import (
    client_history,
    compare_trees,
    history,
    listed_copies,
    record_history,
    record_times,
    store_rules,
)
from tests.support.asking import state_of
from tests.support.client_history import Call
from tests.support.common_clock import now_ns
from tests.support.etcd_events import EtcdEvents, read
from tests.support.moments import Moments
from tests.support.operators import operate
from tests.support.record_history import Json
from tests.support.recorded_server import PORT, SERVED, numbers
from tests.support.told_program import ROOT, ToldProgram

MODULE = "db"
DIRECTORY = "/srv/db"
NODES = ("a", "b")
PEER_TIMEOUT_NS = ReplicationConfig().peer_timeout_ms * 1_000_000
"""Of each module: it says nothing of it."""
CALM_MS = 20
"""A pause with which there are a hundred operations in a second still: for tests of what nobody is to notice."""
WAIT_S = 90.0
"""How long a healed cluster may take until it has two copies."""
_RECORDS = "/var/log/mirrorfarm/work"
_WORK_S = 60.0
_LOOK_S = 0.1
_RUN_BYTES = 30_000
"""Of records: more than a hundred operations."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A module; one of the lab may be made of it beside others."""

    name: str = MODULE
    nodes: tuple[str, str] = NODES
    """The operator names the data of the first one at the first start."""
    address: str = VIRTUAL_ADDRESS
    port: int = PORT
    pause_ms: int = 4
    """Of each of the application's workers, between two operations: what is not paused for takes a core."""

    @property
    def directory(self) -> str:
        """On both nodes."""
        return f"/srv/{self.name}"

    @property
    def toml(self) -> str:
        """The least that there is to say of it."""
        return (
            f'name = "{self.name}"\nkind = "mirror"\nnodes = {json.dumps(self.nodes)}\n'
            f'directories = ["{self.directory}"]\n\n[[address]]\nip = "{self.address}/24"\n'
        )

    @property
    def start_script(self) -> str:
        """It ends when an operation fails, as when the disk is full; then it begins anew with what is there."""
        words = f"{self.directory}/work {_RECORDS}/{self.name} {self.port} {self.pause_ms}"
        work = f"{sys.executable} -m tests.support.recorded_work {words}"
        return f"""#!/bin/sh
again='while :; do {work}; sleep 1; done'
PYTHONPATH={ROOT} setsid sh -c "$again" >>/var/log/mirrorfarm/{self.name}.out 2>&1 </dev/null &
"""


DB = Recorded()
"""The example module of the lab."""


class RecordedCluster:
    """One module of a lab."""

    def __init__(self, lab: Lab, module: Recorded = DB) -> None:
        self.lab = lab
        self.module = module
        self.power_lost_ns: list[int] = []
        """When all that held the data lost their power: see :meth:`note_power_loss`."""
        self._some_lost_ns: list[int] = []
        """When any node did."""
        self._clients: list[RecordedClient] = []
        self._numbers = 0
        self._events = EtcdEvents()
        self._seen = 0
        """Of the events, those before the history that is judged."""

    def open(self, start_script: str = "") -> None:
        """Applies the module and waits until it has two copies; with an application of its own, or another one."""
        module, directory = self.module, f"/etc/mirrorfarm/modules/{self.module.name}"
        first = self.lab.node(module.nodes[0])
        first.run(["install", "-d", f"{directory}/scripts"])
        first.run(["tee", f"{directory}/module.toml"], stdin=module.toml)
        first.run(["tee", f"{directory}/scripts/start_prim"], stdin=start_script or module.start_script)
        for node in module.nodes:
            self.lab.node(node).run(["install", "-d", module.directory])
        self.mirrorfarm(first.name, "module", "apply", directory)
        self.mirrorfarm(first.name, "start", module.name, "--timeout", f"{WAIT_S:g} s")
        yes = ("--yes", first.name)  # That its copy counts, and the others' go.
        self.mirrorfarm(first.name, "prim", module.name, *yes, "--timeout", f"{WAIT_S:g} s")
        self.wait_for_two_copies()

    def mirrorfarm(self, node: str, *words: str, seconds: float = 150.0) -> str:
        """The command's output."""
        return operate(self.lab.node(node), *words, seconds=seconds)

    def primary(self, asked: str = "") -> str:
        """As ``asked`` has it; left out: the first of the module's nodes."""
        return str(self._view(asked or self._first)["primary"])

    def wait_for_two_copies(self, seconds: float = WAIT_S) -> None:
        """Both nodes see a secondary, which there is beside a primary alone.

        Raises:
            LabError: they do not in time.
        """
        end = time.monotonic() + seconds
        for node in self.module.nodes:
            left_s = max(1.0, end - time.monotonic())
            self.mirrorfarm(node, "wait", self.module.name, "SECOND", "--timeout", f"{left_s:.0f} s")

    @property
    def _first(self) -> str:
        return self.module.nodes[0]

    def _view(self, asked: str) -> dict[str, Any]:
        return state_of(self.lab.node(asked), self.module.name)

    def repair(self) -> None:
        """Undoes whatever was done to the lab, and starts what does not run."""
        self.lab.thaw()
        self.lab.heal()
        for machine in self.lab.nodes:
            if filling.is_full(machine):
                self.lab.free(machine.name)
        for machine in self.lab.machines:
            if not machine.is_up:
                self.lab.start(machine.name, agents=False)
        self.lab.etcd.start([m for m in self.lab.etcd.members if not m.processes(What.ETCD)])
        for member in self.lab.etcd.members:
            self.lab.etcd.wait_until_ready(member)
        self.lab.start_agents([m for m in self.lab.nodes if not m.processes(What.AGENT)])

    def heal(self) -> None:
        """:meth:`repair`, and waits for two copies."""
        self.repair()
        self.wait_for_two_copies()

    def start(self) -> None:
        """The operator's start, and two copies; a node may have to try something again before it goes on."""
        self.mirrorfarm(self._first, "start", self.module.name, "--no-wait")
        self.wait_for_two_copies()

    def forgive(self) -> None:
        """What an operator does where the application failed: until then such a node does not get it back."""
        for node in self._view(self._first)["nodes"]:
            if node["resources"].get("application") == "failed":
                self.mirrorfarm(self._first, "restart", self.module.name, "--node", node["node"], "--timeout", "30 s")

    def recover(self, seconds: float) -> None:
        """What an operator does once all is repaired: a node where the module was stopped, or failed, waits for him.

        Then until there are two copies.

        Raises:
            LabError: there are not in time.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                self.mirrorfarm(self._first, "start", self.module.name, "--no-wait")
                break
            except LabError:
                # etcd, just thawed, may have no leader yet.
                if time.monotonic() >= end:
                    raise
                time.sleep(0.5)
        self.forgive()
        self.wait_for_two_copies(end - time.monotonic())

    def verify(self) -> list[str]:
        """What ``mirrorfarm verify`` finds wrong while the application runs.

        Raises:
            LabError: it is refused.
        """
        report = json.loads(self.mirrorfarm(self.primary(), "verify", self.module.name, "--json"))
        failed = [f"verify failed: {report['error']}"] if report["error"] else []
        return [f"verify: {found}" for found in report["differences"]] + failed

    def stop(self) -> None:
        """The operator's stop, on both nodes."""
        self.mirrorfarm(self._first, "stop", self.module.name, "--timeout", f"{WAIT_S:g} s")

    def kill(self, node: str, what: What) -> None:
        """SIGKILL to a part of a node, which is there."""
        self.lab.kill(node, what)

    @property
    def mirrors(self) -> "tuple[RecordedCluster, ...]":
        """It is one."""
        return (self,)

    @property
    def power_losses(self) -> int:
        """How often all that held the data lost their power."""
        return len(self.power_lost_ns)

    def note_power_loss(self, node: str, moment_ns: int) -> None:
        """``node`` has just lost its power: remembers the moment, unless a node that holds all has kept its own.

        What cannot be known counts as lost: what was not synced is looked for less, never too much.
        """
        if node not in self.module.nodes:
            return
        self._some_lost_ns.append(moment_ns)
        record = read(self.lab, f"modules/{self.module.name}/insync")
        intact = [] if record is None else self._keepers(record)
        if not intact:
            self.power_lost_ns.append(moment_ns)

    # The work

    def wait_for_work(self, nodes: Sequence[str] = (), *, since_ns: int = 0, seconds: float = _WORK_S) -> str:
        """Until an application that one of ``nodes`` started after ``since_ns`` has done some work; which node that is.

        Without ``nodes``: any of the module's. Without ``since_ns``: until more was done.
        """
        nodes = nodes or self.module.nodes
        done, end = self._worked(nodes, since_ns), time.monotonic() + seconds
        if since_ns:
            done = dict.fromkeys(nodes, 0)
        while True:
            for node, size in self._worked(nodes, since_ns).items():
                if size >= done[node] + _RUN_BYTES:
                    return node
            assert time.monotonic() < end, f"no work on {nodes} within {seconds:g} s"
            time.sleep(_LOOK_S)

    def _worked(self, nodes: Sequence[str], since_ns: int) -> dict[str, int]:
        return {
            node: sum(
                log.stat().st_size for log in self._records(node).glob("*/*.log") if int(log.parent.name) > since_ns
            )
            for node in nodes
        }

    def _records(self, node: str) -> Path:
        return Path(self.lab.layout.logs(self.lab.node(node).machine), "mirrorfarm", "work", self.module.name)

    def runs(self, node: str) -> list[history.Run]:
        """What the application's starts on ``node`` wrote down."""
        return history.read_runs(self._records(node), node)

    def start_clients(self, count: int = 1) -> None:
        """Each has a name and numbers that none had before."""
        for _ in range(count):
            self._start_client("tests.support.recorded_client")

    def start_probe(self) -> "RecordedClient":
        """A client that measures outages."""
        return self._start_client("tests.support.outage_probe")

    def _start_client(self, program: str) -> "RecordedClient":
        self._numbers += 1_000_000
        directory = Path(self.lab.layout.directory)
        started = RecordedClient(self.lab.client, program, self.module, self._numbers, directory)
        self._clients.append(started)
        return started

    def end_clients(self) -> None:
        """They send no more, and have an outcome for each call."""
        for client in self._clients:
            client.end()

    def calls(self) -> list[Call]:
        """Of all clients."""
        return [call for client in self._clients for call in client.calls()]

    def new_calls(self) -> list[Call]:
        """Of all clients, those that have ended since this was asked last."""
        return [call for client in self._clients for call in client_history.parse(client.news())]

    def serving_at(self, at_ns: int) -> str:
        """The node that served then, as the clients saw it; empty: none did."""
        return client_history.serving_at(self.calls(), at_ns)

    def wait_for_answers(self, count: int = 20, seconds: float = _WORK_S) -> None:
        """Until so many writes that clients begin from now on were completed.

        Raises:
            AssertionError: they were not in time.
        """
        end, since_ns = time.monotonic() + seconds, now_ns()
        while sum(call.wrote and call.begun_ns > since_ns for call in self.calls()) < count:
            assert time.monotonic() < end, f"no client was served within {seconds:g} s"
            time.sleep(_LOOK_S)

    # What must hold

    def violations(self, moments: Moments | None = None, *, whole: bool = True) -> list[str]:
        """What records, clients, etcd and the copies prove to be wrong; module and clients are stopped.

        Args:
            moments: of what happened in etcd, where somebody has looked (``tests.support.etcd_polling``).
            whole: all nodes have caught up; else the copies of those alone are looked at that the record lists.
        """
        events = self._events.fetch(self.lab)
        if record_history.forgetful(events[self._seen :], self.module.name):
            # The one that had kept all was away for too long.
            self.power_lost_ns = sorted({*self.power_lost_ns, *self._some_lost_ns})
        self._seen = len(events)
        runs = [run for node in self.module.nodes for run in self.runs(node)]
        wrong = history.violations(runs, self.power_lost_ns)
        for client in self._clients:
            found = client_history.read_back(client.calls(), self.power_lost_ns)
            wrong += [f"client {client.name}: {words}" for words in found]
        wrong += client_history.two_primaries(self.calls())
        wrong += record_history.violations(events, self.module.name)
        wrong += store_rules.violations(events, self.module.name, named=(self._first,))
        if moments is not None:
            absent_ns = PEER_TIMEOUT_NS + self.lab.record.lease_ttl_s * SECOND_NS
            wrong += record_times.violations(events, self.module.name, self.module.nodes, moments, absent_ns)
        return wrong + self._wrong_copies(runs, whole=whole)

    def _wrong_copies(self, runs: Sequence[history.Run], *, whole: bool) -> list[str]:
        """On the disks: who is to have all that was completed has it, and the copies are equal."""
        record, wrong = self._record(), list[str]()
        nodes = self.module.nodes if whole else self._keepers(record)
        for node in nodes:
            for worker, (before, after) in history.expected(runs).items():
                found = history.differences(self._files(node, worker), before, after)
                wrong += [f"{worker}: at the end on {node}: {words}" for words in found]
            for client in self._clients:
                found = client_history.misplaced(client.calls(), self.served(client, node), self.power_lost_ns)
                wrong += [f"client {client.name}: on {node}: {words}" for words in found]
        copies = {holder["node"]: self._numbers_on(holder["node"]) for holder in record["holders"]}
        wrong += listed_copies.violations(record, self._promised(), copies, self._keepers(record))
        for other in nodes[1:]:
            wrong += compare_trees.differences(self.tree(nodes[0]), self.tree(other))
        return wrong

    def _files(self, node: str, worker: str) -> history.Files:
        directory = self.tree(node) / "work" / worker
        return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.exists() else {}

    def _record(self) -> Json:
        record = read(self.lab, f"modules/{self.module.name}/insync")
        if record is None:
            raise LabError(f"etcd does not tell which nodes hold {self.module.name}")
        return record

    def _keepers(self, record: Json) -> list[str]:
        """The nodes that are listed, and have kept the memory with which they were."""
        # Behind "+" it counts losses of memory without a reboot.
        listed = {holder["node"]: holder["boot_id"].partition("+")[0] for holder in record["holders"]}
        return sorted(node for node, boot_id in listed.items() if self.lab.node(node).boot_id == boot_id)

    def _promised(self) -> list[int]:
        return [n for client in self._clients for n in client_history.promised(client.calls(), self.power_lost_ns)]

    def _numbers_on(self, node: str) -> list[int]:
        return [number for client in self._clients for number in self.served(client, node)]

    def lost(self) -> int:
        """How many numbers were completed and are missing on a node that is listed; after :meth:`violations`.

        Raises:
            LabError: no node has kept what it is listed for.
        """
        keepers = self._keepers(self._record())
        if not keepers:
            raise LabError(f"no node has kept what it is listed for in {self.module.name}")
        promised = set(self._promised())
        return len(set[int]().union(*(promised.difference(self._numbers_on(node)) for node in keepers)))

    def operations(self) -> int:
        """How many the application itself has done, on both nodes."""
        runs = [run for node in self.module.nodes for run in self.runs(node)]
        return sum(operation.done for run in runs for operation in run.operations)

    def keep(self, directory: Path) -> None:
        """Copies all that the lab's machines wrote down to ``directory``, since it goes with the lab."""
        lab = Path(self.lab.layout.directory)
        for machine in self.lab.layout.machines:
            shutil.copytree(self.lab.layout.logs(machine), directory / machine.name, dirs_exist_ok=True)
        for told in (*lab.glob("*.calls"), *lab.glob("*.answers")):
            shutil.copy(told, directory)

    def served(self, client: "RecordedClient", node: str) -> list[int]:
        """What its file has on ``node``; the module is stopped."""
        file = self.tree(node) / "work" / SERVED / client.name
        return numbers(file.read_bytes()) if file.exists() else []

    def tree(self, node: str) -> Path:
        """A node's plain directory, as the host sees it."""
        return Path(f"/proc/{self.lab.node(node).pid}/root{self.module.directory}")

    def forget(self) -> None:
        """Removes the records, so that a new history begins; the module is stopped."""
        self.power_lost_ns.clear()
        self._some_lost_ns.clear()
        self._clients.clear()
        for node in self.module.nodes:
            shutil.rmtree(self._records(node), ignore_errors=True)


class RecordedClient(ToldProgram):
    """``tests.support.recorded_client``, or another one like it, while it runs."""

    def __init__(self, machine: RunningMachine, program: str, module: Recorded, first: int, directory: Path) -> None:
        self.name = f"{module.name}-client{first}"
        words = [module.address, self.name, str(first), str(module.port)]
        super().__init__(machine, program, words, directory / f"{self.name}.calls")

    def calls(self) -> tuple[Call, ...]:
        """Those that have ended until now."""
        return client_history.parse(self.lines())
