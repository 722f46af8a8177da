"""Who may stand: whether this node may become primary now, and if not, why (S1, S8, S9). Pure.

It does not know how to stand, nor whether anything is under way.
"""

from dataclasses import dataclass

from agent.core.limits import PREFER_LAST_NS, STAND_RESERVE_NS
from agent.core.promising import bound_ns
from agent.core.state import FOREVER_NS, MirrorState
from manager.model.reasons import Reason
from manager.model.records import Holder, InsyncRecord
from manager.model.states import Run
from manager.store.api import CreateRevisionIs, Guard

RESIGNED = frozenset({Reason.REPLICATOR_FAILED, Reason.APPLICATION_FAILED, Reason.LEASE_LOST, Reason.INTERNAL_ERROR})
"""Reasons in a member's record with which it gave up its place: another one goes first."""


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


def no(reason: Reason, until_ns: int = FOREVER_NS) -> Verdict:
    """It may not stand."""
    return Verdict(False, reason, until_ns=until_ns)


def disk_objection(state: MirrorState) -> Reason | None:
    """What the disk and the store say against each other; ``None``: nothing (S8).

    With an objection a node neither stands nor follows: a stream would overwrite what an operator has to look at.
    """
    view, disk = state.view, state.disk
    if state.went_back or (view is not None and view.cluster_id not in ("", state.settings.cluster_id)):
        return Reason.STORE_WENT_BACK
    if state.hello is not None and state.hello.foreign:
        return Reason.DISK_OF_OTHER_CLUSTER
    if disk is None:
        return None
    if (disk.cluster_id, disk.module_id) != (state.settings.cluster_id, state.settings.module_id):
        return Reason.DISK_OF_OTHER_CLUSTER
    if view is not None and (disk.epoch > state.epoch or disk.revision > state.revision):
        return Reason.STORE_WENT_BACK
    return None


def verdict(state: MirrorState, now_ns: int) -> Verdict:
    """Whether this node may stand where no primary key is."""
    if state.view is None or not state.store_heard:
        return no(Reason.STORE_UNREACHABLE)
    if state.lease is None or now_ns + STAND_RESERVE_NS >= state.lease.deadline_ns:
        return no(Reason.LEASE_LOST)
    unreadable = {state.settings.keys.primary, state.settings.keys.insync} & set(state.view.unreadable)
    if unreadable:
        return no(Reason.RECORD_UNREADABLE)
    objection = disk_objection(state)
    if objection is not None:
        return no(objection)
    if state.insync is None:
        return _first_start(state)
    return _listed(state, state.insync.record, now_ns)


def _first_start(state: MirrorState) -> Verdict:
    """Nobody is in sync yet: an operator names the data, or the configuration does while all are there (S9)."""
    view = state.view
    if view is None or state.named:
        return Verdict(True, Reason.FIRST_START)
    if state.settings.initial_primary != state.node:
        return no(Reason.NO_DATA_NAMED)
    guards: list[Guard] = []
    for node in state.settings.nodes:
        registered, member = view.nodes.get(node), view.member(node)
        if node == state.node:
            if state.disk is not None:
                return no(Reason.NO_DATA_NAMED)
        elif registered is None or member is None or member.endpoint is None or member.disk is not None:
            return no(Reason.NO_DATA_NAMED)
        if registered is not None:
            guards.append(CreateRevisionIs(state.settings.cluster.node(node), registered.create_revision))
    return Verdict(True, Reason.INITIAL_PRIMARY, tuple(guards))


def _listed(state: MirrorState, record: InsyncRecord, now_ns: int) -> Verdict:
    own = record.holder(state.node)
    if own is None:
        return no(Reason.NOT_IN_SYNC)
    promised_ns = bound_ns(state)
    if now_ns < promised_ns:
        return no(Reason.PROMISED_NOT_TO_STAND, promised_ns)
    if state.disk is None or state.disk.epoch < own.epoch:
        return no(Reason.DISK_IDENTITY_MISSING)
    others = tuple(h for h in record.holders if h.node != state.node)
    guards: tuple[Guard, ...] = ()
    reason = _why(state, record)
    if own.boot_id != state.settings.boot_id and others:
        rebooted = _all_rebooted(state, others)
        if rebooted is None:
            return no(Reason.REBOOTED_SINCE_LISTED)
        guards, reason = rebooted, Reason.POWER_LOSS_OF_ALL
    return _in_turn(state, record, now_ns) or Verdict(True, reason, guards)


def _all_rebooted(state: MirrorState, others: tuple[Holder, ...]) -> tuple[Guard, ...] | None:
    """Guards that hold while every one of ``others`` is registered with a new boot id; ``None``: one is not.

    A registration's boot id changes with a new registration only, and never back to the listed one: so the key's
    being the same one is enough. (That nobody else is registered for long enough is a later release's: here.)
    """
    guards: list[Guard] = []
    for holder in others:
        registered = None if state.view is None else state.view.nodes.get(holder.node)
        if registered is None or registered.record.boot_id == holder.boot_id:
            return None
        guards.append(CreateRevisionIs(state.settings.cluster.node(holder.node), registered.create_revision))
    return tuple(guards)


def _in_turn(state: MirrorState, record: InsyncRecord, now_ns: int) -> Verdict | None:
    """Another one goes first for a moment; ``None``: it is this node's turn."""
    view = state.view
    if view is None:
        return None
    ready = [h.node for h in record.holders if h.node != state.node and _could_run(state, h.node)]
    if ready and now_ns < state.hold_stand_until_ns:
        return no(Reason.REPLICATOR_FAILED, state.hold_stand_until_ns)
    last = record.last_primary
    followed = state.follow_epoch == record.epoch  # It lost that primary just now: it is the one that is ready.
    if last == state.node or last not in ready or followed or state.primary_gone_ns is None:
        return None
    until_ns = state.primary_gone_ns + PREFER_LAST_NS
    member = view.member(last)
    resigned = member is not None and (member.state.is_primary or member.reason in RESIGNED)
    return no(Reason.WAITING_FOR_LAST_PRIMARY, until_ns) if now_ns < until_ns and not resigned else None


def _could_run(state: MirrorState, node: str) -> bool:
    return state.view is not None and node in state.view.nodes and state.view.wants(node) is Run.STARTED


def _why(state: MirrorState, record: InsyncRecord) -> Reason:
    """What the history says of a take-over by election."""
    if record.last_primary == state.node:
        return Reason.PRIMARY_RESTARTED
    stopped = state.view is not None and state.view.wants(record.last_primary) is Run.STOPPED
    return Reason.PRIMARY_STOPPED if stopped else Reason.PRIMARY_LOST


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
        and own.boot_id == state.settings.boot_id
        and state.disk is not None
        and state.disk.epoch >= own.epoch
        and disk_objection(state) is None
    )
