"""What an authority has issued and revoked: the records, and what they allow. Pure."""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

AUTHORITY_DAYS: Final = 3653
"""How long an authority is good."""
NODE_DAYS: Final = 730
"""How long a node's certificate is, unless it is told otherwise."""
OPERATOR_DAYS: Final = 365
"""How long an operator's is: he can fetch another one, and nothing stops when he does not."""
MOST_DAYS: Final = AUTHORITY_DAYS


class Use(enum.StrEnum):
    """What a certificate is for."""

    NODE = "node"
    """A node of the cluster: the stream to its peer, and its agent as a user of etcd."""
    ETCD = "etcd"
    """A member of the cluster's etcd, to its clients and to the other members."""
    ADMINISTRATOR = "administrator"
    """The user of etcd who may do everything there."""
    OPERATOR = "operator"
    """Somebody who steers the cluster from any node; neither a node nor a user of etcd."""


OF_NODES: Final = tuple(use for use in Use if use is not Use.OPERATOR)
"""What a machine has. An operator may be called as a node is."""


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate. Instants are ISO 8601, UTC: for people, and in order as texts."""

    serial: str
    node: str
    """Or the operator, by its use."""
    addresses: tuple[str, ...]
    issued_at: str
    not_after: str
    revoked_at: str = ""
    """Empty: it is not."""
    use: Use = Use.NODE

    def is_good(self, now: str) -> bool:
        """Whether it is neither revoked nor over."""
        return not self.revoked_at and self.not_after > now


@dataclass(frozen=True, slots=True)
class Register:
    """Of one authority."""

    cluster_id: str
    cluster: str
    issued: tuple[Issued, ...] = ()
    lists_made: int = 0
    """How many lists of what is revoked there were: each has a higher number."""

    def good(self, node: str, now: str, uses: Collection[Use] = (Use.NODE,)) -> tuple[Issued, ...]:
        """The certificates of ``node`` for ``uses`` that are neither revoked nor over, the last one first."""
        return tuple(one for one in reversed(self.issued) if one.node == node and one.use in uses and one.is_good(now))

    def holders(self, now: str, use: Use) -> tuple[Issued, ...]:
        """The last good certificate for ``use`` of each that has one, by name."""
        last = {one.node: one for one in self.issued if one.use is use and one.is_good(now)}
        return tuple(last[name] for name in sorted(last))

    def add(self, *more: Issued) -> "Register":
        """With these, too."""
        return replace(self, issued=(*self.issued, *more))

    def revoke(self, serials: Sequence[str], now: str) -> "Register":
        """With these revoked, and a list more."""
        issued = tuple(replace(one, revoked_at=now) if one.serial in serials else one for one in self.issued)
        return replace(self, issued=issued, lists_made=self.lists_made + 1)

    @property
    def revoked(self) -> tuple[Issued, ...]:
        """All that ever were: one that is over stays on the list, since the other nodes' clocks may be behind."""
        return tuple(one for one in self.issued if one.revoked_at)
