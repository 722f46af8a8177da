"""What the timed model knows at one moment: times are what is left of them, in ticks, so that it has no end.

Clocks are right here; what is taken off for clocks that differ in speed is outside of it.
"""

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

DEAD: Final = "dead"
ORPHAN: Final = "orphan"
"""Its agent is dead; what serves goes on until the instant that it was told."""
WAITS: Final = "waits"
"""Secondary, or nothing yet."""
PRIMARY: Final = "primary"

NO_EPOCH: Final = 0
"""Of a promise's epoch: there is none."""


GONE: Final = -1


class Store(NamedTuple):
    """What stands in etcd."""

    epoch: int
    holders: int
    """Bits."""
    revision: int
    """Of the record: 1; older ones are 0."""
    key: tuple[int, int] | None
    """Node and epoch."""
    lease: int
    """What is left of the key's lease; at 0 it ends at any moment."""
    released: int
    """The epoch whose primary has given its place up itself, with everything dead."""
    last: int
    """Who is, or was, primary in this epoch."""


class Node(NamedTuple):
    """One node."""

    role: str
    epoch: int
    serves: bool
    """Its application runs."""
    lease: int
    """Until when it may serve by its lease."""
    renewing: int | None
    """How long ago it sent a renewal that is not answered."""
    promised: tuple[int, ...]
    """By node: what is left of its promise not to stand."""
    bound: int
    """What is left of its own promise."""
    bound_epoch: int
    former: int
    """What is left of the longest promise that its former agent may have made."""
    holders: int
    """As primary: the record it settled last."""
    unknown: int
    """As primary: bits of the nodes that a change without an answer may have listed or dropped."""
    settled: int
    """The record's revision that it settled last."""
    offered: int
    """0, or 1 + the node."""
    frozen: bool
    told: int
    """What is left of the time that its warden was told of last: it cannot be taken back (S7)."""


class Question(NamedTuple):
    """A primary's question for a promise, or the answer to it, on its way."""

    epoch: int
    age: int
    """Since it was asked."""
    answered: bool


class Request(NamedTuple):
    """A transaction that may be executed at any later time."""

    kind: str
    """``elect``, ``take over``, ``add``, ``drop`` or ``release``."""
    node: int
    other: int
    """:data:`GONE`: the process that sent it is, so that nobody becomes primary by it."""
    key: bool
    revision: bool
    epoch: int


class Budget(NamedTuple):
    """What may still happen."""

    crash: int = 0
    agent: int = 0
    """Agents that die alone."""
    lost: int = 0
    delay: int = 0
    change: int = 0
    """Changes of the record."""
    swap: int = 0
    release: int = 0
    slow: int = 0
    """Renewals whose answer comes later."""


class State(NamedTuple):
    """All of it."""

    store: Store
    nodes: tuple[Node, ...]
    questions: tuple[Question | None, ...]
    """By primary * nodes + other."""
    requests: tuple[Request, ...]
    budget: Budget


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rules of S5 and S7 hold; those of the transactions are the other model's."""

    lease_from_sending: bool = True
    promise_from_asking: bool = True
    every_promise: bool = True
    """Of all others that the record lists, not of one."""
    unsettled_may_list: bool = True
    """And of those that a change without an answer may have listed: alone is who is so in a settled record."""
    keeps_promise: bool = True
    waits_after_restart: bool = True
    unsettled_promises_nothing: bool = True
    serves_after_promises: bool = True
    stops_at_limit: bool = True
    released_when_dead: bool = True
    released_for_its_epoch: bool = True
    offers_frozen: bool = True
    only_taken_ends_promise: bool = True
    """An offer ends the promise of who takes it once that is settled; to have tried ends nothing."""
    withdraws_by_writing: bool = True
    adds_within_told: bool = True
    """A node is added only where this one may serve on beside it (by its lease, or by that node's promise), until the
    instant that its warden was told: its agent may die the moment after."""
    elect_checks_key: bool = True
    elect_checks_revision: bool = True
    resume_checks_revision: bool = True
    resume_checks_key: bool = True
    resume_rewrites: bool = True
    change_checks_key: bool = True
    change_checks_revision: bool = True

    def without(self, *names: str) -> "Rules":
        """These broken."""
        return replace(self, **dict.fromkeys(names, False))


@dataclass(frozen=True, slots=True)
class Bounds:
    """One configuration."""

    budget: Budget
    nodes: int = 2
    ttl: int = 2
    promise: int = 2
    epochs: int = 2
    listed: int = -1
    """Bits of the nodes in the record at the start; -1: all."""
    rules: Rules = field(default_factory=Rules)

    def initial(self) -> State:
        """A serves, all are in the record, the lease is fresh."""
        every = (1 << self.nodes) - 1
        holders = every if self.listed < 0 else self.listed
        none = (0,) * self.nodes
        nodes = tuple(
            Node(PRIMARY if n == 0 else WAITS, 1, n == 0, self.ttl if n == 0 else 0, None, none, 0, NO_EPOCH,
                 0, holders if n == 0 else 0, 0, 1 if n == 0 else 0, 0, False, self.ttl if n == 0 else 0)
            for n in range(self.nodes)
        )  # fmt: skip
        store = Store(1, holders, 1, (0, 1), self.ttl, 0, 0)
        return State(store, nodes, (None,) * self.nodes**2, (), self.budget)
