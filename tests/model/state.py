"""What the model knows of a cluster at one moment: tuples all through, so that a state can be hashed and compared.

Nodes are numbers, shown as A, B, C. Contents are one number a slot (``contents``), zones of slots are bits.
Nothing is decided here.
"""

from typing import Final, NamedTuple

NAMES: Final = "ABC"

OFF: Final = 0
"""The machine is without power."""
CRASHED: Final = 1
"""The machine is on, the replicator's process is not there."""
RUNS: Final = 2

WAITS: Final = "waits"
FOLLOWS: Final = "follows"
SERVES: Final = "serves"

SYNC: Final = "sync"
"""The stream of a node that is in the record."""
COPYING: Final = "copying"
JOINED: Final = "joined"
"""Past its join point, not known to be in the record yet."""

UNTOUCHED: Final = 0
ASKED: Final = 1
"""The application waits for it."""
DONE: Final = 2
"""Completed, or shown to someone: it must not be lost."""
UNCERTAIN: Final = 3
"""Failed, or its caller will never know."""
GIVEN_UP: Final = 4
"""Completed, and lost where the rules allow it."""
DOOMED: Final = 5
"""Not completed, and lost where the rules allow it."""

COPY_IT: Final = 99
"""In a list: the zone has to be copied, whatever was shipped since."""
NEVER: Final = 0
UNHEARD: Final = -1
"""It is not known up to where a node's disk has everything."""


class Holder(NamedTuple):
    """A node in the record."""

    node: int
    boot: int


class Key(NamedTuple):
    """The primary key."""

    node: int
    epoch: int


class Store(NamedTuple):
    """What stands in etcd."""

    epoch: int
    holders: tuple[Holder, ...]
    revision: int
    """Of the record. In a state it is 1; older ones are 0 (``draft``)."""
    key: Key | None
    absent: int
    """Bits: nodes that live, and whose registration has ended all the same."""
    identity: int
    """Of the store: a restore from a backup makes another one."""
    backup: tuple[int, tuple[Holder, ...]] | None
    named: int
    """Bits: nodes whose data an operator has named for the first start."""
    offer: int
    """0, or 1 + the node that may take the primary's place; it stands while the key does, though that one is dead."""


class List(NamedTuple):
    """What another node may lack, as one node tracks it in memory."""

    valid: bool
    join: int
    """It becomes valid by the primary's first barrier past this place."""
    marks: tuple[int, ...]
    """By zone: the last sequence shipped that is not known to be on both disks; NEVER: nothing; COPY_IT."""


class Pending(NamedTuple):
    """An operation that the primary has issued and not completed."""

    number: int
    """Of the operation, from 1."""
    place: int
    """In the stream."""
    repair: bool
    """It failed here; its error is answered once the peer is repaired."""
    late: bool
    """It was issued after another node had begun to serve."""
    covers: int
    """fsync: bits of the operations that were completed before."""


class Primary(NamedTuple):
    """What a serving node knows beside its files."""

    required: int
    """Bits: the other nodes by whose acknowledgement it completes; those of the last settled record."""
    issued: int
    synced: int
    """Its own disk has everything up to this place."""
    pending: tuple[Pending, ...]
    unknown: tuple[str, int] | None
    """Its change of the record without an answer: add or drop, and whom."""
    heard: tuple[int, ...]
    """By node: up to where its disk has everything, as it told."""
    settled: int
    """The record's revision that it settled last."""
    frozen: bool
    """Nothing more is issued: its place is, or was, offered to another node."""
    offered: int
    """0, or 1 + the node to which it has offered its place."""


class Node(NamedTuple):
    """One node: its machine, its replicator and its agent."""

    power: int
    boot: int
    role: str
    epoch: int
    cache: tuple[int, ...]
    disk: tuple[int, ...]
    lists: tuple[List | None, ...]
    """By node, in memory."""
    written: tuple[int | None, ...]
    """By node, on disk: bits of zones; None: void, a full compare."""
    place: tuple[int, int] | None
    """Epoch and place up to which it applied a stream that may be taken up again by the same processes."""
    primary: Primary | None
    store: int
    """The identity of the store that its disk has seen."""


class Frame(NamedTuple):
    """One message of the stream to a secondary."""

    kind: str
    """``op``, ``copy``, ``fsync``, ``join`` or ``barrier``."""
    place: int
    body: tuple[int, ...] = ()
    """op: its number, and whether it must fit; copy: zone, then slot and value in turns; barrier: by node."""


class Stream(NamedTuple):
    """A connection from a primary to another node: what is under way stays readable after the other end closed."""

    epoch: int
    mode: str
    near: bool
    """The primary's end is open."""
    far: bool
    frames: tuple[Frame, ...]
    applied: int
    synced: int
    join: int
    boot: int
    """The secondary's, when it began."""


class Request(NamedTuple):
    """A transaction on its way: it may be executed at any later moment, or never."""

    kind: str
    """``elect``, ``take over``, ``add`` or ``drop``."""
    node: int
    other: int
    key: bool
    """Its guard on the key still holds, or would."""
    revision: bool
    """Its guard on the record's revision still holds."""
    epoch: int
    boot: int
    tested: tuple[tuple[int, int], ...] = ()
    """Registrations that it tests: node and boot id, 0 for none (boot ids count from 1)."""


class Client(NamedTuple):
    """The application, and what it was told."""

    next: int
    status: tuple[int, ...]
    fsynced: int
    """Bits: operations that an fsync covered."""
    failures: int
    """Since all was well last; 2 stands for more."""


class Budget(NamedTuple):
    """What may still happen."""

    power: int = 0
    crash: int = 0
    cut: int = 0
    lease: int = 0
    """A lease may end although its holder lives and does not know."""
    lost: int = 0
    """Answers of the store."""
    delay: int = 0
    """Requests that are executed at any later time."""
    fail: int = 0
    """Operations that fail on the primary's own disk."""
    swap: int = 0
    sync: int = 0
    """Barriers: how often a node brings all to its disk."""


class State(NamedTuple):
    """All of it."""

    store: Store
    nodes: tuple[Node, ...]
    streams: tuple[Stream | None, ...]
    """By primary * nodes + secondary."""
    requests: tuple[Request, ...]
    client: Client
    budget: Budget


class Step(NamedTuple):
    """One thing that can happen in a state."""

    text: str
    state: State
    violation: str | None
