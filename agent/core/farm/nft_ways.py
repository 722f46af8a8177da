"""From a packet's slot to the nodes that get it, as chains of nftables' netdev table. Pure.

What the slot is computed of, the packet's own header or one that is quoted in it, is said by those who use it.
"""

from collections.abc import Iterator

from agent.core.farm.nft_json import (
    ACCEPT,
    DROP,
    MARK,
    PROTOCOL,
    UNMARKED,
    Json,
    Table,
    any_of,
    field,
    flags,
    goto,
    ip_of,
    jhash,
    joined,
    match,
    within_ip,
    word,
    written,
)
from agent.core.farm.ruleset import Port, Ruleset, Sharing, Way
from manager.model.config.farm_config import Affinity
from manager.model.farm import NOBODY, SLOTS


def counter_name(node: str, address: str) -> str:
    """The counter of what went to ``node`` of that which came for ``address``; ``node`` empty: of what was dropped."""
    return f"to/{node}/{word(address)}" if node else f"nobody/{word(address)}"


def slots_chain(address: str, affinity: Affinity) -> str:
    """Where what a rule shares goes on by its slot."""
    return f"slots/{affinity.value}/{word(address)}"


def way_chain(sharing: Sharing, way: Way) -> str:
    """Where a packet goes to the nodes of ``way``."""
    if way.rest == (way.begins,):
        return counter_name(way.begins, sharing.address)
    return "/".join(("move", way.begins or "nobody", *way.rest, word(sharing.address)))


def slot_of(address: str, affinity: Affinity, seed: int) -> Json:
    """Of a packet that a client has sent, which is known to be of the address's protocol.

    The client's address by its place: by its name nft has the kernel look at the protocol again, once for each way.
    """
    client = within_ip(96, 32) if ip_of(address) == "ip" else within_ip(64, 128)
    return slot(client, field("th", "sport"), affinity, seed)


def slot(client: Json, port: Json, affinity: Affinity, seed: int) -> Json:
    """Of what stands where in the packet (``agent.core.farm.hashing``)."""
    return jhash(joined(client, port) if affinity is Affinity.CONNECTION else client, SLOTS, seed)


def slots_by_way(sharing: Sharing) -> list[tuple[Way, list[int]]]:
    """Those with most slots first: they are looked through in turn.

    One map of slots to chains would be looked into once. But a packet that is under way in the rules while they are
    exchanged does not find a map's elements any more, those of sets it does (measured: one of 70,000 was dropped in 60
    exchanges, Linux 6.18; nft_map_deactivate() in net/netfilter/nf_tables_api.c).
    """
    slots: dict[Way, list[int]] = {}
    for number, way in sorted(sharing.ways.items()):
        slots.setdefault(way, []).append(number)
    return sorted(slots.items(), key=lambda item: -len(item[1]))


def by_slot(table: Table, chain: str, sharing: Sharing, computed: Json) -> Iterator[Json]:
    """Makes ``chain`` that from which all packets go their slot's way; after :func:`by_way`.

    The slot is in the packet's mark until its way is found.
    """
    yield table.chain(chain)
    yield table.rule(chain, "which slot", written(MARK, computed), goto(_by_way_chain(sharing.address)))


def by_way(table: Table, sharing: Sharing) -> Iterator[Json]:
    """Makes the chains in which a slot is looked for, whatever it was computed of: whose it is, then by which way.

    So there are few sets to look through, and to make. The kernel's time for a ruleset grows with the square of their
    number, and of 16 nodes each may have left slots to each other one: 240 ways of one address.
    """
    chain = _by_way_chain(sharing.address)
    owners: dict[str, list[tuple[Way, list[int]]]] = {}
    for way, slots in slots_by_way(sharing):
        owners.setdefault(way.begins, []).append((way, slots))
    for owner, its_ways in owners.items():
        if len(its_ways) > 1:
            yield from _ways_of_one(table, _by_way_chain(sharing.address, owner), sharing, its_ways)
    yield table.chain(chain)
    for owner, its_ways in owners.items():
        slots = sorted(slot for _, slots in its_ways for slot in slots)
        onward = (
            (UNMARKED, goto(way_chain(sharing, its_ways[0][0])))
            if len(its_ways) == 1
            else (goto(_by_way_chain(sharing.address, owner)),)
        )
        yield table.rule(chain, "slots", match(MARK, any_of(slots)), *onward)
    yield table.rule(chain, "a slot of nobody", {"counter": counter_name("", sharing.address)}, DROP)


def _ways_of_one(table: Table, chain: str, sharing: Sharing, its_ways: list[tuple[Way, list[int]]]) -> Iterator[Json]:
    """What comes here is of one of these slots."""
    yield table.chain(chain)
    *others, (last, _) = its_ways
    for way, slots in others:
        yield table.rule(chain, "slots", match(MARK, any_of(slots)), UNMARKED, goto(way_chain(sharing, way)))
    yield table.rule(chain, "the other slots", UNMARKED, goto(way_chain(sharing, last)))


def _by_way_chain(address: str, owner: str | None = None) -> str:
    return f"ways/{word(address)}" if owner is None else f"ways/{owner or NOBODY}/{word(address)}"


def ways(table: Table, ruleset: Ruleset, sharing: Sharing, port: Port) -> Iterator[Json]:
    """The chains to each node, and to both parties of a move."""
    yield table.counter(counter_name("", sharing.address))
    for node in sorted({node for way in sharing.ways.values() for node in way.rest}):
        name = counter_name(node, sharing.address)
        yield table.counter(name)
        yield table.chain(name)
        if node == ruleset.node:
            yield table.rule(name, "this node", {"counter": name}, ACCEPT)
        else:
            yield table.rule(name, f"to {node}", *_addressed(sharing, port, node), {"fwd": {"dev": port.link}})
    for way, _ in slots_by_way(sharing):
        if way.rest != (way.begins,):
            yield from _both(table, ruleset, sharing, port, way)


def _both(table: Table, ruleset: Ruleset, sharing: Sharing, port: Port, way: Way) -> Iterator[Json]:
    chain = way_chain(sharing, way)
    yield table.chain(chain)
    begins = (
        (goto(counter_name(way.begins, sharing.address)),)
        if way.begins
        else ({"counter": counter_name("", sharing.address)}, DROP)
    )
    yield table.rule(chain, "no connection", match(PROTOCOL, "udp"), *begins)
    yield table.rule(chain, "begins", flags(["syn", "ack"], "syn"), *begins)
    # Copies go to others only, so this node, if it is a party, comes last. That the copy's MACs stay in what it takes
    # itself does not matter: whether a frame is for this node was decided before the hook.
    first, *second = sorted(way.rest, key=lambda node: node == ruleset.node)
    if second:
        yield table.rule(chain, f"copy to {first}", *_addressed(sharing, port, first), {"dup": {"addr": port.link}})
    yield table.rule(chain, "under way", goto(counter_name((second or [first])[0], sharing.address)))


def _addressed(sharing: Sharing, port: Port, node: str) -> tuple[Json, ...]:
    """Counted, and from this node's MAC: else switches would learn the client's at this node's place."""
    return (
        {"counter": counter_name(node, sharing.address)},
        written(field("ether", "saddr"), port.mac),
        written(field("ether", "daddr"), sharing.macs[node]),
    )
