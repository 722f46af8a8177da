"""A ruleset as nftables has it, in the JSON of libnftables-json(5): one transaction, taken whole or not at all. Pure.

A module has two tables of the same name, of the families ``netdev`` and ``inet``. Loading empties and fills them within
the transaction; the base chains and the counters stay where they are, so that no packet passes between two hooks and
none is forgotten. A chain that is not wanted any more stays too, empty, until the tables are deleted. For the same
reason a base chain whose hook or priority changes must get another name.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from agent.core.farm.ruleset import Ruleset, Sharing, Way
from manager.model.config.farm_config import Affinity, Protocol, RuleConfig
from manager.model.farm import SLOTS

Json = dict[str, Any]

PREFIX = "mirrorfarm_"
"""What the names of our tables begin with; behind it the module's name."""
FAMILIES = ("netdev", "inet")
UNKNOWN = "unknown"
"""The counter of segments that this node left to another one."""
_AFTER_CONNTRACK = -150
_ACCEPT: Json = {"accept": None}
_DROP: Json = {"drop": None}


def table_name(module: str) -> str:
    """Of both tables."""
    return PREFIX + module


def counter_name(node: str, address: str) -> str:
    """The counter of what went to ``node`` of that which came for ``address``; ``node`` empty: of what was dropped."""
    return f"to/{node}/{_word(address)}" if node else f"nobody/{_word(address)}"


def loading(ruleset: Ruleset) -> Json:
    """Makes the kernel's rules of the module those of ``ruleset``."""
    return _transaction((*_emptied(ruleset.module), *_on_the_links(ruleset), *_in_the_stack(ruleset)))


def unloading(module: str) -> Json:
    """Takes all of the module's rules out of the kernel; also where there are none."""
    name = table_name(module)
    tables: list[Json] = [{"table": {"family": family, "name": name}} for family in FAMILIES]
    return {"nftables": [command for table in tables for command in ({"add": table}, {"delete": table})]}


def _transaction(commands: Iterable[Json]) -> Json:
    return {"nftables": list(commands)}


def _emptied(module: str) -> Iterator[Json]:
    for family in FAMILIES:
        table: Json = {"table": {"family": family, "name": table_name(module)}}
        yield {"add": table}
        yield {"flush": table}


def _on_the_links(ruleset: Ruleset) -> Iterator[Json]:
    table = _Table("netdev", ruleset.module)
    for sharing in ruleset.sharings:
        yield from _ways(table, ruleset, sharing)
    for port in ruleset.ports:
        chain = f"on/{_word(port.link)}"
        yield table.base(chain, {"hook": "ingress", "dev": port.link, "prio": 0})
        # What is on its way to another station is here only because the link listens to all.
        yield table.rule(chain, "not for this node", _match({"meta": {"key": "pkttype"}}, "host", "!="), _ACCEPT)
        # The kernel takes the tag off before this hook; what has none, or only a priority in it, is this link's own.
        yield table.rule(chain, "another network", _match(_field("vlan", "id"), 0, "!="), _ACCEPT)
        members: Json = {"set": list(ruleset.members(port))}
        yield table.rule(chain, "from a member", _match(_field("ether", "saddr"), members), _ACCEPT)
        for sharing in ruleset.sharings:
            for rule in sharing.rules if sharing.port == port else ():
                goto = _goto(_slots_chain(sharing.address, rule.affinity))
                yield table.rule(chain, _words(sharing.address, rule), *_covered(sharing.address, rule), goto)


def _ways(table: "_Table", ruleset: Ruleset, sharing: Sharing) -> Iterator[Json]:
    """The chains behind the links' own: to each node, to both parties of a move, and the slots' way to them."""
    nobody = counter_name("", sharing.address)
    yield table.counter(nobody)
    for node in sorted({node for way in sharing.ways.values() for node in way.rest}):
        name = counter_name(node, sharing.address)
        yield table.counter(name)
        yield table.chain(name)
        if node == ruleset.node:
            yield table.rule(name, "this node", {"counter": name}, _ACCEPT)
        else:
            yield table.rule(name, f"to {node}", *_addressed(sharing, node), {"fwd": {"dev": sharing.port.link}})
    for way, _ in _slots_by_way(sharing):
        if way.rest != (way.begins,):
            yield from _both(table, ruleset, sharing, way)
    for affinity in sorted({rule.affinity for rule in sharing.rules}):
        chain = _slots_chain(sharing.address, affinity)
        slot = _slot(sharing.address, affinity, ruleset.seed)
        yield table.chain(chain)
        for way, slots in _slots_by_way(sharing):
            yield table.rule(chain, "slots", _match(slot, {"set": slots}), _goto(_way_chain(sharing, way)))
        yield table.rule(chain, "a slot of nobody", {"counter": nobody}, _DROP)


def _slots_by_way(sharing: Sharing) -> list[tuple[Way, list[int]]]:
    """Those with most slots first: they are looked through in turn.

    One map of slots to chains would be looked into once. But a packet that is under way in the rules while they are
    exchanged does not find a map's elements any more, those of sets it does (measured: one of 70,000 was dropped in 60
    exchanges, Linux 6.18; nft_map_deactivate() in net/netfilter/nf_tables_api.c).
    """
    slots: dict[Way, list[int]] = {}
    for slot, way in sorted(sharing.ways.items()):
        slots.setdefault(way, []).append(slot)
    return sorted(slots.items(), key=lambda item: -len(item[1]))


def _both(table: "_Table", ruleset: Ruleset, sharing: Sharing, way: Way) -> Iterator[Json]:
    chain = _way_chain(sharing, way)
    yield table.chain(chain)
    begins = (
        (_goto(counter_name(way.begins, sharing.address)),)
        if way.begins
        else ({"counter": counter_name("", sharing.address)}, _DROP)
    )
    yield table.rule(chain, "no connection", _match({"meta": {"key": "l4proto"}}, "tcp", "!="), *begins)
    yield table.rule(chain, "begins", _flags(["syn", "ack"], "syn"), *begins)
    # Copies go to others only, so this node, if it is a party, comes last. That the copy's MACs stay in what it takes
    # itself does not matter: whether a frame is for this node was decided before the hook.
    first, *second = sorted(way.rest, key=lambda node: node == ruleset.node)
    if second:
        yield table.rule(chain, f"copy to {first}", *_addressed(sharing, first), {"dup": {"addr": sharing.port.link}})
    yield table.rule(chain, "under way", _goto(counter_name((second or [first])[0], sharing.address)))


def _addressed(sharing: Sharing, node: str) -> tuple[Json, ...]:
    """Counted, and from this node's MAC: else switches would learn the client's at this node's place."""
    return (
        {"counter": counter_name(node, sharing.address)},
        {"mangle": {"key": _field("ether", "saddr"), "value": sharing.port.mac}},
        {"mangle": {"key": _field("ether", "daddr"), "value": sharing.macs[node]}},
    )


def _in_the_stack(ruleset: Ruleset) -> Iterator[Json]:
    table = _Table("inet", ruleset.module)
    chain = "prerouting"
    yield table.base(chain, {"hook": "prerouting", "prio": _AFTER_CONNTRACK})
    yield table.counter(UNKNOWN)
    yield table.chain(UNKNOWN)
    yield table.rule(chain, "this node's own", _match({"meta": {"key": "iifname"}}, "lo"), _ACCEPT)
    # Here also while no slot moves: it has the kernel track connections from their first packet on.
    known: Json = _match({"ct": {"key": "state"}}, ["established", "related"], "in")
    yield table.rule(chain, "known", known, _ACCEPT)
    for sharing in ruleset.sharings:
        for rule in sharing.rules:
            if rule.protocol is Protocol.TCP:
                others = _slots_of_others(ruleset, sharing, rule)
                matches = (*_covered(sharing.address, rule), *others)
                yield table.rule(chain, _words(sharing.address, rule), *matches, _goto(UNKNOWN))
    yield table.rule(UNKNOWN, "begins", _flags(["fin", "syn", "rst", "ack"], "syn"), _ACCEPT)
    yield table.rule(UNKNOWN, "another node's", {"counter": UNKNOWN}, _DROP)


def _slots_of_others(ruleset: Ruleset, sharing: Sharing, rule: RuleConfig) -> tuple[Json, ...]:
    """All slots but this node's own: there is no empty set."""
    slot = _slot(sharing.address, rule.affinity, ruleset.seed)
    return (_match(slot, {"set": sorted(sharing.own)}, "!="),) if sharing.own else ()


class _Table:
    """Makes the commands for one table."""

    def __init__(self, family: str, module: str) -> None:
        self._place = {"family": family, "table": table_name(module)}

    def chain(self, name: str) -> Json:
        return {"add": {"chain": {**self._place, "name": name}}}

    def base(self, name: str, hook: Json) -> Json:
        return {"add": {"chain": {**self._place, "name": name, "type": "filter", "policy": "accept", **hook}}}

    def counter(self, name: str) -> Json:
        return {"add": {"counter": {**self._place, "name": name}}}

    def rule(self, chain: str, comment: str, *statements: Json) -> Json:
        return {"add": {"rule": {**self._place, "chain": chain, "comment": comment, "expr": list(statements)}}}


def _covered(address: str, rule: RuleConfig) -> tuple[Json, ...]:
    ports: Any = rule.first_port
    if rule.last_port != rule.first_port:
        ports = {"range": [rule.first_port, rule.last_port]}
    return _match(_field(_ip(address), "daddr"), address), _match(_field(rule.protocol.value, "dport"), ports)


def _slot(address: str, affinity: Affinity, seed: int) -> Json:
    client = _field(_ip(address), "saddr")
    hashed = {"concat": [client, _field("th", "sport")]} if affinity is Affinity.CONNECTION else client
    return {"jhash": {"mod": SLOTS, "seed": seed, "expr": hashed}}


def _flags(looked_at: list[str], found: str) -> Json:
    return _match({"&": [_field("tcp", "flags"), looked_at]}, found)


def _match(left: Json, right: Any, operator: str = "==") -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _field(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


def _goto(chain: str) -> Json:
    return {"goto": {"target": chain}}


def _ip(address: str) -> str:
    return "ip" if ipaddress.ip_address(address).version == 4 else "ip6"


def _way_chain(sharing: Sharing, way: Way) -> str:
    if way.rest == (way.begins,):
        return counter_name(way.begins, sharing.address)
    return "/".join(("move", way.begins or "nobody", *way.rest, _word(sharing.address)))


def _slots_chain(address: str, affinity: Affinity) -> str:
    return f"slots/{affinity.value}/{_word(address)}"


def _words(address: str, rule: RuleConfig) -> str:
    ports = f"{rule.first_port}-{rule.last_port}" if rule.last_port != rule.first_port else f"{rule.first_port}"
    return f"{address} {rule.protocol.value} {ports} by {rule.affinity.value}"


def _word(text: str) -> str:
    """As part of a name that can also be written in nft's own language: that has no ``:`` in names."""
    return text.replace(":", ".")
