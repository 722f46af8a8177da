"""What is counted by time: how long others have been away, and how long the preferred primary has been ready. Pure.

Both count only what this agent has seen itself, without a gap: where etcd was silent, or this node's lease ran out (as
when the whole process was frozen), they begin anew.
"""

from collections.abc import Mapping

from agent.core.limits import PREFERRED_READY_NS
from agent.core.serving import in_sync_peers
from agent.core.settings import Settings
from agent.core.state import App, MirrorState, Rep, having


def counted(before: MirrorState, state: MirrorState, now_ns: int) -> MirrorState:
    """``state`` with what follows for these counts from what is known now."""
    unbroken = before.store_heard and before.lease_holds(now_ns)
    away_ns = _away(state, before.away_ns if unbroken else {}, now_ns)
    since_ns = before.preferred_ns if unbroken and before.preferred_ns is not None else now_ns
    return having(state, away_ns=away_ns, preferred_ns=since_ns if _preferred_is_ready(state, now_ns) else None)


def _away(state: MirrorState, known_ns: Mapping[str, int], now_ns: int) -> Mapping[str, int]:
    if state.view is None or not state.store_heard or not state.lease_holds(now_ns):
        return {}
    return {n: known_ns.get(n, now_ns) for n in state.settings.peers if n not in state.view.nodes}


def _preferred_is_ready(state: MirrorState, now_ns: int) -> bool:
    """This node serves in the place of the preferred one, which holds everything."""
    preferred = state.settings.preferred_primary
    if not preferred or preferred == state.node or not state.store_heard or not state.lease_holds(now_ns):
        return False
    serves = state.is_primary and state.rep is Rep.SERVING and state.app is App.RUNNING
    return serves and preferred in in_sync_peers(state)


def away_limit_ns(settings: Settings) -> int:
    """So long no other listed node may have been registered before one that lost its memory stands (S8)."""
    return settings.peer_timeout_ns + settings.ttl_ns


def instants(state: MirrorState) -> tuple[int, ...]:
    """When time alone may change something of all this."""
    at = tuple(since_ns + away_limit_ns(state.settings) for since_ns in state.away_ns.values())
    if state.preferred_ns is None:
        return at
    return (*at, state.preferred_ns + PREFERRED_READY_NS, state.prefer_after_ns)
