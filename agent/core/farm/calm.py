"""Since when nothing has changed of what directors are spread by, as etcd shows it. Pure.

Who directs what, and each node: what is wanted of it, what it says of itself, its weight. The tables are no part of it:
with connections that stay open for days slots are on their way for days.
"""

from collections.abc import Iterable

from agent.core.copying import replace
from agent.core.farm.facts import Calm
from agent.core.farm.state import FarmState
from manager.model.reasons import Reason
from manager.model.states import Readiness

_MAY_LAST = frozenset({Reason.WAITING_FOR_MODULE, Reason.TRAFFIC_CLOSED})
"""Causes for which a node is transient that are nothing on its way."""


def noted(state: FarmState, now_ns: int) -> FarmState:
    """``state`` with what stands still now, and since when: from anew with each change."""
    picture = _picture(state) if len(state.settings.addresses) > 1 else None
    if picture == state.calm.picture:
        return state
    return replace(state, calm=Calm(picture, now_ns))


def _picture(state: FarmState) -> tuple[object, ...] | None:
    """``None``: it is not known, or something is under way."""
    view = state.view
    if (
        view is None
        or not state.store_heard
        or view.common.requests
        or any(_is_under_way(state, n) for n in state.nodes)
    ):
        return None
    keys = [state.director(address) for address in state.settings.addresses]
    if not all(keys) or not all(state.is_readable(address) for address in state.settings.addresses):
        return None
    directed = ((key.record.node, key.mod_revision) for key in keys if key is not None)
    return (*directed, *(part for node in state.nodes for part in _says(state, node)))


def _is_under_way(state: FarmState, node: str) -> bool:
    member = None if state.view is None else state.view.common.member(node)
    return member is not None and member.readiness is Readiness.TRANSIENT and member.reason not in _MAY_LAST


def _says(state: FarmState, node: str) -> Iterable[object]:
    """Its agent's lease with it: one that was exchanged is calm from then on."""
    common = None if state.view is None else state.view.common
    if common is None:
        return
    yield from (common.wants(node), state.weight(node))
    seen = common.members.get(node)
    if seen is not None:
        member = seen.record
        yield from (seen.lease, member.state, member.readiness, member.reason, tuple(sorted(member.resources.items())))
