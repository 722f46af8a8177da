"""What the state of a farm's core is made of: small records of single facts, as they were told. Frozen.

What they are told by is ``events``, where they are kept is ``state``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.core.commands import Commit
from agent.core.farm.events import Answered
from agent.core.state import Addr
from agent.core.view import Seen
from manager.model.farm import DirectorRecord, SlotsRecord


@dataclass(frozen=True, slots=True)
class OpenTxn:
    """The transaction under way."""

    commit: Commit
    address: str


@dataclass(frozen=True, slots=True)
class Known:
    """The two keys of an address, as a transaction's answer told them."""

    revision: int
    director: Seen[DirectorRecord] | None
    slots: Seen[SlotsRecord] | None
    is_whole: bool
    """Both were told as they stood then; else ``slots`` is as the view had them, which may be older."""


@dataclass(frozen=True, slots=True)
class Hand:
    """What becomes of an address on the network, here."""

    phase: Addr
    since_ns: int


@dataclass(frozen=True, slots=True)
class Handing:
    """An address is handed over to another node, which is to direct it."""

    taker: str
    is_unsure: bool = False
    """A transaction that gives it the key was not answered, and may be executed late."""


@dataclass(frozen=True, slots=True)
class Calm:
    """What directors are spread by, and since when it has been so."""

    picture: tuple[object, ...] | None = None
    """``None``: it is not known, or something is under way."""
    since_ns: int = 0


@dataclass(frozen=True, slots=True)
class Trouble:
    """This node could not answer for an address."""

    detail: str
    in_use: bool
    until_ns: int
    """Before, it does not stand for it again."""


@dataclass(frozen=True, slots=True)
class Relieved:
    """What begins at an address goes to other nodes alone, by the tables that there were since."""

    number: int
    """Of the first of them."""
    since_ns: int
    """When it was told."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A member's last answer to a probe."""

    at_ns: int
    answer: Answered
    was_ready: bool
    """In any of its answers up to this one, or when it directed."""


@dataclass(frozen=True, slots=True)
class Asker:
    """A node that has probed this one."""

    at_ns: int
    directs: Mapping[str, int]
    """The addresses that it answered for by its key, as ``events.Asked`` has them."""


@dataclass(frozen=True, slots=True)
class Away:
    """A member whose machine is there without its agent, or whose agent takes over what the former one left."""

    since_ns: int
    until_ns: int
    """So long counts what was told last."""
    keeps: bool
    """It had its share, and may have it still."""


@dataclass(frozen=True, slots=True)
class Count:
    """In which of the slots that it leaves this node has connections, by the table of ``number``."""

    number: int
    busy: frozenset[int]
