"""Takes into the state what the nodes of a farm tell each other: facts only, nothing is decided here. Pure."""

from collections.abc import Mapping

from agent.core.copying import replace
from agent.core.farm import events as e
from agent.core.farm.facts import Asker, Away, Heard
from agent.core.farm.limits import JOIN_AGAIN_NS, REFUSED_NS
from agent.core.farm.living import director_heard_ns
from agent.core.farm.state import FarmState


def asked(state: FarmState, event: e.Asked, now_ns: int) -> FarmState:
    """Another node has asked this one."""
    if event.by not in state.peers:
        return state
    asked = {**state.asked, event.by: Asker(now_ns, event.directs)}
    # Who does not direct it any more needs no promise.
    owed = {(a, n): until for (a, n), until in state.owed.items() if n != event.by or a in event.directs}
    state = replace(state, asked=asked, owed=owed)
    return _met(state, event.by, now_ns) if event.directs else state


def _met(state: FarmState, node: str, now_ns: int) -> FarmState:
    return replace(state, met_ns={**state.met_ns, node: now_ns})


def answered(state: FarmState, event: e.Answered, now_ns: int) -> FarmState:
    """A member has answered a question."""
    node = event.node
    if node not in state.probing:
        return state
    last, was_lost = state.heard.get(node), node in state.lost
    # Of a director that was replaced nothing else may have been heard.
    was_ready = was_lost or (last is not None and last.was_ready)
    silent_ns = now_ns - max(state.listening_ns, 0 if last is None else last.at_ns)
    is_back = last is not None and (not last.answer.ready or silent_ns >= state.settings.dead_after_ns)
    if event.ready and was_ready and (was_lost or is_back):
        state = replace(state, join_after_ns={**state.join_after_ns, node: now_ns + JOIN_AGAIN_NS})
    state = replace(state, lost=state.lost - {node})
    heard = {**state.heard, node: Heard(now_ns, event, was_ready or event.ready)}
    dead_after_ns = state.settings.dead_after_ns
    away = _away(state, node, now_ns, now_ns + dead_after_ns, keeps=True) if event.adopting else _without(state, node)
    return _met(replace(told_macs(state, _news(state, event)), heard=heard, away=away), node, now_ns)


def refused(state: FarmState, event: e.Refused, now_ns: int) -> FarmState:
    """A member's machine has said that nobody listens there.

    It keeps its share if its agent was there a moment ago. A machine that was silent before may have been started
    again meanwhile, and has nothing left. One that has not answered yet, as there was no need to ask it, is believed
    what it has published; one that directs, only if it was heard a moment ago.
    """
    node = event.node
    if node not in state.probing:
        return state
    last = state.heard.get(node)
    if last is None:
        keeps = state.is_up(node) and not _has_fallen_silent(state, node, now_ns)
    else:
        keeps = last.answer.ready and now_ns < last.at_ns + state.settings.dead_after_ns
    return replace(state, away=_away(state, node, now_ns, now_ns + REFUSED_NS, keeps=keeps))


def _has_fallen_silent(state: FarmState, node: str, now_ns: int) -> bool:
    """It directs by its key, and was not heard for so long that it may have died since."""
    directed = [a for a in state.settings.addresses if (key := state.director(a)) and key.record.node == node]
    return any(now_ns >= director_heard_ns(state, a) + state.settings.dead_after_ns for a in directed)


def _away(state: FarmState, node: str, now_ns: int, until_ns: int, *, keeps: bool) -> Mapping[str, Away]:
    """Counted from when it began; from anew where it keeps its share only by what it says now."""
    last = state.away.get(node)
    goes_on = last is not None and (last.keeps or not keeps) and now_ns < last.until_ns
    since_ns = last.since_ns if last is not None and goes_on else now_ns
    return {**state.away, node: Away(since_ns, until_ns, last.keeps if last is not None and goes_on else keeps)}


def _without(state: FarmState, node: str) -> Mapping[str, Away]:
    return {n: a for n, a in state.away.items() if n != node} if node in state.away else state.away


def _news(state: FarmState, event: e.Answered) -> Mapping[str, Mapping[str, str]]:
    known = state.macs.get(event.node, {})
    return {event.node: event.macs} if any(known.get(a) != mac for a, mac in event.macs.items()) else {}


def told_macs(state: FarmState, told: Mapping[str, Mapping[str, str]]) -> FarmState:
    """What a node does not say (any more) stays as it was: it may be about to."""
    after = {node: {**state.macs.get(node, {}), **macs} for node, macs in told.items() if macs}
    return replace(state, macs={**state.macs, **after}) if after else state
