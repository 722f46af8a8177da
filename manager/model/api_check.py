"""The call ``check.facts``: what a node says of itself, so that two can be compared. What is not known is ``None``."""

import enum
from dataclasses import dataclass
from typing import Final

MOST_OWNERS: Final = 64
"""That are told of, and that are asked for, in one call."""


class OwnerKind(enum.StrEnum):
    """Whose number a file has."""

    USER = "user"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Owner:
    """To whom a file belongs, on one node."""

    kind: OwnerKind
    number: int
    name: str
    """Empty: nobody has that number there."""


@dataclass(frozen=True, slots=True)
class OwnerHere:
    """What an :class:`Owner` of another node is on the one that answers."""

    owner: Owner
    """As it was asked for."""
    number: int | None
    """Of that name here; ``None``: there is no such name, or none was given."""
    name: str
    """Who has that number here; empty: nobody."""


@dataclass(frozen=True, slots=True)
class CheckFactsArguments:
    """Call ``check.facts``."""

    owners: tuple[Owner, ...] = ()
    """Of another node's files; it is answered what they are here, of :data:`MOST_OWNERS` at the most."""


@dataclass(frozen=True, slots=True)
class DirectoryFacts:
    """A replicated directory on one node."""

    module: str
    path: str
    nodes: tuple[str, ...]
    """Those of its module."""
    problem: str = ""
    """Why nothing more is known of it, or not all; empty: all is."""
    file_system: str = ""
    """Its type, as ``ext4``; empty: not known."""
    total_bytes: int | None = None
    free_bytes: int | None = None
    """For one without privilege."""
    trusted_attributes: bool | None = None
    access_lists: bool | None = None
    """POSIX ACLs."""
    owners: tuple[Owner, ...] | None = None
    """Of what is directly in it; ``None``: not known."""
    fsync_us: int | None = None
    """The median of some small writes, each with its fsync, on the same file system; ``None``: not measured."""
    fsyncs: int = 0
    """How many."""


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """Answer of ``check.facts``."""

    node: str
    kernel: str
    python: str
    etcd_client: str
    """Release of python-etcd3."""
    nft: str
    """Empty: there is none."""
    clock_ms: int
    """Its wall clock when it answered, in milliseconds since 1970."""
    replication_address: str
    """Where the others' streams find it."""
    directories: tuple[DirectoryFacts, ...]
    """Of the mirrors of which it is a node, as etcd was last heard."""
    owners: tuple[OwnerHere, ...] | None
    """``None``: who knows the names did not answer."""
