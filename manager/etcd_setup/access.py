"""Who may do what in etcd: what there is to be, what is there, and the steps from one to the other. Pure.

Each node's agent is a user of etcd, by the name in its certificate, with one role: the keys below the cluster's prefix.
Nobody has a password. The last step is the one that counts: before it etcd takes everything from whoever has a
certificate.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from manager.model.keys import ClusterKeys
from manager.model.node_identity import ETCD_ROOT


@dataclass(frozen=True, slots=True)
class Permission:
    """What a role may do with the keys from ``first`` to below ``end``; ``end`` empty: with ``first`` alone."""

    first: str
    end: str = ""
    writes: bool = False

    def words(self) -> str:
        """For people."""
        keys = f"the keys from {self.first} to {self.end}" if self.end else f"the key {self.first}"
        return f"{'read and write' if self.writes else 'read'} {keys}"


@dataclass(frozen=True, slots=True)
class Access:
    """What etcd has."""

    is_on: bool = False
    """It asks who somebody is, and what he may."""
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By name: the roles."""
    roles: Mapping[str, frozenset[Permission]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AddRole:
    """Make a role that may do nothing yet."""

    role: str


@dataclass(frozen=True, slots=True)
class Permit:
    """Let a role do something."""

    role: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class AddUser:
    """Make a user without a password, who has no role yet."""

    user: str


@dataclass(frozen=True, slots=True)
class GiveRole:
    """Give a user a role."""

    user: str
    role: str


@dataclass(frozen=True, slots=True)
class TurnOn:
    """From now on etcd asks."""


Step = AddRole | Permit | AddUser | GiveRole | TurnOn
ROOT_ROLE: Final = "root"


def role_of(cluster: str) -> str:
    """The role of a cluster's nodes."""
    return f"mirrorfarm-{cluster}"


def permission_of(cluster: str) -> Permission:
    """What a cluster's nodes need, leases included: their prefix, and nothing else.

    An agent that asks whether etcd answers may be refused (``manager/store/etcd.py``): that is an answer.
    """
    prefix = ClusterKeys(cluster).prefix
    return Permission(prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1), writes=True)


def entitled(present: Access, named: Iterable[str], certified: Iterable[str]) -> list[str]:
    """The nodes that get what they need: those ``named``, or all that have a certificate.

    As long as etcd asks nobody, all of them have everything, and the last step would take it from those that were not
    named: they are among them in any case.
    """
    wanted = set(named)
    return sorted(wanted if wanted and present.is_on else wanted | set(certified))


def steps(present: Access, cluster: str, nodes: Sequence[str]) -> list[Step]:
    """What is missing, in an order in which nobody is shut out when it is broken off."""
    return list(_steps(present, cluster, nodes))


def _steps(present: Access, cluster: str, nodes: Sequence[str]) -> Iterator[Step]:
    role = role_of(cluster)
    for one in (ROOT_ROLE, role):
        if one not in present.roles:
            yield AddRole(one)
    permission = permission_of(cluster)
    if permission not in present.roles.get(role, frozenset()):
        yield Permit(role, permission)
    for user, wanted in ((ETCD_ROOT, ROOT_ROLE), *((node, role) for node in nodes)):
        if user not in present.users:
            yield AddUser(user)
        if wanted not in present.users.get(user, frozenset()):
            yield GiveRole(user, wanted)
    if not present.is_on:
        yield TurnOn()


def members(present: Access, cluster: str) -> list[str]:
    """The users with the role of the cluster's nodes."""
    return sorted(user for user, roles in present.users.items() if role_of(cluster) in roles)


def surplus(present: Access, cluster: str, nodes: Sequence[str]) -> list[str]:
    """What is there beyond that and gives this cluster's nodes more, in words. It is for the operator to judge."""
    role = role_of(cluster)
    more = present.roles.get(role, frozenset()) - {permission_of(cluster)}
    found = [f"role {role} may also {permission.words()}" for permission in sorted(more, key=lambda p: p.first)]
    for node in nodes:
        others = sorted(present.users.get(node, frozenset()) - {role})
        found += [f"user {node} has role {other}, too" for other in others]
    return found
