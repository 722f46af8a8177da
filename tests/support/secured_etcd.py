"""An etcd of three members on loopback, as ``mirrorfarm etcd init`` sets it up: real files, real certificates.

What an operator carries to three machines stays where it was written: each member runs from its own directory there.
"""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from manager.cli.main import main
from manager.etcd_setup.client import EtcdClient, Papers, Unanswered
from manager.etcd_setup.settings import ENVIRONMENT, ON_MEMBER, ROOT_ENVIRONMENT
from manager.model.config.agent_config import EtcdConfig
from tests.support.etcd import BINARY, CONTROL, free_ports

_START_S = 60.0
_STOP_S = 10.0
MEMBERS = ("a", "b", "witness")


class SecuredEtcd:
    """A context manager: authority, nodes ``a`` and ``b``, three members that run, and nobody is asked yet."""

    def __init__(self) -> None:
        """Nothing is written before it is entered."""
        self._directory = Path(tempfile.mkdtemp(prefix="mirrorfarm-etcd-tls-"))
        self.pki = self._directory / "pki"
        self.client_port, self.peer_port = free_ports(2)
        self.endpoints = tuple(f"127.0.0.{number}:{self.client_port}" for number in (1, 2, 3))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "SecuredEtcd":
        """Set up and started."""
        try:
            self.command("pki", "init", "--cluster", "main")
            for node in ("a", "b"):
                self.command("pki", "issue", node)
            members = [f"--member={name}=127.0.0.{number}" for number, name in enumerate(MEMBERS, 1)]
            ports = ["--client-port", str(self.client_port), "--peer-port", str(self.peer_port)]
            self.command("etcd", "init", *members, *ports)
            for member in MEMBERS:
                self.start(member)
            self.wait_healthy()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the members and remove everything."""
        for member in tuple(self._processes):
            self.kill(member)
        shutil.rmtree(self._directory, ignore_errors=True)

    def command(self, *words: str) -> None:
        """``mirrorfarm`` on the authority's machine; it has to succeed."""
        code = self.try_command(*words)
        if code:
            raise RuntimeError(f"mirrorfarm {' '.join(words)}: {code}")

    def try_command(self, *words: str) -> int:
        """As :meth:`command`: its exit code."""
        return main([*words, "--directory", str(self.pki)])

    def start(self, member: str) -> None:
        """With the environment that Debian's package reads, from where the files are here. Returns at once."""
        text = (self.pki / "etcd" / member / ENVIRONMENT).read_text()
        text = text.replace(f"{ON_MEMBER}/", f"{self.pki / 'etcd' / member}/")
        variables = dict(word.split("=", 1) for word in shlex.split(text, comments=True))
        variables["ETCD_DATA_DIR"] = str(self._directory / f"{member}.data")
        with self.log(member).open("ab") as log:
            self._processes[member] = subprocess.Popen(
                [BINARY], env={"PATH": "/usr/bin:/bin", **variables}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self, member: str) -> None:
        """SIGKILL; returns when it is gone."""
        process = self._processes.pop(member)
        process.kill()
        process.wait(_STOP_S)

    def pid(self, member: str) -> int:
        """Of the process that was started."""
        return self._processes[member].pid

    def log(self, member: str) -> Path:
        """What it said."""
        return self._directory / f"{member}.log"

    def wait_healthy(self) -> None:
        """Until each member answers as a majority has it."""
        deadline = time.monotonic() + _START_S
        for endpoint in self.endpoints:
            while True:
                try:
                    with EtcdClient([endpoint], self.root) as client:
                        client.range("/")
                    break
                except Unanswered as failure:
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"{failure}:\n{self.log('a').read_text()[-2000:]}") from None
                    time.sleep(0.1)

    @property
    def root(self) -> Papers:
        """The administrator's."""
        directory = self.pki / "etcd" / "root"
        return Papers(*(str(directory / name) for name in ("authority.crt", "root.crt", "root.key")))

    def papers(self, node: str) -> Papers:
        """A node's."""
        directory = self.pki / "nodes" / node
        return Papers(*(str(directory / name) for name in ("authority.crt", "node.crt", "node.key")))

    def serials(self, node: str) -> list[str]:
        """Of the certificates that a node has and that are not revoked."""
        register = json.loads((self.pki / "authority" / "register.json").read_text())
        return [one["serial"] for one in register["issued"] if one["node"] == node and not one["revoked_at"]]

    def config(self, papers: Papers, call_timeout_ms: int = 4_000) -> EtcdConfig:
        """``[etcd]`` of an agent that shows ``papers``."""
        return EtcdConfig(
            endpoints=self.endpoints,
            ca_file=papers.ca_file,
            cert_file=papers.cert_file,
            key_file=papers.key_file,
            call_timeout_ms=call_timeout_ms,
        )

    def control(self, *arguments: str) -> str:
        """``etcdctl`` as the administrator, by the file that is made for it."""
        file = self.pki / "etcd" / "root" / ROOT_ENVIRONMENT
        script = f"set -a; . {shlex.quote(str(file))}; set +a; exec {CONTROL} {shlex.join(arguments)}"
        environment = {"PATH": os.defpath}
        done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise RuntimeError(f"etcdctl {shlex.join(arguments)}: {done.stderr}")
        return done.stdout
