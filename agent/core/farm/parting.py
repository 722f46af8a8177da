"""How a node that stops, or restarts, comes to have nothing any more of what begins. Pure.

It goes as a drained one does: it says that it takes its share still, and nothing new. So its slots go to others by
way of *coming* and *leaving* (``slots``), and what is open here, or was begun a moment ago, stays until the application
ends. Once nothing comes here any more it is waited for a moment, for what is in its handshake; then the application is
ended. Until that has ended the node has its part in the slots that it leaves, as scripts may let answers under way end.

Where it does not come to that in time (a node's rules do not load, or its agent is away; etcd has not been heard for a
while, so that no table comes here) it says that it takes no share at all. Its slots are given away then in one step,
like a dead node's, which resets what was open in them: but the application is about to end, and would take that with it
anyway.
"""

from agent.core.copying import replace
from agent.core.farm.limits import GENTLY_MOST_NS, HAND_ON_MOST_NS, HANDSHAKE_NS, SWITCHED_NS
from agent.core.farm.state import FarmState
from agent.core.state import Addr, App


def noted(state: FarmState, now_ns: int) -> FarmState:
    """``state`` with how far it has come: since when nothing comes here, and whether its time to go gently is over."""
    passed_ns = state.passed_ns
    if any(comes_here(state, address, now_ns) for address in state.tables):
        passed_ns = None
    elif passed_ns is None:
        passed_ns = now_ns
    at_once = state.out_ns is not None and (state.out_at_once or not _is_gentle(state, state.out_ns, now_ns))
    return replace(state, passed_ns=passed_ns, out_at_once=at_once)


def _is_gentle(state: FarmState, out_ns: int, now_ns: int) -> bool:
    return state.is_relieved or now_ns < min(out_ns + GENTLY_MOST_NS, _unheard_ns(state, out_ns))


def _unheard_ns(state: FarmState, out_ns: int) -> int:
    """From when etcd counts as gone: one failed renewal says little, and that it takes no share is said for good."""
    return out_ns + HAND_ON_MOST_NS if state.store_heard else max(out_ns, state.silent_ns + state.settings.hand_on_ns)


def takes_share(state: FarmState) -> bool:
    """It is ready; or on its way out, and has what it had until others have taken it, and its application has ended."""
    if state.out_ns is None or state.out_at_once:
        return state.is_ready
    return state.serves or (state.is_relieved and _lets_end(state))


def _lets_end(state: FarmState) -> bool:
    """What is open here: its application is being stopped, and may take its time for it."""
    return state.app is App.STOPPING and state.hold is Addr.HELD and state.killing is None


def takes_new(state: FarmState) -> bool:
    """What begins may come here, as this node says of itself: else it is as if its weight were 0."""
    return state.is_open and state.out_ns is None


def has_handed_on(state: FarmState, now_ns: int) -> bool:
    """Nothing new comes to this node any more; or nobody is there to take it, or the time for it is over."""
    if state.out_ns is None:
        return False
    if now_ns >= _end_ns(state, state.out_ns):
        return True
    if not state.wants_run and state.hands:
        return False
    return not state.others_up or _is_greeted(state, now_ns)


def _is_greeted(state: FarmState, now_ns: int) -> bool:
    """What was begun here before has had its time to be accepted."""
    return state.passed_ns is not None and now_ns >= state.passed_ns + HANDSHAKE_NS


def _end_ns(state: FarmState, out_ns: int) -> int:
    """When it waits no longer: without etcd no table comes any more."""
    most_ns = out_ns + HAND_ON_MOST_NS
    return most_ns if state.is_relieved else min(most_ns, _unheard_ns(state, out_ns) + state.settings.hand_on_ns)


def comes_here(state: FarmState, address: str, now_ns: int) -> bool:
    """By its table, or by one before it, by which the director's kernel shares still, or its own."""
    relieved = state.relieved.get(address)
    if relieved is None:
        return True
    if address in state.own_macs and state.number(address) < relieved.number:
        return True  # It may have been the director until now, and clients send to it.
    if state.has_key(address):
        return False
    key = state.director(address)
    asker = None if key is None else state.asked.get(key.record.node)
    number = 0 if asker is None else asker.directs.get(address, 0)
    return number < relieved.number if number else now_ns < relieved.since_ns + SWITCHED_NS


def instants(state: FarmState) -> tuple[int, ...]:
    """When time alone may change something of this."""
    if state.out_ns is None:
        return ()
    greeted = () if state.passed_ns is None else (state.passed_ns + HANDSHAKE_NS,)
    most = (state.out_ns + GENTLY_MOST_NS, _unheard_ns(state, state.out_ns), _end_ns(state, state.out_ns))
    switched = (relieved.since_ns + SWITCHED_NS for relieved in state.relieved.values())
    return (*most, *greeted, *switched)
