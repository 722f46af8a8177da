"""The machines that ``bench/farm.py`` measures: a farm of three nodes in the lab, with nginx, and HAProxy beside it.

The client has all addresses of a network, so that it can come from one that the farm gives to a certain node. The
server is the same everywhere: nginx with one worker, its files in memory; on the witness, which is no node, too.
"""

import contextlib
import ipaddress
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.farm_loads import BULK_BYTES, SMALL_BYTES
from bench.farm_probe import Attempt, read_attempts
from manager.lab.host import PATH
from manager.lab.lab import Lab
from manager.lab.layout import WITNESS
from manager.lab.machine import RunningMachine
from manager.model.farm import SLOTS
from tests.support.lab import lab_directory, make_lab

NODES = ("a", "b", "c")
ADDRESS = "10.77.0.110"
PORT = 8080
HAPROXY_PORT = 8081
BARE, DIRECT, OWN, HOP, FORWARDED, HAPROXY = "bare", "direct", "own", "hop", "forwarded", "haproxy"
HOP_ADDRESS = "10.77.0.111"
"""No farm has it: the director sends all that comes for it to one node, by one rule."""
PROGRAMS: Mapping[str, str] = {"nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk", "ab": "apache2-utils"}
"""Each with its Debian package."""
MODULE = "web"
_CLIENTS = "10.78.0.0/16"
_ASKED = 96
"""So many of the client's addresses ask who serves them: a third of them each node."""
_TTL_S = 1800.0
_SETTLE_S = 60.0
_BESIDE_S = 60.0
"""Added to what a load takes, before it has failed."""
_LOOK_S = 0.2
_TRACKED = tuple(f"/proc/sys/net/netfilter/nf_conntrack_{name}" for name in ("count", "max"))
_FULL = 0.9
_ROOT = Path(__file__).resolve().parents[1]
_DIRECTORY = f"/etc/mirrorfarm/modules/{MODULE}"

_TOML = f"""\
name = "{MODULE}"
kind = "farm"
nodes = {json.dumps(NODES)}

[[address]]
ip = "{ADDRESS}/24"

[[rule]]
protocol = "tcp"
ports = "{PORT}"
"""
_START = f"""\
#!/bin/sh
set -eu
d=/run/bench
mkdir -p $d/www
head -c {SMALL_BYTES} /dev/zero >$d/www/small
head -c {BULK_BYTES} /dev/zero >$d/www/bulk
cat >$d/nginx.conf <<END
user root;
worker_processes 1;
pid $d/nginx.pid;
error_log $d/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16;
    keepalive_requests 1000000000;
    client_body_temp_path $d/body;
    proxy_temp_path $d/proxy;
    fastcgi_temp_path $d/fastcgi;
    uwsgi_temp_path $d/uwsgi;
    scgi_temp_path $d/scgi;
    server {{
        listen {PORT} backlog=4096;
        root $d/www;
        location = /who {{ return 200 "$NODE\\n"; }}
    }}
}}
END
exec nginx -e $d/error.log -c $d/nginx.conf
"""
_HOP_RULES = f"""\
table netdev bench {{{{
    chain hop {{{{
        type filter hook ingress device eth0 priority -400;
        ip daddr {HOP_ADDRESS} ether saddr set {{mac}} ether daddr set {{to}} fwd to eth0
    }}}}
}}}}
"""
_HAPROXY_SETTINGS = """\
defaults
    mode tcp
    option splice-auto
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen bench
    bind :{port} backlog 4096
    server one {server}:{server_port}
"""


def refuse_what_is_missing() -> None:
    """See that all programs are there.

    Raises:
        SystemExit: some are not; says how they come.
    """
    if packages := [package for program, package in PROGRAMS.items() if shutil.which(program, path=PATH) is None]:
        words = " ".join(packages)
        raise SystemExit(f"missing: {words}: apt-get install --no-install-recommends {words}; no service is needed")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a load goes, and from which address of the client."""

    host: str
    port: int
    source: str
    node: str
    """Whose server answers."""


class Farm:
    """The farm while it runs, and the client in front of it."""

    def __init__(self, lab: Lab) -> None:
        """All nodes of ``lab`` have their shares."""
        self.lab = lab
        self.director = str(_table(lab)["director"])
        self.member = next(n for n in NODES if n != self.director)
        """One that does not direct: what is forwarded goes there, and it is the one that dies or is drained."""
        self.targets = self._targets()
        """Every way to a server, by its name."""

    def mirrorfarm(self, *words: str) -> str:
        """What the command says on the director, which is up all the time."""
        return self.lab.node(self.director).run(["mirrorfarm", *words], seconds=100)

    def watching(self, sources: Sequence[str]) -> list[str]:
        """The command line at the client that asks from these sources, in turn, who serves them."""
        return self.lab.client.command(_probe("watch", ADDRESS, PORT, sources))

    def at_client_ns(self, moment_ns: int) -> int:
        """A moment of the host's CLOCK_BOOTTIME by the client's: every machine's clock is its own."""
        return moment_ns + self.lab.client.clock_offset_s * 1_000_000_000

    def load(self, target: Target, command: str, seconds: float) -> str:
        """The output of a command of the shell at the client, whose connections to the target come from its source."""
        route = f"ip route replace {target.host}/32 dev eth0 src {target.source}"
        return self.lab.client.run(["sh", "-c", f"{route} && {command}"], seconds=seconds + _BESIDE_S)

    def sources(self) -> dict[str, list[str]]:
        """By node, addresses of the client that it serves; a node that was away gets other slots than it had.

        Raises:
            SystemExit: somebody is not served.
        """
        hosts = ipaddress.ip_network(_CLIENTS).hosts()
        asked = [str(host) for host in itertools.islice(hosts, 1, 1 + _ASKED)]
        found: dict[str, list[str]] = {node: [] for node in NODES}
        for attempt in _attempts(self.lab, ADDRESS, PORT, asked):
            if attempt.node not in found:
                raise SystemExit(f"{attempt.source} is not served: {attempt.how}")
            found[attempt.node].append(attempt.source)
        return found

    def refuse_other_ways(self) -> None:
        """See that every target is what it says.

        Raises:
            SystemExit: another server answers, another node receives for the farm, or one's connection tracking is
                full, which then drops what begins.
        """
        for name, target in self.targets.items():
            (asked,) = _attempts(self.lab, target.host, target.port, [target.source])
            if asked.node != target.node:
                raise SystemExit(f"{name}: not {target.node} answers, but {asked.node or asked.how}: no figure counts")
        neighbour = self.lab.client.run(["ip", "neigh", "show", ADDRESS, "dev", "eth0"]).strip()
        if self.lab.node(self.director).machine.mac not in neighbour:
            raise SystemExit(f"not {self.director} receives for the farm, but {neighbour}: no figure counts")
        for node in self.lab.nodes:
            tracked, most = (int(number) for number in node.run(["cat", *_TRACKED]).split())
            if tracked >= _FULL * most:
                raise SystemExit(f"{node.name} tracks {tracked} connections of {most}: no figure counts")

    def settle(self) -> None:
        """Wait until all nodes have their shares.

        Raises:
            SystemExit: it does not come about.
        """
        _settle(self.lab)

    def start(self, node: str) -> None:
        """Start a node that is down, and wait until it has its share again."""
        self.lab.start(node)
        _let_answers_through(self.lab, node)
        self.settle()

    def _targets(self) -> dict[str, Target]:
        director, member = self.lab.node(self.director).machine, self.lab.node(self.member).machine
        sources = self.sources()
        own, source = sources[self.director][0], sources[self.member][0]
        return {
            BARE: Target(self.lab[WITNESS].machine.ipv4, PORT, source, WITNESS),
            DIRECT: Target(member.ipv4, PORT, source, self.member),
            OWN: Target(ADDRESS, PORT, own, self.director),
            HOP: Target(HOP_ADDRESS, PORT, source, self.member),
            FORWARDED: Target(ADDRESS, PORT, source, self.member),
            HAPROXY: Target(director.ipv4, HAPROXY_PORT, source, self.member),
        }


@contextlib.contextmanager
def running() -> Iterator[Farm]:
    """The farm, with all its nodes up, and HAProxy on the one that directs."""
    with tempfile.TemporaryDirectory(prefix="mirrorfarm-bench-") as work:
        lab = make_lab(lab_directory(Path(work)), NODES, ttl_s=_TTL_S)
        try:
            lab.client.run(["ip", "route", "add", "local", _CLIENTS, "dev", "lo"])
            for machine in (*NODES, WITNESS):
                _let_answers_through(lab, machine)
            first = lab.node(NODES[0])
            first.run(["install", "-d", f"{_DIRECTORY}/scripts"])
            first.run(["tee", f"{_DIRECTORY}/module.toml"], stdin=_TOML)
            first.run(["tee", f"{_DIRECTORY}/scripts/start_both"], stdin=_START)
            first.run(["mirrorfarm", "module", "apply", _DIRECTORY])
            first.run(["mirrorfarm", "start", MODULE], seconds=100)
            lab[WITNESS].run(["env", f"NODE={WITNESS}", "sh", "-s"], stdin=_START)
            _settle(lab)
            farm = Farm(lab)
            _start_hop(lab.node(farm.director), lab.node(farm.member))
            _start_haproxy(lab.node(farm.director), lab.node(farm.member).machine.ipv4)
            yield farm
        finally:
            lab.down()


def _start_hop(director: RunningMachine, member: RunningMachine) -> None:
    """The least that a packet's way through another machine can be, by the same hook of the kernel as the farm's."""
    director.run(["nft", "-f", "-"], stdin=_HOP_RULES.format(mac=director.machine.mac, to=member.machine.mac))
    director.run(["ip", "address", "add", f"{HOP_ADDRESS}/32", "dev", "eth0"])
    member.run(["ip", "address", "add", f"{HOP_ADDRESS}/32", "dev", "lo"])


def _start_haproxy(node: RunningMachine, server: str) -> None:
    settings = _HAPROXY_SETTINGS.format(port=HAPROXY_PORT, server=server, server_port=PORT)
    node.run(["tee", "/run/haproxy.cfg"], stdin=settings)
    node.run(["haproxy", "-D", "-f", "/run/haproxy.cfg"])


def _let_answers_through(lab: Lab, machine: str) -> None:
    lab[machine].run(["ip", "route", "replace", _CLIENTS, "via", lab.client.machine.ipv4])


def _table(lab: Lab) -> Mapping[str, Any]:
    node = next(n for n in lab.nodes if n.is_up)
    shown = json.loads(node.run(["mirrorfarm", "farm", "show", MODULE, "--json"], seconds=100))
    table: Mapping[str, Any] = shown["tables"][0]
    return table


def _settle(lab: Lab) -> None:
    end = time.monotonic() + _SETTLE_S
    while True:
        table = _table(lab)
        if table["director"] and not table["moving"] and _shared(table["shares"] or {}):
            return
        if time.monotonic() >= end:
            raise SystemExit(f"the farm does not settle: {table}")
        time.sleep(_LOOK_S)


def _shared(shares: Mapping[str, int]) -> bool:
    return set(shares) == set(NODES) and min(shares.values()) >= SLOTS // len(NODES)


def _probe(verb: str, host: str, port: int, sources: Sequence[str]) -> list[str]:
    command = [sys.executable, "-m", "bench.farm_probe", verb, host, str(port), *sources]
    return ["sh", "-c", 'cd "$0" && exec "$@"', str(_ROOT), *command]


def _attempts(lab: Lab, host: str, port: int, sources: Sequence[str]) -> list[Attempt]:
    """Each source asks once."""
    return read_attempts(lab.client.run(_probe("who", host, port, sources)))
