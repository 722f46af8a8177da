"""What a farm's rulesets do with a packet: a second, plain reading of them beside nftables' own.

Frames go between the nodes of one farm by their MACs, as on a switch; each node has its own ruleset, perhaps of another
table than the others. A node's conntrack is the set of connections that it is said to know. What a node remembers of
fragments is given to it, and it adds to it.
"""

import enum
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from agent.core.farm.hashing import slot_of
from agent.core.farm.ruleset import Ruleset, Sharing, Way
from manager.model.config.farm_config import Affinity, Protocol, RuleConfig

_MOST_FRAMES = 64
"""Of one packet: more is a circle."""
HERE = "here"
"""Instead of a way: the node that got it keeps it."""


class Part(enum.Enum):
    """What there is of a packet."""

    WHOLE = enum.auto()
    FIRST = enum.auto()
    """The fragment that has the ports."""
    LATER = enum.auto()


@dataclass(frozen=True, slots=True)
class Packet:
    """From a client to one of the farm's addresses."""

    client: str
    client_port: int
    address: str
    port: int
    protocol: Protocol = Protocol.TCP
    begins: bool = False
    """TCP: SYN without ACK."""
    part: Part = Part.WHOLE
    is_error: bool = False
    """It is an ICMP error of a router's, which quotes what went from the address and the port to the client."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A packet on the wire."""

    source: str
    target: str
    packet: Packet


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a packet."""

    takers: tuple[str, ...]
    """The nodes that took it, as often as they did."""
    reached: tuple[str, ...]
    """The nodes whose stack got it, whether they took it or not."""
    forwarded: tuple[Frame, ...]
    """All that nodes sent, in order."""


Memory = dict[tuple[str, Protocol], Way | Affinity | str]
"""Of a node, where the fragments of a client's packet go; there is one packet of a client and protocol at a time."""


def deliver(
    rulesets: Mapping[str, Ruleset],
    known_by: Set[str],
    packet: Packet,
    enters: str,
    memory: Memory | None = None,
) -> Delivery:
    """Sends ``packet`` to the node ``enters``; by node its rules, and the nodes that know the packet's connection.

    Raises:
        AssertionError: the frames go in a circle.
    """
    by_mac = {_mac(ruleset, packet.address): node for node, ruleset in rulesets.items()}
    wire = [Frame("client", _mac(rulesets[enters], packet.address), packet)]
    reached: list[str] = []
    memory = {} if memory is None else memory
    for count, frame in enumerate(wire):
        assert count < _MOST_FRAMES, f"frames go in a circle: {wire}"
        node = by_mac.get(frame.target)
        if node is None:
            continue
        onward, is_for_here = on_the_link(rulesets[node], frame, memory)
        wire += onward
        if is_for_here:
            reached.append(node)
    takers = (node for node in reached if in_the_stack(rulesets[node], packet, node in known_by))
    return Delivery(tuple(takers), tuple(reached), tuple(wire[1:]))


def on_the_link(ruleset: Ruleset, frame: Frame, memory: Memory) -> tuple[tuple[Frame, ...], bool]:
    """The frames that a node sends on for ``frame``, and whether its own stack gets it."""
    packet = frame.packet
    sharing = next((s for s in ruleset.sharings if s.address == packet.address), None)
    if sharing is None or sharing.port is None or frame.source in ruleset.members(sharing.port):
        return (), True
    way = _later_way(ruleset, sharing, packet, memory) if packet.part is Part.LATER else _way(ruleset, sharing, packet)
    if packet.part is Part.FIRST:
        _remember(sharing, packet, way, memory)
    if isinstance(way, str):
        return (), True
    if way is None:
        return (), False
    one = (packet.begins and packet.part is not Part.LATER) or packet.protocol is Protocol.UDP
    nodes = way.rest if packet.is_error or not one else (way.begins,) if way.begins else ()
    own = sharing.port.mac
    onward = (replace(frame, source=own, target=sharing.macs[node]) for node in nodes if node != ruleset.node)
    return tuple(onward), ruleset.node in nodes


def in_the_stack(ruleset: Ruleset, packet: Packet, is_known: bool) -> bool:
    """Whether a node takes what its link gave it: answers it, with a reset where there is no connection."""
    sharing = next((s for s in ruleset.sharings if s.address == packet.address), None)
    rule = _rule(sharing, packet) if sharing else None
    if sharing is None or rule is None or rule.protocol is not Protocol.TCP or packet.is_error:
        return True
    return is_known or packet.begins or _slot(ruleset, rule.affinity, packet) in sharing.own


def _mac(ruleset: Ruleset, address: str) -> str:
    return next(s.port.mac for s in ruleset.sharings if s.address == address and s.port is not None)


def _way(ruleset: Ruleset, sharing: Sharing, packet: Packet) -> Way | str | None:
    rule = _rule(sharing, packet)
    return HERE if rule is None else sharing.ways.get(_slot(ruleset, rule.affinity, packet))


def _later_way(ruleset: Ruleset, sharing: Sharing, packet: Packet, memory: Memory) -> Way | str | None:
    known = memory.get((packet.client, packet.protocol))
    if isinstance(known, Way) and known in sharing.ways.values():
        return known
    if known == HERE and sharing.by_client:
        return HERE
    if known is Affinity.CLIENT or packet.protocol in sharing.by_client:
        return sharing.ways.get(_slot(ruleset, Affinity.CLIENT, packet))
    return HERE


def _remember(sharing: Sharing, packet: Packet, way: Way | str | None, memory: Memory) -> None:
    rule, key = _rule(sharing, packet), (packet.client, packet.protocol)
    if rule is None:
        memory[key] = HERE
    elif rule.affinity is Affinity.CLIENT:
        memory[key] = Affinity.CLIENT
    elif isinstance(way, Way):
        memory[key] = way


def _rule(sharing: Sharing, packet: Packet) -> RuleConfig | None:
    covering = (
        r for r in sharing.rules if r.protocol is packet.protocol and r.first_port <= packet.port <= r.last_port
    )
    return next(covering, None)


def _slot(ruleset: Ruleset, affinity: Affinity, packet: Packet) -> int:
    return slot_of(packet.client, packet.client_port, affinity, ruleset.seed)
