"""A primary's way out of its place, in order: swap, hand over, swap back, stop of one node, stop of all (S1). Pure.

First the application, then the addresses, then no more changes (Freeze); what is frozen is applied at both. Then the
place is offered to the other one, whose transaction takes it, or the key is deleted.
"""

from agent.core.commands import DropAddresses, StopApplication, Tell
from agent.core.copying import replace
from agent.core.limits import OFFER_NS, PREFER_AGAIN_NS, PREFERRED_READY_NS, STOP_LAST_NS, UNHEARD_NS
from agent.core.serving import application_failed_at, context, in_sync_peers, serving_word, stays_until_ns
from agent.core.state import LIVES, SERVES, Addr, App, Leave, Leaving, Link, MirrorState, Move, Rep
from agent.core.switches import failover_is_off
from manager.model.control import Freeze, Thaw
from manager.model.reasons import Reason
from manager.model.records import HandOver
from manager.model.states import ModuleState


def begin_stop(state: MirrorState, now_ns: int) -> Move | None:
    """The operator, or the agent's end, wants this primary to stop."""
    if state.wants_run or not state.is_primary or state.rep not in SERVES or state.view is None:
        return None
    all_stop = state.is_full_stop and not state.agent_stopping
    now = state.leaving
    if now is None or now.why not in (Leave.STOP, Leave.STOP_ALL):
        if now is not None and now.offered_ns:
            return Move(replace(state, leaving=replace(now, why=Leave.STOP)))  # It goes on to the same node.
        to = _successor(state)
        leaving = Leaving(Leave.STOP_ALL, now_ns) if all_stop else Leaving(Leave.STOP, now_ns, to=to)
        return Move(replace(state, leaving=leaving))
    if all_stop and now.why is Leave.STOP and not now.offered_ns:
        return Move(replace(state, leaving=Leaving(Leave.STOP_ALL, now.since_ns)))
    if not all_stop and now.why is Leave.STOP_ALL:
        to = _successor(state)
        return Move(replace(state, leaving=Leaving(Leave.STOP, now.since_ns, to=to)))
    return None


def _successor(state: MirrorState) -> str:
    """The node that goes on when this one stops alone; empty: none, or no node takes over by itself."""
    return "" if failover_is_off(state) else next(iter(in_sync_peers(state)), "")


def give_back(state: MirrorState, now_ns: int) -> Move | None:
    """The node that the configuration prefers has been ready for long enough: it gets the module.

    Not in an epoch that an operator began: what he has put elsewhere stays there until the next take-over. Nor while it
    would not be started there, as what it depends on is away; nor where its application ended there lately.
    """
    since_ns, insync = state.preferred_ns, state.insync
    if since_ns is None or insync is None or now_ns < max(since_ns + PREFERRED_READY_NS, state.prefer_after_ns):
        return None
    busy = state.leaving is not None or state.operation is not None or state.restarting or not state.wants_run
    if busy or state.app_failed or state.missing or failover_is_off(state) or insync.record.because in _OPERATORS:
        return None
    preferred = state.settings.preferred_primary
    if application_failed_at(state, preferred) or now_ns < stays_until_ns(state):
        return None
    return Move(replace(state, leaving=Leaving(Leave.PREFERRED, now_ns, to=preferred)))


_OPERATORS = frozenset({Reason.SWAP, Reason.PROMOTED_BY_OPERATOR, Reason.FORCED_BY_OPERATOR})


def cancel(state: MirrorState, now_ns: int) -> Move | None:
    """It is wanted here again, the one that was to go on is not there any more, or it could not take the place."""
    leaving = state.leaving
    if leaving is None or not state.is_primary or leaving.withdrawing:
        return None
    if state.resigning is not None:
        return None  # That may be executed at any moment, and would release the others from their promises.
    if leaving.why in (Leave.STOP, Leave.STOP_ALL):
        if not state.wants_run:
            return None
    elif _may_be_taken(state, leaving, now_ns) and not _is_better_here(state, leaving, now_ns):
        return None
    if leaving.offered_ns:
        return Move(replace(state, leaving=replace(leaving, withdrawing=True)))
    return _stay(state, now_ns)


def _is_better_here(state: MirrorState, leaving: Leaving, now_ns: int) -> bool:
    """The application works here, its place could be offered by now, and etcd does not answer: nobody could take it.

    What serves outlives etcd by the other one's promises, and who offers its place has none (S5). Once it is offered
    it can only be withdrawn through etcd (S6).
    """
    if leaving.why not in (Leave.SWAP, Leave.PREFERRED) or leaving.offered_ns or state.store_heard:
        return False
    return state.rep is Rep.FROZEN and now_ns >= state.rep_since_ns + UNHEARD_NS


def _may_be_taken(state: MirrorState, leaving: Leaving, now_ns: int) -> bool:
    """The other node is there to go on, and has time left to do so."""
    if not leaving.offered_ns:
        return _is_there(state, leaving.to)
    return now_ns < leaving.offered_ns + OFFER_NS and _is_there_still(state, leaving.to)


def _is_there(state: MirrorState, node: str) -> bool:
    """It can be handed over to: listed, and its stream has not been lost."""
    peer = state.peers.get(node)
    listed = state.insync is not None and state.insync.record.holder(node) is not None
    return listed and (peer is not None and peer.link is not Link.LOST)


def _is_there_still(state: MirrorState, node: str) -> bool:
    """It can take the offer: its stream is closed by now, but its agent is there."""
    return state.view is not None and node in state.view.nodes and state.view.member(node) is not None


def _stay(state: MirrorState, now_ns: int) -> Move | None:
    """Serve on, from wherever the way out was left."""
    if state.rep is Rep.FREEZING:
        return None  # Frozen comes, or the limit.
    after = replace(state, leaving=None, stayed_ns=now_ns, prefer_after_ns=now_ns + PREFER_AGAIN_NS)
    if state.rep is Rep.FROZEN:
        return Move(replace(after, rep=Rep.SERVING, rep_since_ns=now_ns), (Tell(Thaw()),))
    return Move(after)


def withdrawn(state: MirrorState, now_ns: int) -> Move | None:
    """The record was written anew since the offer: it cannot be taken any more."""
    leaving = state.leaving
    if leaving is None or not leaving.withdrawing or not state.is_primary or state.insync is None:
        return None
    if state.insync.record.number == leaving.number or state.open is not None:
        return None
    if not state.wants_run:
        return Move(replace(state, leaving=Leaving(Leave.STOP, leaving.since_ns)))
    return _stay(state, now_ns)


def walk(state: MirrorState, now_ns: int) -> Move | None:
    """The next step out."""
    leaving = state.leaving
    if leaving is None or not state.is_primary or leaving.withdrawing:
        return None
    if state.app in LIVES:
        if state.app is App.STOPPING:
            return None
        after = replace(state, app=App.STOPPING, app_since_ns=now_ns)
        return Move(after, (StopApplication(context(state, serving_word(state), _next(leaving), _action(leaving))),))
    if state.addr is not Addr.NONE:
        if state.addr is Addr.DROPPING:
            return None
        return Move(replace(state, addr=Addr.DROPPING, addr_since_ns=now_ns), (DropAddresses(),))
    if state.rep is Rep.SERVING:
        return Move(replace(state, rep=Rep.FREEZING, rep_since_ns=now_ns), (Tell(Freeze()),))
    return _frozen(state, leaving, now_ns) if state.rep is Rep.FROZEN else None


def _next(leaving: Leaving) -> str:
    return ModuleState.STOP if leaving.why in (Leave.STOP, Leave.STOP_ALL) else ModuleState.SECOND


def _action(leaving: Leaving) -> str:
    return "swap" if leaving.why in (Leave.SWAP, Leave.PREFERRED) else "stop"


def _frozen(state: MirrorState, leaving: Leaving, now_ns: int) -> Move | None:
    if leaving.why is Leave.STOP_ALL:
        waits = now_ns < state.rep_since_ns + STOP_LAST_NS and _others_are_there(state)
        return None if waits else _give_up_key(state)
    if not leaving.offered_ns and leaving.to and _is_there(state, leaving.to):
        if state.insync is None or state.open is not None or state.late_record is not None:
            return None
        if leaving.why is not Leave.STOP and not state.store_heard:
            return None  # As long as its place is not offered, the data are served by the other one's promises.
        number = state.insync.record.number
        return Move(replace(state, leaving=replace(leaving, offered_ns=now_ns, number=number)))
    if leaving.why is not Leave.STOP:
        return None
    if leaving.offered_ns and _may_be_taken(state, leaving, now_ns):
        return None
    return _give_up_key(state)


def _others_are_there(state: MirrorState) -> bool:
    """Another node has not stopped yet."""
    return state.view is not None and any(state.view.member(n) is not None for n in state.settings.peers)


def _give_up_key(state: MirrorState) -> Move | None:
    if state.resigning is not None:
        return None
    return Move(replace(state, resigning=Reason.STOPPED_BY_OPERATOR))


def offer(state: MirrorState) -> HandOver | None:
    """What this node's member record offers."""
    leaving = state.leaving
    if leaving is None or not leaving.offered_ns or leaving.withdrawing or not state.is_primary:
        return None
    if state.rep is not Rep.FROZEN:
        return None
    return HandOver(leaving.to, state.epoch, leaving.number, str(_HISTORY[leaving.why]))


_HISTORY = {
    Leave.SWAP: Reason.SWAP,
    Leave.STOP: Reason.PRIMARY_STOPPED,
    Leave.STOP_ALL: Reason.PRIMARY_STOPPED,
    Leave.APPLICATION_FAILED: Reason.APPLICATION_FAILED,
    Leave.PREFERRED: Reason.PREFERRED_PRIMARY,
}
"""What the history says of a hand-over."""


def left(state: MirrorState, now_ns: int) -> Move | None:
    """The key is another's, or gone, and what was left behind is frozen: the way out is walked."""
    if state.leaving is None or state.is_primary or _resumes(state):
        return None
    if state.rep in (Rep.SERVING, Rep.FREEZING, Rep.PROMOTING):
        return None
    return Move(replace(state, leaving=None))


def _resumes(state: MirrorState) -> bool:
    """Its key may only have expired, and nobody was offered its place."""
    return state.office is not None and state.leaving is not None and not state.is_offering


def instants(state: MirrorState) -> tuple[int, ...]:
    """When time alone may change something of all this; when the preferred node is ready is told by ``patience``."""
    if state.leaving is None:
        return ()
    return (
        state.rep_since_ns + STOP_LAST_NS,
        state.rep_since_ns + UNHEARD_NS,
        state.leaving.offered_ns + OFFER_NS,
    )
