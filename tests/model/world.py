"""The bounds of one search: how many nodes, what the application does, what may go wrong, and which rules hold."""

from dataclasses import dataclass, field
from typing import Final

from tests.model.contents import Operation
from tests.model.rules import Rules
from tests.model.state import (
    FOLLOWS,
    NAMES,
    NEVER,
    RUNS,
    SERVES,
    SYNC,
    UNTOUCHED,
    WAITS,
    Budget,
    Client,
    Holder,
    Key,
    List,
    Node,
    Primary,
    State,
    Store,
    Stream,
)

ALL: Final = -1
"""All nodes are in sync at the start."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """One configuration of the model."""

    plan: tuple[Operation, ...]
    """What the application does, in this order."""
    budget: Budget
    epochs: int
    """No node stands beyond this one."""
    zones: tuple[int, ...] = (0,)
    """By slot: the zone it is in."""
    outstanding: int = 1
    """How many operations the application has under way."""
    nodes: int = 2
    start: str = "pair"
    """``pair``: all are in sync, A serves. ``alone``: A serves, the others have been dropped. ``first``: no record."""
    reconnects: bool = False
    """A stream that was cut may be taken up again by the same two processes."""
    restores: bool = False
    """etcd may be restored from a backup, once."""
    starts_alone: bool = True
    """A node that rebooted stands where nobody else is registered (after_power_loss = "start")."""
    rules: Rules = field(default_factory=Rules)


class World:
    """Bounds, with what is reckoned from them once."""

    __slots__ = ("bounds", "every", "nodes", "operation_zones", "others", "plan", "rules", "zone_slots", "zones")

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.rules = bounds.rules
        self.nodes = bounds.nodes
        self.plan = bounds.plan
        self.zones = max(bounds.zones) + 1
        self.zone_slots = tuple(
            tuple(slot for slot, z in enumerate(bounds.zones) if z == zone) for zone in range(self.zones)
        )
        self.operation_zones = tuple(
            tuple(sorted({bounds.zones[slot] for slot in operation.slots})) for operation in bounds.plan
        )
        self.others = tuple(tuple(x for x in range(self.nodes) if x != n) for n in range(self.nodes))
        self.every = (1 << self.nodes) - 1

    def initial(self) -> State:
        """The state in which the search begins."""
        bounds, count = self.bounds, self.nodes
        alone, first = bounds.start == "alone", bounds.start == "first"
        content = (0,) * len(bounds.zones)
        nodes = tuple(self._node(n, content, alone, first) for n in range(count))
        streams: list[Stream | None] = [None] * (count * count)
        if not alone and not first:
            for n in range(1, count):
                streams[n] = Stream(1, SYNC, True, True, (), 0, 0, 0, 1)
        listed = () if first else (Holder(0, 1),) if alone else tuple(Holder(n, 1) for n in range(count))
        store = Store(0 if first else 1, listed, 1, None if first else Key(0, 1), 0, 0, None, 0, 0)
        client = Client(0, (UNTOUCHED,) * len(bounds.plan), 0, 2 if alone else 0)
        return State(store, nodes, tuple(streams), (), client, bounds.budget)

    def _node(self, n: int, content: tuple[int, ...], alone: bool, first: bool) -> Node:
        nothing = List(True, 0, (NEVER,) * self.zones)
        lists = tuple(None if x == n or first else nothing for x in range(self.nodes))
        written: tuple[int | None, ...] = (None,) * self.nodes
        if n == 0 and not first:
            if alone:
                written = tuple(None if x == n else 0 for x in range(self.nodes))
            required = 0 if alone else self.every & ~1
            primary = Primary(required, 0, 0, (), None, (0,) * self.nodes, 1, False, 0)
            return Node(RUNS, 1, SERVES, 1, content, content, lists, written, None, primary, 0)
        if alone or first:
            none: tuple[List | None, ...] = (None,) * self.nodes
            return Node(RUNS, 1, WAITS, 0 if first else 1, content, content, none, written, None, None, 0)
        return Node(RUNS, 1, FOLLOWS, 1, content, content, lists, written, (1, 0), None, 0)


def name(node: int) -> str:
    """The node, for people."""
    return NAMES[node]
