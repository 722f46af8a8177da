"""Operators' requests: accepted, or refused with the reason, then done or failed within a limit. Pure.

``prim`` names this node's copy. What is against it, and an operator may decide, is refused first with that very reason;
asked again with it (argument ``accept``), it is done, for as long as nothing else is against it. A copy that the record
does not list is looked into first (``forcing``).
"""

from agent.core import forcing
from agent.core.commands import AnswerRequest
from agent.core.copying import replace
from agent.core.limits import FORCED_FOR_NS, REQUEST_SLACK_NS
from agent.core.serving import in_sync_peers
from agent.core.settings import MS_NS, SECOND_NS
from agent.core.standing import NOT_NOW, could_run, verdict
from agent.core.state import App, Forcing, Leave, Leaving, Link, MirrorState, Move, Operation, Rep
from agent.core.view import Seen
from agent.core.vouching import STORE_OBJECTIONS, disk_objection
from manager.model.reasons import Reason
from manager.model.records import RequestRecord
from manager.model.states import Readiness

PRIM, SWAP, RESTART = "prim", "swap", "restart"


def take(state: MirrorState, now_ns: int) -> Move | None:
    """The next request for this node that has no answer yet."""
    if state.view is None:
        return None
    for request_id, seen in sorted(state.view.requests.items()):
        mine = seen.record.node == state.node and request_id not in state.answered
        if mine and request_id not in _under_way(state):
            return _take(state, seen, now_ns)
    return None


def _under_way(state: MirrorState) -> tuple[str, ...]:
    """The request that was accepted, or is looked into."""
    return tuple(r.request_id for r in (state.operation, state.forcing) if r is not None)


def _take(state: MirrorState, seen: Seen[RequestRecord], now_ns: int) -> Move:
    request = seen.record
    if request.status == "accepted":  # By a former agent of this node, which is gone with what it knew.
        return _answer(state, request.request_id, "failed", Reason.SUPERSEDED)
    refusal = _refusal(state, request, now_ns)
    if refusal is not None:
        return _answer(state, request.request_id, "refused", refusal)
    if _is_forced(state, request):
        return forcing.begin(state, seen, now_ns)
    accepted = replace(state, operation=Operation(request.request_id, request.action, now_ns))
    return Move(_begun(accepted, request, now_ns), (AnswerRequest(request.request_id, "accepted"),))


def _refusal(state: MirrorState, request: RequestRecord, now_ns: int) -> Reason | None:
    if request.action not in (PRIM, SWAP, RESTART):
        return Reason.UNKNOWN_ACTION
    if not state.wants_run:
        return Reason.NODE_NOT_STARTED
    if _under_way(state):
        return Reason.BUSY
    if request.action == PRIM:
        return _refuse_prim(state, request, now_ns)
    return _refuse_swap(state) if request.action == SWAP else _refuse_restart(state)


def _refuse_prim(state: MirrorState, request: RequestRecord, now_ns: int) -> Reason | None:
    if state.is_primary:
        return Reason.ALREADY_PRIMARY
    if state.primary is not None:
        return Reason.PRIMARY_ALIVE
    accepted = forcing.accepted(request)
    another = disk_objection(state) in STORE_OBJECTIONS or (
        state.insync is None and not accepted.isdisjoint(STORE_OBJECTIONS)
    )
    if state.hello is None and (state.insync is not None or another):  # What its disk vouches for is not known.
        return Reason.REPLICATOR_FAILED if state.rep_failures else Reason.STARTING_REPLICATOR
    if another and _is_new_store(state, now_ns):
        return Reason.STORE_SETTLING
    decided = verdict(replace(state, named=True, accepted=accepted), now_ns)
    if not decided.may and decided.reason not in (*NOT_NOW, Reason.NOT_CONFIRMED_OFF):
        return decided.reason
    last = "" if state.insync is None else state.insync.record.last_primary
    against = accepted and decided.may and not verdict(replace(state, named=True), now_ns).may
    return Reason.PRIMARY_ALIVE if against and last != state.node and could_run(state, last) else None


def _is_new_store(state: MirrorState, now_ns: int) -> bool:
    """What it shows of other nodes may be out of its backup, and of nodes that are not there: until leases end.

    One that has not seen this etcd yet may renew its own there once before it ends (``lease.answers_again``). And a
    primary that it does not know serves by what a former agent has promised, which may be for longer than a lease lasts
    now.
    """
    settings = state.settings
    nodes = () if state.view is None else state.view.nodes.values()
    ttl_ns = max([settings.ttl_ns, *(node.record.ttl_ms * MS_NS for node in nodes)])
    leases_end_ns = state.store_since_ns + 2 * ttl_ns + SECOND_NS
    return now_ns < max(leases_end_ns, settings.former_promise_until_ns)


def _is_forced(state: MirrorState, request: RequestRecord) -> bool:
    """The record does not list this node, and the operator knows that."""
    knows = request.action == PRIM and Reason.NOT_IN_SYNC in forcing.accepted(request)
    return knows and state.insync is not None and not state.is_listed


def _refuse_swap(state: MirrorState) -> Reason | None:
    if state.record_is_unreadable:
        return Reason.RECORD_UNREADABLE
    if not state.is_primary:
        return Reason.NOT_PRIMARY
    if state.rep is not Rep.SERVING or state.leaving is not None or state.killing is not None:
        return Reason.BUSY
    if in_sync_peers(state):
        return None
    joining = any(p.link in (Link.JOINING, Link.COMPLETE) for p in state.peers.values())
    return Reason.SECONDARY_NOT_IN_SYNC if joining else Reason.NO_SECONDARY


def _refuse_restart(state: MirrorState) -> Reason | None:
    busy = state.leaving is not None or state.killing is not None or state.app is App.STOPPING
    return Reason.BUSY if busy else None


def _begun(state: MirrorState, request: RequestRecord, now_ns: int) -> MirrorState:
    if request.action == PRIM:
        return replace(state, named=True, accepted=forcing.accepted(request))
    if request.action == SWAP:
        return replace(state, leaving=Leaving(Leave.SWAP, now_ns, to=in_sync_peers(state)[0]))
    return replace(
        state, app_failed="", app_ended=False, addr_in_use="", addr_failed="", addr_retry_ns=0, rep_failures=0,
        rep_start_after_ns=0, hold_stand_until_ns=0,
        restarting=state.is_primary and state.app in (App.RUNNING, App.STARTING),
    )  # fmt: skip


def finish(state: MirrorState, now_ns: int) -> Move | None:
    """Whether the request under way has come to its end."""
    operation = state.operation
    if operation is None:
        return None
    ends = {PRIM: _end_of_prim, SWAP: _end_of_swap, RESTART: _end_of_restart}
    end = ends[operation.action](state) or _end_of_forcing(state, now_ns)
    if end is None and not state.wants_run:
        end = Reason.SUPERSEDED
    if end is None and now_ns >= _limit_ns(state, operation):
        end = Reason.TIMED_OUT
    if end is None:
        return None
    if operation.action == PRIM:  # What an operator said then is not his word for ever.
        state = replace(state, named=False, accepted=frozenset(), forcing=None)
    return _answer(replace(state, operation=None), operation.request_id, *_words(end))


def _limit_ns(state: MirrorState, operation: Operation) -> int:
    return operation.since_ns + state.settings.stop_limit_ns + state.settings.start_limit_ns + REQUEST_SLACK_NS


def _words(end: Reason | str) -> tuple[str, Reason | None]:
    return ("failed", end) if isinstance(end, Reason) else ("done", None)


def _answer(state: MirrorState, request_id: str, status: str, reason: Reason | None) -> Move:
    after = replace(state, answered=state.answered | {request_id})
    return Move(after, (AnswerRequest(request_id, status, reason),))


def _end_of_prim(state: MirrorState) -> Reason | str | None:
    if state.other_primary:
        return Reason.SUPERSEDED
    if state.is_primary:
        return _served(state)
    return None if state.named else Reason.SUPERSEDED  # It was said of another etcd.


def _end_of_forcing(state: MirrorState, now_ns: int) -> Reason | None:
    """Something has come between the asking of the other node and this one's election, or its time is over."""
    if state.forcing is None or state.is_primary or state.open is not None:
        return None
    decided = verdict(state, now_ns)
    if decided.may or (decided.reason in NOT_NOW and not _is_late(state.forcing, now_ns)):
        return None
    return Reason.OUTCOME_UNKNOWN if state.late_stand is not None else decided.reason


def _is_late(forced: Forcing, now_ns: int) -> bool:
    return now_ns >= forced.probed_ns + FORCED_FOR_NS


def _served(state: MirrorState) -> Reason | str | None:
    """Done when the application runs; a Reason when it will not."""
    if state.app_failed:
        return Reason.APPLICATION_FAILED
    if state.addr_in_use:
        return Reason.ADDRESS_IN_USE
    running = state.rep is Rep.SERVING and state.app is App.RUNNING and not state.restarting
    return "done" if running else None


def _end_of_swap(state: MirrorState) -> Reason | str | None:
    if state.other_primary and state.view is not None:
        member = state.view.member(state.other_primary)
        if member is None or not member.state.is_primary or member.readiness is Readiness.TRANSIENT:
            return None
        return "done" if member.readiness is Readiness.READY else Reason.APPLICATION_FAILED
    if state.leaving is not None:
        return None
    if state.is_primary:
        return Reason.SUPERSEDED if state.store_heard else Reason.STORE_UNREACHABLE
    # Its way out has broken off, and nobody has its place: what an operator asks for next must not wait for that.
    return None if state.holds_office or state.record_is_unreadable else Reason.SUPERSEDED


def _end_of_restart(state: MirrorState) -> Reason | str | None:
    if state.is_primary:
        return _served(state)
    waiting = state.rep in (Rep.ABSENT, Rep.STARTING) or state.app in (App.UNPREPARED, App.PREPARING)
    return None if waiting and not state.app_failed else Reason.APPLICATION_FAILED if state.app_failed else "done"


def instants(state: MirrorState) -> tuple[int, ...]:
    """When time alone may change something of all this."""
    return () if state.operation is None else (_limit_ns(state, state.operation),)
