"""A forced start (S12): what is looked into before this node's copy goes on that the record does not list. Pure.

An operator who accepts that the copy may lack completed writes says, by its name, that the node which was primary last
is off, or has the module's hook turn it off. Neither is taken for granted: this node looks at its own disk anew, and
asks that node at every address that it was last known by. What answers is not off. Only when nothing does the request
is accepted, and the verdict (``standing``) lets this node stand, for a short time.

It does not know how a node is asked or turned off, nor what is against a start beside that (``standing``).
"""

from agent.core.commands import AnswerRequest, Fence, ProbeNode, StopReplicator
from agent.core.copying import replace
from agent.core.lacking import what_was_tried
from agent.core.limits import FORCING_STEP_NS
from agent.core.standing import NOT_NOW, verdict
from agent.core.state import Forcing, MirrorState, Move, Operation, Rep
from agent.core.view import Seen
from manager.model.reasons import Reason
from manager.model.records import RequestRecord

ACCEPT, OFF, FENCE = "accept", "off", "fence"
"""Arguments of the request: what is accepted, with commas; which node is off, or is to be turned off."""


def accepted(request: RequestRecord) -> frozenset[str]:
    """What the operator knows to be against it, as words of ``Reason``."""
    return frozenset(filter(None, request.arguments.get(ACCEPT, "").split(",")))


def begin(state: MirrorState, seen: Seen[RequestRecord], now_ns: int) -> Move:
    """Nothing is against a forced start but that it has not been looked into.

    A request that stood in etcd before this agent looked there, as one that a backup brings back, is not taken up: what
    an operator said of another machine then need not be true any more.
    """
    request = seen.record
    last = "" if state.insync is None else state.insync.record.last_primary
    named = request.arguments.get(FENCE) or request.arguments.get(OFF, "")
    if seen.create_revision <= state.first_revision:
        return _refuse(state, request.request_id, Reason.SUPERSEDED, "It was asked for before this etcd was looked at.")
    if named not in ("", last):
        return _refuse(state, request.request_id, Reason.NOT_CONFIRMED_OFF, f"{last} was primary last, not {named}.")
    fence = bool(request.arguments.get(FENCE))
    looked = Forcing(request.request_id, last, request.asked_by, now_ns, fence=fence, confirmed=bool(named))
    return Move(replace(state, forcing=looked))


def look(state: MirrorState, now_ns: int) -> Move | None:
    """The next step of looking into it; in the end the request is accepted or refused."""
    forcing = state.forcing
    if forcing is None or state.operation is not None or state.view is None:
        return None
    seen = state.view.requests.get(forcing.request_id)
    if seen is None or forcing.request_id in state.answered:
        return Move(replace(state, forcing=None))  # It was withdrawn.
    against = _against(state, seen.record, now_ns)
    if against is not None:
        return _refuse(state, forcing.request_id, against)
    return _next(state, forcing, seen.record, now_ns)


def _against(state: MirrorState, request: RequestRecord, now_ns: int) -> Reason | None:
    """What has come between; ``None``: nothing."""
    forcing = state.forcing
    if not state.wants_run:
        return Reason.NODE_NOT_STARTED
    if state.primary is not None:
        return Reason.PRIMARY_ALIVE
    if state.hello is None and state.rep_failures:
        return Reason.REPLICATOR_FAILED
    if forcing is not None and now_ns >= forcing.since_ns + FORCING_STEP_NS:
        return Reason.TIMED_OUT
    decided = verdict(replace(state, named=True, accepted=accepted(request)), now_ns)
    passing = decided.may or decided.reason is Reason.NOT_CONFIRMED_OFF or decided.reason in NOT_NOW
    return None if passing else decided.reason


def _next(state: MirrorState, forcing: Forcing, request: RequestRecord, now_ns: int) -> Move | None:
    """First the disk, then the hook, then the other node; each at most once."""
    if state.rep is not Rep.IDLE:
        return _look_at_disk(state, now_ns)
    if forcing.fence and forcing.fenced is None:
        if forcing.fencing:
            return None
        begun = replace(forcing, fencing=True, since_ns=now_ns)
        return Move(replace(state, forcing=begun), (Fence(forcing.request_id, forcing.node, state.epoch),))
    if forcing.fenced:
        return _refuse(state, forcing.request_id, Reason.FENCING_FAILED, forcing.fenced)
    if forcing.answering is None:
        return _ask(state, forcing, now_ns)
    if forcing.answering:
        detail = f"{forcing.node}: {forcing.answering}."
        return _refuse(state, forcing.request_id, Reason.LAST_PRIMARY_ANSWERS, detail)
    if not forcing.confirmed:
        return _refuse(state, forcing.request_id, Reason.NOT_CONFIRMED_OFF, what_was_tried(forcing))
    operation = Operation(forcing.request_id, request.action, now_ns)
    after = replace(state, operation=operation, named=True, accepted=accepted(request))
    return Move(after, (AnswerRequest(forcing.request_id, "accepted"),))


def _look_at_disk(state: MirrorState, now_ns: int) -> Move | None:
    """Of one that followed it is not known here whether it is in the middle of a join: a new process looks."""
    if state.rep not in (Rep.FOLLOWING, Rep.CLOSED, Rep.FROZEN) or state.open is not None or state.killing is not None:
        return None
    after = replace(state, rep=Rep.QUITTING, rep_since_ns=now_ns, stream_up=False)
    return Move(after, (StopReplicator(),))


def _ask(state: MirrorState, forcing: Forcing, now_ns: int) -> Move | None:
    if forcing.probing:
        return None
    known = None if state.view is None else state.view.known.get(forcing.node)
    key = state.settings.cluster.known(forcing.node)
    if state.view is not None and key in state.view.unreadable:
        detail = (
            f"{key} is not understood, so {forcing.node} cannot be asked. Where it is off for certain, delete that key."
        )
        return _refuse(state, forcing.request_id, Reason.RECORD_UNREADABLE, detail)
    if known is None or not known.addresses:
        return Move(replace(state, forcing=replace(forcing, answering="", probed_ns=now_ns)))
    begun = replace(forcing, probing=True, since_ns=now_ns, asked=known.addresses)
    return Move(replace(state, forcing=begun), (ProbeNode(forcing.request_id, forcing.node, known.addresses),))


def _refuse(state: MirrorState, request_id: str, reason: Reason, detail: str = "") -> Move:
    after = replace(state, forcing=None, answered=state.answered | {request_id})
    return Move(after, (AnswerRequest(request_id, "refused", reason, detail),))


def instants(state: MirrorState) -> tuple[int, ...]:
    """When time alone may change something of all this."""
    return () if state.forcing is None else (state.forcing.since_ns + FORCING_STEP_NS,)
