"""What is known of a farm's shares, in words: who has how much, why, and what is on its way. Pure.

"What begins" is a client's new connection; those that it has stay where they are for as long as their node lives.
"""

from collections.abc import Iterable, Mapping

from manager.cli.difference import count_words
from manager.cli.harmless import harmless
from manager.cli.progress import bytes_words, duration_words
from manager.model.api import ModuleView, NodeState
from manager.model.api_farm import FarmShare, FarmTable, Moving, Traffic
from manager.model.config.farm_config import RuleConfig
from manager.model.farm import SLOTS
from manager.model.farm_resources import closed_by_in
from manager.model.reasons import Reason
from manager.model.states import ModuleState

UNKNOWN, NONE = "unknown", "-"
UNCOUNTED = "connections and packets are not known"
_ROOT = "root"
OLD_MS = 10_000
"""Figures come twice as often: of what is younger no age is told."""


def share_word(slots: int) -> str:
    """A number of slots, and what it is of an address."""
    return f"{100 * slots / SLOTS:.0f} % ({slots})"


def shares_word(share: FarmShare) -> str:
    """A node's share of each address, in one line where it is the same of all of them."""
    if share.slots is None:
        return UNKNOWN
    words = {address: UNKNOWN if slots is None else share_word(slots) for address, slots in share.slots.items()}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "\n".join(f"{address}: {word}" for address, word in words.items())


def weight_word(share: FarmShare) -> str:
    """Its weight, and whether an operator has set it."""
    if not share.switched:
        return str(share.weight)
    return "0 (drained)" if share.weight == 0 else f"{share.weight} (set)"


def directs_word(share: FarmShare) -> str:
    """The addresses that a node receives for."""
    return UNKNOWN if share.directs is None else "\n".join(share.directs) or NONE


def takers(nodes: Iterable[NodeState], weights: Mapping[str, int]) -> dict[str, int]:
    """To which nodes, with which weights, the slots go by right: of the first group that has any, those that are up."""
    able = {n.node: n.farm.group for n in nodes if n.farm is not None and n.takes_what_begins}
    able = {node: group for node, group in able.items() if weights.get(node, 0) > 0}
    return {node: weights[node] for node, group in able.items() if group == min(able.values())}


def weights_of(module: ModuleView) -> dict[str, int]:
    """Each node's weight that counts now."""
    return {n.node: n.farm.weight for n in module.nodes if n.farm is not None}


def due_words(wanted: Mapping[str, int]) -> str:
    """What each of ``takers`` has by right."""
    total = sum(wanted.values())
    return ", ".join(f"{node} {100 * weight / total:.0f} %" for node, weight in wanted.items())


def weight_lines(module: ModuleView) -> list[str]:
    """Which weights an operator has set: each display of the module says so."""
    shares = [(n.node, n.farm) for n in module.nodes if n.farm is not None and n.farm.switched]
    return [f"{module.name}: {node}: {_set_weight(share)}" for node, share in shares]


def _set_weight(share: FarmShare) -> str:
    what = "drained by an operator" if share.weight == 0 else f"weight {share.weight}, set by an operator"
    return f"{what} (module.toml: {share.configured})"


def traffic_words(traffic: Traffic) -> str:
    """What a node serves, and how old that is."""
    connections = UNKNOWN if traffic.connections is None else f"{traffic.connections:,}"
    packets = UNKNOWN if traffic.packets_s is None else f"{traffic.packets_s:,}"
    rate = "" if traffic.bytes_s is None else f", {bytes_words(traffic.bytes_s)}"
    return f"connections: {connections}, packets in a second: {packets}{rate}{_ago(traffic.age_ms)}"


def traffic_lines(module: ModuleView) -> list[str]:
    """What the nodes of a farm serve now, in one line."""
    known = [(n.node, n.farm.traffic) for n in module.nodes if n.farm is not None and n.farm.traffic is not None]
    ages = [traffic.age_ms for _, traffic in known if traffic.age_ms is not None]
    if not ages or not any(n.state is ModuleState.UP for n in module.nodes):
        return []
    connections = ", ".join(f"{node} {_count_word(traffic.connections)}" for node, traffic in known)
    packets = ", ".join(f"{node} {_count_word(traffic.packets_s)}" for node, traffic in known)
    return [f"{module.name}: connections: {connections}; packets in a second: {packets}{_ago(max(ages))}"]


def _count_word(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _ago(age_ms: int | None) -> str:
    return f" ({duration_words(age_ms)} ago)" if age_ms is not None and age_ms >= OLD_MS else ""


def generation_lines(name: str, generation: int, running: Mapping[str, int | None]) -> list[str]:
    """Where a farm runs by another configuration than the one that etcd has, and what is shown.

    ``running``: node to the number of the one by which it runs, ``None``: it does not, or that is not known.
    """
    others: dict[int, list[str]] = {}
    for node, number in running.items():
        if number is not None and number != generation:
            others.setdefault(number, []).append(node)
    return [
        f"{name}: configuration {generation} is stored, and shown here; {number} runs on {', '.join(nodes)}: a stop "
        f"and a start there takes the stored one, as in mirrorfarm stop {name} --node {nodes[0]}"
        for number, nodes in sorted(others.items())
    ]


def running_in(module: ModuleView) -> dict[str, int | None]:
    """By which configuration each node runs, for :func:`generation_lines`."""
    return {n.node: n.farm.generation for n in module.nodes if n.farm is not None and n.state is not None}


def table_lines(module: ModuleView) -> list[str]:
    """What is on its way of its addresses."""
    return [f"{module.name} {t.address}: {line}" for t in module.tables for line in way_lines(t)]


def unserved_lines(module: ModuleView) -> list[str]:
    """What no node serves of its addresses, though some are UP; and what is not understood."""
    up = any(n.state is ModuleState.UP for n in module.nodes)
    return [f"{module.name} {t.address}: {line}" for t in module.tables for line in _unserved(t, up)]


def _unserved(table: FarmTable, up: bool) -> list[str]:
    if table.number is None:
        return [NOT_UNDERSTOOD]
    lines = ["nobody receives for it: what begins reaches no node"] if up and table.director == "" else []
    if up and table.number and table.nobody:
        lines.append(f"{slots_word(table.nobody)} without a node: what begins there is dropped")
    return lines


NOT_UNDERSTOOD = "its table is of another release, and not understood"


def way_lines(table: FarmTable) -> list[str]:
    """What is on its way in a table, and whom it waits for."""
    return [*moving_lines(table.moving), *awaited_lines(table)]


def awaited_lines(table: FarmTable) -> list[str]:
    """Whose rules are waited for; of who directs alone it is known."""
    if not table.awaited:
        return []
    behind = [
        f"{node}, which has {f'table {has}' if has else 'none'} of {table.number}"
        for node, has in table.awaited.items()
    ]
    return [f"waiting for {', and '.join(behind)}"]


def moving_lines(moving: Iterable[Moving]) -> list[str]:
    """What is on its way between two nodes."""
    lines = []
    for one in moving:
        if one.coming:
            lines.append(
                f"{slots_word(one.coming)} moving to {one.taker}: {one.giver} serves them until both are ready for it"
            )
        if one.leaving:
            begins = f"what begins in {slots_word(one.leaving)} goes to {one.taker or 'no node'}"
            until = " once all nodes have loaded that" if one.switched is False else ""
            lines.append(f"{begins}, not to {one.giver} any more{until}: {_held(one)}")
    return lines


def _held(one: Moving) -> str:
    if one.held is None:
        return f"{one.giver} keeps the connections that it has there"
    if one.held == 0:
        return f"{one.giver} has no connection there any more"
    return f"{one.giver} keeps its connections there, in {slots_word(one.held)} at the most"


def slots_word(count: int) -> str:
    """How many."""
    return count_words(count, "slot", "slots")


def rule_word(rule: RuleConfig) -> str:
    """Which connections it shares."""
    ports = str(rule.first_port) if rule.first_port == rule.last_port else f"{rule.first_port}-{rule.last_port}"
    return f"{rule.protocol}/{ports}"


def farm_facts(module: ModuleView, node: NodeState, *, store_reachable: bool) -> list[str]:
    """What a node's share is and why, who directs, and what is on its way there or away from it."""
    share = node.farm
    assert share is not None
    facts = [_weight_fact(share)]
    if share.slots is None:
        facts.append(_unknown_share(store_reachable))
    else:
        facts += [_share_fact(t, share.slots.get(t.address)) for t in module.tables]
        facts += _why_share(module, node, share)
    facts += [_director_fact(t, node.node, store_reachable) for t in module.tables]
    facts += [f"{t.address}: {traffic_words(t.traffic[node.node])}." for t in module.tables if node.node in t.traffic]
    own = [(t, [m for m in t.moving if node.node in (m.giver, m.taker)]) for t in module.tables]
    return facts + [f"{table.address}: {line}." for table, moving in own for line in moving_lines(moving)]


def _weight_fact(share: FarmShare) -> str:
    return f"{_set_weight(share).capitalize()}." if share.switched else f"Weight {share.weight}, by module.toml."


def _unknown_share(store_reachable: bool) -> str:
    if not store_reachable:
        return "What its share is now is not known: only etcd could tell."
    return "What its share is now is not known: nothing is heard of it."


def _share_fact(table: FarmTable, slots: int | None) -> str:
    if slots is None:
        return f"{table.address}: {NOT_UNDERSTOOD}."
    if not table.number:
        return f"{table.address}: there is no table yet, so nothing is shared."
    return f"{table.address}: {share_word(slots)} of what begins goes here, by table {table.number}."


def _why_share(module: ModuleView, node: NodeState, share: FarmShare) -> list[str]:
    """Why it has what it has, where its weight alone does not say it."""
    if node.state is not ModuleState.UP:
        return ["It takes a share once it is UP."]
    if node.reason == Reason.HANDING_OVER:
        return ["It is on its way out, and gives its share to the others."]
    if not node.takes_what_begins:
        return [_closed_words(closed_by_in(node.resources))]
    if share.weight == 0 and (any((share.slots or {}).values()) or _may_begin_still(module, node.node)):
        return ["With a weight of 0 it gives its share to the others; the connections that it has stay."]
    if share.weight == 0:
        return ["With a weight of 0 nothing that begins goes here; the connections that it has stay."]
    wanted = takers(module.nodes, weights_of(module))
    if node.node not in wanted:
        names = " and ".join(wanted)
        return [
            f"Another group of the chain serves: {names}. Its own does when no node of that one is UP with a weight "
            "above 0."
        ]
    return [f"By the weights of the nodes that are UP: {due_words(wanted)}."]


def _closed_words(by: str) -> str:
    if not by:
        return (
            "Its traffic is closed: its scripts have not opened it, or who has closed it is not known to its agent; "
            "the connections that it has stay."
        )
    also = ", which the application's scripts are, too" if by == _ROOT else ""
    return f"Its traffic was closed by {harmless(by)}{also}; the connections that it has stay."


def _may_begin_still(module: ModuleView, node: str) -> bool:
    """Not all nodes share yet by that which leaves it."""
    return any(m.giver == node and m.switched is False for t in module.tables for m in t.moving)


def _director_fact(table: FarmTable, node: str, store_reachable: bool) -> str:
    if table.director is None:
        return f"{table.address}: who directs is not known: the record is of another release."
    who = "this node" if table.director == node else table.director or "nobody"
    if not store_reachable:
        return f"{table.address}: directed by {who} when etcd was last heard."
    return f"{table.address}: directed by {who}."


def slots_left(module: ModuleView, node: str) -> int | None:
    """In how many slots something may be on ``node``, or begin there; ``None``: not known."""
    on = module.on(node)
    owned = None if on is None or on.farm is None or on.farm.slots is None else list(on.farm.slots.values())
    if owned is None or None in owned:
        return None
    left = [m.leaving for t in module.tables for m in t.moving if m.giver == node]
    return sum(slots or 0 for slots in owned) + sum(left)
