"""Which members etcd is to have, and where: from the operator's words, or why not. Pure.

It decides what is refused. What stands in a member's files is ``settings``' matter.
"""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from manager.model.api import ApiError, ErrorKind
from manager.model.ids import NAME_RULE, is_name
from manager.model.node_identity import ETCD_ROOT

MEMBERS: Final = 3
"""Two servers and a witness: with any one lost the other two are a majority."""
CLIENT_PORT: Final = 2379
PEER_PORT: Final = 2380
_DIRECTORY: Final = re.compile(r"(/[A-Za-z0-9._-]+)+\Z")
"""Of etcd's data: what a shell and systemd both read as it stands."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """One member, and the address at which the others and the clients find it."""

    name: str
    address: Address

    @property
    def host(self) -> str:
        """As it stands in a URL."""
        return f"[{self.address}]" if self.address.version == 6 else str(self.address)


@dataclass(frozen=True, slots=True)
class EtcdPlan:
    """A whole etcd."""

    cluster: str
    members: tuple[EtcdMember, ...]
    data_directory: str
    """On each member, and not there yet."""
    client_port: int
    peer_port: int
    token: str
    """Another one for each etcd that was ever made, so that no member joins a former one."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """As ``etcd.endpoints`` of ``agent.toml`` has them."""
        return tuple(f"{member.host}:{self.client_port}" for member in self.members)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator has said."""

    members: tuple[str, ...]
    """Each ``NAME=ADDRESS``."""
    data_directory: str = ""
    """Empty: below Debian's own."""
    client_port: int = CLIENT_PORT
    peer_port: int = PEER_PORT


def make_plan(cluster: str, asked: Asked, token: str) -> EtcdPlan:
    """The plan. Raises ApiError, which names everything that is wrong."""
    members, wrong = _members(asked.members)
    directory = asked.data_directory or f"/var/lib/etcd/mirrorfarm-{cluster}"
    wrong += _wrong_members(members)
    if len(asked.members) != MEMBERS:
        count = f"{len(asked.members)} member{'' if len(asked.members) == 1 else 's'}"
        wrong.append(f"{count}, where two servers and a witness are {MEMBERS}")
    if asked.client_port == asked.peer_port:
        wrong.append(f"one port, {asked.client_port}, for clients and members")
    if not _DIRECTORY.match(directory) or ".." in directory.split("/"):
        wrong.append(f"data directory {directory!r}, which is no absolute path of letters, digits and . _ -")
    if wrong:
        raise ApiError(
            ErrorKind.REFUSED,
            f"No etcd can be set up so: {'; '.join(wrong)}.",
            meaning="Nothing was written.",
            remedy="mirrorfarm etcd init --member a=ADDRESS --member b=ADDRESS --member witness=ADDRESS, each with the "
            "IP address at which the other two machines reach it.",
        )
    return EtcdPlan(cluster, tuple(members), directory, asked.client_port, asked.peer_port, token)


def _members(texts: Sequence[str]) -> tuple[list[EtcdMember], list[str]]:
    members, wrong = [], []
    for text in texts:
        name, _, written = text.partition("=")
        problem = _wrong_name(name)
        try:
            address = ipaddress.ip_address(written)
        except ValueError:
            problem = problem or f"{text!r}, whose address {written!r} is no IP address"
        if problem:
            wrong.append(problem)
        else:
            members.append(EtcdMember(name, address))
    return members, wrong


def _wrong_name(name: str) -> str:
    if not is_name(name):
        return f"{name!r}, which is no member's name: {NAME_RULE}"
    # The directory of the administrator's certificate stands beside the members'.
    return f"a member that is called {name}, as etcd's administrator" if name == ETCD_ROOT else ""


def _wrong_members(members: Sequence[EtcdMember]) -> list[str]:
    wrong = [f"{name} for {count} members" for name, count in _repeated(member.name for member in members)]
    wrong += [f"{address} for {count} members" for address, count in _repeated(str(m.address) for m in members)]
    for member in members:
        address = member.address
        if address.is_unspecified or address.is_multicast or address == ipaddress.ip_address("255.255.255.255"):
            wrong.append(f"{member.name} at {address}, which is not the address of one machine")
        elif address.version == 6 and address.is_link_local:
            wrong.append(f"{member.name} at {address}, which is good on one link alone")
    local = [member.name for member in members if member.address.is_loopback]
    if local and len(local) < len(members):
        wrong.append(f"{', '.join(local)} at an address that no other machine reaches")
    return wrong


def _repeated(texts: Iterator[str]) -> Iterator[tuple[str, int]]:
    counts: dict[str, int] = defaultdict(int)
    for text in texts:
        counts[text] += 1
    return ((text, count) for text, count in counts.items() if count > 1)
