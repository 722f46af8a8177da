"""Who may stand: whether this node may become primary now, and if not, why (S1, S8, S9, S12). Pure.

It does not know how to stand, nor whether anything is under way, nor what the disk and the store say against each other
(``vouching``), nor how it is found out that another node is off (``forcing``).
"""

from dataclasses import dataclass

from agent.core.boots import has_lost_memory
from agent.core.copying import replace
from agent.core.lacking import what_is_lacking, what_was_tried
from agent.core.limits import FORCED_FOR_NS, PREFER_LAST_NS, STAND_RESERVE_NS
from agent.core.patience import away_limit_ns
from agent.core.promising import bound_ns
from agent.core.state import FOREVER_NS, Forcing, MirrorState, Rep
from agent.core.switches import failover_is_off
from agent.core.vouching import STORE_OBJECTIONS, disk_objection, highest_epoch, is_half_joined, is_whole_but_diverged
from manager.model.config.module_config import AfterPowerLoss
from manager.model.reasons import Reason
from manager.model.records import Holder, InsyncRecord
from manager.model.states import ModuleState, Readiness, Run
from manager.store.api import CreateRevisionIs, Guard, KeyAbsent

RESIGNED = frozenset({Reason.REPLICATOR_FAILED, Reason.APPLICATION_FAILED, Reason.LEASE_LOST, Reason.INTERNAL_ERROR})
"""Reasons in a member's record with which it gave up its place: another one goes first."""
NOT_NOW = frozenset({Reason.STORE_UNREACHABLE, Reason.LEASE_LOST, Reason.PROMISED_NOT_TO_STAND})
"""Against standing, and ends by itself: an operator's request waits for it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether this node may stand."""

    may: bool
    reason: Reason
    """Why not; or, if it may, what the history says."""
    guards: tuple[Guard, ...] = ()
    """What the transaction has to test beyond the key's absence and the record's revision."""
    until_ns: int = FOREVER_NS
    """When time alone may change it."""
    detail: str = ""
    """What the history says beyond the reason."""
    above: int = 0
    """An operator decided where etcd could not vouch for this copy: the new epoch is above this one, of which some
    disk knows; 0: etcd vouches for it."""


def no(reason: Reason, until_ns: int = FOREVER_NS) -> Verdict:
    """It may not stand."""
    return Verdict(False, reason, until_ns=until_ns)


def verdict(state: MirrorState, now_ns: int) -> Verdict:
    """Whether this node may stand where no primary key is."""
    if state.view is None or not state.store_heard:
        return no(Reason.STORE_UNREACHABLE)
    if state.lease is None or now_ns + STAND_RESERVE_NS >= state.lease.deadline_ns:
        return no(Reason.LEASE_LOST)
    if state.record_is_unreadable:
        return no(Reason.RECORD_UNREADABLE)
    objection = disk_objection(state)
    if objection is not None and not (objection in STORE_OBJECTIONS and accepts_store(state)):
        return no(objection)
    if state.insync is None:
        return _first_start(state, now_ns)
    return _listed(state, state.insync.record, now_ns)


def accepts_store(state: MirrorState) -> bool:
    """An operator named this node, knowing that etcd may not know which copy is the newest."""
    return state.named and not state.accepted.isdisjoint(STORE_OBJECTIONS)


def _decided(state: MirrorState) -> Verdict:
    """An operator has decided where etcd could not vouch for this node's copy."""
    detail = "etcd did not know what its disk, or another node's, has seen."
    return Verdict(True, Reason.PROMOTED_BY_OPERATOR, detail=detail, above=highest_epoch(state))


def _first_start(state: MirrorState, now_ns: int) -> Verdict:
    """Nobody is in sync yet: an operator names the data, or the configuration does while all are there (S9)."""
    view = state.view
    promised_ns = bound_ns(state)
    if now_ns < promised_ns:
        return no(Reason.PROMISED_NOT_TO_STAND, promised_ns)
    if is_half_joined(state):
        return no(Reason.DISK_IDENTITY_MISSING)
    if view is None or state.named:
        if not highest_epoch(state):
            return Verdict(True, Reason.FIRST_START)
        # Some disk has had this module's data: etcd was rebuilt, and does not know which copy is the newest.
        return _decided(state) if accepts_store(state) else no(Reason.STORE_WENT_BACK)
    if state.settings.initial_primary != state.node or highest_epoch(state):
        return no(Reason.NO_DATA_NAMED)
    guards: list[Guard] = []
    for node in state.settings.nodes:
        registered, member = view.nodes.get(node), view.member(node)
        absent = registered is None or member is None or member.endpoint is None or member.disk is not None
        if node != state.node and absent:
            return no(Reason.NO_DATA_NAMED)
        if registered is not None:
            guards.append(CreateRevisionIs(state.settings.cluster.node(node), registered.create_revision))
    return Verdict(True, Reason.INITIAL_PRIMARY, tuple(guards))


def _listed(state: MirrorState, record: InsyncRecord, now_ns: int) -> Verdict:
    own = record.holder(state.node)
    if own is None:
        return _forced(state, record, now_ns)
    promised_ns = bound_ns(state)
    if now_ns < promised_ns:
        return no(Reason.PROMISED_NOT_TO_STAND, promised_ns)
    if not _vouches(state, own):
        return _first_start_again(state, record, own)
    if disk_objection(state) is not None:
        return _decided(state)
    if failover_is_off(state) and record.last_primary != state.node and not state.named:
        return no(Reason.FAILOVER_OFF)
    others = tuple(h for h in record.holders if h.node != state.node)
    decided = Verdict(True, _why(state, record))
    lost = own.boot_id != state.boot_id and others != ()
    if lost:
        decided = _without_memory(state, others, now_ns)
    if not decided.may:
        return decided
    if state.named:
        missing = f"{decided.detail} Writes that were not fsynced may be missing.".strip() if lost else ""
        return replace(decided, reason=Reason.PROMOTED_BY_OPERATOR, detail=missing)
    return _in_turn(state, record, now_ns) or decided


def _first_start_again(state: MirrorState, record: InsyncRecord, own: Holder) -> Verdict:
    """Its disk does not vouch for it; nor did it when it was listed, if that was by a first start (S9).

    Where that has come to nothing, as in a directory in which somebody works, there is no copy but those that there
    were before. Only an operator can say so: it may have served for a moment, and the disk may be another one since.
    """
    begun = record.because in (Reason.FIRST_START, Reason.INITIAL_PRIMARY)
    members = () if state.view is None else tuple(state.view.members.values())
    no_copy = state.disk is None and not is_half_joined(state) and all(m.record.disk is None for m in members)
    came_to_nothing = begun and own.epoch == 0 and record.nodes == {state.node} and no_copy
    if state.named and came_to_nothing and highest_epoch(state) <= record.epoch:
        return Verdict(True, Reason.FIRST_START)
    return no(Reason.DISK_IDENTITY_MISSING)


def _vouches(state: MirrorState, own: Holder) -> bool:
    """Its disk has what it was listed for; or it is one that diverged, was forced, and ended before it served."""
    if state.disk is None:
        return own.epoch == 0 and is_whole_but_diverged(state)
    return state.disk.epoch >= own.epoch


def _forced(state: MirrorState, record: InsyncRecord, now_ns: int) -> Verdict:
    """The record does not list this node: only an operator may have it stand, and only while the last primary is off.

    Its epoch is above all that is known, and the record says that it was decided: a node that has only seen earlier
    ones sets aside what is its own before it is made equal (``vouching.has_diverged``).
    """
    last, forcing = record.last_primary, state.forcing
    if not (state.named and Reason.NOT_IN_SYNC in state.accepted) or last == state.node:
        return no(Reason.DISK_IDENTITY_MISSING if _is_no_copy(state) else Reason.NOT_IN_SYNC)
    objection = _against_forcing(state, record)
    if objection is not None:
        return no(objection)
    promised_ns = bound_ns(state)
    if now_ns < promised_ns:
        return no(Reason.PROMISED_NOT_TO_STAND, promised_ns)
    # One that followed may be in the middle of a join, which only a new process of it tells.
    if state.rep is not Rep.IDLE or forcing is None or forcing.node != last or not forcing.is_off:
        return no(Reason.NOT_CONFIRMED_OFF)
    if now_ns >= forcing.probed_ns + FORCED_FOR_NS:
        return no(Reason.TIMED_OUT)
    guards = tuple(KeyAbsent(state.settings.cluster.node(node)) for node in (last, *_other_holders(state, record)))
    until_ns = forcing.probed_ns + FORCED_FOR_NS
    above = max(record.epoch, highest_epoch(state))
    return Verdict(True, Reason.FORCED_BY_OPERATOR, guards, until_ns, _forced_words(state, forcing), above)


def _against_forcing(state: MirrorState, record: InsyncRecord) -> Reason | None:
    """A newer copy is there; or this one is none."""
    if _is_registered(state, record.last_primary):
        return Reason.LAST_PRIMARY_REGISTERED
    # Whatever keeps that one from serving: an operator can have it serve, or turn it off.
    if any(_is_registered(state, node) for node in _other_holders(state, record)):
        return Reason.NEWER_COPY_THERE
    return Reason.DISK_IDENTITY_MISSING if _is_no_copy(state) else None


def _other_holders(state: MirrorState, record: InsyncRecord) -> tuple[str, ...]:
    """Those that the record lists beside this node and the last primary."""
    return tuple(h.node for h in record.holders if h.node not in (state.node, record.last_primary))


def _is_no_copy(state: MirrorState) -> bool:
    """It is known that there is nothing whole here to go on with.

    Of one that follows it is known once it has lost its stream; else only a new process of it tells.
    """
    if state.half_joined:
        return True
    return state.rep is Rep.IDLE and state.disk is None and not is_whole_but_diverged(state)


def _is_registered(state: MirrorState, node: str) -> bool:
    """Its agent is there, whether or not this release understands its registration."""
    key = state.settings.cluster.node(node)
    return state.view is not None and (node in state.view.nodes or key in state.view.unreadable)


def _forced_words(state: MirrorState, forcing: Forcing) -> str:
    """What the history says: who says that the other node is off, how that was tried, and what may be missing."""
    who = "the script fence" if forcing.fence else forcing.asked_by or "an operator"
    lacking = None if state.view is None else state.view.lacking.get(state.node)
    return f"Off, says {who}: {forcing.node}. {what_was_tried(forcing)} {what_is_lacking(state.node, lacking)}"


def _without_memory(state: MirrorState, others: tuple[Holder, ...], now_ns: int) -> Verdict:
    """This node has lost what it had in memory only: it stands if nobody else has kept more, or is there to say so.

    Each of ``others`` has lost its memory too, or is not registered, and has not been for long enough; an operator may
    do without the latter. Both are tested by the transaction: a registration's boot id never goes back to the listed
    one, so the key's being the same one is enough.
    """
    guards: list[Guard] = []
    away: list[str] = []
    until_ns = 0
    for holder in others:
        key, lost = state.settings.cluster.node(holder.node), has_lost_memory(state.view, holder)
        registered = None if state.view is None else state.view.nodes.get(holder.node)
        if lost is False:
            return no(Reason.REBOOTED_SINCE_LISTED)
        if registered is None:
            until_ns = max(until_ns, _waited_for_until_ns(state, holder.node))
            away.append(holder.node)
            guards.append(KeyAbsent(key))
        else:
            guards.append(CreateRevisionIs(key, registered.create_revision))
    if not away:
        return Verdict(True, Reason.POWER_LOSS_OF_ALL, tuple(guards))
    if now_ns < until_ns and not (state.named and Reason.REBOOTED_SINCE_LISTED in state.accepted):
        return no(Reason.REBOOTED_SINCE_LISTED, until_ns)
    detail = f"Not there: {', '.join(away)}."
    return Verdict(True, Reason.POWER_LOSS_OTHERS_AWAY, tuple(guards), detail=detail)


def _waited_for_until_ns(state: MirrorState, node: str) -> int:
    """When ``node`` will have been away for long enough; never, if it is waited for or is not yet seen to be away."""
    since_ns = state.away_ns.get(node)
    if since_ns is None or state.settings.after_power_loss is AfterPowerLoss.WAIT:
        return FOREVER_NS
    return since_ns + away_limit_ns(state.settings)


def _in_turn(state: MirrorState, record: InsyncRecord, now_ns: int) -> Verdict | None:
    """Another one goes first for a moment; ``None``: it is this node's turn."""
    view = state.view
    if view is None or failover_is_off(state):
        return None
    ready = [h.node for h in record.holders if h.node != state.node and could_run(state, h.node)]
    sound = [node for node in ready if not _has_failed_too(state, node)]
    if sound and now_ns < state.hold_stand_until_ns:
        return no(Reason.REPLICATOR_FAILED, state.hold_stand_until_ns)
    first = _first(state, record, ready)
    followed = state.follow_epoch == record.epoch  # It lost that primary just now: it is the one that is ready.
    if first == state.node or first not in ready or followed or state.primary_gone_ns is None:
        return None
    until_ns = state.primary_gone_ns + PREFER_LAST_NS
    member = view.member(first)
    resigned = member is not None and (member.state.is_primary or member.reason in RESIGNED)
    if now_ns >= until_ns or resigned:
        return None
    last = first == record.last_primary
    return no(Reason.WAITING_FOR_LAST_PRIMARY if last else Reason.WAITING_FOR_PREFERRED, until_ns)


def _has_failed_too(state: MirrorState, node: str) -> bool:
    """Its replicator has failed as well: it is not ready, or would have this one go first."""
    member = None if state.view is None else state.view.member(node)
    return member is not None and member.reason == Reason.REPLICATOR_FAILED


def _first(state: MirrorState, record: InsyncRecord, ready: list[str]) -> str:
    """The node whose turn it is: the one that the configuration prefers, if it is listed and there, else the last."""
    preferred = state.settings.preferred_primary
    listed = preferred and record.holder(preferred) is not None
    return preferred if listed and (preferred == state.node or preferred in ready) else record.last_primary


def could_run(state: MirrorState, node: str) -> bool:
    """The module is wanted there, its agent is registered, and nothing is known that keeps it from serving."""
    if state.view is None or not _is_registered(state, node) or state.view.wants(node) is not Run.STARTED:
        return False
    member = state.view.member(node)
    return member is None or member.state is not ModuleState.WAIT or member.readiness is not Readiness.BLOCKED


def _why(state: MirrorState, record: InsyncRecord) -> Reason:
    """What the history says of a take-over by election."""
    if record.last_primary == state.node:
        return Reason.PRIMARY_RESTARTED
    stopped = state.view is not None and state.view.wants(record.last_primary) is Run.STOPPED
    if stopped:
        return Reason.PRIMARY_STOPPED
    return Reason.PRIMARY_GAVE_UP if record.released == record.epoch else Reason.PRIMARY_LOST


def offered_to_us(state: MirrorState) -> bool:
    """The primary has frozen, and offers its place to this node, which may take it (S1, hand over)."""
    primary, insync, view = state.primary, state.insync, state.view
    if primary is None or insync is None or view is None or state.key_is_ours:
        return False
    member = view.member(primary.record.node)
    own = insync.record.holder(state.node)
    if member is None or member.hand_over is None or own is None or not member.frozen:
        return False
    offer = member.hand_over
    return (
        offer.to == state.node
        and (offer.epoch, offer.number) == (insync.record.epoch, insync.record.number)
        and member.instance == primary.record.instance
        and own.boot_id == state.boot_id
        and state.disk is not None
        and state.disk.epoch >= own.epoch
        and disk_objection(state) is None
    )


def instants(state: MirrorState) -> tuple[int, ...]:
    """When time alone may change something of all this, beside promises and who is away."""
    at: tuple[int, ...] = (state.hold_stand_until_ns,)
    if state.forcing is not None:
        at += (state.forcing.probed_ns + FORCED_FOR_NS,)
    if state.lease is not None:
        at += (state.lease.deadline_ns - STAND_RESERVE_NS,)
    return at if state.primary_gone_ns is None else (*at, state.primary_gone_ns + PREFER_LAST_NS)
