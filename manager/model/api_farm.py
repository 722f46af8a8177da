"""What an operator is told of a farm, and the calls about it: the tables, which node a client gets, weights.

Everything here is as etcd was last heard, so that every node answers alike; whether that is now, the answer says.
"""

import enum
from dataclasses import dataclass, field

from manager.model.config.farm_config import Protocol, RuleConfig


@dataclass(frozen=True, slots=True)
class Moving:
    """Slots of one address that are on their way from one living node to another (``manager.model.farm``)."""

    giver: str
    taker: str
    coming: int
    """So many are the giver's still, while both nodes load the rules for it."""
    leaving: int
    """So many are the taker's; the giver keeps the connections that it has in them."""
    held: int | None = None
    """Of ``leaving``, in how many at the most the giver has connections; ``None``: not known where it is asked."""
    switched: bool | None = None
    """Whether every node that serves is known to share ``leaving`` so by now; until it is, something may still begin at
    the giver. ``None``: none leave, or it is not said (by an agent of an older release)."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a node has of one address, or of all; each figure is ``None`` where it is not known."""

    connections: int | None
    """That its kernel has open, of TCP, at ports that are shared."""
    packets: int | None
    """From clients, as far as the nodes that run have counted; several of one connection may be joined into one."""
    bytes: int | None
    packets_s: int | None
    """In a second, lately."""
    bytes_s: int | None
    age_ms: int | None
    """How long ago the oldest of it was counted."""


@dataclass(frozen=True, slots=True)
class FarmTable:
    """Who serves one address, as etcd was last heard."""

    address: str
    director: str | None
    """Who receives for it; empty: nobody; ``None``: the record is not understood."""
    number: int | None
    """Of the table; 0: there is none yet; ``None``: the record is not understood, and the rest is not known."""
    by: str = ""
    """The director that wrote it."""
    shares: dict[str, int] | None = None
    """How many of ``manager.model.farm.SLOTS`` each node owns, those with none left out; ``None``: not known."""
    nobody: int = 0
    """How many slots have no owner: what comes for them is dropped."""
    moving: tuple[Moving, ...] = ()
    awaited: dict[str, int] | None = None
    """Nodes that have not loaded this table yet, so that what is on its way waits, with the number of the one that they
    have, 0: none; ``None``: not known where it is asked."""
    traffic: dict[str, Traffic] = field(default_factory=dict)
    """By node, those left out of which nothing is known."""


@dataclass(frozen=True, slots=True)
class FarmShare:
    """What one node has of a farm."""

    weight: int
    """That counts, as etcd was last heard."""
    configured: int
    """That ``module.toml`` gives it."""
    switched: bool
    """An operator has put ``weight`` in place of ``configured``."""
    group: int
    """Its group in the chain, the first one is 0."""
    slots: dict[str, int | None] | None
    """Address to how many of its slots are the node's; ``None``: not known, of that address or of all."""
    directs: tuple[str, ...] | None
    """The addresses that it receives for; ``None``: not known."""
    traffic: Traffic | None = None
    """Of all its addresses."""
    generation: int | None = None
    """Of the configuration by which it runs there; ``None``: it does not, or that is not known."""


@dataclass(frozen=True, slots=True)
class FarmShowArguments:
    """Call ``farm.show``: the tables of a farm."""

    module: str


@dataclass(frozen=True, slots=True)
class FarmReport:
    """Answer of ``farm.show``."""

    module: str
    node: str
    """Whose agent answered."""
    store_reachable: bool
    age_ms: int
    """How long ago etcd was last heard."""
    tables: tuple[FarmTable, ...]
    """In the order of the configuration."""
    rules: tuple[RuleConfig, ...]
    chain: tuple[tuple[str, ...], ...]
    """Groups of nodes; the first one that has a living node with a weight serves."""
    generation: int = 0
    """Of the configuration, which is the one that etcd has."""
    running: dict[str, int | None] = field(default_factory=dict)
    """Node to the generation by which it runs; ``None``: it does not, or that is not known."""


@dataclass(frozen=True, slots=True)
class FarmWhereArguments:
    """Call ``farm.where``: which node a client gets."""

    module: str
    client: str
    """Its address."""
    port: int = 0
    """From which it connects; 0: not said."""
    address: str = ""
    """Of the module's, to which it connects; empty: the one of the client's family."""
    protocol: Protocol | None = None
    """With ``service``: to which port it connects; ``None``: to any that the module shares."""
    service: int = 0


class Way(enum.StrEnum):
    """How it comes that a client gets the node that it gets."""

    UNKNOWN = "unknown"
    """What another release says, and this one does not know."""
    SETTLED = "settled"
    """Its slot has one owner."""
    COMING = "coming"
    """Its slot is about to go to another node."""
    LEAVING = "leaving"
    """Its slot is the node's; a former owner keeps the connections that it has there."""
    NOBODY = "nobody"
    """Its slot has no owner."""
    NO_RULE = "no_rule"
    """No rule shares such connections: the director takes them."""
    NO_TABLE = "no_table"
    """There is no table yet."""
    OWN = "own"
    """The client is a node of the farm, which holds the address itself."""


@dataclass(frozen=True, slots=True)
class FarmPlace:
    """Answer of ``farm.where``: as etcd was last heard."""

    module: str
    client: str
    port: int
    """0: not said, and it does not matter."""
    address: str
    node: str
    """Which gets what this client begins; empty: none."""
    way: Way
    slot: int | None
    """``None``: no table says it."""
    other: str
    """COMING: who will have the slot; LEAVING, and NOBODY if there is one: its former owner; else empty."""
    rule: RuleConfig | None
    """The one that shares it, the first one where several do alike; ``None``: none does."""
    director: str | None
    """Who receives for the address; empty: nobody; ``None``: not known."""
    number: int
    """Of the table."""
    registered: bool | None
    """Whether the agent of ``node`` is alive; ``None``: not known, or there is no such node."""
    store_reachable: bool
    age_ms: int
    switched: bool | None = None
    """Whether every node that serves is known to share the slot so by now; until it is, its former owner may still get
    what begins. ``None``: there is no former owner, or it is not said (by an agent of an older release)."""


@dataclass(frozen=True, slots=True)
class FarmTrafficArguments:
    """Call ``farm.traffic``: what begins may come to this node, or not; for the application's own scripts.

    Each start of the application begins with closed traffic (``traffic = "script"``).
    """

    module: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class FarmTrafficResult:
    """Answer of ``farm.traffic``."""

    module: str
    node: str
    is_open: bool
    changed: bool
    """It was the other way round before."""


@dataclass(frozen=True, slots=True)
class FarmWeightArguments:
    """Call ``farm.weight``: a node's weight from now on; it survives restarts."""

    module: str
    node: str
    weight: int | None
    """0 to ``manager.model.records.MOST_WEIGHT``; ``None``: that of ``module.toml`` again."""
    accept: bool = False
    """The operator has accepted that no node may be left to which anything goes that begins."""


@dataclass(frozen=True, slots=True)
class FarmWeightResult:
    """Answer of ``farm.weight``."""

    module: str
    node: str
    former: int
    weight: int
    switched: bool
    """It is an operator's, and not that of ``module.toml``."""
