"""Stops serving when this node may not serve (any more), and gives its place up at once (S5, S7). Pure."""

from agent.core import transactions
from agent.core.commands import KillEverything
from agent.core.copying import replace
from agent.core.limits import (
    ADDRESSES_NS,
    ADOPT_NS,
    CLOSE_STREAM_NS,
    FREEZE_NS,
    HOLD_STAND_NS,
    KILL_NS,
    REPLICATOR_START_NS,
    SERVE_NS,
    backoff_ns,
)
from agent.core.opening import commit, may_commit
from agent.core.promising import has_lapsed, right_ns
from agent.core.state import LIVES, SERVES, Addr, App, MirrorState, Move, Rep
from agent.core.vouching import disk_objection
from manager.model.reasons import Reason

_REP_LIMITS_NS = {
    Rep.STARTING: REPLICATOR_START_NS,
    Rep.FOUND_SERVING: ADOPT_NS,
    Rep.PROMOTING: SERVE_NS,
    Rep.CLOSING: CLOSE_STREAM_NS,
    Rep.FREEZING: FREEZE_NS,
}
"""How long the replicator may take to answer; Quit is bounded by the runtime."""
_ALL_REP_LIMITS_NS = frozenset(_REP_LIMITS_NS.values())


def kill(state: MirrorState, now_ns: int) -> Move | None:
    """KillEverything, when there is a cause."""
    if state.killing is not None:
        return None
    cause = (
        state.killing_for
        or _left_behind(state)
        or _without_way_out(state)
        or _without_replicator(state)
        or _without_right(state, now_ns)
        or _hung(state, now_ns)
    )
    if cause is None:
        return None
    after = replace(state, killing=cause, killing_since_ns=now_ns, killing_for=None, leaving=None)
    return Move(after, (KillEverything(cause),))


def _left_behind(state: MirrorState) -> Reason | None:
    """A former agent of this node was the primary, and the module is not to run: what it left may still serve."""
    unknown = not state.looked and state.rep is Rep.ABSENT and state.view is not None
    return Reason.STOPPED_BY_OPERATOR if unknown and state.key_is_ours and not state.wants_run else None


def _without_way_out(state: MirrorState) -> Reason | None:
    """It is not to run, and its key is not understood: its place can be neither handed over nor given up in order."""
    serves = state.office is not None and not state.is_primary and state.record_is_unreadable
    return Reason.STOPPED_BY_OPERATOR if serves and not state.wants_run else None


def _without_right(state: MirrorState, now_ns: int) -> Reason | None:
    """It serves, and may not: its time is over, or another one is the primary (S5)."""
    at_work = state.app in LIVES or state.addr is not Addr.NONE
    if state.rep is Rep.FOUND_SERVING:
        return None if may_be_adopted(state) else Reason.LEASE_LOST
    serving = state.rep in (Rep.PROMOTING, Rep.SERVING, Rep.FREEZING)
    if not at_work and not serving and state.rep is not Rep.FROZEN:
        return None
    if state.holds_office:
        if _serves_another_epoch(state):
            return Reason.STORE_WENT_BACK
        if disk_objection(state) is Reason.STORE_REPLACED:
            return Reason.STORE_REPLACED  # Nobody may follow it before an operator has decided: so it goes first.
        may = now_ns < right_ns(state, now_ns) and not has_lapsed(state, now_ns)
        return None if may else Reason.LEASE_LOST
    # A frozen replicator whose place was handed over, or given up in order, has nothing left to protect.
    return Reason.LEASE_LOST if at_work or serving else None


def _serves_another_epoch(state: MirrorState) -> bool:
    """Its disk has noted the epoch that it serves, and the key is of another one: that came out of a backup (S8)."""
    if state.rep is Rep.PROMOTING or state.disk is None or state.primary is None:
        return False
    return state.primary.record.epoch != state.disk.epoch


def may_be_adopted(state: MirrorState) -> bool:
    """The replicator that was found serves for a key that is still there; or that cannot be known yet."""
    if state.view is None or state.hello is None:
        return True
    return (
        state.primary is not None
        and state.key_is_ours
        and state.primary.record.instance == state.hello.instance
        and state.primary.record.epoch == state.hello.epoch == state.epoch
    )


def _without_replicator(state: MirrorState) -> Reason | None:
    """The application stands on a file system that is not there any more."""
    if state.rep in SERVES or (state.app not in LIVES and state.addr is Addr.NONE):
        return None
    return Reason.REPLICATOR_FAILED


def _hung(state: MirrorState, now_ns: int) -> Reason | None:
    """Something local does not come to its end."""
    limit_ns = _REP_LIMITS_NS.get(state.rep)
    if limit_ns is not None and now_ns >= state.rep_since_ns + limit_ns:
        return Reason.REPLICATOR_FAILED
    if state.addr in (Addr.ADDING, Addr.DROPPING) and now_ns >= state.addr_since_ns + ADDRESSES_NS:
        return Reason.INTERNAL_ERROR
    return Reason.APPLICATION_FAILED if _application_hangs(state, now_ns) else None


def _application_hangs(state: MirrorState, now_ns: int) -> bool:
    if state.app in (App.STARTING, App.ADOPTING):
        return now_ns >= state.app_since_ns + state.settings.start_limit_ns
    return state.app is App.STOPPING and now_ns >= state.app_since_ns + state.settings.stop_limit_ns


def note_hang(state: MirrorState, now_ns: int) -> MirrorState:
    """What is remembered when everything is killed for a reason of the replicator's or the application's."""
    if state.killing is Reason.APPLICATION_FAILED:
        return replace(state, app_failed="it did not come to its end in time", resigning=Reason.APPLICATION_FAILED)
    if state.killing is Reason.REPLICATOR_FAILED and state.rep in _REP_LIMITS_NS:
        failures = state.rep_failures + 1
        return replace(state, rep_failures=failures, rep_start_after_ns=now_ns + backoff_ns(failures))
    return state


def resign(state: MirrorState, now_ns: int) -> Move | None:
    """Delete this node's own key when nothing serves for it, so that another one need not wait for the lease."""
    if not state.key_is_ours:
        return None if state.resigning is None else Move(replace(state, resigning=None))
    wanted = state.resigning is not None or _is_stale(state)
    if not wanted or not _has_ended(state, now_ns) or not may_commit(state, now_ns):
        return None
    failed = state.resigning in (None, Reason.REPLICATOR_FAILED, Reason.APPLICATION_FAILED)
    hold_ns = now_ns + HOLD_STAND_NS if failed and state.wants_run else state.hold_stand_until_ns
    nothing_left = state.killing is None and (state.rep not in SERVES or state.rep is Rep.FROZEN)
    return commit(replace(state, hold_stand_until_ns=hold_ns), transactions.resign(state, nothing_left=nothing_left))


def _has_ended(state: MirrorState, now_ns: int) -> bool:
    """Nothing serves for the key; or it is long given up on, and its warden has ended it at the instant it was told."""
    given_up = now_ns >= state.killing_since_ns + KILL_NS and now_ns >= state.told_until_ns
    return state.killing is None or given_up


def _is_stale(state: MirrorState) -> bool:
    """The key is of a process of this node that serves no more."""
    known = state.looked and state.view is not None
    stale = not state.is_primary or _is_of_the_past(state)
    return known and stale and state.rep not in SERVES and state.killing is None


def _is_of_the_past(state: MirrorState) -> bool:
    """The key is of this process, and of an epoch that it has left: etcd was restored from a backup (S8)."""
    return state.primary is not None and state.disk is not None and state.primary.record.epoch <= state.disk.epoch


def instants(state: MirrorState) -> tuple[int, ...]:
    """When time alone may change something of all this; what ends the right to serve else is told by ``promising``."""
    settings = state.settings
    at = (
        state.killing_since_ns + KILL_NS,
        state.told_until_ns,
        state.app_since_ns + settings.start_limit_ns,
        state.app_since_ns + settings.stop_limit_ns,
        state.addr_since_ns + ADDRESSES_NS,
        *[state.rep_since_ns + limit_ns for limit_ns in _ALL_REP_LIMITS_NS],
    )
    return at if state.lease is None else (*at, state.lease.deadline_ns)
