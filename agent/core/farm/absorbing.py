"""Takes an event into the state: facts only, nothing is decided here and nothing commanded. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from agent.core import events as c
from agent.core.copying import replace
from agent.core.farm import calm, hearing, parting
from agent.core.farm import events as e
from agent.core.farm.facts import Count, Hand, Known, Relieved, Trouble
from agent.core.farm.limits import (
    COUNT_AT_LEAST_EVERY_NS,
    COUNT_EVERY_NS,
    COUNT_LONG_REST,
    COUNT_NS,
    COUNT_REST,
    DIRECT_RETRY_NS,
    GAP_NS,
    RULES_RETRY_NS,
)
from agent.core.farm.state import FarmState
from agent.core.farm.view import FarmView
from agent.core.limits import ADDRESS_RETRY_NS, APPLICATION_LIVED_NS, COMMIT_RETRY_NS
from agent.core.state import Addr, App, Lease
from agent.core.view import seen, with_last_wishes
from manager.model.codec import DecodeError
from manager.model.errors import InvariantViolated
from manager.model.farm import DirectorRecord, SlotsRecord
from manager.model.farm_resources import macs_in
from manager.store.api import Delete, KeyValue, Put

_Rule = Callable[[FarmState, Any, int], FarmState]
_OF_THE_STORE = (e.Observed, e.StoreWentBack, c.StoreHeard, c.LeaseRenewed, c.TxnSettled)


def absorb(state: FarmState, event: e.Event, now_ns: int) -> FarmState:
    """``state`` with ``event`` known."""
    rule = _RULES.get(type(event))
    after = _listened(state, event, now_ns)
    return _noticed(state, after if rule is None else rule(after, event, now_ns), now_ns)


def _listened(state: FarmState, event: e.Event, now_ns: int) -> FarmState:
    """Whether it was there all the time to hear what others ask and answer; and when etcd was heard last."""
    gap = now_ns >= state.stepped_ns + GAP_NS
    store_heard_ns = now_ns if isinstance(event, _OF_THE_STORE) else state.store_heard_ns
    return replace(state, stepped_ns=now_ns, awake_ns=now_ns if gap else state.awake_ns, store_heard_ns=store_heard_ns)


# The store


def _observed(state: FarmState, event: e.Observed, now_ns: int) -> FarmState:
    if state.view is not None and event.view.revision < state.view.revision:
        return state
    return _seen(state, event.view, now_ns)


def _went_back(state: FarmState, event: e.StoreWentBack, now_ns: int) -> FarmState:
    return replace(_seen(state, event.view, now_ns), known={})


def _seen(state: FarmState, view: FarmView, now_ns: int) -> FarmState:
    last = None if state.view is None else state.view.common
    common = with_last_wishes(view.common, last, "" if state.is_at_rest else state.node, state.settings.keys)
    view = replace(view, common=common)
    before = {} if state.view is None else state.view.common.members
    told = {
        node: macs_in(member.record.resources)
        for node, member in view.common.members.items()
        if node != state.node and before.get(node) != member
    }
    known = {address: k for address, k in state.known.items() if k.revision > view.revision}
    answered = frozenset(r for r in state.answered if r in view.common.requests)
    return replace(
        hearing.told_macs(state, told), view=view, known=known, answered=answered,
        renewed_ns=_renewed_ns(state, view, now_ns), silent_ns=now_ns if last is None else state.silent_ns,
    )  # fmt: skip


def _renewed_ns(state: FarmState, view: FarmView, now_ns: int) -> Mapping[str, int]:
    before = {} if state.view is None else state.view.common.nodes
    peers = [node for node in view.common.nodes if node in state.peers]
    same = {node for node in peers if before.get(node) == view.common.nodes[node]}
    return {node: state.renewed_ns[node] if node in same else now_ns for node in peers}


def _renewed(state: FarmState, event: c.LeaseRenewed, now_ns: int) -> FarmState:
    deadline_ns = event.deadline_ns
    if state.lease is not None and state.lease.lease_id == event.lease_id:
        deadline_ns = max(deadline_ns, state.lease.deadline_ns)
    return replace(state, lease=Lease(event.lease_id, deadline_ns))


def _closed(state: FarmState, tag: c.Tag) -> FarmState:
    if state.open is None or state.open.commit.tag is not tag:
        raise InvariantViolated(f"an answer to {tag}, which is not under way")
    return replace(state, open=None)


def _unsettled(state: FarmState, event: c.TxnFailed | c.TxnUnknown, now_ns: int) -> FarmState:
    done = state.open
    state = replace(_closed(state, event.tag), commit_after_ns=now_ns + COMMIT_RETRY_NS)
    handing = None if done is None else state.handing.get(done.address)
    if done is None or handing is None:
        return state
    if isinstance(event, c.TxnUnknown):
        return replace(state, handing={**state.handing, done.address: replace(handing, is_unsure=True)})
    return _kept(state) if event.tag is c.Tag.HAND_OVER else state


def _kept(state: FarmState) -> FarmState:
    """Nothing is handed over any more but what may have been: that is not answered for until it is known."""
    return replace(state, handing={a: handing for a, handing in state.handing.items() if handing.is_unsure})


def _silent(state: FarmState, event: c.StoreSilent, now_ns: int) -> FarmState:
    """What was not handed over yet stays: without etcd nobody else can take it."""
    state = replace(state, watching=False, silent_ns=now_ns if state.store_heard else state.silent_ns)
    return state if state.open is not None and state.open.commit.tag is c.Tag.HAND_OVER else _kept(state)


def _settled(state: FarmState, event: c.TxnSettled, now_ns: int) -> FarmState:
    done = state.open
    state = _closed(state, event.tag)
    if not event.succeeded:
        state = replace(state, commit_after_ns=now_ns + COMMIT_RETRY_NS // 10)
        if done is not None and event.tag is c.Tag.HAND_OVER:
            # The taker has changed: one before this that was not answered can no longer be executed either.
            state = replace(state, handing={a: h for a, h in state.handing.items() if a != done.address})
    if done is None or event.revision < state.revision(done.address):
        return state  # What was observed since is newer, and shows the effect if there was one.
    known = _after(state, done.address, done.commit.txn.then[0], event.revision) if event.succeeded else None
    known = known or _found(state, done.address, event)
    return state if known is None else replace(state, known={**state.known, done.address: known})


def _after(state: FarmState, address: str, change: object, revision: int) -> Known:
    """The two keys after this node's own transaction was executed at ``revision``."""
    keys, director, slots = state.settings.keys, state.director(address), state.slots(address)
    if change == Delete(keys.slots(address)):
        return Known(revision, director, None, True)
    if isinstance(change, Delete):
        return Known(revision, None, slots, False)
    if not isinstance(change, Put):
        raise InvariantViolated(f"no such change of a farm's keys: {change}")
    if change.key == keys.director(address):
        created = revision if director is None else director.create_revision
        director = seen(DirectorRecord, KeyValue(change.value, created, revision, 0, change.lease))
        return Known(revision, director, slots, False)
    created = revision if slots is None else slots.create_revision
    return Known(revision, director, seen(SlotsRecord, KeyValue(change.value, created, revision, 0)), True)


def _found(state: FarmState, address: str, refused: c.TxnSettled) -> Known | None:
    """The two keys as a refused transaction found them; ``None``: this release cannot read one of them.

    What cannot be read is not taken for absent, and the watch is about to name it (``FarmView.unreadable``).
    """
    keys = state.settings.keys
    director, slots = refused.found.get(keys.director(address)), refused.found.get(keys.slots(address))
    try:
        return Known(
            refused.revision,
            None if director is None else seen(DirectorRecord, director),
            None if slots is None else seen(SlotsRecord, slots),
            True,
        )
    except DecodeError:
        return None


# The application


def _app(into: App, *only_in: App) -> _Rule:
    """The application is ``into`` now, unless it is not waited for any more."""

    def rule(state: FarmState, event: Any, now_ns: int) -> FarmState:
        return replace(state, app=into, app_since_ns=now_ns) if state.app in only_in else state

    return rule


def _app_failed(into: App, *only_in: App) -> _Rule:
    def rule(state: FarmState, event: Any, now_ns: int) -> FarmState:
        if state.app not in only_in:
            return state
        lived = isinstance(event, c.ApplicationGone) and now_ns - state.app_since_ns >= APPLICATION_LIVED_NS
        # Nothing of a former agent's application lives: it is no failure, it is started (again).
        failed = "" if lived or state.app is App.ADOPTING else event.detail or "failed"
        return replace(state, app=into, app_since_ns=now_ns, app_failed=failed, restarting=False)

    return rule


def _killed(state: FarmState, event: c.Killed, now_ns: int) -> FarmState:
    unprepared = state.app in (App.UNPREPARED, App.PREPARING, App.FINISHING)
    return replace(
        state, killing=None, left=False, restarting=False, app=App.UNPREPARED if unprepared else App.STOPPED,
        app_since_ns=now_ns, hold=Addr.NONE, hold_since_ns=now_ns, hands={}, former=frozenset(), wanted_tables=None,
        loaded=None, loading=False, counting=None,
    )  # fmt: skip


def _switched(state: FarmState, event: e.TrafficSwitched, now_ns: int) -> FarmState:
    if not state.may_open:
        return state
    # Who closes what is closed already has not closed it.
    closed_by = "" if event.is_open else event.by if state.traffic_open else state.traffic_closed_by
    return replace(state, traffic_open=event.is_open, traffic_closed_by=closed_by)


# Addresses and rules


def _held(state: FarmState, event: e.AddressesHeld, now_ns: int) -> FarmState:
    return _hold(state, Addr.HELD, now_ns) if state.hold is Addr.ADDING else state


def _hold_failed(state: FarmState, event: e.HoldFailed, now_ns: int) -> FarmState:
    if state.hold is not Addr.ADDING:
        return state
    failed = event.detail or "failed"
    return replace(
        state, hold=Addr.NONE, hold_since_ns=now_ns, hold_failed=failed, hold_retry_ns=now_ns + ADDRESS_RETRY_NS
    )


def _released(state: FarmState, event: e.AddressesReleased, now_ns: int) -> FarmState:
    return _hold(state, Addr.NONE, now_ns) if state.hold is Addr.DROPPING else state


def _hold(state: FarmState, into: Addr, now_ns: int) -> FarmState:
    return replace(state, hold=into, hold_since_ns=now_ns, hold_failed="")


def _loaded(state: FarmState, event: e.Loaded, now_ns: int) -> FarmState:
    """Told again, too, when a link has come or gone."""
    wanted = state.wanted_tables
    if wanted is None or any(a not in wanted or wanted[a].number != number for a, number in event.numbers.items()):
        return state
    return replace(state, loading=False, loaded={a: wanted[a] for a in event.numbers}, load_failed="")


def _load_failed(state: FarmState, event: e.LoadFailed, now_ns: int) -> FarmState:
    if not state.loading:
        return state
    failed = event.detail or "failed"
    return replace(state, loading=False, load_failed=failed, load_retry_ns=now_ns + RULES_RETRY_NS)


def _directing(state: FarmState, event: e.Directing, now_ns: int) -> FarmState:
    if state.phase(event.address) is not Addr.ADDING:
        return state
    troubles = {address: t for address, t in state.troubles.items() if address != event.address}
    return replace(_with_hand(state, event.address, Addr.HELD, now_ns), troubles=troubles, directed_ns=now_ns)


def _direct_failed(state: FarmState, event: e.DirectFailed, now_ns: int) -> FarmState:
    if state.phase(event.address) is not Addr.ADDING:
        return state
    trouble = Trouble(event.detail or "failed", event.in_use, now_ns + DIRECT_RETRY_NS)
    after = _with_hand(state, event.address, Addr.NONE, now_ns)
    return replace(after, troubles={**state.troubles, event.address: trouble})


def _undirected(state: FarmState, event: e.Undirected, now_ns: int) -> FarmState:
    if state.phase(event.address) is not Addr.DROPPING:
        return state
    return replace(_with_hand(state, event.address, Addr.NONE, now_ns), directed_ns=now_ns)


def _with_hand(state: FarmState, address: str, phase: Addr, now_ns: int) -> FarmState:
    hands = {a: hand for a, hand in state.hands.items() if a != address}
    return replace(state, hands=hands if phase is Addr.NONE else {**hands, address: Hand(phase, now_ns)})


# The connections


def _counted(state: FarmState, event: e.Counted, now_ns: int) -> FarmState:
    if state.counting is None:
        return state
    counts = {
        address: Count(number, event.busy.get(address, frozenset())) for address, number in state.counting.items()
    }
    same = all(state.counts.get(a) == count for a, count in counts.items())
    # Across a gap of the agent it has not taken so long; and who waits longer asks again.
    took_ns = min(now_ns - state.counted_ns, COUNT_NS)
    most_ns = max(COUNT_AT_LEAST_EVERY_NS, COUNT_LONG_REST * took_ns)
    every_ns = min(2 * state.count_every_ns, most_ns) if same else COUNT_EVERY_NS
    every_ns = max(every_ns, COUNT_REST * took_ns)
    return replace(state, counting=None, counts={**state.counts, **counts}, count_every_ns=every_ns)


_RULES: dict[type, _Rule] = {
    e.Observed: _observed,
    e.StoreWentBack: _went_back,
    c.StoreSilent: _silent,
    c.StoreHeard: lambda s, _, __: replace(s, watching=True),
    c.LeaseRenewed: _renewed,
    c.LeaseLost: lambda s, _, __: replace(s, lease=None),
    c.TxnSettled: _settled,
    c.TxnFailed: _unsettled,
    c.TxnUnknown: _unsettled,
    e.Links: lambda s, event, _: replace(s, own_macs=event.macs),
    c.Prepared: _app(App.STOPPED, App.PREPARING),
    c.PrepareFailed: _app_failed(App.UNPREPARED, App.PREPARING),
    c.Finished: _app(App.UNPREPARED, App.FINISHING),
    c.ApplicationStarted: _app(App.RUNNING, App.STARTING, App.ADOPTING),
    c.ApplicationFailed: _app_failed(App.FAILED, App.STARTING, App.ADOPTING),
    c.ApplicationGone: _app_failed(App.FAILED, App.RUNNING),
    c.ApplicationStopped: _app(App.STOPPED, App.STOPPING),
    c.Killed: _killed,
    e.TrafficSwitched: _switched,
    e.AddressesHeld: _held,
    e.HoldFailed: _hold_failed,
    e.AddressesReleased: _released,
    e.Loaded: _loaded,
    e.LoadFailed: _load_failed,
    e.Directing: _directing,
    e.DirectFailed: _direct_failed,
    e.Undirected: _undirected,
    e.Answered: hearing.answered,
    e.Refused: hearing.refused,
    e.Asked: hearing.asked,
    e.Counted: _counted,
    c.AgentStopping: lambda s, _, __: replace(s, agent_stopping=True),
}
"""Tick says nothing but that time has passed."""


# What follows for the memory of this module from what is known now


def _noticed(before: FarmState, state: FarmState, now_ns: int) -> FarmState:
    if state.view is not before.view or state.known is not before.known:
        state = _read(before, state, now_ns)
    if state.loaded is not before.loaded:
        state = _leaving(state)
    was = (before.view, before.known, before.store_heard)
    if any(now is not then for now, then in zip((state.view, state.known, state.store_heard), was, strict=True)):
        state = calm.noted(state, now_ns)
    return noted(_wanted(state), now_ns)


def _read(before: FarmState, state: FarmState, now_ns: int) -> FarmState:
    """The tables, which addresses have no director, and which have another one."""
    read = {a: state.slots(a) for a in state.settings.addresses}
    tables = {a: s.record.table for a, s in read.items() if s is not None and s.record.table.is_whole}
    same = {a for a, table in tables.items() if state.tables.get(a) == table}
    tables_ns = {a: state.tables_ns[a] if a in same else now_ns for a in tables}
    free = {a: table.number for a, table in tables.items() if state.node not in table.shares()}
    relieved = {a: state.relieved.get(a, Relieved(number, now_ns)) for a, number in free.items()}
    state = replace(state, tables=tables, tables_ns=tables_ns, relieved=relieved)
    absent = [a for a in state.settings.addresses if state.director(a) is None and state.is_readable(a)]
    given_up = [a for a in state.promised if _is_given_up(before, state, a)]
    kept = [a for a in state.keyed_ns if before.director(a) == state.director(a)]
    keyed = [a for a in state.settings.addresses if state.director(a) is not None]
    return replace(
        state, absent_ns={a: state.absent_ns.get(a, now_ns) for a in absent},
        handing={a: handing for a, handing in state.handing.items() if state.has_key(a)},
        keyed_ns={a: state.keyed_ns[a] if a in kept else now_ns for a in keyed},
        promised={a: node for a, node in state.promised.items() if a not in given_up},
    )  # fmt: skip


def _is_given_up(before: FarmState, state: FarmState, address: str) -> bool:
    """Its director has deleted its key itself, and does not direct: the lease that the key hung on lives."""
    key, view = before.director(address), state.view
    is_news = view is not None and (before.view is None or view.revision > before.view.revision)
    if key is None or view is None or not is_news or address in view.directors or state.director(address) is not None:
        return False
    registered = view.common.nodes.get(key.record.node)
    return registered is not None and registered.lease == key.lease


def _leaving(state: FarmState) -> FarmState:
    """The slots that this node leaves by the rules that the kernel has now."""
    leaving = {}
    for address, table in (state.loaded or {}).items():
        digit = f"{table.nodes.index(state.node):x}" if state.node in table.nodes else ""
        slots = frozenset(slot for slot, leaver in enumerate(table.leaving) if leaver == digit)
        if slots:
            leaving[address] = slots
    return replace(state, leaving=leaving)


def _wanted(state: FarmState) -> FarmState:
    """Where it is not to run, what failed before counts no more."""
    if state.wants_run:
        return state
    return replace(
        state, app_failed="", restarting=False, hold_failed="", hold_retry_ns=0, load_failed="", load_retry_ns=0,
        troubles={},
    )  # fmt: skip


def noted(state: FarmState, now_ns: int) -> FarmState:
    """``state`` with what is remembered of how far this node has come; after each event, and after each rule."""
    if state.app is not App.RUNNING or state.hold is not Addr.HELD or state.loaded is None:
        joined = False
    else:
        linked = [a for a in state.settings.addresses if a in state.own_macs]
        missing = [a for a in linked if a in state.tables and state.number(a) < state.tables[a].number]
        joined = state.joined or (bool(linked) and not missing)
    stays = state.wants_run and not state.restarting and state.app is not App.STOPPING
    state = parting.noted(replace(state, joined=joined, out_ns=None if stays else state.out_ns), now_ns)
    state = replace(state, adopting=state.adopting and _takes_over(state))
    return replace(state, up_ns=(now_ns if state.up_ns is None else state.up_ns) if state.is_ready else None)


def _takes_over(state: FarmState) -> bool:
    """What a former agent left is on its way to being this one's, and nothing speaks against it."""
    failed = state.app_failed or state.hold_failed or state.load_failed or state.killing is not None
    is_wanted = state.wants_run or (state.view is None and not state.agent_stopping)
    return is_wanted and not failed and not state.is_ready and (state.left or state.app in (App.ADOPTING, App.RUNNING))
