"""Which node a client of a farm gets, and why, in words. Pure."""

from manager.cli.farm_words import rule_word
from manager.model.api_farm import FarmPlace, Way
from manager.model.config.farm_config import Affinity
from manager.model.farm import SLOTS

_WAYS = {
    Way.UNKNOWN: "How that comes is not known here: the agent that answers is of another release.",
    Way.SETTLED: "{slot} is {node}'s.",
    Way.COMING: "{slot} is {node}'s, and is moving to {other}: what begins once both are ready for it gets {other}; "
    "the connections of before stay with {node}.",
    Way.LEAVING: "{slot} has moved from {other} to {node}: the connections of before are still with {other}, and stay "
    "there.",
    Way.NOBODY: "{slot} has no node: none that lives has a weight above 0, so what begins is dropped.",
    Way.NO_RULE: "No rule of the module shares it: the director takes it.",
    Way.NO_TABLE: "There is no table for the address yet, so nothing is shared.",
    Way.OWN: "It is that node itself, which holds the address: what it begins stays there.",
}
_KEPT = "The connections of before stay with {other}."
_NOT_LOADED = "Until all nodes have loaded that, {other} may still get what this client begins."
_AFFINITY = {
    Affinity.CLIENT: "all connections of this client get the same node.",
    Affinity.CONNECTION: "each connection of this client may get another node.",
}


def place_lines(place: FarmPlace) -> list[str]:
    """A headline, and what it rests on."""
    client = f"{_bracketed(place.client)}:{place.port}" if place.port else place.client
    got = place.node or "no node"
    head = f"{place.module}: {client} gets {got} at {place.address}"
    slot = f"By table {place.number}, slot {place.slot} of {SLOTS:,}"
    lines = [_WAYS[place.way].format(slot=slot, node=place.node, other=place.other)]
    if place.way is Way.OWN:
        return [head, f"  {lines[0]}"]
    if place.way is Way.NOBODY and place.other:
        lines.append(_KEPT.format(other=place.other))
    if place.switched is False:
        lines.append(_NOT_LOADED.format(other=place.other))
    if place.rule is not None:
        lines.append(f"By rule {rule_word(place.rule)}, by {place.rule.affinity}: {_AFFINITY[place.rule.affinity]}")
    if place.registered is False:
        lines.append(
            f"The agent of {place.node} is not registered: if it is dead, the director gives its slots to others."
        )
    return [head, *(f"  {line}" for line in (*lines, _director(place)))]


def _director(place: FarmPlace) -> str:
    if place.director is None:
        return "Who receives for the address is not known: the record is of another release."
    if not place.director:
        return "Nobody receives for the address: a new client does not reach it."
    return f"{place.director} receives for the address, and forwards by the table."


def _bracketed(client: str) -> str:
    return f"[{client}]" if ":" in client else client
