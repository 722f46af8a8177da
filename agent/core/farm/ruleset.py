"""What the kernel is to do with a farm module's packets on this node, from the tables of its addresses. Pure.

The rules are the same on every member, whoever directs: a client may still send to a former director, which then
shares by its own table. Two stages see a packet:

1. On the link, before anything else: what is for a shared port goes by its slot to the node that serves it, this one's
   own stack or another one's MAC. A frame that a member sent is not looked at again: so none goes in a circle, whatever
   two nodes believe.
2. In this node's stack: of a slot that is not this node's, settled, a TCP segment is taken only when it belongs to a
   connection that this node knows, or begins one. So both parties of a move can be sent the same segments, and one
   answers; and so does none that was sent a segment by a table which is no longer its own.

Of a settled slot the owner takes all: a segment of a connection that is known to nobody is answered with a reset, which
ends what a dead node left.

What has no ports of its own goes where they lead that it belongs to: a fragment where the first one of its packet went
(``agent.core.farm.nft_fragments``), and an ICMP error to whom the packet is from that it quotes
(``agent.core.farm.nft_errors``); of a slot on its way to both parties, as an error is not answered, and who does not
know the connection does nothing. All else stays at the node that it was sent to: an echo request has one answer, the
director's.

A datagram of UDP has one way in every phase, the owner: with its slot all that a client sends goes over at once. It
does not say whether it begins something. Were both parties given it, the former owner would know its own by having
answered before, but the new one could not know that, and both would answer. The director could remember who got the
last one of each pair of ports; but then every datagram would be written down, by the director alone: with another one
it would all be forgotten, and go over at once just the same. What must outlast the death of a node can bear a move too.

How nftables is told is in ``agent.core.farm.nftables``; in which order nodes change their tables, elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manager.model.config.farm_config import Affinity, Protocol, RuleConfig
from manager.model.farm import SLOTS, SlotTable


@dataclass(frozen=True, slots=True)
class Port:
    """Where this node has an address's network."""

    link: str
    """The interface's name."""
    mac: str
    """This node's own."""


@dataclass(frozen=True, slots=True)
class Way:
    """To whom the packets of a slot go."""

    begins: str
    """The node that gets what begins (SYN without ACK), and all of UDP; empty: nobody, it is dropped."""
    rest: tuple[str, ...]
    """The nodes that get what is under way, and errors about it: none, one, or both parties of a move."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """One address."""

    address: str
    number: int
    """Of the table that this was made of."""
    port: Port | None
    """``None``: it has no link here. Nothing is shared then of what comes for it, by whichever way; but of a slot that
    is not this node's no more is taken than ever."""
    rules: tuple[RuleConfig, ...]
    """What is shared of it; all else goes to whoever directs."""
    macs: Mapping[str, str]
    """Of the other members, by node."""
    ways: Mapping[int, Way]
    """By slot; what is in none is dropped."""
    own: frozenset[int]
    """The slots of which this node takes all; of the others, what it knows and what begins."""

    @property
    def by_client(self) -> frozenset[Protocol]:
        """The protocols that are shared, and by client alone: all that a client sends goes one way."""
        by_connection = {rule.protocol for rule in self.rules if rule.affinity is Affinity.CONNECTION}
        return frozenset(rule.protocol for rule in self.rules) - by_connection


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All rules of one farm module on this node."""

    module: str
    node: str
    seed: int
    """Of the hash (``agent.core.farm.hashing``)."""
    sharings: tuple[Sharing, ...]

    @property
    def numbers(self) -> Mapping[str, int]:
        """Address to the number of its table; of those that have a link here."""
        return {sharing.address: sharing.number for sharing in self.sharings if sharing.port}

    @property
    def ports(self) -> tuple[Port, ...]:
        """Those that the addresses are on, each once."""
        return tuple(dict.fromkeys(sharing.port for sharing in self.sharings if sharing.port))

    def members(self, port: Port) -> tuple[str, ...]:
        """The MACs there whose frames are never forwarded."""
        there = (s for s in self.sharings if s.port == port)
        return tuple(sorted({port.mac, *(mac for sharing in there for mac in sharing.macs.values())}))


@dataclass(frozen=True, slots=True)
class Here:
    """What does not change with the tables."""

    module: str
    node: str
    seed: int
    rules: Sequence[RuleConfig]
    ports: Mapping[str, Port]
    """By address; one without has no link here."""


def ruleset(here: Here, tables: Mapping[str, SlotTable], macs: Mapping[str, Mapping[str, str]]) -> Ruleset:
    """The rules by ``tables`` (by address), with the members' MACs (by address and node).

    A node whose MAC is not known gets nothing: what is its own is dropped, or goes to the other party alone. And what
    it forwards is not known as forwarded: where nodes differ in whom they know, a frame may go on more than once.
    """
    sharings = (_sharing(here, address, table, macs.get(address, {})) for address, table in sorted(tables.items()))
    return Ruleset(here.module, here.node, here.seed, tuple(sharings))


def _sharing(here: Here, address: str, table: SlotTable, macs: Mapping[str, str]) -> Sharing:
    port = here.ports.get(address)
    others = {node: mac.lower() for node, mac in sorted(macs.items()) if node != here.node}
    ways = {slot: way for slot in range(SLOTS) if (way := _way(table, slot, {here.node, *others})).rest}
    own = frozenset(slot for slot in range(SLOTS) if _is_settled(table, slot) and table.owner(slot) == here.node)
    rules = tuple(rule for rule in here.rules if rule.covers(address))
    there = None if port is None else Port(port.link, port.mac.lower())
    return Sharing(address, table.number, there, rules, others, ways, own)


def _way(table: SlotTable, slot: int, reached: set[str]) -> Way:
    owner, leaver = table.owner(slot), table.leaver(slot)
    rest = tuple(node for node in (leaver, owner) if node in reached)
    return Way(owner if owner in reached else "", rest)


def _is_settled(table: SlotTable, slot: int) -> bool:
    return not table.comer(slot) and not table.leaver(slot)
