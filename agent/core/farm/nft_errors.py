"""ICMP errors about what a node has sent from a farm's address, as chains of nftables' netdev table. Pure.

A router that cannot send on what a node answered tells the address, and so the director; it is the node that answered
which must hear it, or it goes on sending what is too large for the path. The error quotes the beginning of what it is
about: from it follows, as from a packet of the client's, whose slot it is. Of a slot on its way both parties are told;
who does not know the connection leaves it at that.

What quotes something else stays here: no shared port, IPv4 with options, a fragment without ports (whose sender has
allowed that routers make smaller ones of it), IPv6 with other headers in between than that of a fragment.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.farm.nft_json import (
    ACCEPT,
    Json,
    Table,
    any_of,
    behind,
    field,
    goto,
    ip_of,
    match,
    ports_of,
    rule_words,
    word,
)
from agent.core.farm.nft_ways import by_slot, slot
from agent.core.farm.ruleset import Ruleset, Sharing
from manager.model.config.farm_config import Affinity, RuleConfig

_NUMBERS = {"tcp": 6, "udp": 17}
_UNREACHABLE, _EXCEEDED, _PARAMETER = 3, 11, 12
_ERRORS_OF_FOUR = (_UNREACHABLE, _EXCEEDED, _PARAMETER)
"""RFC 792; that a packet was too large is one of the first."""
_ERRORS_OF_SIX = (1, 2, 3, 4)
"""RFC 4443: unreachable, too large, time exceeded, a parameter."""
_FRAGMENT = 44
_QUOTED = 64
"""Where the quoted packet begins, in bits behind the beginning of ICMP."""


@dataclass(frozen=True, slots=True)
class _Quoted:
    """Where things stand in the packet that is quoted; in bits behind the beginning of ICMP."""

    name: str
    protocol: int
    own_port: int
    client: int
    client_bits: int
    guards: tuple[Json, ...] = ()
    """Matches that say that it is so."""

    def slot(self, affinity: Affinity, seed: int) -> Json:
        """Of the client to which it went."""
        return slot(behind(self.client, self.client_bits), behind(self.own_port + 16, 16), affinity, seed)

    def of(self, rule: RuleConfig) -> tuple[Json, ...]:
        """What ``rule`` shares."""
        protocol = match(behind(self.protocol, 8), _NUMBERS[rule.protocol.value])
        return *self.guards, protocol, match(behind(self.own_port, 16), ports_of(rule))


_FOUR = (_Quoted("plain", _QUOTED + 72, _QUOTED + 160, _QUOTED + 128, 32),)
_SIX = (
    _Quoted("plain", _QUOTED + 48, _QUOTED + 320, _QUOTED + 192, 128),
    _Quoted(
        "fragment", _QUOTED + 320, _QUOTED + 384, _QUOTED + 192, 128,
        (match(behind(_QUOTED + 48, 8), _FRAGMENT), match(behind(_QUOTED + 336, 13), 0)),
    ),
)  # fmt: skip


def errors_chain(address: str) -> str:
    """Where all goes that :func:`is_error` matches."""
    return f"errors/{word(address)}"


def is_error(address: str) -> Json:
    """What tells of something that was sent."""
    if ip_of(address) == "ip":
        return match(field("icmp", "type"), any_of(_ERRORS_OF_FOUR))
    return match(field("icmpv6", "type"), any_of(_ERRORS_OF_SIX))


def errors(table: Table, ruleset: Ruleset, sharing: Sharing) -> Iterator[Json]:
    """The chain, and those behind it."""
    address, chain = sharing.address, errors_chain(sharing.address)
    layouts = _FOUR if ip_of(address) == "ip" else _SIX
    for layout in layouts:
        for affinity in sorted({rule.affinity for rule in sharing.rules}):
            computed = layout.slot(affinity, ruleset.seed)
            yield from by_slot(table, _slots_chain(address, layout, affinity), sharing, computed)
    yield table.chain(chain)
    for other in _other(address):
        yield table.rule(chain, "about something else", other, ACCEPT)
    for layout in layouts:
        for rule in sharing.rules:
            onward = goto(_slots_chain(address, layout, rule.affinity))
            yield table.rule(chain, rule_words(address, rule), *layout.of(rule), onward)


def _other(address: str) -> tuple[Json, ...]:
    """The quoted packet is not from this address, or its ports do not stand where they are looked for."""
    if ip_of(address) == "ip6":
        return (match(behind(_QUOTED + 64, 128), _constant(address), "!="),)
    return (
        match(behind(_QUOTED + 96, 32), _constant(address), "!="),
        match(behind(_QUOTED, 8), 0x45, "!="),
        match({"&": [behind(_QUOTED + 48, 16), 0x1FFF]}, 0, "!="),
    )


def _constant(address: str) -> str:
    return "0x" + ipaddress.ip_address(address).packed.hex()


def _slots_chain(address: str, layout: _Quoted, affinity: Affinity) -> str:
    return f"errors/{layout.name}/{affinity.value}/{word(address)}"
