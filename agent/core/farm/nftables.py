"""A ruleset as nftables has it, in the JSON of libnftables-json(5): one transaction, taken whole or not at all. Pure.

A module has two tables of the same name, of the families ``netdev`` and ``inet``. Loading empties and fills them within
the transaction; the base chains, the counters and the sets stay where they are, so that no packet passes between two
hooks and none is forgotten. A chain that is not wanted any more stays too, empty, until the tables are deleted. For the
same reason a base chain whose hook or priority changes must get another name.

The sets come before, by a transaction of their own (``agent.core.farm.nft_lasting``).

What goes to an address takes this way: the link's own chain, which all else leaves at once, then ``for/ADDRESS``,
``whole/ADDRESS`` or ``fragments/ADDRESS``, from there by rule and slot (``slots``, ``errors``) to the chain of the
nodes that get it (``to``, ``move``).
"""

from collections.abc import Iterable, Iterator

from agent.core.farm.nft_errors import errors, errors_chain, is_error
from agent.core.farm.nft_fragments import fragments, fragments_chain, is_fragment
from agent.core.farm.nft_json import (
    ACCEPT,
    DROP,
    Json,
    Table,
    any_of,
    field,
    flags,
    goto,
    ip_of,
    match,
    ports_of,
    rule_words,
    table_name,
    word,
)
from agent.core.farm.nft_lasting import ENDED
from agent.core.farm.nft_ways import by_slot, by_way, slot_of, slots_chain, ways
from agent.core.farm.ruleset import Port, Ruleset, Sharing
from manager.model.config.farm_config import Protocol, RuleConfig

FAMILIES = ("netdev", "inet")
UNKNOWN = "unknown"
"""The counter of segments that this node left to another one."""
_AFTER_CONNTRACK = -150


def loading(ruleset: Ruleset) -> Json:
    """Makes the kernel's rules of the module those of ``ruleset``, after ``nft_lasting.preparing``."""
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
    table = Table("netdev", ruleset.module)
    for port in ruleset.ports:
        here = [sharing for sharing in ruleset.sharings if sharing.port == port]
        for sharing in here:
            yield from _address(table, ruleset, sharing, port)
        chain = f"on/{word(port.link)}"
        yield table.base(chain, {"hook": "ingress", "dev": port.link, "prio": 0})
        for sharing in here:
            yield table.rule(chain, sharing.address, _is_for(sharing.address), goto(_for_chain(sharing.address)))


def _address(table: Table, ruleset: Ruleset, sharing: Sharing, port: Port) -> Iterator[Json]:
    """The chains behind the link's own, each after those that it goes to."""
    address, whole = sharing.address, _whole_chain(sharing.address)
    yield from ways(table, ruleset, sharing, port)
    yield from by_way(table, sharing)
    for affinity in sorted({rule.affinity for rule in sharing.rules}):
        yield from by_slot(table, slots_chain(address, affinity), sharing, slot_of(address, affinity, ruleset.seed))
    yield from errors(table, ruleset, sharing)
    yield table.chain(whole)
    for rule in sharing.rules:
        yield table.rule(whole, rule_words(address, rule), _is_shared(rule), goto(slots_chain(address, rule.affinity)))
    yield table.rule(whole, "errors", is_error(address), goto(errors_chain(address)))
    yield from fragments(table, ruleset, sharing, whole)
    yield from _for_address(table, ruleset, address, port)


def _for_address(table: Table, ruleset: Ruleset, address: str, port: Port) -> Iterator[Json]:
    """Where all goes that comes for ``address``."""
    chain = _for_chain(address)
    yield table.chain(chain)
    # What is on its way to another station is here only because the link listens to all.
    yield table.rule(chain, "not for this node", match({"meta": {"key": "pkttype"}}, "host", "!="), ACCEPT)
    # The kernel takes the tag off before this hook; what has none, or only a priority in it, is this link's own.
    yield table.rule(chain, "another network", match(field("vlan", "id"), 0, "!="), ACCEPT)
    members = any_of(ruleset.members(port))
    yield table.rule(chain, "from a member", match(field("ether", "saddr"), members), ACCEPT)
    yield table.rule(chain, "fragments", is_fragment(address), goto(fragments_chain(address)))
    yield table.rule(chain, "whole", goto(_whole_chain(address)))


def _in_the_stack(ruleset: Ruleset) -> Iterator[Json]:
    table = Table("inet", ruleset.module)
    chain = "prerouting"
    yield table.base(chain, {"hook": "prerouting", "prio": _AFTER_CONNTRACK})
    yield table.counter(UNKNOWN)
    yield table.chain(UNKNOWN)
    yield table.rule(chain, "this node's own", match({"meta": {"key": "iifname"}}, "lo"), ACCEPT)
    # Here also while no slot moves: it has the kernel track connections from their first packet on.
    known = match({"ct": {"key": "state"}}, ["established", "related"], "in")
    yield table.rule(chain, "known", known, ACCEPT)
    for sharing in ruleset.sharings:
        for rule in sharing.rules:
            if rule.protocol is Protocol.TCP:
                others = _slots_of_others(ruleset, sharing, rule)
                matches, words = (_is_for(sharing.address), _is_shared(rule)), rule_words(sharing.address, rule)
                yield table.rule(chain, f"{words}, once it has ended", *matches, {"ct timeout": ENDED})
                yield table.rule(chain, words, *matches, *others, goto(UNKNOWN))
    yield table.rule(UNKNOWN, "begins", flags(["fin", "syn", "rst", "ack"], "syn"), ACCEPT)
    yield table.rule(UNKNOWN, "another node's", {"counter": UNKNOWN}, DROP)


def _slots_of_others(ruleset: Ruleset, sharing: Sharing, rule: RuleConfig) -> tuple[Json, ...]:
    """All slots but this node's own: there is no empty set."""
    computed = slot_of(sharing.address, rule.affinity, ruleset.seed)
    return (match(computed, any_of(sorted(sharing.own)), "!="),) if sharing.own else ()


def _is_for(address: str) -> Json:
    return match(field(ip_of(address), "daddr"), address)


def _is_shared(rule: RuleConfig) -> Json:
    return match(field(rule.protocol.value, "dport"), ports_of(rule))


def _for_chain(address: str) -> str:
    return f"for/{word(address)}"


def _whole_chain(address: str) -> str:
    return f"whole/{word(address)}"
