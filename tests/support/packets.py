"""What a farm's rulesets do with a packet: a second, plain reading of them beside nftables' own.

Frames go between the nodes of one farm by their MACs, as on a switch; each node has its own ruleset, perhaps of another
table than the others. A node's conntrack is the set of connections that it is said to know.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from agent.core.farm.hashing import slot_of
from agent.core.farm.ruleset import Ruleset, Sharing
from manager.model.config.farm_config import Protocol, RuleConfig

_MOST_FRAMES = 64
"""Of one packet: more is a circle."""


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
    """The nodes whose stack got it, as often as it did."""
    forwarded: tuple[Frame, ...]
    """All that nodes sent, in order."""


def deliver(rulesets: Mapping[str, Ruleset], known_by: Set[str], packet: Packet, enters: str) -> Delivery:
    """Sends ``packet`` to the node ``enters``; by node its rules, and the nodes that know the packet's connection.

    Raises:
        AssertionError: the frames go in a circle.
    """
    by_mac = {_port(ruleset, packet.address): node for node, ruleset in rulesets.items()}
    wire = [Frame("client", _port(rulesets[enters], packet.address), packet)]
    takers: list[str] = []
    for count, frame in enumerate(wire):
        assert count < _MOST_FRAMES, f"frames go in a circle: {wire}"
        node = by_mac.get(frame.target)
        if node is None:
            continue
        onward, is_for_here = on_the_link(rulesets[node], frame)
        wire += onward
        if is_for_here and in_the_stack(rulesets[node], packet, node in known_by):
            takers.append(node)
    return Delivery(tuple(takers), tuple(wire[1:]))


def on_the_link(ruleset: Ruleset, frame: Frame) -> tuple[tuple[Frame, ...], bool]:
    """The frames that a node sends on for ``frame``, and whether its own stack gets it."""
    sharing, rule = _shared(ruleset, frame.packet)
    if sharing is None or rule is None or frame.source in ruleset.members(sharing.port):
        return (), True
    way = sharing.ways.get(_slot(ruleset, rule, frame.packet))
    if way is None:
        return (), False
    begins = frame.packet.begins or rule.protocol is Protocol.UDP
    nodes = way.rest if not begins else (way.begins,) if way.begins else ()
    own = sharing.port.mac
    onward = (replace(frame, source=own, target=sharing.macs[node]) for node in nodes if node != ruleset.node)
    return tuple(onward), ruleset.node in nodes


def in_the_stack(ruleset: Ruleset, packet: Packet, is_known: bool) -> bool:
    """Whether a node takes what its link gave it: answers it, with a reset where there is no connection."""
    sharing, rule = _shared(ruleset, packet)
    if sharing is None or rule is None or rule.protocol is not Protocol.TCP:
        return True
    return is_known or packet.begins or _slot(ruleset, rule, packet) in sharing.own


def _port(ruleset: Ruleset, address: str) -> str:
    return next(sharing.port.mac for sharing in ruleset.sharings if sharing.address == address)


def _shared(ruleset: Ruleset, packet: Packet) -> tuple[Sharing | None, RuleConfig | None]:
    sharing = next((s for s in ruleset.sharings if s.address == packet.address), None)
    rules = sharing.rules if sharing else ()
    covering = (r for r in rules if r.protocol is packet.protocol and r.first_port <= packet.port <= r.last_port)
    return sharing, next(covering, None)


def _slot(ruleset: Ruleset, rule: RuleConfig, packet: Packet) -> int:
    return slot_of(packet.client, packet.client_port, rule.affinity, ruleset.seed)
