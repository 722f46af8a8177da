"""The init script with the real agent: start, status, stop, restart, and what a killed agent leaves."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from agent.adapters.cgroups import Cgroup
from tests.integration.agent.nodes import Node, until
from tests.support.etcd import EtcdCluster

SCRIPT = Path(__file__).parents[3] / "etc" / "init.d" / "mirrorfarm-agent"
_KEPT = {"cluster.json", "boot.json"}
"""Which cluster it was, and which start of the machine was seen: for the next agent, until the machine goes down."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Service:
    """The script, told by its environment where everything is."""

    def __init__(self, node: Node, agent: str) -> None:
        self.node = node
        self.keeps = True
        self.pid_file = node.home / "run" / "agent.pid"
        self._env = {
            "PATH": os.environ["PATH"],
            "MIRRORFARM_AGENT": agent,
            "MIRRORFARM_CONFIG": str(node.config),
            "MIRRORFARM_RUN": str(node.home / "run"),
            "MIRRORFARM_CGROUP": node.cgroup.directory,
            # Where these tests run below systemd, it has nothing to do with this agent.
            "_SYSTEMCTL_SKIP_REDIRECT": "1",
        }

    def run(
        self, action: str, session: Cgroup | None = None, shell: str = "", exported: Mapping[str, str] = _NOTHING
    ) -> tuple[int, str]:
        """Exit code and output of ``action``, given in the group of a ``session``.

        ``shell``: what was typed there before; ``exported``: what was.
        """
        typed = ("sh", "-c", f'{shell}\n exec "$0" "$1"', str(SCRIPT), action)
        argv = (session or self.node.cgroup).entering(typed)
        env = self._env | {"MIRRORFARM_KEEP": "yes" if self.keeps else "no"} | dict(exported)
        ran = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=15, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def commands(self) -> list[str]:
        """Of what runs, without what is short."""
        found = [p.command for p in self.node.cgroup.processes()]
        return sorted("keeper" if "mirrorfarm-keeper" in c else "agent" for c in found if not c.startswith("sleep"))


@pytest.fixture
def service(short_path: Path, cgroup_base: str) -> Iterator[Service]:
    agent = short_path / "mirrorfarm-agent"

    agent.write_text(f'#!/bin/sh\nexec {sys.executable} -m agent.main "$@"\n')
    agent.chmod(0o755)
    with EtcdCluster() as etcd:
        node = Node("a", short_path, short_path / "srv", etcd.endpoints, cgroup_base)
        node.cgroup.make()
        yield Service(node, str(agent))
        print(node.tail())
        Cgroup(node.cgroup.directory).send_kill()
        until(lambda: not node.cgroup.populated(), 10)


def test_start_status_stop(service: Service) -> None:
    assert service.run("status")[0] == 3
    assert service.run("start") == (0, "Mirrorfarm agent started.\n")
    pid = service.pid()
    assert service.run("status") == (0, f"Mirrorfarm agent runs, process {pid}.\n")
    assert service.run("start")[0] == 0 and service.pid() == pid
    assert service.run("restart")[0] == 0 and service.pid() != pid
    log = service.node.home / "log" / "agent.log"
    log.rename(log.with_suffix(".1"))
    assert service.run("reload")[0] == 0
    until(log.exists, 5)
    assert service.run("stop") == (0, "Mirrorfarm agent stopped.\n")
    assert service.run("status")[0] == 3 and service.run("stop")[0] == 0
    assert set(os.listdir(service.node.home / "run")) <= _KEPT


def test_it_starts_alike_from_whatever_shell(service: Service, tmp_path: Path) -> None:
    """What an administrator has set for his own session is not the application's."""
    (tmp_path / "uvloop.py").write_text("raise SystemExit('a module of another program')\n")
    strange = {"PYTHONPATH": str(tmp_path), "LD_LIBRARY_PATH": "/nowhere", "LD_PRELOAD": ""}
    assert service.run("start", shell="umask 077; ulimit -S -f 0; ulimit -S -n 256", exported=strange)[0] == 0
    process = Path(f"/proc/{service.pid()}")
    assert not strange.keys() & {line.split("=")[0] for line in (process / "environ").read_text().split("\0")}
    assert "Umask:\t0022" in (process / "status").read_text()
    limits = {line[:26].strip(): line[26:].split()[0] for line in (process / "limits").read_text().splitlines()}
    assert limits["Max file size"] == "unlimited" and int(limits["Max open files"]) > 256
    assert service.run("stop")[0] == 0


def test_an_upgrade_exchanges_the_agent_and_leaves_the_rest(service: Service) -> None:
    assert service.run("upgrade")[0] == 0, "where none runs it is a start"
    pid = service.pid()
    bystander = subprocess.Popen(service.node.cgroup.entering(("sleep", "60")))
    try:
        assert service.run("upgrade") == (0, "Mirrorfarm agent started.\n")
        assert service.pid() != pid and bystander.poll() is None
        pid = service.pid()
        good = service.node.config.read_text()
        service.node.config.write_text('cluster = "x"\n')
        assert service.run("upgrade")[0] == 6
        assert service.pid() == pid and service.run("status")[0] == 0, "the old one goes on where the new one would not"
        service.node.config.write_text(good)
    finally:
        bystander.kill()
        bystander.wait(10)
    assert service.run("stop")[0] == 0


def test_an_agent_that_crashed_is_started_again_until_it_is_stopped(service: Service) -> None:
    """And in a group of its own, whoever starts it: what is in another one than the agent's is ended as another's."""
    session = Cgroup(f"{service.node.cgroup.directory}-session")
    session.make()
    try:
        assert service.run("start", session)[0] == 0
        assert service.commands() == ["agent", "keeper"] and not session.populated()
        pid, good = service.pid(), service.node.config.read_text()
        service.node.config.write_text('cluster = "x"\n')
        os.kill(pid, signal.SIGKILL)
        until(lambda: "is being started again" in service.run("status")[1], 10)
        service.node.config.write_text(good)
        assert service.run("start", session) == (0, "Mirrorfarm agent started.\n") and service.pid() != pid
        assert service.run("upgrade", session)[0] == 0
        assert service.commands() == ["agent", "keeper"], "and not by two"
        os.kill(service.pid(), signal.SIGKILL)
        assert service.run("stop")[0] == 0
        until(lambda: not service.node.cgroup.populated(), 10)
        assert not session.populated() and not (service.node.home / "run" / "keeper.pid").exists()
    finally:
        session.send_kill()
        until(lambda: not session.populated(), 10)
        session.remove()


def test_after_a_kill_it_says_so_and_starts_again_and_a_stop_right_after_is_clean(service: Service) -> None:
    service.keeps = False
    assert service.run("start")[0] == 0
    os.kill(service.pid(), signal.SIGKILL)
    until(lambda: not service.node.cgroup.populated(), 10)
    code, words = service.run("status")
    assert code == 1 and "has left" in words
    assert service.run("start")[0] == 0
    assert service.run("stop")[0] == 0
    assert set(os.listdir(service.node.home / "run")) <= _KEPT


def test_a_wrong_configuration_is_told_where_somebody_reads_it(service: Service) -> None:
    service.node.config.write_text('cluster = "x"\n')
    code, words = service.run("start")
    assert code == 6 and "node" in words
    assert service.run("status")[0] == 3
