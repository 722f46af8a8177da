"""Whether this machine's own nftables drop what comes in to a port, as far as that can be told of their rules. Pure.

A rule is asked of a connection, or datagram, that begins: to that port, from anybody, by any interface but the
loopback. What it answers is yes, no, or "it depends", as for rules about senders, interfaces and rates, and for all
that is not understood here. A port counts as dropped when no way leads past the rule that drops it, or past the policy.
Rules that iptables has made are among them, but for those of its legacy kind.
"""

import enum
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_HOOKS: Final = ("prerouting", "input")
_FAMILIES: Final = ("inet", "ip", "ip6")
_IGNORED: Final = frozenset({"counter", "log", "comment", "mangle"})
_DEEPEST: Final = 16
"""As in the kernel: NFT_JUMP_STACK_SIZE (include/net/netfilter/nf_tables.h)."""
_ANOTHER_FORM: Final = (AttributeError, KeyError, TypeError, ValueError)
"""What reading it in the form that it has today ends with."""
_SHOWN_CHARACTERS: Final = 200

Json = Mapping[str, Any]


class NotUnderstoodError(Exception):
    """nft has said something in a form that is not known here: the words are what it said."""

    def __init__(self, said: object) -> None:
        """``said``: a part of what nft printed."""
        words = json.dumps(said)
        super().__init__(words if len(words) <= _SHOWN_CHARACTERS else f"{words[:_SHOWN_CHARACTERS]}...")


class Answer(enum.Enum):
    """Of a rule, or of a part of it."""

    YES = enum.auto()
    NO = enum.auto()
    DEPENDS = enum.auto()


@dataclass(frozen=True, slots=True)
class Packet:
    """What comes in."""

    protocol: str
    """``tcp`` or ``udp``."""
    port: int
    version: int = 4
    """Of IP."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Where it ends."""

    family: str
    table: str
    chain: str
    by_policy: bool
    """No rule takes it, and the chain drops what none does."""


@dataclass(slots=True)
class _Chain:
    head: Json
    rules: list[Json] = field(default_factory=list)


class _End(enum.Enum):
    ACCEPTED = enum.auto()
    DROPPED = enum.auto()
    PASSED = enum.auto()
    """The chain it came from goes on."""
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class Firewall:
    """What is known of it."""

    dropped: Mapping[tuple[str, int], Dropped]
    """By protocol and port, where what comes in is dropped."""
    strange: str = ""
    """What nft said that is not understood, so that of other ports nothing is known; empty: nothing is."""


def dropped(ruleset: Json, packet: Packet, own: str) -> Dropped | None:
    """Where ``packet`` is dropped for certain; ``None``: nowhere, or that cannot be told.

    Args:
        ruleset: as ``nft -j list ruleset`` prints it.
        packet: that comes in.
        own: with what the names of tables begin that are ours.

    Raises:
        NotUnderstoodError: it is of another form, as far as it had to be read.
    """
    tables = _tables(ruleset)
    families = [f for f in _FAMILIES if f in ("inet", "ip" if packet.version == 4 else "ip6")]
    for (family, table), chains in tables.items():
        if family not in families or table.startswith(own):
            continue
        for name, chain in chains.items():
            if chain.head.get("hook") in _HOOKS and chain.head.get("type") == "filter":
                end = _walk(chains, name, packet, 0)
                if end is _End.DROPPED or (end is _End.PASSED and chain.head.get("policy") == "drop"):
                    return Dropped(family, table, name, by_policy=end is _End.PASSED)
    return None


def _tables(ruleset: Json) -> Mapping[tuple[str, str], Mapping[str, _Chain]]:
    """By family and name, their chains."""
    tables: dict[tuple[str, str], dict[str, _Chain]] = defaultdict(dict)
    item: Any = ruleset
    try:
        for item in ruleset["nftables"]:
            if (chain := item.get("chain")) is not None:
                tables[chain["family"], chain["table"]][chain["name"]] = _Chain(chain)
            elif (rule := item.get("rule")) is not None:
                tables[rule["family"], rule["table"]][rule["chain"]].rules.append(rule)
    except _ANOTHER_FORM:
        raise NotUnderstoodError(item) from None
    return tables


def _walk(chains: Mapping[str, _Chain], name: str, packet: Packet, depth: int) -> _End:
    """How it comes out of a chain. Once it may have been accepted, or sent on, nothing more is certain."""
    if depth > _DEEPEST or name not in chains:
        return _End.UNKNOWN
    for rule in chains[name].rules:
        try:
            matches, end = _rule(chains, rule["expr"], packet, depth)
        except _ANOTHER_FORM:
            raise NotUnderstoodError(rule) from None
        if matches is Answer.NO or end is _End.PASSED:
            continue
        if matches is Answer.YES and end is not None:
            return end
        if end is not None and end is not _End.DROPPED:
            return _End.UNKNOWN
    return _End.PASSED


def _rule(
    chains: Mapping[str, _Chain], expressions: Sequence[Json], packet: Packet, depth: int
) -> tuple[Answer, _End | None]:
    """Whether it is meant by a rule, and what becomes of it then; ``None``: nothing, the next rule is asked."""
    matches = Answer.YES
    for expression in expressions:
        [(kind, what)] = expression.items()
        if kind in _IGNORED:
            continue
        if kind == "match":
            answer = _match(what, packet)
            if answer is Answer.NO:
                return Answer.NO, None
            matches = Answer.DEPENDS if answer is Answer.DEPENDS else matches
        elif kind in _ENDS:
            return matches, _ENDS[kind]
        elif kind in ("jump", "goto"):
            end = _walk(chains, what["target"], packet, depth + 1)
            # After a goto the chain that it came from is not gone on with: its policy counts.
            return matches, _End.UNKNOWN if kind == "goto" and end is _End.PASSED else end
        elif kind == "vmap":
            return matches, _map(what, packet)
        else:  # A limit, a set that is changed, what xtables has: it may go on here or not.
            matches = Answer.DEPENDS
    return matches, None


_ENDS: Final = {
    "accept": _End.ACCEPTED,
    "drop": _End.DROPPED,
    "reject": _End.DROPPED,
    "return": _End.UNKNOWN,
    "queue": _End.UNKNOWN,
    "continue": _End.PASSED,
}


def _map(what: Json, packet: Packet) -> _End:
    """A map of verdicts, of which only that it does not concern what begins is understood."""
    data = what.get("data")
    if not isinstance(data, Mapping) or "set" not in data:
        return _End.UNKNOWN
    keys = [key for key, _ in data["set"]]
    answer = _match({"op": "==", "left": what.get("key", {}), "right": {"set": keys}}, packet)
    return _End.PASSED if answer is Answer.NO else _End.UNKNOWN


def _match(what: Json, packet: Packet) -> Answer:
    op, right = what.get("op"), what.get("right")
    [(kind, left)] = what["left"].items() if isinstance(what.get("left"), Mapping) else [("", {})]
    answer = Answer.DEPENDS
    if kind == "ct" and left.get("key") == "state":
        answer = _among("new", right)
    elif kind == "meta" and left.get("key") in ("iif", "iifname") and right == "lo":
        answer = Answer.NO
    elif kind == "meta" and left.get("key") == "l4proto":
        answer = _among(packet.protocol, right)
    elif kind == "payload":
        answer = _payload(left, right, packet)
    if op in ("==", "in"):
        return answer
    if op == "!=" and answer is not Answer.DEPENDS:
        return Answer.YES if answer is Answer.NO else Answer.NO
    return Answer.DEPENDS


def _payload(left: Json, right: Any, packet: Packet) -> Answer:
    protocol, name = left.get("protocol"), left.get("field")
    if protocol in ("ip", "ip6"):
        if protocol != ("ip" if packet.version == 4 else "ip6"):
            return Answer.NO
        return _among(packet.protocol, right) if name in ("protocol", "nexthdr") else Answer.DEPENDS
    if protocol in ("icmp", "icmpv6", "igmp", "esp", "ah", "gre", "sctp", "dccp", "udplite"):
        return Answer.NO
    if protocol in ("tcp", "udp") and protocol != packet.protocol:
        return Answer.NO
    if protocol in ("tcp", "udp", "th") and name == "dport":
        return _among(packet.port, right)
    return Answer.DEPENDS


def _among(value: str | int, right: Any) -> Answer:
    """Whether ``value`` is what stands at the right, or among it."""
    if isinstance(right, Mapping) and "set" in right:
        return _any(_among(value, one) for one in right["set"])
    if isinstance(right, list):
        return _any(_among(value, one) for one in right)
    if isinstance(right, Mapping) and "elem" in right:
        return _among(value, right["elem"].get("val"))
    if isinstance(right, Mapping) and "range" in right and isinstance(value, int):
        low, high = right["range"]
        return Answer.YES if low <= value <= high else Answer.NO
    if isinstance(right, type(value)) and not str(right).startswith("@"):
        return Answer.YES if right == value else Answer.NO
    return Answer.DEPENDS


def _any(answers: Iterable[Answer]) -> Answer:
    found = list(answers)
    if Answer.YES in found:
        return Answer.YES
    return Answer.DEPENDS if Answer.DEPENDS in found else Answer.NO
