"""Who lives, as a node that probes the others knows it: by what they answer, and by nothing else. Pure.

Not by leases, nor by what nodes publish. A node of whom nothing was heard yet, since this one listens, is neither alive
nor dead. One whose *agent* is away (its machine says that nobody listens there, or its new agent says that it is taking
over what the former one left) goes on serving by what its kernel has: it keeps its share for a while. What becomes of
slots is decided elsewhere (``directing``).
"""

from collections.abc import Iterable

from agent.core.farm import parting
from agent.core.farm.facts import Heard
from agent.core.farm.limits import AGENT_AWAY_NS
from agent.core.farm.state import FarmState


def is_alive(state: FarmState, node: str, address: str, now_ns: int) -> bool:
    """``node`` takes its share of ``address``: it has said so lately. Of itself a node knows."""
    if node == state.node:
        return parting.takes_share(state) and address in state.own_macs
    heard = state.heard.get(node)
    if heard is None or node in state.away:
        return False
    return _takes(heard, address) and now_ns < heard.at_ns + state.settings.dead_after_ns


def is_away(state: FarmState, node: str, now_ns: int) -> bool:
    """Its agent is, and it took its share before; what it has it keeps, for no longer than AGENT_AWAY_NS."""
    away = state.away.get(node)
    if away is None or not away.keeps:
        return False
    return now_ns < min(away.until_ns, away.since_ns + AGENT_AWAY_NS)


def is_unknown(state: FarmState, node: str, address: str, now_ns: int) -> bool:
    """It is probed, has not said that it takes nothing, and there was no time yet to hear it.

    One whose key this node has taken for a dead one's needs no more time.
    """
    if node not in state.probing or node in state.lost:
        return False
    if is_alive(state, node, address, now_ns) or is_away(state, node, now_ns):
        return False
    heard = state.heard.get(node)
    says_no = heard is not None and not _takes(heard, address)
    return not says_no and now_ns < state.listening_ns + state.settings.dead_after_ns


def director_heard_ns(state: FarmState, address: str) -> int:
    """When the director of ``address``, another node, was heard last; or since when it would have been."""
    key = state.director(address)
    met_ns = 0 if key is None else state.met_ns.get(key.record.node, 0)
    return max(state.awake_ns, state.keyed_ns.get(address, 0), met_ns)


def is_unheard(state: FarmState, address: str, now_ns: int) -> bool:
    """Its director was not heard for so long that it is looked for."""
    return now_ns >= director_heard_ns(state, address) + state.settings.dead_after_ns // 2


def _takes(heard: Heard, address: str) -> bool:
    """It says so, and has a link there."""
    return heard.answer.ready and address in heard.answer.macs


def instants(state: FarmState) -> Iterable[int]:
    """When time alone may change something of this."""
    dead_after_ns = state.settings.dead_after_ns
    yield state.listening_ns + dead_after_ns
    yield from (heard.at_ns + dead_after_ns for heard in state.heard.values())
    for away in state.away.values():
        yield from (away.until_ns, away.since_ns + AGENT_AWAY_NS)
