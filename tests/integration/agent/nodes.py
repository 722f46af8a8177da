"""Agents as real processes against a real etcd, each in a mount namespace and a control group of its own.

All share this machine's loopback, so their modules have no virtual addresses here: those are the lab's business.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.adapters.cgroups import Cgroup
from manager.cli.client import AgentClient
from manager.model.api import ApiError, ModuleView, NodeState, StateArguments, StateResult
from manager.model.api_modules import ApplyArguments, DesiredArguments
from manager.model.api_requests import Action, RequestArguments, RequestResult
from manager.model.states import ModuleState, Readiness, Run
from tests.support.etcd import EtcdCluster

CLUSTER = "test"
MODULE = "db"
STEP_S = 0.02
_ENTER = "mount --bind {own} {shared} && exec {python} -m agent.main --config {config}"

Scripts = dict[str, str]

PULSE: Scripts = {
    "start_prim": "#!/bin/sh\ncd {directory} || exit 1\necho start >>log\n"
    "setsid sh -c 'while :; do echo beat >>pulse; sleep 0.05; done' >/dev/null 2>&1 &\n"
    "echo $! >pid\n",
    "stop_prim": "#!/bin/sh\ncd {directory} || exit 1\necho stop >>log\nkill $(cat pid)\n",
}
"""An application that writes to its directory as long as it lives."""


class Node:
    """One node: its files, its agent's process, and calls to it."""

    def __init__(
        self, name: str, directory: Path, shared: Path, endpoints: tuple[str, ...], cgroup_base: str, ttl_s: int = 3
    ) -> None:
        self.name = name
        self.home = directory / name
        self.shared = shared
        """Where each node finds its own copy of the module's directory."""
        self.cgroup = Cgroup(os.path.join(cgroup_base, name))
        self.client = AgentClient(str(self.home / "run" / "agent.sock"))
        self._process: subprocess.Popen[bytes] | None = None
        self._prepare(endpoints, ttl_s)

    def _prepare(self, endpoints: tuple[str, ...], ttl_s: int) -> None:
        (self.home / "own").mkdir(parents=True)
        (self.home / "boot_id").write_text(f"boot-of-{self.name}-1\n")
        self.config = self.home / "agent.toml"
        self.config.write_text(
            f'cluster = "{CLUSTER}"\nnode = "{self.name}"\n'
            f"[etcd]\nendpoints = {json.dumps(list(endpoints))}\n"
            f'[lease]\nttl = "{ttl_s} s"\n'
            '[network]\naddresses = ["127.0.0.1"]\nreplication_address = "127.0.0.1"\n'
            f'[paths]\nstate = "{self.home}/state"\nrun = "{self.home}/run"\nlog = "{self.home}/log"\n'
            f'boot_id = "{self.home}/boot_id"\n'
            '[log]\nlevel = "debug"\n'
            '[tls]\nmode = "off"\n'
        )

    @property
    def pid(self) -> int:
        """Of the agent."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the agent; returns when it answers."""
        self.cgroup.make()
        words = _ENTER.format(own=self.home / "own", shared=self.shared, python=sys.executable, config=self.config)
        argv = self.cgroup.entering(("unshare", "--mount", "--propagation", "slave", "sh", "-c", words))
        with (self.home / "agent.out").open("ab") as out:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        until(self.answers, 20, self.tail)

    def restart_in_place(self, sources: Path | None = None, beside: int | None = None) -> None:
        """Start another agent in the mount namespace of what a killed one left; ``sources``: of another release.

        ``beside``: a process that lives there, where the replicator does not.
        """
        left = beside or self.replicator_pid()
        assert left is not None
        words = f"exec {sys.executable} -m agent.main --config {self.config}"
        if sources is not None:
            words = f"cd {sources} && {words}"
        argv = self.cgroup.entering(("nsenter", "--mount", f"--target={left}", "sh", "-c", words))
        with (self.home / "agent.out").open("ab") as out:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def answers(self) -> bool:
        """Whether its socket answers and etcd is heard."""
        assert self._process is None or self._process.poll() is None, self.tail()
        try:
            return self.state().store_reachable
        except ApiError:
            return False

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL to the agent alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self.client.close()

    def crash(self) -> None:
        """SIGKILL to all of the node."""
        self.client.close()
        self.cgroup.send_kill()
        if self._process is not None:
            self._process.wait(10)
        until(lambda: not self.cgroup.populated(), 10)

    def run(self, *argv: str) -> str:
        """What ``argv`` prints in the node's mount namespace."""
        entered = ("nsenter", "--mount", f"--target={self.pid}", *argv)
        return subprocess.run(entered, capture_output=True, text=True, timeout=20, check=True).stdout

    def replicator_pid(self) -> int | None:
        """Of the module's replicator, by its file."""
        try:
            return int(json.loads((self.home / "run" / MODULE / "replicator.pid").read_text())["pid"])
        except FileNotFoundError:
            return None

    def tail(self) -> str:
        """The ends of its logs, for a test that failed."""
        logs = [self.home / "agent.out", self.home / "log" / "agent.log", self.home / "log" / MODULE / "replicator.log"]
        return "\n".join(f"==> {p} <==\n{p.read_text()[-6000:]}" for p in logs if p.exists())

    # Calls

    def call(self, arguments: Any) -> Any:
        return self.client.call(arguments)

    def apply(self, text: str, scripts: Scripts) -> None:
        self.call(ApplyArguments(text, scripts))

    def desired(self, run: Run, *nodes: str) -> None:
        self.call(DesiredArguments(MODULE, run, nodes))

    def request(self, action: Action, timeout_ms: int = 30_000) -> RequestResult:
        result = self.call(RequestArguments(MODULE, action, timeout_ms=timeout_ms))
        assert isinstance(result, RequestResult)
        return result

    def state(self) -> StateResult:
        result = self.call(StateArguments())
        assert isinstance(result, StateResult)
        return result

    def module(self) -> ModuleView:
        return self.state().modules[0]

    def on(self, node: str) -> NodeState:
        found = self.module().on(node)
        assert found is not None
        return found

    def wait(self, node: str, state: ModuleState, seconds: float = 20.0) -> None:
        """Until ``node`` is at rest in ``state``, as this node's agent shows it."""

        def reached() -> bool:
            shown = self.on(node)
            return shown.state is state and shown.readiness is Readiness.READY

        until(reached, seconds, lambda: f"{self.module()}\n{self.tail()}")


@contextmanager
def alone(etcd: EtcdCluster, base: Path, cgroup_base: str) -> Iterator[Node]:
    """A node that is the only one, in a cluster that begins, with its agent; what it runs is ended at the end."""
    etcd.control("del", "--prefix", f"/mirrorfarm/{CLUSTER}/")
    shared = base / "srv"
    shared.mkdir()
    node = Node("a", base, shared, etcd.endpoints, cgroup_base)
    try:
        node.start()
        yield node
    finally:
        node.crash()


def module_toml(directory: Path, more: str = "") -> str:
    """The least module, with quick timeouts."""
    return (
        f'name = "{MODULE}"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["{directory}"]\n{more}'
        '[replication]\npeer_timeout = "2 s"\n[scripts]\nstart_timeout = "10 s"\nstop_timeout = "5 s"\n'
    )


def scripts_for(directory: Path) -> Scripts:
    """:data:`PULSE` in ``directory``."""
    return {name: text.format(directory=directory) for name, text in PULSE.items()}


def until(holds: Callable[[], bool], seconds: float, words: Callable[[], str] = lambda: "") -> None:
    """Wait until ``holds``; after ``seconds`` the test fails with ``words``."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"it did not come about within {seconds:g} s\n{words()}")
        time.sleep(STEP_S)
