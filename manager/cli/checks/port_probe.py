"""Which ports this node needs, by its configuration, and what the machine has to say of them; see ``ports``."""

import ipaddress
import json
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from manager.cli.checks import ports
from manager.cli.checks.etcd import Member
from manager.cli.checks.finding import Finding
from manager.cli.checks.firewall import Dropped, Firewall, NotUnderstoodError, Packet, dropped
from manager.cli.checks.kernel_settings import taken_ports
from manager.cli.checks.listeners import Listener, listeners
from manager.cli.checks.ports import Port, User
from manager.model.config import AgentConfig, AnyModule, FarmConfig, ModuleConfig

OWN_TABLES: Final = "mirrorfarm_"
"""With what the names of the farms' own tables begin."""
NFT_S: Final = 5.0
_AGENT = (b"agent.main", b"mirrorfarm-agent")


def port_findings(
    root: Path, config: AgentConfig, modules: Sequence[AnyModule], members: Iterable[Member]
) -> Iterator[Finding]:
    """Everything about the ports of this machine. ``members``: of etcd, as far as they are known."""
    found = listeners(root)
    wanted = wanted_ports(config, modules, members, found)
    named = (*config.network.addresses, config.network.replication_address)
    absent = [a for a in dict.fromkeys(named) if a and not is_here(a)]
    yield from ports.ports(wanted, found, agent_pid(root, config.paths.run), absent, _firewall(wanted))
    yield from taken_ports(root, wanted)


def wanted_ports(
    config: AgentConfig, modules: Sequence[AnyModule], members: Iterable[Member], found: Sequence[Listener]
) -> list[Port]:
    """Those that this node needs. ``found``: what is taken, by replicators among others."""
    return [*_of_nodes(config, modules), *_of_replicators(modules, config, found), *_of_etcd(config, members)]


def is_here(address: str) -> bool:
    """Whether an interface of this machine has ``address``."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def agent_pid(root: Path, run: str) -> int | None:
    """Of the agent that runs; ``None``: none does."""
    try:
        pid = int((root / run.lstrip("/") / "agent.pid").read_text())
        words = (root / f"proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if any(os.path.basename(word) in _AGENT for word in words) else None


def _of_nodes(config: AgentConfig, modules: Sequence[AnyModule]) -> Iterator[Port]:
    network = config.network
    addresses = tuple(dict.fromkeys(a for a in (*network.addresses, network.replication_address) if a))
    yield Port(
        "TCP", network.agent_port, User.AGENT, "what the other agents ask", ports.WITHOUT_CHANNEL,
        "set network.agent_port in agent.toml of all nodes.", addresses if network.addresses else (),
    )  # fmt: skip
    if any(isinstance(module, FarmConfig) for module in modules):
        yield Port(
            "UDP", network.probe_port, User.AGENT, "farms' probes", ports.WITHOUT_PROBES,
            "set network.probe_port in agent.toml of all nodes.", network.addresses[:1],
        )  # fmt: skip


def _of_replicators(modules: Sequence[AnyModule], config: AgentConfig, found: Sequence[Listener]) -> Iterator[Port]:
    """Those that are named, and those that replicators have which may take any."""
    address = config.network.replication_address
    named = {m.replication.port: m.name for m in modules if isinstance(m, ModuleConfig) and m.replication.port}
    taken = {one.port for one in found if one.protocol == "TCP" and one.holder and one.holder.is_replicator}
    for number in sorted(named.keys() | taken):
        what_for = f"the stream of {named[number]}" if number in named else "the stream of a mirror"
        setting = "set replication.port in its module.toml."
        yield Port(
            "TCP", number, User.REPLICATOR, what_for, ports.WITHOUT_STREAM, setting, (address,) if address else (),
            lasts=number in named,
        )  # fmt: skip


def _of_etcd(config: AgentConfig, members: Iterable[Member]) -> Iterator[Port]:
    clients = (f"//{endpoint}" for endpoint in config.etcd.endpoints)
    peers = (url for member in members for url in member.peer_urls)
    for urls, what_for, without in (
        (clients, "etcd's clients", ports.WITHOUT_CLIENTS),
        (peers, "etcd's members", ports.WITHOUT_PEERS),
    ):
        for host, number in dict.fromkeys(_place(url) for url in urls):
            if host and number and is_here(host):
                setting = (
                    "give this member of etcd another one, and name it in etcd.endpoints in agent.toml of all nodes."
                )
                yield Port("TCP", number, User.ETCD, what_for, without, setting, (host,))


def _place(url: str) -> tuple[str, int]:
    """Empty and 0: of a name, of which others decide where it leads."""
    try:
        split = urlsplit(url)
        return str(ipaddress.ip_address(split.hostname or "")), split.port or 0
    except ValueError:
        return "", 0


def _firewall(wanted: Sequence[Port]) -> Firewall | None:
    rules = _ruleset()
    return None if rules is None else firewall(rules, wanted)


def firewall(rules: Any, wanted: Sequence[Port]) -> Firewall:
    """What it does to these ports, by ``rules`` as nft prints them."""
    found: dict[tuple[str, int], Dropped] = {}
    strange = ""
    for port in wanted:
        for version in sorted({ipaddress.ip_address(a).version for a in port.addresses} or {4}):
            try:
                drop = dropped(rules, Packet(port.protocol.lower(), port.number, version), OWN_TABLES)
            except NotUnderstoodError as error:
                strange = str(error)
                continue
            if drop is not None:
                found[port.protocol, port.number] = drop
    return Firewall(found, strange)


def _ruleset() -> Any:
    """``None``: nft is not there, or does not tell."""
    path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    try:
        done = subprocess.run(
            ["nft", "-j", "list", "ruleset"], env=path, capture_output=True, text=True, timeout=NFT_S, check=True
        )
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
