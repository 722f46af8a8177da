"""The fragments of packets, as chains of nftables' netdev table: all go where their first one goes. Pure.

The ports that decide stand in the first fragment alone, so it is remembered for a moment where the others are to go.
Where all rules of a protocol are by client, its fragments go by the client's address, and what is remembered is whose
ports no rule shares. So a fragment that comes before its first one, or whose first one is not known any more, goes
right there too; else it stays here, and the packet is lost.

What is remembered is a hash of what all fragments of one packet have in common; it is in the packet's mark while these
rules are gone through. (nft 1.0.6 cannot say in JSON what a set is of in which it could be looked for as it is.) Two
packets of one hash are taken for one: with a set that is full, one in 65,000 goes astray.
"""

from collections.abc import Iterator

from agent.core.farm.nft_json import (
    ACCEPT,
    MARK,
    PROTOCOL,
    UNMARKED,
    Json,
    Table,
    any_of,
    field,
    goto,
    ip_of,
    jhash,
    joined,
    match,
    ports_of,
    rule_words,
    within_ip,
    word,
    written,
)
from agent.core.farm.nft_ways import slot_of, slots_by_way, slots_chain, way_chain
from agent.core.farm.ruleset import Ruleset, Sharing, Way
from manager.model.config.farm_config import Affinity

KEPT_S = 5
"""So long after its first fragment a packet is known. The kernel waits for fragments for 30 s, but their numbers come
again: IPv4 has 65,536 for a client. (Where this or the next one changes, the sets need other names: one that is there
is not changed.)"""
MOST = 1 << 16
"""Packets that are known at a time, of one address and way; others are as if their first fragment had not come."""
_NUMBERS = (1 << 32) - 1
_OFFSET, _OFFSET_OR_MORE = 0x1FFF, 0x3FFF
_FRAGMENT = 44
"""IPv6's header of a fragment, where it is the first one behind IPv6's own. In it stand the next header and something
reserved, a byte each; then (13, 2 and 1 bits) the offset, reserved, and whether more come; and the packet's number."""
_SIX_OFFSET, _SIX_MORE, _SIX_NUMBER = within_ip(336, 13), within_ip(351, 1), within_ip(352, 32)


def fragments_chain(address: str) -> str:
    """Where all goes that :func:`is_fragment` matches."""
    return f"fragments/{word(address)}"


def is_fragment(address: str) -> Json:
    """All fragments, of what is known to be of the address's protocol; of IPv6 also what is whole and has the header
    of one."""
    if ip_of(address) == "ip":
        return match({"&": [within_ip(48, 16), _OFFSET_OR_MORE]}, 0, "!=")
    return match(within_ip(48, 8), _FRAGMENT)


def memories(sharing: Sharing) -> list[str]:
    """The sets' names; they outlast the rules with what is in them, those of ways that are not taken any more too."""
    names = [_name(sharing, "here")] if sharing.by_client else []
    names += [_name(sharing, "client")] if _is_mixed(sharing) else []
    return names + [_way_set(way_chain(sharing, way)) for way, _ in _ways_by_connection(sharing)]


def fragments(table: Table, ruleset: Ruleset, sharing: Sharing, whole: str) -> Iterator[Json]:
    """The chain, and those behind it; ``whole``: the one for packets that are none."""
    address, chain, later = sharing.address, fragments_chain(sharing.address), _name(sharing, "later")
    yield from _first_by_connection(table, ruleset, sharing)
    yield from _later(table, sharing)
    yield table.chain(chain)
    if ip_of(address) == "ip6":
        only_one = match(_SIX_OFFSET, 0), match(_SIX_MORE, 0)
        yield table.rule(chain, "the only one", *only_one, goto(whole))
    yield table.rule(chain, "which packet's", written(MARK, _packet(address, ruleset.seed)))
    yield table.rule(chain, "not the first one", _is_later(address), goto(later))
    for rule in sharing.rules:
        matches, comment = match(field(rule.protocol.value, "dport"), ports_of(rule)), rule_words(address, rule)
        if rule.affinity is Affinity.CONNECTION:
            yield table.rule(chain, comment, matches, goto(_name(sharing, "first")))
            continue
        if rule.protocol not in sharing.by_client:
            # A rule of its own: it ends here when the set is full.
            yield table.rule(chain, comment, matches, _remembered(_name(sharing, "client")))
        yield table.rule(chain, comment, matches, UNMARKED, goto(slots_chain(address, rule.affinity)))
    if sharing.by_client:
        yield table.rule(chain, "no rule's", _remembered(_name(sharing, "here")))
    yield table.rule(chain, "no rule's", UNMARKED)


def _first_by_connection(table: Table, ruleset: Ruleset, sharing: Sharing) -> Iterator[Json]:
    ways, chain = _ways_by_connection(sharing), _name(sharing, "first")
    if not ways:
        return
    computed = slot_of(sharing.address, Affinity.CONNECTION, ruleset.seed)
    yield table.chain(chain)
    for way, slots in ways:
        onward = way_chain(sharing, way)
        known = _remembered(_way_set(onward)), UNMARKED
        yield table.rule(chain, "slots", match(computed, any_of(slots)), *known, goto(onward))
    # When a set is full its rule ends there.
    yield table.rule(chain, "not remembered", UNMARKED, goto(slots_chain(sharing.address, Affinity.CONNECTION)))


def _later(table: Table, sharing: Sharing) -> Iterator[Json]:
    chain, by_client = _name(sharing, "later"), goto(slots_chain(sharing.address, Affinity.CLIENT))
    yield table.chain(chain)
    if sharing.by_client:
        yield table.rule(chain, "no rule's", _is_in(_name(sharing, "here")), UNMARKED, ACCEPT)
    for way, _ in _ways_by_connection(sharing):
        onward = way_chain(sharing, way)
        yield table.rule(chain, "as the first one", _is_in(_way_set(onward)), UNMARKED, goto(onward))
    if _is_mixed(sharing):
        yield table.rule(chain, "as the first one", _is_in(_name(sharing, "client")), UNMARKED, by_client)
    for protocol in sorted(sharing.by_client):
        yield table.rule(chain, f"{protocol} by client", match(PROTOCOL, protocol.value), UNMARKED, by_client)
    yield table.rule(chain, "not known", UNMARKED)


def _is_mixed(sharing: Sharing) -> bool:
    """Of some protocol one rule is by client and one by connection."""
    return any(r.affinity is Affinity.CLIENT and r.protocol not in sharing.by_client for r in sharing.rules)


def _ways_by_connection(sharing: Sharing) -> list[tuple[Way, list[int]]]:
    by_connection = any(rule.affinity is Affinity.CONNECTION for rule in sharing.rules)
    return slots_by_way(sharing) if by_connection else []


def _packet(address: str, seed: int) -> Json:
    """What its fragments have in common, of all that come for ``address``."""
    if ip_of(address) == "ip":
        return jhash(joined(field("ip", "saddr"), field("ip", "id"), field("ip", "protocol")), _NUMBERS, seed)
    return jhash(joined(field("ip6", "saddr"), _SIX_NUMBER), _NUMBERS, seed)


def _is_later(address: str) -> Json:
    if ip_of(address) == "ip":
        return match({"&": [field("ip", "frag-off"), _OFFSET]}, 0, "!=")
    return match(_SIX_OFFSET, 0, "!=")


def _remembered(name: str) -> Json:
    return {"set": {"op": "update", "elem": MARK, "set": f"@{name}"}}


def _is_in(name: str) -> Json:
    return match(MARK, f"@{name}")


def _name(sharing: Sharing, what: str) -> str:
    return f"fragments/{what}/{word(sharing.address)}"


def _way_set(onward: str) -> str:
    return f"fragments/{onward}"
