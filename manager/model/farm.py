"""The farm's vocabulary: slots, the table that says which node serves which, and the record that holds it.

The connections to a farm's address are spread over :data:`SLOTS` slots by a hash of the client; each slot has one
owner. A slot that goes from one living node to another passes through two more phases, so that no packet has two
acceptors and no connection is cut off:

====================  ======================================================================================
settled               all its packets go to the owner
coming                still so; both nodes take by now only what they know and what begins
leaving               what begins goes to the owner, the rest to both: the former owner has its connections still
====================  ======================================================================================

How the next table follows from the last one is decided elsewhere (``agent.core.farm.slots``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from manager.model.records import RECORD_VERSION
from manager.model.versions import RecordVersion

SLOTS = 1024
"""Of one address; the hash of a client is scaled to them."""
MOST_NODES = 16
"""Of one farm: a node is one hexadecimal digit in a table."""
NOBODY = "-"
"""Instead of a digit: no node."""


@dataclass(frozen=True, slots=True)
class SlotTable:
    """Who serves which slot: for each a character, the node's place in ``nodes`` as a hexadecimal digit, or NOBODY."""

    number: int
    """Counts the changes of the table; 0: there was none yet."""
    nodes: tuple[str, ...]
    """What the digits stand for; at most MOST_NODES."""
    owners: str
    """What begins goes to this node; NOBODY: to none, no living node may have it."""
    coming: str
    """Of a slot in its phase "coming": the node that will own it."""
    leaving: str
    """Of a slot in its phase "leaving": the former owner. The owner may be NOBODY, when all nodes are drained."""
    switched: bool = False
    """All nodes had the phase "leaving" of these slots in their kernels before this table was made. So a former owner
    that has loaded it, and then finds no connection in such a slot, will have none there any more."""

    def owner(self, slot: int) -> str:
        """The node's name; empty: nobody."""
        return self._name(self.owners[slot])

    def comer(self, slot: int) -> str:
        """The node that will own it; empty: it stays where it is."""
        return self._name(self.coming[slot])

    def leaver(self, slot: int) -> str:
        """The former owner, which has connections there still; empty: none."""
        return self._name(self.leaving[slot])

    def kept_from(self, node: str) -> frozenset[int]:
        """The slots of which all goes to other nodes, and nothing to ``node``, not even what is under way.

        What goes to nobody is not among them: it may be given back to the node that had it.
        """
        digits = {f"{place:x}" for place, name in enumerate(self.nodes) if name == node}
        rows = enumerate(zip(self.owners, self.leaving, strict=True))
        return frozenset(slot for slot, row in rows if digits.isdisjoint(row) and row != (NOBODY, NOBODY))

    def shares(self) -> Mapping[str, int]:
        """How many slots each node owns; those with none are left out."""
        counted = {node: self.owners.count(f"{place:x}") for place, node in enumerate(self.nodes)}
        return {node: count for node, count in counted.items() if count}

    @property
    def is_settled(self) -> bool:
        """No slot is on its way."""
        return self.coming == self.leaving == NOBODY * SLOTS

    @property
    def is_whole(self) -> bool:
        """It says of each slot what this release understands; else nothing can be read from it."""
        digits = {f"{place:x}" for place in range(min(len(self.nodes), MOST_NODES))} | {NOBODY}
        rows = (self.owners, self.coming, self.leaving)
        return len(self.nodes) <= MOST_NODES and all(len(row) == SLOTS and digits.issuperset(row) for row in rows)

    def _name(self, digit: str) -> str:
        return "" if digit == NOBODY else self.nodes[int(digit, 16)]


def empty_table(nodes: tuple[str, ...]) -> SlotTable:
    """Nobody owns anything."""
    nothing = NOBODY * SLOTS
    return SlotTable(0, nodes, nothing, nothing, nothing)


@dataclass(frozen=True, slots=True)
class DirectorRecord:
    """Key ``modules/<m>/director/<address>``: who receives for the address; it hangs on that node's lease.

    The table by which it is shared stands in a key of its own, which outlives it.
    """

    node: str
    address: str
    version: RecordVersion = RECORD_VERSION


@dataclass(frozen=True, slots=True)
class SlotsRecord:
    """Key ``modules/<m>/slots/<address>``: the table; written by the director alone, and kept for the next one."""

    address: str
    by: str
    """The director that wrote it."""
    table: SlotTable
    shares: dict[str, int] = field(default_factory=dict)
    """How many slots each node owns: for people."""
    version: RecordVersion = RECORD_VERSION
