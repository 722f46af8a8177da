"""What an authority has issued and revoked: the records, and what they allow. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

AUTHORITY_DAYS: Final = 3653
"""How long an authority is good."""
NODE_DAYS: Final = 730
"""How long a node's certificate is, unless it is told otherwise."""
MOST_DAYS: Final = AUTHORITY_DAYS


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate. Instants are ISO 8601, UTC: for people, and in order as texts."""

    serial: str
    node: str
    addresses: tuple[str, ...]
    issued_at: str
    not_after: str
    revoked_at: str = ""
    """Empty: it is not."""


@dataclass(frozen=True, slots=True)
class Register:
    """Of one authority."""

    cluster_id: str
    cluster: str
    issued: tuple[Issued, ...] = ()
    lists_made: int = 0
    """How many lists of what is revoked there were: each has a higher number."""

    def good(self, node: str, now: str) -> tuple[Issued, ...]:
        """The certificates of ``node`` that are neither revoked nor over, the last one first."""
        return tuple(
            one for one in reversed(self.issued) if one.node == node and not one.revoked_at and one.not_after > now
        )

    def add(self, one: Issued) -> "Register":
        """With one more."""
        return replace(self, issued=(*self.issued, one))

    def revoke(self, serials: Sequence[str], now: str) -> "Register":
        """With these revoked, and a list more."""
        issued = tuple(replace(one, revoked_at=now) if one.serial in serials else one for one in self.issued)
        return replace(self, issued=issued, lists_made=self.lists_made + 1)

    @property
    def revoked(self) -> tuple[Issued, ...]:
        """All that ever were: one that is over stays on the list, since the other nodes' clocks may be behind."""
        return tuple(one for one in self.issued if one.revoked_at)
