"""The ``[[rule]]`` tables of a farm: which connections are shared."""

import ipaddress
import re
from collections.abc import Sequence
from itertools import combinations

from manager.model.config.farm_config import Affinity, Protocol, RuleConfig
from manager.model.config.findings import Findings, listing
from manager.model.config.rules import Rule, is_address
from manager.model.config.tables import Table

MOST_RULES = 64
HIGHEST_PORT = 65_535

_PORTS = re.compile(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?", re.ASCII)
_PORTS_RULE = Rule(
    f'a port or a range of ports from 1 to {HIGHEST_PORT}, the lower one first, as "80" or "8000-8010"',
    lambda text: _ports(text) is not None,
)
_PROTOCOL = Rule(listing(tuple(Protocol)), lambda text: text in tuple(Protocol))
_ADDRESS = Rule('an address of the module without its prefix length, as "10.0.0.100"', is_address)


def parse_rules(tables: list[Table], addresses: Sequence[str] | None, findings: Findings) -> tuple[RuleConfig, ...]:
    """The rules in ``tables``; what is wrong goes to ``findings``.

    Args:
        tables: each one ``[[rule]]``.
        addresses: the module's; ``None``: they are not all known, and nothing is said of them.
        findings: where what is wrong is noted.
    """
    if len(tables) > MOST_RULES:
        findings.note("rule", f"{len(tables)} rules", f"at most {MOST_RULES}")
    read = [(table, _rule(table, addresses, findings)) for table in tables]
    rules = [(table, rule) for table, rule in read if rule is not None]
    for (_, former), (table, later) in combinations(rules, 2):
        _check_apart(former, later, table, addresses or (), findings)
    if tables and len(rules) == len(tables):
        _check_shared([rule for _, rule in rules], addresses or (), findings)
    return tuple(rule for _, rule in rules)


def _rule(table: Table, addresses: Sequence[str] | None, findings: Findings) -> RuleConfig | None:
    """``None``: something is wrong with it."""
    before = findings.count
    protocol = table.required("protocol", _PROTOCOL)
    ports = _ports(table.required("ports", _PORTS_RULE))
    affinity = table.choice("affinity", Affinity.CLIENT)
    named = table.strings("addresses", _ADDRESS if addresses is None else _among(addresses))
    table.finish()
    if ports is None or findings.count > before:
        return None
    return RuleConfig(Protocol(protocol), *ports, affinity, tuple(dict.fromkeys(_canonical(text) for text in named)))


def _among(addresses: Sequence[str]) -> Rule:
    return Rule(
        f"an address of the module, without its prefix length: {listing(addresses)}",
        lambda text: is_address(text) and _canonical(text) in addresses,
    )


def _canonical(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _ports(text: str) -> tuple[int, int] | None:
    found = _PORTS.fullmatch(text)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2] or found[1])
    return (first, last) if first <= last <= HIGHEST_PORT else None


def _check_apart(
    former: RuleConfig, later: RuleConfig, table: Table, addresses: Sequence[str], findings: Findings
) -> None:
    """A packet is shared by one rule."""
    if later.first_port > former.last_port or former.first_port > later.last_port:
        return
    both = [address for address in addresses if former.covers(address) and later.covers(address)]
    if former.protocol is later.protocol and both:
        found = f"{later.protocol} {_shown(later)}, of which another rule shares {_shown(former)} of {both[0]}"
        findings.note(table.path("ports"), found, "ports that no other rule of that protocol and address has")


def _shown(rule: RuleConfig) -> str:
    return f"{rule.first_port}" if rule.first_port == rule.last_port else f"{rule.first_port}-{rule.last_port}"


def _check_shared(rules: Sequence[RuleConfig], addresses: Sequence[str], findings: Findings) -> None:
    """An address without a rule would go to one node alone."""
    for index, address in enumerate(addresses):
        if not any(rule.covers(address) for rule in rules):
            findings.note(f"address[{index}].ip", f"{address}, which no [[rule]] shares", "addresses that one shares")
