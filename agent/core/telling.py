"""What the module's state on this node is called, and why: the member record. Pure."""

from dataclasses import dataclass

from agent.core import limits as n
from agent.core.following import waits_for_primary
from agent.core.leaving import offer
from agent.core.membership import unsteady, wanted_holders
from agent.core.serving import serving_word
from agent.core.standing import offered_to_us, verdict
from agent.core.state import FOREVER_NS, SERVES, Addr, App, Aside, Leave, Link, MirrorState, Rep
from agent.core.vouching import follow_objection
from manager.model.reasons import Reason
from manager.model.records import Endpoint, MemberRecord
from manager.model.resources import resources_of, with_waited
from manager.model.states import ModuleState, Readiness

_TRANSIENT_WAIT = frozenset(
    {
        Reason.WAITING_FOR_PRIMARY_LEASE,
        Reason.WAITING_FOR_LAST_PRIMARY,
        Reason.WAITING_FOR_PREFERRED,
        Reason.PROMISED_NOT_TO_STAND,
        Reason.STORE_UNREACHABLE,
        Reason.LEASE_LOST,
        Reason.REPLICATOR_FAILED,
        Reason.ELECTING,
    }
)
"""Causes of WAIT that end by themselves."""


@dataclass(frozen=True, slots=True)
class Word:
    """A state, its readiness and its cause."""

    state: ModuleState
    readiness: Readiness
    reason: Reason


def member(state: MirrorState, now_ns: int) -> MemberRecord | None:
    """What ``members/<node>`` is to hold; ``None``: nothing of the module is here."""
    if state.view is None or (not state.wants_run and state.is_at_rest):
        return None
    said = word(state, now_ns)
    hello = state.hello
    endpoint = None if hello is None else Endpoint(state.settings.replication_host, hello.listen_port)
    following = state.follow_epoch if state.rep is Rep.FOLLOWING else 0
    return MemberRecord(
        node=state.node,
        state=said.state,
        readiness=said.readiness,
        reason=str(said.reason),
        boot_id=state.boot_id,
        instance=state.instance,
        endpoint=endpoint,
        disk=state.disk,
        epoch=state.epoch if state.holds_office else following,
        frozen=state.holds_office and state.rep is Rep.FROZEN,
        hand_over=offer(state),
        resources=_resources(state, said, now_ns),
    )


def _resources(state: MirrorState, said: Word, now_ns: int) -> dict[str, str]:
    lost = unsteady(state, now_ns) if state.holds_office else ()
    found = resources_of(application_failed=bool(state.app_failed), unsteady=lost)
    return with_waited(found, state.missing) if said.reason is Reason.WAITING_FOR_MODULE else found


def word(state: MirrorState, now_ns: int) -> Word:
    """The state's word, and why."""
    if state.killing is not None:
        return _transient(ModuleState.WAIT, state.killing)
    if not state.wants_run and not (state.holds_office and state.rep in SERVES):
        return _stopping(state, now_ns)
    if state.holds_office and state.rep in SERVES:
        return _primary(state, now_ns)
    return _waiting(state, now_ns)


def _transient(state: ModuleState, reason: Reason) -> Word:
    return Word(state, Readiness.TRANSIENT, reason)


def _stopping(state: MirrorState, now_ns: int) -> Word:
    """On the way to STOP."""
    listed = state.rep is Rep.FOLLOWING and state.is_listed
    if waits_for_primary(state, now_ns):
        return _transient(ModuleState.SECOND if listed else ModuleState.WAIT, Reason.WAITING_TO_STOP)
    return _transient(ModuleState.WAIT, Reason.STOPPED_BY_OPERATOR)


def _primary(state: MirrorState, now_ns: int) -> Word:
    name = serving_word(state)
    if state.leaving is not None:
        return _transient(name, _leaving(state))
    if state.rep is Rep.PROMOTING:
        return _transient(name, Reason.BECOMING_PRIMARY)
    if not state.is_primary and state.lease is not None and state.store_heard and not state.record_is_unreadable:
        return _transient(name, Reason.RESUMING)
    if state.app_failed:
        return Word(name, Readiness.BLOCKED, Reason.APPLICATION_FAILED)
    if state.addr_in_use:
        return Word(name, Readiness.BLOCKED, Reason.ADDRESS_IN_USE)
    if state.addr_failed:
        return Word(name, Readiness.BLOCKED, Reason.ADDRESS_FAILED)
    if state.app is App.STOPPING:
        return _transient(name, Reason.STOPPING_APPLICATION)
    if state.app is App.STOPPED and state.missing:
        return _transient(name, Reason.WAITING_FOR_MODULE)
    if state.app is not App.RUNNING:
        return _transient(name, Reason.STARTING_APPLICATION)
    if state.record_is_unreadable:
        # Whom it has lost cannot be taken out: what is written waits (S2).
        waits = any(peer.link is Link.LOST for peer in state.peers.values())
        return Word(name, Readiness.BLOCKED if waits else Readiness.READY, Reason.RECORD_UNREADABLE)
    if state.late_record is not None:
        return _transient(name, Reason.OUTCOME_UNKNOWN)
    listed = set() if state.insync is None else {h.node for h in state.insync.record.holders}
    if listed - {h.node for h in wanted_holders(state, now_ns)}:
        return _transient(name, Reason.DROPPING_PEER)
    if not state.lease_holds(now_ns) or not state.store_heard:
        return Word(name, Readiness.READY, Reason.SERVING_WITHOUT_STORE)
    alone = name is ModuleState.ALONE
    return Word(name, Readiness.READY, Reason.SERVING_WITHOUT_PEER if alone else Reason.SERVING)


def _leaving(state: MirrorState) -> Reason:
    leaving = state.leaving
    if leaving is not None and leaving.why is Leave.APPLICATION_FAILED:
        return Reason.APPLICATION_FAILED
    if state.app is App.STOPPING or state.addr is Addr.DROPPING:
        return Reason.STOPPING_APPLICATION
    all_stop = leaving is not None and leaving.why is Leave.STOP_ALL
    return Reason.WAITING_TO_STOP_LAST if all_stop else Reason.HANDING_OVER


def _waiting(state: MirrorState, now_ns: int) -> Word:
    if state.app is App.UNPREPARED and state.app_failed:
        return Word(ModuleState.WAIT, Readiness.BLOCKED, Reason.APPLICATION_FAILED)
    if state.rep in (Rep.ABSENT, Rep.STARTING, Rep.QUITTING) or state.app in (App.UNPREPARED, App.PREPARING):
        return _starting(state)
    if state.is_primary:
        return _transient(ModuleState.WAIT, Reason.BECOMING_PRIMARY)
    if state.late_stand is not None:
        return _standing_late(state, now_ns)
    if not state.lease_holds(now_ns):
        return _transient(_beside_the_primary(state), Reason.STORE_UNREACHABLE)
    stands = state.rep is Rep.CLOSING and not state.other_primary
    offered = state.rep in (Rep.CLOSING, Rep.CLOSED) and offered_to_us(state)
    if state.open is not None or state.key_is_ours or stands or offered:
        return _transient(ModuleState.WAIT, Reason.ELECTING)
    return _follower(state, now_ns) if state.other_primary else _without_primary(state, now_ns)


def _standing_late(state: MirrorState, now_ns: int) -> Word:
    """Its request to stand may still be executed; unless it is, only an operator may be able to bring it on."""
    alone = not state.other_primary and state.open is None and state.lease_holds(now_ns)
    word = _without_primary(state, now_ns) if alone else None
    if word is None or word.readiness is not Readiness.BLOCKED or word.reason is Reason.REBOOTED_SINCE_LISTED:
        return _transient(ModuleState.WAIT, Reason.OUTCOME_UNKNOWN)  # The other one's return may bring it on, too.
    return word


def _starting(state: MirrorState) -> Word:
    if not state.rep_failures:
        return _transient(ModuleState.WAIT, Reason.STARTING_REPLICATOR)
    readiness = Readiness.BLOCKED if state.rep_failures >= n.FAILURES_SHOWN else Readiness.TRANSIENT
    return Word(ModuleState.WAIT, readiness, Reason.REPLICATOR_FAILED)


def _follower(state: MirrorState, now_ns: int) -> Word:
    objection = Reason.RECORD_UNREADABLE if state.record_is_unreadable else follow_objection(state)
    if objection is not None:
        return Word(ModuleState.WAIT, Readiness.BLOCKED, objection)
    if state.rep is not Rep.FOLLOWING or not _in_sync(state):
        return _CATCHING_UP[state.aside]
    if offered_to_us(state):
        return _transient(ModuleState.SECOND, Reason.HANDING_OVER)
    if not state.stream_up:
        away = Reason.WAITING_FOR_PRIMARY_LEASE if state.lease_holds(now_ns) else Reason.STORE_UNREACHABLE
        return _transient(ModuleState.SECOND, away)
    return Word(ModuleState.SECOND, Readiness.READY, Reason.IN_SYNC)


_CATCHING_UP = {
    Aside.NOTHING: Word(ModuleState.WAIT, Readiness.TRANSIENT, Reason.CATCHING_UP),
    Aside.DUE: Word(ModuleState.WAIT, Readiness.TRANSIENT, Reason.SETTING_ASIDE),
    Aside.KEEPING: Word(ModuleState.WAIT, Readiness.TRANSIENT, Reason.SETTING_ASIDE),
    Aside.FULL: Word(ModuleState.WAIT, Readiness.BLOCKED, Reason.SET_ASIDE_FULL),
    Aside.FAILED: Word(ModuleState.WAIT, Readiness.BLOCKED, Reason.SET_ASIDE_FAILED),
}


def _in_sync(state: MirrorState) -> bool:
    """The record lists it for what its disk has: one that was restored may list it for what that had once."""
    own = None if state.insync is None else state.insync.record.holder(state.node)
    listed = own is not None and own.boot_id == state.boot_id and state.follow_epoch == state.epoch
    return listed and state.disk is not None


def _beside_the_primary(state: MirrorState) -> ModuleState:
    """SECOND, as long as the stream stands of which etcd said last that this node has everything."""
    follows = state.rep is Rep.FOLLOWING and state.stream_up and _in_sync(state)
    return ModuleState.SECOND if follows else ModuleState.WAIT


def _without_primary(state: MirrorState, now_ns: int) -> Word:
    decided = verdict(state, now_ns)
    if decided.reason is Reason.PROMISED_NOT_TO_STAND:
        return _transient(_beside_the_primary(state), decided.reason)
    if decided.may:
        return _transient(ModuleState.WAIT, Reason.ELECTING)
    transient = decided.reason in _TRANSIENT_WAIT or decided.until_ns < FOREVER_NS
    return Word(ModuleState.WAIT, Readiness.TRANSIENT if transient else Readiness.BLOCKED, decided.reason)
