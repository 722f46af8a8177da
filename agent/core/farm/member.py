"""This node's own part in a farm: its application, the addresses on ``lo``, the kernel's rules, and the way out. Pure.

Who stops, or restarts, has its slots go to others first (``parting``); then it ends its application, and gives the
addresses up. Its rules stay for a little longer: what clients still send to it goes on to the others.

Without etcd it goes on with what it has: its application, its addresses and the rules by the tables that it knew last.
"""

from collections.abc import Iterable, Mapping

from agent.core.commands import (
    AdoptApplication,
    Finish,
    KillEverything,
    Prepare,
    RunContext,
    StartApplication,
    StopApplication,
)
from agent.core.copying import replace
from agent.core.farm import parting
from agent.core.farm.commands import CountConnections, HoldAddresses, LoadRules, ReleaseAddresses, UnloadRules
from agent.core.farm.limits import COUNT_NS, TOLD_NS
from agent.core.farm.state import FarmState, Move, Tables
from agent.core.limits import ADDRESSES_NS
from agent.core.state import Addr, App
from manager.model.reasons import Reason
from manager.model.states import ModuleState

_UNPREPARED = frozenset({App.UNPREPARED, App.PREPARING, App.FINISHING})
_RUNS = frozenset({App.STARTING, App.ADOPTING, App.RUNNING})


def _context(before: ModuleState, after: ModuleState, action: str) -> RunContext:
    """What a script is told; a farm has no epochs."""
    return RunContext(before, after, action, 0)


# The way in


def prepare(state: FarmState, now_ns: int) -> Move | None:
    """Scripts and services first."""
    if not state.wants_run or state.app is not App.UNPREPARED or state.app_failed:
        return None
    after = replace(state, app=App.PREPARING, app_since_ns=now_ns)
    return Move(after, (Prepare(_context(ModuleState.STOP, ModuleState.WAIT, "start")),))


def adopt(state: FarmState, now_ns: int) -> Move | None:
    """What a former agent started goes on."""
    if not state.wants_run or not state.left or state.app is not App.STOPPED:
        return None
    return Move(replace(state, left=False, app=App.ADOPTING, app_since_ns=now_ns), (AdoptApplication(),))


def hold(state: FarmState, now_ns: int) -> Move | None:
    """The addresses, before anything is to come for them, and after the rules.

    A table of before may have both parties of a move sent what is open: with an address and no rules the kernel would
    reset what the other one has. What a former agent left has its addresses already, whatever becomes of its rules.
    """
    if not state.wants_run or state.app in _UNPREPARED:
        return None
    if state.hold is not Addr.NONE or now_ns < state.hold_retry_ns:
        return None
    if state.loaded is None and state.app not in _RUNS:
        return None
    return Move(replace(state, hold=Addr.ADDING, hold_since_ns=now_ns), (HoldAddresses(),))


def load(state: FarmState, now_ns: int) -> Move | None:
    """The rules, by the newest tables and for the members that are known; until they are taken out again."""
    if state.wanted_tables is None and (not state.wants_run or state.app in _UNPREPARED):
        return None
    tables, macs = _tables(state), _macs(state)
    is_told = tables == state.wanted_tables and macs == state.wanted_macs
    if is_told and (state.loading or (state.loaded is not None and not state.load_failed)):
        return None
    if is_told and now_ns < state.load_retry_ns:
        return None
    after = replace(state, wanted_tables=tables, wanted_macs=macs, loading=True)
    return Move(after, (LoadRules(tables, macs),))


def _tables(state: FarmState) -> Tables:
    """As etcd has them; but none that is older than what it knew: then etcd was restored, and a newer one follows."""
    kept = {
        address: known
        for address, known in (state.wanted_tables or {}).items()
        if address not in state.tables or state.tables[address].number < known.number
    }
    return {**state.tables, **kept}


def _macs(state: FarmState) -> Mapping[str, Mapping[str, str]]:
    return {
        address: {node: state.macs[node][address] for node in state.peers if address in state.macs.get(node, {})}
        for address in state.settings.addresses
    }


def start(state: FarmState, now_ns: int) -> Move | None:
    """The application, on its addresses, by its rules, and once what it depends on serves."""
    if not state.wants_run or state.left or state.app_failed or state.missing:
        return None
    if state.app is not App.STOPPED or state.hold is not Addr.HELD:
        return None
    after = replace(
        state, app=App.STARTING, app_since_ns=now_ns, restarting=False, out_ns=None, traffic_open=False,
        traffic_closed_by="",
    )  # fmt: skip
    return Move(after, (StartApplication(_context(ModuleState.WAIT, ModuleState.UP, "start")),))


def count(state: FarmState, now_ns: int) -> Move | None:
    """The connections in the slots that this node leaves, again and again until it has none."""
    pending = state.counting is not None and now_ns < state.counted_ns + COUNT_NS
    slots = {address: leaving for address, leaving in state.leaving.items() if state.busy(address)}
    if pending or not slots or now_ns < _count_ns(state):
        return None
    numbers = {address: state.number(address) for address in slots}
    return Move(replace(state, counting=numbers, counted_ns=now_ns), (CountConnections(slots),))


def _count_ns(state: FarmState) -> int:
    """At once by a table by which it has not counted, else from time to time, and the more seldom the less changes."""
    counted = {address: c.number for address, c in state.counts.items()}
    new = state.counting is None and any(counted.get(a) != state.number(a) for a in state.leaving)
    return 0 if new else state.counted_ns + state.count_every_ns


# The way out


def begin_out(state: FarmState, now_ns: int) -> Move | None:
    """Not ready any more: to stop, or to restart."""
    if state.out_ns is not None or state.app not in _RUNS or (state.wants_run and not state.restarting):
        return None
    return Move(replace(state, out_ns=now_ns))


def stop_application(state: FarmState, now_ns: int) -> Move | None:
    """What failed is cleaned away; what is to end ends once its slots are other nodes'."""
    if state.app is not App.FAILED and not (state.app in _RUNS and parting.has_handed_on(state, now_ns)):
        return None
    action = "restart" if state.restarting else "stop"
    to = ModuleState.WAIT if state.wants_run else ModuleState.STOP
    after = replace(state, app=App.STOPPING, app_since_ns=now_ns)
    return Move(after, (StopApplication(_context(ModuleState.UP, to, action)),))


def release(state: FarmState, now_ns: int) -> Move | None:
    """The addresses, when nothing serves on them."""
    if state.wants_run or state.hold is not Addr.HELD or state.app not in (App.STOPPED, App.UNPREPARED) or state.hands:
        return None
    return Move(replace(state, hold=Addr.DROPPING, hold_since_ns=now_ns), (ReleaseAddresses(),))


def unload(state: FarmState, now_ns: int) -> Move | None:
    """The rules, when clients send to it no more what is other nodes'."""
    if state.wants_run or state.wanted_tables is None:
        return None
    if state.hold is not Addr.NONE or state.hands or state.app not in (App.STOPPED, App.FINISHING, App.UNPREPARED):
        return None
    if state.others_up and now_ns < _forward_until_ns(state):
        return None
    after = replace(state, loaded=None, loading=False, wanted_tables=None, counting=None)
    return Move(after, (UnloadRules(),))


def _forward_until_ns(state: FarmState) -> int:
    """And until the others have been answered that it takes no share any more."""
    forward_ns = max(state.out_ns or 0, state.directed_ns) + state.settings.hand_on_ns
    return max(forward_ns, state.app_since_ns + TOLD_NS)


def finish(state: FarmState, now_ns: int) -> Move | None:
    """The scripts have their last word, when nothing else of the module is left."""
    if (
        state.wants_run
        or state.app is not App.STOPPED
        or state.hold is not Addr.NONE
        or state.wanted_tables is not None
    ):
        return None
    after = replace(state, app=App.FINISHING, app_since_ns=now_ns)
    return Move(after, (Finish(_context(ModuleState.WAIT, ModuleState.STOP, "stop")),))


def kill(state: FarmState, now_ns: int) -> Move | None:
    """KillEverything, when something does not come to its end, or nobody wants what a former agent left."""
    if state.killing is not None:
        return None
    cause = _left_behind(state) or _hung(state, now_ns)
    if cause is None:
        return None
    failed = "it did not come to its end in time" if cause is Reason.APPLICATION_FAILED else state.app_failed
    after = replace(state, killing=cause, killing_since_ns=now_ns, app_failed=failed, hands={})
    return Move(after, (KillEverything(cause),))


def _left_behind(state: FarmState) -> Reason | None:
    known = state.view is not None or state.agent_stopping
    return Reason.STOPPED_BY_OPERATOR if state.left and known and not state.wants_run else None


def _hung(state: FarmState, now_ns: int) -> Reason | None:
    limit_ns = _app_limits_ns(state).get(state.app)
    if limit_ns is not None and now_ns >= state.app_since_ns + limit_ns:
        return Reason.APPLICATION_FAILED
    return Reason.INTERNAL_ERROR if any(now_ns >= at_ns for at_ns in _address_limits_ns(state)) else None


def _app_limits_ns(state: FarmState) -> Mapping[App, int]:
    starting_ns, stopping_ns = state.settings.start_limit_ns, state.settings.stop_limit_ns
    return {App.STARTING: starting_ns, App.ADOPTING: starting_ns, App.STOPPING: stopping_ns}


def _address_limits_ns(state: FarmState) -> Iterable[int]:
    """When what is under way with an address counts as hung."""
    if state.hold in (Addr.ADDING, Addr.DROPPING):
        yield state.hold_since_ns + ADDRESSES_NS
    for hand in state.hands.values():
        if hand.phase in (Addr.ADDING, Addr.DROPPING):
            yield hand.since_ns + ADDRESSES_NS


def instants(state: FarmState) -> Iterable[int]:
    """When time alone may change something of all this."""
    yield from (state.hold_retry_ns, state.load_retry_ns)
    yield from _address_limits_ns(state)
    limit_ns = _app_limits_ns(state).get(state.app)
    if limit_ns is not None:
        yield state.app_since_ns + limit_ns
    if state.leaving:
        yield state.counted_ns + (COUNT_NS if state.counting is not None else state.count_every_ns)
    yield from parting.instants(state)
    if not state.wants_run and state.wanted_tables is not None:
        yield _forward_until_ns(state)
