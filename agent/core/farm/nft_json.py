"""The words of libnftables-json(5), as far as a farm's rules need them. Pure."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from manager.model.config.farm_config import RuleConfig

Json = dict[str, Any]

PREFIX = "mirrorfarm_"
"""What the names of our tables begin with; behind it the module's name."""
ACCEPT: Json = {"accept": None}
DROP: Json = {"drop": None}
PROTOCOL: Json = {"meta": {"key": "l4proto"}}
MARK: Json = {"meta": {"key": "mark"}}


def table_name(module: str) -> str:
    """Of all tables of ``module``."""
    return PREFIX + module


class Table:
    """Makes the commands for one table."""

    def __init__(self, family: str, module: str) -> None:
        self._place = {"family": family, "table": table_name(module)}

    def chain(self, name: str) -> Json:
        """One that rules go to."""
        return {"add": {"chain": {**self._place, "name": name}}}

    def base(self, name: str, hook: Json) -> Json:
        """One that packets come to."""
        return {"add": {"chain": {**self._place, "name": name, "type": "filter", "policy": "accept", **hook}}}

    def counter(self, name: str) -> Json:
        """That rules name."""
        return {"add": {"counter": {**self._place, "name": name}}}

    def rule(self, chain: str, comment: str, *statements: Json) -> Json:
        """At the end of ``chain``."""
        return {"add": {"rule": {**self._place, "chain": chain, "comment": comment, "expr": list(statements)}}}


def match(left: Json, right: Any, operator: str = "==") -> Json:
    """The rule goes on only where this is so."""
    return {"match": {"op": operator, "left": left, "right": right}}


def field(protocol: str, name: str) -> Json:
    """Of the packet."""
    return {"payload": {"protocol": protocol, "field": name}}


def behind(offset: int, bits: int) -> Json:
    """What stands so many bits behind the beginning of the layer above IP."""
    return {"payload": {"base": "th", "offset": offset, "len": bits}}


def within_ip(offset: int, bits: int) -> Json:
    """What stands so many bits behind the beginning of IP's header."""
    return {"payload": {"base": "nh", "offset": offset, "len": bits}}


def joined(*parts: Json) -> Json:
    """One behind the other, each filled up to four bytes."""
    return {"concat": list(parts)}


def jhash(of: Json, scaled_to: int, seed: int) -> Json:
    """A number below ``scaled_to``."""
    return {"jhash": {"mod": scaled_to, "seed": seed, "expr": of}}


def flags(looked_at: list[str], found: str) -> Json:
    """Of TCP."""
    return match({"&": [field("tcp", "flags"), looked_at]}, found)


def goto(chain: str) -> Json:
    """And not back."""
    return {"goto": {"target": chain}}


def written(key: Json, value: Json | str | int) -> Json:
    """Into the packet, or what the kernel keeps of it."""
    return {"mangle": {"key": key, "value": value}}


UNMARKED = written(MARK, 0)
"""For what has been of use within our own rules; nothing else of the machine is to see it."""


def any_of(values: Sequence[Any]) -> Json:
    """Of constants."""
    return {"set": list(values)}


def ports_of(rule: RuleConfig) -> Any:
    """A constant to match with."""
    is_one = rule.first_port == rule.last_port
    return rule.first_port if is_one else {"range": [rule.first_port, rule.last_port]}


def ip_of(address: str) -> str:
    """How its protocol is called."""
    return "ip" if ipaddress.ip_address(address).version == 4 else "ip6"


def rule_words(address: str, rule: RuleConfig) -> str:
    """As a comment."""
    ports = f"{rule.first_port}-{rule.last_port}" if rule.last_port != rule.first_port else f"{rule.first_port}"
    return f"{address} {rule.protocol.value} {ports} by {rule.affinity.value}"


def word(text: str) -> str:
    """As part of a name that can also be written in nft's own language: that has no ``:`` in names."""
    return text.replace(":", ".")
