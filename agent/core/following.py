"""Without the primary key: follows the primary there is, or stands where there is none (S1, S3, S8). Pure."""

from agent.core import transactions
from agent.core.commands import Finish, Prepare, RunContext, StartReplicator, StopReplicator, Tell
from agent.core.copying import replace
from agent.core.limits import STOP_LAST_NS
from agent.core.opening import commit, may_commit
from agent.core.standing import offered_to_us, verdict
from agent.core.state import LIVES, Addr, App, Aside, MirrorState, Move, Rep
from agent.core.vouching import (
    STORE_OBJECTIONS,
    acknowledged,
    disk_objection,
    follow_objection,
    has_diverged,
    is_to_part,
)
from manager.model.control import CloseStream, Follow
from manager.model.reasons import Reason
from manager.model.states import ModuleState

_OFFERED_FOR = frozenset({Reason.SWAP, Reason.PRIMARY_STOPPED, Reason.APPLICATION_FAILED, Reason.PREFERRED_PRIMARY})


def start(state: MirrorState, now_ns: int) -> Move | None:
    """Scripts first (``prestart`` may mount the disk), then the replicator."""
    if not state.wants_run or state.killing is not None:
        return None
    if state.app is App.UNPREPARED and not state.app_failed:
        after = replace(state, app=App.PREPARING, app_since_ns=now_ns)
        return Move(after, (Prepare(RunContext(ModuleState.STOP, ModuleState.WAIT, "start", state.epoch)),))
    prepared = state.app not in (App.UNPREPARED, App.PREPARING, App.FINISHING)
    if state.rep is Rep.ABSENT and prepared and now_ns >= state.rep_start_after_ns:
        return Move(replace(state, rep=Rep.STARTING, rep_since_ns=now_ns), (StartReplicator(),))
    return None


def follow(state: MirrorState, now_ns: int) -> Move | None:
    """Be the secondary of the primary there is."""
    primary = state.primary
    if not state.wants_run or primary is None or state.key_is_ours or state.killing is not None:
        return None
    if not _may_take_a_stream(state) or offered_to_us(state):
        return None
    if primary.record.epoch != state.epoch or follow_objection(state) is not None or _listed_for_what_it_lacks(state):
        return None
    told = (primary.record.epoch, primary.record.node)
    if state.rep is Rep.FOLLOWING and (state.follow_epoch, state.follow_primary) == told:
        return None
    if state.rep not in (Rep.IDLE, Rep.CLOSED, Rep.FOLLOWING, Rep.FROZEN):
        return None
    if state.rep is Rep.FOLLOWING and is_to_part(state):
        return _close(state, now_ns)
    # A process that was adopted goes on with its stream, if it is told what it does already.
    same = state.rep is Rep.FOLLOWING and state.follow_epoch == told[0] and not state.follow_primary
    diverged = has_diverged(state)
    after = replace(
        acknowledged(state, state.revision),
        aside=Aside.DUE if diverged and state.aside is Aside.NOTHING else state.aside,
        rep=Rep.FOLLOWING,
        rep_since_ns=now_ns,
        follow_epoch=told[0],
        follow_primary=told[1],
        stream_up=state.stream_up and same,
        hold_stand_until_ns=0,  # Another one has gone first.
    )
    told_it = Follow(primary.record.epoch, state.revision, primary.record.node, state.store_id, diverged)
    return Move(after, (Tell(told_it),))


def _listed_for_what_it_lacks(state: MirrorState) -> bool:
    """Whether the record lists this node for what its disk does not vouch for: emptied, replaced, not mounted.

    Following puts the epoch on the disk, which would vouch for it then (S8). The primary misses the stream and takes
    this node out; then it follows and joins. So it is with this very process where its disk vouches for nothing: what
    lists it is of another day, out of a backup, and that it joined in the etcd of before would pass for that.
    """
    own = None if state.insync is None else state.insync.record.holder(state.node)
    if own is None:
        return False
    if state.disk is None:
        return True
    return state.disk.epoch < own.epoch and not (own.instance and own.instance == state.instance)


def _may_take_a_stream(state: MirrorState) -> bool:
    """No transaction of its own is unsettled (S3)."""
    return state.open is None and state.late_stand is None


def stand(state: MirrorState, now_ns: int) -> Move | None:
    """Become primary: where there is none, or where one has handed over to this node."""
    if not state.wants_run or state.killing is not None or state.hello is None or state.resigning is not None:
        return None
    if state.primary is not None:
        return _take_over(state, now_ns) if not state.key_is_ours else None
    decided = verdict(state, now_ns)
    if not decided.may:
        return None
    if state.rep is Rep.FROZEN:
        return _start_anew(state, now_ns)
    if state.rep is Rep.FOLLOWING:
        return _close(state, now_ns)
    if state.rep not in (Rep.IDLE, Rep.CLOSED) or not may_commit(state, now_ns):
        return None
    elected = transactions.elect(state, decided.reason, decided.guards, decided.detail, decided.above)
    return commit(replace(state, stood_since_ns=state.store_since_ns), elected)


def _take_over(state: MirrorState, now_ns: int) -> Move | None:
    if not offered_to_us(state) or not state.lease_holds(now_ns) or state.insync is None:
        return None
    if state.rep is Rep.FOLLOWING:
        return _close(state, now_ns)
    if state.rep is not Rep.CLOSED or not may_commit(state, now_ns):
        return None
    others = tuple(h for h in state.insync.record.holders if h.node != state.node)
    return commit(state, transactions.take_over(state, others, _why(state)))


def _why(state: MirrorState) -> Reason:
    """What the history says of a hand-over: what the one that offers says."""
    member = None if state.view is None else state.view.member(state.other_primary)
    said = "" if member is None or member.hand_over is None else member.hand_over.reason
    return Reason(said) if said in _OFFERED_FOR else Reason.SWAP


def _close(state: MirrorState, now_ns: int) -> Move:
    return Move(replace(state, rep=Rep.CLOSING, rep_since_ns=now_ns, stream_up=False), (Tell(CloseStream()),))


def _start_anew(state: MirrorState, now_ns: int) -> Move:
    """A frozen replicator has served: only another process of it becomes primary again (S1)."""
    return Move(replace(state, rep=Rep.QUITTING, rep_since_ns=now_ns), (StopReplicator(),))


def stop(state: MirrorState, now_ns: int) -> Move | None:
    """The operator does not want it here, and it does not serve (any more)."""
    if state.wants_run or state.view is None or state.killing is not None:
        return None
    if state.key_is_ours and state.rep is not Rep.ABSENT and state.rep is not Rep.QUITTING:
        return None  # First the key is given up.
    if state.addr is not Addr.NONE or state.app in LIVES:
        return None
    if state.rep not in (Rep.ABSENT, Rep.QUITTING, Rep.STARTING):
        if waits_for_primary(state, now_ns):
            return None
        return Move(replace(state, rep=Rep.QUITTING, rep_since_ns=now_ns, stream_up=False), (StopReplicator(),))
    if state.rep is Rep.ABSENT and state.app is App.STOPPED:
        after = replace(state, app=App.FINISHING, app_since_ns=now_ns)
        return Move(after, (Finish(RunContext(ModuleState.WAIT, ModuleState.STOP, "stop", state.epoch)),))
    return None


def waits_for_primary(state: MirrorState, now_ns: int) -> bool:
    """In a stop of all nodes a secondary stops once the primary has frozen, so that it stays listed."""
    if not state.is_full_stop or state.agent_stopping or not state.is_listed or state.view is None:
        return False
    member = state.view.member(state.other_primary) if state.other_primary else None
    if member is None or member.frozen or state.stop_since_ns is None:
        return False
    return now_ns < state.stop_since_ns + state.settings.stop_limit_ns + STOP_LAST_NS


def give_up_election(state: MirrorState, now_ns: int) -> Move | None:
    """It was elected, and is not wanted any more, or in an etcd that it did not mean: the key goes, unused."""
    waiting = state.rep in (Rep.IDLE, Rep.CLOSED, Rep.STARTING, Rep.ABSENT, Rep.FOLLOWING, Rep.CLOSING)
    if not state.key_is_ours or not waiting or state.resigning is not None or not state.looked:
        return None
    cause = _elected_unawares(state) if state.wants_run else Reason.STOPPED_BY_OPERATOR
    return None if cause is None else Move(replace(state, resigning=cause))


def _elected_unawares(state: MirrorState) -> Reason | None:
    """Its request was meant for the etcd of before, and was executed in the one that was restored since (S8).

    The record that it was guarded by came out of the backup, too; but another node may have gone on after that. So it
    is with one that an operator had decided in the etcd of before, or that the backup has brought back. He has named
    what is a first start, too, of which there is nothing to decide against.
    """
    objection, record = disk_objection(state), None if state.insync is None else state.insync.record
    here = state.stood_since_ns == state.store_since_ns
    named = record is not None and (record.decided == state.epoch or record.because == Reason.FIRST_START)
    return None if objection not in STORE_OBJECTIONS or (here and named) else objection


def instants(state: MirrorState) -> tuple[int, ...]:
    """When time alone may change something of all this, beside who may stand."""
    if state.stop_since_ns is None:
        return (state.rep_start_after_ns,)
    return (state.rep_start_after_ns, state.stop_since_ns + state.settings.stop_limit_ns + STOP_LAST_NS)
