"""Takes an event into the state: facts only, nothing is decided here and nothing commanded. Pure."""

from collections.abc import Callable
from typing import Any

from agent.core import events as e
from agent.core.absorbing_replicator import lost, said
from agent.core.boots import has_lost_memory
from agent.core.copying import replace
from agent.core.limits import (
    ADDRESS_RETRY_NS,
    APPLICATION_LIVED_NS,
    COMMIT_RETRY_NS,
    REPLICATOR_LIVED_NS,
    backoff_ns,
)
from agent.core.patience import counted
from agent.core.state import SERVES, Addr, App, Aside, Known, Lease, Link, MirrorState, Office, OpenTxn, Rep, having
from agent.core.view import ModuleView, seen, with_last_wishes
from agent.core.vouching import disk_objection
from manager.model.codec import DecodeError
from manager.model.errors import InvariantViolated
from manager.model.reasons import Reason
from manager.model.records import Holder, InsyncRecord, PrimaryRecord
from manager.store.api import Delete, KeyValue, Put


def absorb(state: MirrorState, event: e.Event, now_ns: int) -> MirrorState:
    """``state`` with ``event`` known."""
    after = _absorb(state, event, now_ns)
    return _noticed(state, after, now_ns)


def _absorb(state: MirrorState, event: e.Event, now_ns: int) -> MirrorState:
    match event:
        case e.Observed(view):
            return _observed(state, view, now_ns)
        case e.StoreWentBack(view):
            view = _understood(state, view)
            state = replace(state, view=view, known=None, first_revision=view.revision, store_since_ns=now_ns)
            return _unnamed(replace(state, went_back=True))
        case e.LeaseRenewed(lease_id, deadline_ns):
            return _renewed(state, lease_id, deadline_ns)
        case e.TxnSettled():
            return _settled(state, event, now_ns)
        case e.TxnFailed(tag):
            return replace(_closed(state, tag), commit_after_ns=now_ns + COMMIT_RETRY_NS)
        case e.TxnUnknown(tag):
            return _unknown(state, tag, now_ns)
        case e.ReplicatorSaid(message):
            return said(state, message, now_ns)
        case e.ReplicatorGone(_, boot_id):
            return _replicator_gone(_left(state, boot_id), now_ns)
        case _:
            return _local(state, event, now_ns)


def _unnamed(state: MirrorState) -> MirrorState:
    """What an operator has said counts in the etcd in which he has said it (S8)."""
    return having(state, named=False, accepted=frozenset(), forcing=None)


def _left(state: MirrorState, boot_id: str) -> MirrorState:
    """What a replicator has left: it may have lost its memory on its way out, with nobody to hear it (S8)."""
    return state if boot_id in ("", state.boot_id) else replace(state, boot=boot_id)


def _local(state: MirrorState, event: e.Event, now_ns: int) -> MirrorState:
    """What happened on this node beside the replicator."""
    rule = _LOCAL.get(type(event))
    return state if rule is None else rule(state, event, now_ns)


def _observed(state: MirrorState, view: ModuleView, now_ns: int) -> MirrorState:
    if state.view is not None and view.revision < state.view.revision:
        return state
    if state.view is None:
        state = replace(state, first_revision=view.revision)
    answered = frozenset(r for r in state.answered if r in view.requests)
    same = state.store_id in ("", view.store_id)  # Revisions of two etcds cannot be compared.
    known = state.known if same and state.known is not None and state.known.revision > view.revision else None
    view = _understood(state, view)
    return _forgetful(replace(state, view=view, known=known, answered=answered), now_ns)


def _understood(state: MirrorState, view: ModuleView) -> ModuleView:
    return with_last_wishes(view, state.view, state.node if state.left else "", state.settings.keys)


def _forgetful(state: MirrorState, now_ns: int) -> MirrorState:
    """Who says that it has lost its memory is lost with it, heard or not that its stream is gone.

    Else it would count as complete again once it says nothing any more: its record is gone when it is stopped.
    """
    for node, peer in state.peers.items():
        if peer.link is not Link.COMPLETE:
            continue
        if has_lost_memory(state.view, Holder(node, peer.boot_id, peer.instance, state.epoch)):
            state = lost(state, node, now_ns)
    return state


def _renewed(state: MirrorState, lease_id: int, deadline_ns: int) -> MirrorState:
    if state.lease is not None and state.lease.lease_id == lease_id:
        deadline_ns = max(deadline_ns, state.lease.deadline_ns)
    return replace(state, lease=Lease(lease_id, deadline_ns))


def _closed(state: MirrorState, tag: e.Tag) -> MirrorState:
    if state.open is None or state.open.commit.tag is not tag:
        raise InvariantViolated(f"an answer to {tag}, which is not under way")
    return replace(state, open=None)


def _unknown(state: MirrorState, tag: e.Tag, now_ns: int) -> MirrorState:
    """It may still execute later (S6): remembered until the record has moved past what it is guarded by."""
    guard = None if state.open is None else state.open.guard_revision
    lists = frozenset() if state.open is None else state.open.lists
    state = replace(_closed(state, tag), commit_after_ns=now_ns + COMMIT_RETRY_NS)
    if tag in (e.Tag.ELECT, e.Tag.TAKE_OVER):
        return replace(state, late_stand=guard)
    if tag in (e.Tag.RECORD, e.Tag.ADOPT, e.Tag.RESUME):
        return replace(state, late_record=guard, late_lists=state.late_lists | lists)
    return state


def _settled(state: MirrorState, event: e.TxnSettled, now_ns: int) -> MirrorState:
    if event.store_id and state.store_id not in ("", event.store_id):
        # Another etcd than the one that it was meant for: what came of it, the view of that one shows (S8).
        return _unknown(state, event.tag, now_ns)
    done = state.open
    state = _closed(state, event.tag)
    if event.succeeded and event.tag is e.Tag.TAKE_OVER:
        state = replace(state, promised_epoch=0, promised_until_ns=0)  # It was released with the hand-over.
    if done is None or event.revision < state.revision:
        return state  # What was observed since is newer, and shows the effect if there was one.
    if event.succeeded:
        known: Known | None = _after(state, done, event.revision)
    else:
        known = _found(state, event)
        state = replace(state, commit_after_ns=now_ns + COMMIT_RETRY_NS // 10)
    return replace(state, known=known)


def _after(state: MirrorState, done: OpenTxn, revision: int) -> Known:
    """The two keys after our own transaction was executed at ``revision``."""
    keys = state.settings.keys
    primary, insync = state.primary, state.insync
    for change in done.commit.txn.then:
        if isinstance(change, Delete) and change.key == keys.primary:
            primary = None
        elif isinstance(change, Put) and change.key == keys.primary:
            same_key = done.commit.tag is not e.Tag.ELECT and primary is not None
            created = primary.create_revision if same_key and primary is not None else revision
            primary = seen(PrimaryRecord, KeyValue(change.value, created, revision, 0, change.lease))
        elif isinstance(change, Put) and change.key == keys.insync:
            created = revision if insync is None else insync.create_revision
            insync = seen(InsyncRecord, KeyValue(change.value, created, revision, 0))
    return Known(revision, primary, insync)


def _found(state: MirrorState, refused: e.TxnSettled) -> Known | None:
    """The two keys as a refused transaction found them; as before, where this release cannot read one of them.

    What cannot be read is not taken for absent, and the watch is about to name it (``ModuleView.unreadable``).
    """
    keys = state.settings.keys
    primary, insync = refused.found.get(keys.primary), refused.found.get(keys.insync)
    try:
        return Known(
            refused.revision,
            None if primary is None else seen(PrimaryRecord, primary),
            None if insync is None else seen(InsyncRecord, insync),
        )
    except DecodeError:
        return state.known


def _replicator_gone(state: MirrorState, now_ns: int) -> MirrorState:
    """The replicator is not there any more, or no good any more."""
    lived = now_ns - state.rep_since_ns if state.rep is not Rep.STARTING else 0
    failures = 1 if lived >= REPLICATOR_LIVED_NS else state.rep_failures + 1
    after = replace(
        without_replicator(state, now_ns),
        rep_failures=failures,
        rep_start_after_ns=now_ns + backoff_ns(failures),
    )
    return replace(after, resigning=Reason.REPLICATOR_FAILED) if state.rep in SERVES and state.key_is_ours else after


def without_replicator(state: MirrorState, now_ns: int) -> MirrorState:
    """``state`` once its replicator has ended: what it knew and did is gone with it."""
    return replace(
        state, looked=True, rep=Rep.ABSENT, rep_since_ns=now_ns, hello=None, disk=None, follow_epoch=0, told_revision=0,
        told_store="", follow_primary="", stream_up=False, told_record=0, fence_record=False, peers={}, leaving=None,
        killing_for=None, office=None, given={}, asked_ns=0, asked=None, aside=Aside.NOTHING, half_joined=None,
    )  # fmt: skip


def _killed(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
    unprepared = state.app in (App.UNPREPARED, App.PREPARING, App.FINISHING)
    return replace(
        without_replicator(_left(state, event.boot_id), now_ns),
        killing=None,
        told_until_ns=0,
        app=App.UNPREPARED if unprepared else App.STOPPED,
        app_since_ns=now_ns,
        addr=Addr.NONE,
        addr_since_ns=now_ns,
        restarting=False,
    )


def _app(into: App, *only_in: App) -> Callable[[MirrorState, Any, int], MirrorState]:
    """The application is ``into`` now, unless it is not waited for any more."""

    def rule(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
        return replace(state, app=into, app_since_ns=now_ns) if state.app in only_in else state

    return rule


def _app_failed(into: App, *only_in: App) -> Callable[[MirrorState, Any, int], MirrorState]:
    def rule(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
        if state.app not in only_in:
            return state
        lived = isinstance(event, e.ApplicationGone) and now_ns - state.app_since_ns >= APPLICATION_LIVED_NS
        # Nothing of a former agent's application lives: it is no failure, it is started (again).
        failed = "" if lived or state.app is App.ADOPTING else event.detail or "failed"
        return replace(
            state, app=into, app_since_ns=now_ns, app_failed=failed, app_ended=lived, restarting=False
        )  # fmt: skip

    return rule


def _app_gone(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
    return _app_failed(App.FAILED, App.RUNNING)(state, event, now_ns)


def _addresses_failed(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
    if state.addr is not Addr.ADDING:
        return state
    return replace(
        state, addr=Addr.NONE, addr_since_ns=now_ns, addr_retry_ns=now_ns + ADDRESS_RETRY_NS,
        addr_in_use=(event.detail or "in use") if event.in_use else "",
        addr_failed="" if event.in_use else event.detail or "failed",
    )  # fmt: skip


def _addresses_added(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
    if state.addr is not Addr.ADDING:
        return state
    return replace(state, addr=Addr.HELD, addr_since_ns=now_ns, addr_in_use="", addr_failed="")


def _addresses_dropped(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
    return replace(state, addr=Addr.NONE, addr_since_ns=now_ns) if state.addr is Addr.DROPPING else state


def _replicator_stopped(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
    return without_replicator(_left(state, event.boot_id), now_ns)


def _probed(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
    forcing = state.forcing
    if forcing is None or forcing.request_id != event.request_id or forcing.answering is not None:
        return state
    known = replace(forcing, answering=event.answering, untried=event.untried, probed_ns=now_ns, since_ns=now_ns)
    return replace(state, forcing=known)


def _fenced(state: MirrorState, event: Any, now_ns: int) -> MirrorState:
    forcing = state.forcing
    if forcing is None or forcing.request_id != event.request_id or forcing.fenced is not None:
        return state
    return replace(state, forcing=replace(forcing, fenced=event.failure, since_ns=now_ns))


_LOCAL: dict[type, Callable[[MirrorState, Any, int], MirrorState]] = {
    e.StoreSilent: lambda s, _, __: replace(s, watching=False),
    e.StoreHeard: lambda s, _, __: replace(s, watching=True),
    e.LeaseLost: lambda s, _, __: replace(s, lease=None),
    e.ReplicatorStopped: _replicator_stopped,
    e.Killed: _killed,
    e.Prepared: _app(App.STOPPED, App.PREPARING),
    e.PrepareFailed: _app_failed(App.UNPREPARED, App.PREPARING),
    e.Finished: _app(App.UNPREPARED, App.FINISHING),
    e.ApplicationStarted: _app(App.RUNNING, App.STARTING, App.ADOPTING),
    e.ApplicationFailed: _app_failed(App.FAILED, App.STARTING, App.ADOPTING),
    e.ApplicationGone: _app_gone,
    e.ApplicationStopped: _app(App.STOPPED, App.STOPPING),
    e.AddressesAdded: _addresses_added,
    e.AddressesFailed: _addresses_failed,
    e.AddressesDropped: _addresses_dropped,
    e.NodeProbed: _probed,
    e.FenceEnded: _fenced,
    e.AgentStopping: lambda s, _, __: replace(s, agent_stopping=True),
}
"""Tick says nothing but that time has passed."""


def _office(state: MirrorState) -> Office | None:
    """The place that this process holds: taken by a settled transaction, and nobody's since.

    A record of the same epoch has been written by nobody else: each change is guarded by this node's own key. (S6: a
    change of unknown outcome does not end it; whom it may have listed is remembered.) That holds of the etcd in which
    it was taken: in another one, or one from before, the place is not to be had again without an operator (S8).
    """
    if state.rep not in SERVES or state.insync is None or state.went_back:
        return None
    record = state.insync.record
    if record.released == record.epoch:
        return None
    if state.is_primary and state.primary is not None and state.primary.record.epoch == record.epoch:
        return Office(record.epoch, state.instance)
    held = state.office
    if held is None or held.instance != state.instance or record.epoch != held.epoch or state.other_primary:
        return None
    return held if disk_objection(state) is None else None


def _noticed(before: MirrorState, state: MirrorState, now_ns: int) -> MirrorState:
    """What follows for the memory of this module from what is known now."""
    if state.primary is not None or state.view is None or state.settings.keys.primary in state.view.unreadable:
        state = having(state, primary_gone_ns=None)
    elif state.primary_gone_ns is None:
        state = having(state, primary_gone_ns=now_ns)
    state = _moved_on(before, state)
    if state.store_id != before.store_id:
        state = having(state, store_since_ns=now_ns)
    state = having(state, office=_office(state), began_ns=state.began_ns or now_ns)
    return _wanted(counted(before, _released(state), now_ns), now_ns)


def _moved_on(before: MirrorState, state: MirrorState) -> MirrorState:
    """What is remembered of a revision of the record is over with it (S6), and of a store with that store."""
    if before.store_id not in ("", state.store_id):
        # The epoch that is followed is one of the former store's: Follow is told anew, so that the disk notes this one.
        state = _unnamed(having(state, follow_primary=""))
    if state.insync_revision != before.insync_revision:
        state = having(state, fence_record=False)
    if state.late_stand is not None and state.insync_revision != state.late_stand:
        state = replace(state, late_stand=None)
        if state.is_primary and state.insync is not None and len(state.insync.record.nodes) > 1:
            # It was executed, and no election: that lists nobody else. A hand-over has released the promise (S5).
            state = replace(state, promised_epoch=0, promised_until_ns=0)
    if state.late_record is not None and state.insync_revision != state.late_record:
        state = replace(state, late_record=None, late_lists=frozenset())
    return state


def _released(state: MirrorState) -> MirrorState:
    """All that served in a released epoch is dead: nothing is left that was promised to it (S5)."""
    record = None if state.insync is None else state.insync.record
    if record is None or not record.released == record.epoch == state.promised_epoch:
        return state
    return replace(state, promised_epoch=0, promised_until_ns=0)


def _wanted(state: MirrorState, now_ns: int) -> MirrorState:
    """Since when it is to stop; then what failed before, and what an operator said then, counts no more."""
    if state.wants_run:
        return having(state, stop_since_ns=None)
    return having(
        state,
        stop_since_ns=now_ns if state.stop_since_ns is None else state.stop_since_ns,
        app_failed="",
        app_ended=False,
        addr_in_use="",
        addr_failed="",
        named=False,
        accepted=frozenset(),
        rep_failures=0,
        rep_start_after_ns=0,
    )
