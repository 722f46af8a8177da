"""The ports of this machine that the cluster needs: each free or ours, and let in by the machine's own firewall. Pure.

``port_probe`` says what is to be looked at, and asks the machine.
"""

import enum
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from manager.cli.checks.finding import Finding, error, ok, unknown, warning
from manager.cli.checks.firewall import Dropped, Firewall
from manager.cli.checks.listeners import Listener


class User(enum.Enum):
    """Whose port it is to be."""

    AGENT = "the agent"
    REPLICATOR = "the replicator"
    ETCD = "etcd"


@dataclass(frozen=True, slots=True)
class Port:
    """One that is needed."""

    protocol: str
    """``TCP`` or ``UDP``."""
    number: int
    user: User
    what_for: str
    """As ``what the other agents ask``."""
    without: str
    """What does not work without it: a sentence."""
    setting: str
    """Where another number is set, as an instruction."""
    addresses: tuple[str, ...] = ()
    """At which it is to be had; empty: any."""
    lasts: bool = True
    """It is the same after the next start."""

    @property
    def name(self) -> str:
        """As ``TCP port 9743``."""
        return f"{self.protocol} port {self.number}"


def ports(
    wanted: Sequence[Port],
    found: Iterable[Listener],
    agent_pid: int | None,
    absent: Iterable[str],
    firewall: Firewall | None,
) -> Iterator[Finding]:
    """Everything about them.

    Args:
        wanted: those that are needed.
        found: who has which of them.
        agent_pid: the agent that runs; ``None``: none does.
        absent: addresses of the configuration that no interface has.
        firewall: of this machine; ``None``: its rules were not told.
    """
    listening, bad = list(found), []
    for address in absent:
        bad.append(_absent(address))
    for port in wanted:
        bad += _held(
            port, [one for one in listening if (one.protocol, one.port) == (port.protocol, port.number)], agent_pid
        )
        if firewall and (drop := firewall.dropped.get((port.protocol, port.number))) is not None:
            bad.append(_dropped(port, drop))
    yield from bad
    if firewall is None:
        yield unknown(
            "firewall",
            "Whether this machine's own firewall lets in what comes to its ports is not known: nft does not tell its "
            "rules.",
            "Run mirrorfarm check as root, where nft is installed (Debian's package nftables).",
        )
    elif firewall.strange:
        yield unknown(
            "firewall",
            "Whether this machine's own firewall lets in all that comes to its ports is not known: nft tells of its "
            f"rules in a form that is not understood here: {firewall.strange}",
            "Look at what nft list ruleset says of the ports that are named here.",
        )
    if not bad and wanted:
        yield ok("ports", f"{', '.join(f'{p.protocol} {p.number} ({p.what_for})' for p in wanted)}: free, or ours")


def _held(port: Port, found: Sequence[Listener], agent_pid: int | None) -> Iterator[Finding]:
    addresses = port.addresses or ("",)
    others = [one for one in found if any(map(one.takes, addresses)) and not _is_ours(port, one, agent_pid)]
    for one in others[:1]:
        assert one.holder is not None
        yield error(
            port.name,
            f"{one.holder.name} (process {one.holder.pid}) has it, at {one.address}; it is for {port.what_for}. "
            f"{port.without}",
            f"Stop {one.holder.name}, or have it take another port. Else {port.setting}",
        )
    if others or agent_pid is None or port.user is not User.AGENT:
        return
    unheard = [a for a in addresses if not any(one.takes(a) for one in found)]
    if unheard:
        where = f" at {', '.join(unheard)}" if port.addresses else ""
        yield warning(
            port.name,
            f"The agent runs (process {agent_pid}) and does not listen there{where}. {port.without}",
            "/var/log/mirrorfarm/agent.log says why (channel.closed, probing.closed); it goes on trying. If agent.toml "
            "was changed since it was started: /etc/init.d/mirrorfarm-agent upgrade",
        )


def _is_ours(port: Port, one: Listener, agent_pid: int | None) -> bool:
    """Also where it is not known whose it is, and where it is in nobody's way."""
    if one.holder is None:
        return True
    match port.user:
        case User.AGENT:
            in_the_way = port.addresses or not ipaddress.ip_address(one.address).is_loopback
            return one.holder.pid == agent_pid or not in_the_way
        case User.REPLICATOR:
            return one.holder.is_replicator
        case User.ETCD:
            return one.holder.name == "etcd"


def _absent(address: str) -> Finding:
    return warning(
        f"address {address}",
        "agent.toml names it, and no interface of this machine has it. Nothing that comes there is heard, and nothing "
        "is sent from there, until it is there; it is taken then by itself.",
        f"ip address shows those that there are. Bring up the interface of {address}, or correct [network] in "
        "agent.toml.",
    )


def _dropped(port: Port, drop: Dropped) -> Finding:
    chain = f"{drop.family} {drop.table} {drop.chain}"
    how = "by its policy, since no rule of it lets it in" if drop.by_policy else "by a rule"
    first = "" if port.lasts else f"First {port.setting} Until then it is another port after each start. Then "
    return error(
        port.name,
        f"This machine's own firewall drops what comes in: nftables, chain {chain}, {how}. It is for {port.what_for}. "
        f"{port.without}",
        f"{first}nft insert rule {chain} {port.protocol.lower()} dport {port.number} accept, and the same where the "
        "rules are loaded from at boot (/etc/nftables.conf, or what has made them: ufw, firewalld). ip saddr ADDRESS "
        "before it lets in one node alone.",
    )


WITHOUT_CHANNEL: Final = (
    "The other nodes cannot ask this one (option --node), and not know its state while etcd is away."
)
WITHOUT_PROBES: Final = "This node gets no share of any farm: the others count it as dead."
WITHOUT_STREAM: Final = "No copy is made to this node while another one is the primary."
WITHOUT_CLIENTS: Final = "Agents cannot ask this member of etcd."
WITHOUT_PEERS: Final = "The other members of etcd do not reach this one."
