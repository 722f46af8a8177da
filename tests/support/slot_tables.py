"""A farm's slots as a director has them: who lives, with which weights, and what their kernels have loaded.

For tests of ``agent.core.farm.slots``: it makes one table after the other as the core does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.farm.slots import Candidate, advance, next_table
from manager.model.farm import SLOTS, SlotTable, empty_table

NODES = ("a", "b", "c", "d")


def slots_left_by(table: SlotTable, node: str) -> frozenset[int]:
    """The slots that ``node`` leaves."""
    return frozenset(slot for slot in range(SLOTS) if table.leaver(slot) == node)


def heads_for(table: SlotTable, slot: int) -> str:
    """The node that owns the slot once all has settled."""
    return table.comer(slot) or table.owner(slot)


def settled(shares: Mapping[str, int], nodes: tuple[str, ...] = NODES) -> SlotTable:
    """A table in which nothing is on its way."""
    owners = "".join(f"{nodes.index(node):x}" * count for node, count in shares.items())
    return SlotTable(1, nodes, owners.ljust(SLOTS, "-"), "-" * SLOTS, "-" * SLOTS)


@dataclass
class Farm:
    """One address of it."""

    nodes: tuple[str, ...] = NODES
    groups: tuple[tuple[str, ...], ...] = ()
    """Empty: one of all nodes."""
    weights: dict[str, int] = field(default_factory=dict)
    """1, where there is none."""
    living: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)
    """Of those: whose agents are. Without slots such a node counts as dead."""
    busy: dict[str, frozenset[int]] = field(default_factory=dict)
    """Slots in which a node has connections whatever happens."""
    table: SlotTable = field(init=False)

    def __post_init__(self) -> None:
        self.table = empty_table(self.nodes)

    def weight(self, node: str) -> int:
        """Of ``node``."""
        return self.weights.get(node, 1)

    @property
    def serving(self) -> dict[str, int]:
        """The nodes that are to have slots, with their weights: worked out one by one."""
        for group in self.groups or (self.nodes,):
            able = {n: self.weight(n) for n in self.nodes if n in group and n in self.living and self.weight(n)}
            if able:
                return able
        return {}

    def members(self, last: SlotTable) -> dict[str, Candidate]:
        """Those that live now, as ``next_table`` wants them."""
        present = {node: Candidate(self.weight(node)) for node in sorted(self.living - self.away)}
        named = {last.nodes[int(digit, 16)] for digit in {*last.owners, *last.coming, *last.leaving} - {"-"}}
        return present | {n: Candidate(self.weight(n), away=True) for n in sorted(self.living & self.away & named)}

    def following(self, last: SlotTable) -> SlotTable:
        """What follows ``last`` with those that live now."""
        return next_table(last, self.members(last), self.groups or (self.nodes,), self.nodes)

    def step(self) -> bool:
        """One that all have loaded; whether there was one to take."""
        before = self.table
        members, present = self.members(before), self.living - self.away
        loaded = {node: before.number for node in present}
        busy = {node: self.busy.get(node, frozenset()) & slots_left_by(before, node) for node in present}
        if present:
            self.table = advance(before, min(present), members, loaded, busy)
        return self.table is not before

    def decide(self) -> bool:
        """Make the table that follows; whether it is another one."""
        before = self.table
        self.table = self.following(before)
        return self.table is not before

    def rest(self) -> None:
        """Go on until there is nothing more to do."""
        for _ in range(40):
            if not self.decide() and not self.step():
                return
        raise AssertionError(f"it goes on and on: {self.table}")
