"""A real etcd of one or more members on loopback, whose members can be killed, frozen and started again.

Each cluster has its own temporary directory and ports, and ends only the processes that it started.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BINARY = "/usr/bin/etcd"
CONTROL = "/usr/bin/etcdctl"
_START_S = 20.0
_STOP_S = 10.0
_HOST = "127.0.0.1"

_FIRST_PORT, _KERNELS_PORT = 12_000, 32_768
"""From the second on Linux gives them by itself (net.ipv4.ip_local_port_range)."""
_WORKERS = 16

_STATUS_S = 0.5
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_QUICK = ("--heartbeat-interval", "50", "--election-timeout", "500")
"""Elections in a second, so that tests of a lost leader are short; leases of a second are possible too."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate files, all signed by one CA and good for 127.0.0.1 and localhost."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


class Member:
    """One etcd process, and what is needed to start it again as it was."""

    def __init__(self, name: str, directory: Path, client_port: int, peer_port: int, arguments: Sequence[str]) -> None:
        """Made by :class:`EtcdCluster`; not started."""
        self.name = name
        self.endpoint = f"{_HOST}:{client_port}"
        self.peer_url = f"http://{_HOST}:{peer_port}"
        self.log = directory / f"{name}.log"
        self._arguments = tuple(arguments)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running process."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """It was started and not killed."""
        return self._process is not None

    def start(self) -> None:
        """Start it, or start it again with the data it has. Returns at once."""
        if self._process is not None:
            raise RuntimeError(f"{self.name} runs already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "--name", self.name, "--data-dir", str(self._directory / self.name), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. Nothing happens when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_S)
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers. Returns when its last thread has stopped."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + _STOP_S
        while not all(_stopped(task) for task in Path(f"/proc/{self.pid}/task").iterdir()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} does not stop")
            time.sleep(0.001)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def erase(self) -> None:
        """Remove the data of a member that does not run: it starts as a new one."""
        if self._process is not None:
            raise RuntimeError(f"{self.name} runs")
        shutil.rmtree(self._directory / self.name)

    def restart(self) -> None:
        """Kill it and start it with the data it has. Returns at once."""
        self.kill()
        self.start()

    def check_alive(self) -> None:
        """Raise with the end of its log if it has exited by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"{self.name} exited with {self._process.returncode}:\n{self.log.read_text()[-2000:]}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        self._process.send_signal(number)


class EtcdCluster:
    """A cluster; a context manager that ends its members and removes their files."""

    def __init__(self, members: int = 1, *, tls: Tls | None = None, arguments: Sequence[str] = ()) -> None:
        """``members`` of them, with ``arguments`` added to each one's command line; not started."""
        self._directory = Path(tempfile.mkdtemp(prefix="mirrorfarm-etcd-"))
        self._tls = tls
        ports = free_ports(2 * members)
        names = [f"m{number}" for number in range(members)]
        peers = dict(zip(names, (f"http://{_HOST}:{port}" for port in ports[members:]), strict=True))
        self.members = tuple(
            Member(name, self._directory, client, peer, [*self._command_line(name, client, peers), *arguments])
            for name, client, peer in zip(names, ports[:members], ports[members:], strict=True)
        )

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Of all members, ``host:port``, in their order."""
        return tuple(member.endpoint for member in self.members)

    def start(self) -> None:
        """Start all members; returns when all of them know a leader."""
        for member in self.members:
            member.start()
        self.wait_healthy()

    def wait_healthy(self) -> None:
        """Wait until all members answer, with the same leader: one that was just thawed may have a former one yet."""
        deadline = time.monotonic() + _START_S
        while len(seen := {self.leader_seen_by(member) for member in self.members}) > 1 or 0 in seen:
            for member in self.members:
                member.check_alive()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"leaders: {seen}; {member.name}:\n{member.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def leader(self) -> Member:
        """The member that leads, as the first one that answers says."""
        for member in self.members:
            leader_id = self.leader_seen_by(member)
            for candidate in self.members:
                if leader_id and self._status(candidate).get("header", {}).get("member_id") == str(leader_id):
                    return candidate
        raise RuntimeError("no member knows a leader")

    def leader_seen_by(self, member: Member) -> int:
        """The leader's id as ``member`` says; 0 when it does not answer or knows none."""
        return int(self._status(member).get("leader", 0))

    def control(self, *arguments: str, user: str = "") -> str:
        """What ``etcdctl`` answers to ``arguments``, asked of the first member."""
        command = [CONTROL, "--endpoints", self._url(self.members[0].endpoint), *arguments]
        if user:
            command += ["--user", user]
        if self._tls is not None:
            command += ["--cacert", str(self._tls.ca)]
            command += ["--cert", str(self._tls.client_cert), "--key", str(self._tls.client_key)]
        environment = {"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def close(self) -> None:
        """End all members and remove their files. May be called twice."""
        for member in self.members:
            member.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> "EtcdCluster":
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _url(self, endpoint: str) -> str:
        return f"{'https' if self._tls is not None else 'http'}://{endpoint}"

    def _command_line(self, name: str, client_port: int, peers: Mapping[str, str]) -> list[str]:
        url = self._url(f"{_HOST}:{client_port}")
        line = ["--listen-client-urls", url, "--advertise-client-urls", url]
        line += ["--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name]]
        line += ["--initial-cluster", ",".join(f"{peer}={peer_url}" for peer, peer_url in peers.items())]
        line += ["--initial-cluster-token", self._directory.name, "--logger", "zap", "--log-outputs", "stderr", *_QUICK]
        if self._tls is not None:
            line += ["--cert-file", str(self._tls.server_cert), "--key-file", str(self._tls.server_key)]
            line += ["--client-cert-auth", "--trusted-ca-file", str(self._tls.ca)]
        return line

    def _status(self, member: Member) -> dict[str, Any]:
        """By etcd's own gateway, so that this helper needs no client of etcd's; empty without an answer."""
        url = self._url(member.endpoint) + "/v3/maintenance/status"
        try:
            with urllib.request.urlopen(url, data=b"{}", timeout=_STATUS_S, context=self._ssl()) as response:
                answer = json.load(response)
        except (OSError, ValueError):
            return {}
        return answer if isinstance(answer, dict) else {}

    def _ssl(self) -> ssl.SSLContext | None:
        if self._tls is None:
            return None
        context = ssl.create_default_context(cafile=str(self._tls.ca))
        context.load_cert_chain(self._tls.client_cert, self._tls.client_key)
        return context


def _stopped(task: Path) -> bool:
    # proc(5): the state stands behind the name, which is in parentheses.
    return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody has, all different, for what is started on them a while later, or again.

    The kernel gives none of these to whoever asks for any; other processes of the same run have others.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = range(_FIRST_PORT + worker % _WORKERS, _KERNELS_PORT, _WORKERS)
    found: list[int] = []
    for port in random.sample(own, len(own)):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind((_HOST, port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("there are no free ports")


def make_tls(directory: Path) -> Tls:
    """A CA of its own, a server's and a client's certificate, made in ``directory`` by OpenSSL."""
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    subject = ["-subj", "/CN=test CA", "-addext", "basicConstraints=critical,CA:TRUE"]
    _openssl("req", "-x509", *_NEW_KEY, "-days", "2", *subject, "-keyout", ca_key, "-out", ca)
    for name in ("server", "client"):
        request, extensions = directory / f"{name}.csr", directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:localhost,IP:{_HOST}\n")
        key, certificate = directory / f"{name}.key", directory / f"{name}.pem"
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        signed = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-extfile", extensions]
        _openssl("x509", "-req", "-in", request, *signed, "-days", "2", "-out", certificate)
    names = ("server.pem", "server.key", "client.pem", "client.key")
    return Tls(ca, *(directory / name for name in names))


def _openssl(*arguments: object) -> None:
    subprocess.run(["/usr/bin/openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
