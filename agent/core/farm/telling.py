"""What is told of a farm's node: to people, the member record; to a director, the answer to its probes. Pure.

How much of which address is the node's, and who directs it, stands in the address's own keys.
"""

from dataclasses import dataclass

from agent.core.farm import parting, promising
from agent.core.farm.commands import AnswerProbes
from agent.core.farm.state import FarmState
from agent.core.state import Addr, App
from manager.model.farm_resources import farm_resources
from manager.model.reasons import Reason
from manager.model.records import MemberRecord
from manager.model.resources import with_waited
from manager.model.states import ModuleState, Readiness


@dataclass(frozen=True, slots=True)
class Word:
    """A state, its readiness and its cause."""

    state: ModuleState
    readiness: Readiness
    reason: Reason


def answer(state: FarmState) -> AnswerProbes:
    """What this node answers to probes."""
    numbers = {address: table.number for address, table in (state.loaded or {}).items()}
    busy = {address: found for address in state.leaving if (found := state.busy(address))}
    return AnswerProbes(
        parting.takes_share(state), numbers, busy, adopting=state.adopting, promises=state.promised,
        is_open=parting.takes_new(state),
    )  # fmt: skip


def member(state: FarmState, now_ns: int) -> MemberRecord | None:
    """What ``members/<node>`` is to hold; ``None``: nothing of the module is here, or is known to be."""
    if state.view is None or (not state.wants_run and (state.is_at_rest or _is_swept(state))):
        return None
    said = word(state, now_ns)
    waited = state.missing if said.reason is Reason.WAITING_FOR_MODULE else ()
    own = state.settings
    resources = farm_resources(
        state.own_macs, is_open=state.is_open, closed_by=state.traffic_closed_by, generation=own.generation
    )
    return MemberRecord(
        node=state.node, state=said.state, readiness=said.readiness, reason=str(said.reason),
        boot_id=own.boot_id, instance="", endpoint=None, disk=None,
        resources=with_waited(resources, waited),
    )  # fmt: skip


def _is_swept(state: FarmState) -> bool:
    """It is stopped; what a former agent may have left of it goes now."""
    return state.left or (state.killing is Reason.STOPPED_BY_OPERATOR)


def word(state: FarmState, now_ns: int) -> Word:
    """The state's word, and why."""
    if state.killing is not None:
        return _transient(ModuleState.WAIT, state.killing)
    if not state.wants_run:
        return _stopping(state)
    if state.app_failed:
        return _blocked(ModuleState.WAIT, Reason.APPLICATION_FAILED)
    if state.hold_failed:
        return _blocked(ModuleState.WAIT, Reason.ADDRESS_FAILED)
    if state.serves and state.out_ns is None:
        return _up(state, now_ns)
    if state.out_ns is not None and state.app is App.RUNNING:
        return _transient(ModuleState.UP, Reason.HANDING_OVER)
    if _lacks_rules(state):
        return _blocked(ModuleState.WAIT, Reason.RULES_FAILED)
    if state.app is App.RUNNING and not state.own_macs:
        return _blocked(ModuleState.WAIT, Reason.ADDRESS_FAILED)
    return _coming(state)


def _transient(state: ModuleState, reason: Reason) -> Word:
    return Word(state, Readiness.TRANSIENT, reason)


def _blocked(state: ModuleState, reason: Reason) -> Word:
    return Word(state, Readiness.BLOCKED, reason)


def _coming(state: FarmState) -> Word:
    """On the way to UP."""
    if state.app is App.STOPPING:
        return _transient(ModuleState.WAIT, Reason.STOPPING_APPLICATION)
    waits = state.app is App.STOPPED and not state.left and state.missing
    return _transient(ModuleState.WAIT, Reason.WAITING_FOR_MODULE if waits else Reason.STARTING_APPLICATION)


def _lacks_rules(state: FarmState) -> bool:
    """It does not come to UP for want of them: without any it has no address, and so no application is started."""
    waits = state.app is App.STOPPED and state.hold is Addr.NONE
    return bool(state.load_failed) and (state.app is App.RUNNING or waits)


def _stopping(state: FarmState) -> Word:
    """On the way to STOP."""
    if state.app is App.RUNNING:
        return _transient(ModuleState.UP, Reason.HANDING_OVER)
    if state.app is App.STOPPING:
        return _transient(ModuleState.WAIT, Reason.STOPPING_APPLICATION)
    return _transient(ModuleState.WAIT, Reason.STOPPED_BY_OPERATOR)


def _up(state: FarmState, now_ns: int) -> Word:
    if state.load_failed:
        return _blocked(ModuleState.UP, Reason.RULES_FAILED)
    if any(a not in state.own_macs for a in state.settings.addresses):
        return _blocked(ModuleState.UP, Reason.ADDRESS_FAILED)
    troubles = [t for a, t in state.troubles.items() if now_ns < t.until_ns or state.director(a) is None]
    if any(trouble.in_use for trouble in troubles):
        return _blocked(ModuleState.UP, Reason.ADDRESS_IN_USE)
    if troubles:
        return _blocked(ModuleState.UP, Reason.ADDRESS_FAILED)
    if not state.is_open:
        return _transient(ModuleState.UP, Reason.TRAFFIC_CLOSED)
    addresses = state.settings.addresses
    if not state.store_heard and not all(promising.is_led(state, a, now_ns) for a in addresses):
        return _transient(ModuleState.UP, Reason.DIRECTOR_UNKNOWN)
    if state.store_heard and not all(_is_directed(state, a) for a in addresses):
        return _transient(ModuleState.UP, Reason.WAITING_FOR_DIRECTOR)
    if not state.store_heard or not state.lease_holds(now_ns):
        return Word(ModuleState.UP, Readiness.READY, Reason.SERVING_WITHOUT_STORE)
    return Word(ModuleState.UP, Readiness.READY, Reason.SERVING)


def _is_directed(state: FarmState, address: str) -> bool:
    """Some node receives for ``address``, as far as etcd was heard; of itself this node knows."""
    if state.has_key(address):
        return state.phase(address) is Addr.HELD
    return state.director(address) is not None
