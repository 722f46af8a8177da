"""What one machine's kernel does for a farm, whatever becomes of its agent: rules, addresses, connections.

It knows slots alone: how the rules are written, and that a real kernel does so, is tested elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from manager.model.farm import SlotTable


@dataclass
class Connection:
    """From a client, in a slot, to a node."""

    slot: int
    node: str
    doomed: bool = False
    """Something has happened to its node, so that it may break."""
    began_ns: int = 0
    stalled_ns: int | None = None
    """Since when what its client sends does not arrive."""


@dataclass
class Kernel:
    """Lost with the machine alone."""

    node: str
    application: bool = False
    held: bool = False
    tables: Mapping[str, SlotTable] | None = None
    """``None``: no rules."""
    macs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    link_until_ns: dict[str, int] = field(default_factory=dict)
    """Until when it answers the network for an address."""
    connections: dict[str, list[Connection]] = field(default_factory=dict)
    """By address."""

    def table(self, address: str) -> SlotTable | None:
        """By which it shares ``address``."""
        return None if self.tables is None else self.tables.get(address)

    def ways(self, address: str, slot: int, *, begins: bool) -> tuple[str, ...]:
        """To whom it sends what a client has sent to it."""
        table = self.table(address)
        if table is None:
            return (self.node,)
        ways = (table.owner(slot),) if begins else (table.leaver(slot), table.owner(slot))
        return tuple(way for way in ways if way and (way == self.node or way in self.macs.get(address, {})))

    def takes(self, address: str, slot: int, *, known: bool) -> bool:
        """Whether its stack is shown a segment that begins nothing; what is not ``known`` is reset then."""
        table = self.table(address)
        if not self.held:
            return False
        if table is None or known:
            return True
        return table.owner(slot) == self.node and not table.comer(slot) and not table.leaver(slot)

    def busy(self, address: str) -> frozenset[int]:
        """The slots in which it has connections."""
        return frozenset(c.slot for c in self.connections.get(address, ()))
