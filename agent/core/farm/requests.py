"""Operators' requests to a farm's node: accepted, or refused with the reason, then done or failed in time. Pure."""

from agent.core.commands import AnswerRequest
from agent.core.copying import replace
from agent.core.farm.limits import HAND_ON_MOST_NS
from agent.core.farm.state import FarmState, Move
from agent.core.limits import REQUEST_SLACK_NS
from agent.core.state import App, Operation
from manager.model.reasons import Reason
from manager.model.records import RequestRecord

_RESTART = "restart"
_MIRRORS_ONLY = ("prim", "swap")


def take(state: FarmState, now_ns: int) -> Move | None:
    """The next request for this node that has no answer yet."""
    if state.view is None:
        return None
    under_way = "" if state.operation is None else state.operation.request_id
    for request_id, seen in sorted(state.view.common.requests.items()):
        mine = seen.record.node == state.node and request_id not in state.answered
        if mine and request_id != under_way:
            return _take(state, seen.record, now_ns)
    return None


def _take(state: FarmState, request: RequestRecord, now_ns: int) -> Move:
    if request.status == "accepted":  # By a former agent of this node, which is gone with what it knew.
        return _answer(state, request.request_id, "failed", Reason.SUPERSEDED)
    refusal = _refusal(state, request)
    if refusal is not None:
        return _answer(state, request.request_id, "refused", refusal)
    after = replace(
        state, operation=Operation(request.request_id, request.action, now_ns), app_failed="", hold_failed="",
        hold_retry_ns=0, load_retry_ns=0, troubles={}, restarting=state.app in (App.RUNNING, App.STARTING),
    )  # fmt: skip
    return Move(after, (AnswerRequest(request.request_id, "accepted"),))


def _refusal(state: FarmState, request: RequestRecord) -> Reason | None:
    if request.action in _MIRRORS_ONLY:
        return Reason.NOT_A_MIRROR
    if request.action != _RESTART:
        return Reason.UNKNOWN_ACTION
    if not state.wants_run:
        return Reason.NODE_NOT_STARTED
    busy = state.operation is not None or state.killing is not None or state.app is App.STOPPING
    return Reason.BUSY if busy or state.restarting else None


def finish(state: FarmState, now_ns: int) -> Move | None:
    """Whether the request under way has come to its end."""
    operation = state.operation
    if operation is None:
        return None
    end = _end(state)
    if end is None and now_ns >= _limit_ns(state, operation):
        end = Reason.TIMED_OUT
    if end is None:
        return None
    status, reason = ("failed", end) if isinstance(end, Reason) else (end, None)
    return _answer(replace(state, operation=None), operation.request_id, status, reason)


def _end(state: FarmState) -> Reason | str | None:
    if not state.wants_run:
        return Reason.SUPERSEDED
    if state.app_failed:
        return Reason.APPLICATION_FAILED
    if state.hold_failed:
        return Reason.ADDRESS_FAILED
    return "done" if state.app is App.RUNNING and not state.restarting else None


def _answer(state: FarmState, request_id: str, status: str, reason: Reason | None) -> Move:
    after = replace(state, answered=state.answered | {request_id})
    return Move(after, (AnswerRequest(request_id, status, reason),))


def _limit_ns(state: FarmState, operation: Operation) -> int:
    settings = state.settings
    return operation.since_ns + HAND_ON_MOST_NS + settings.stop_limit_ns + settings.start_limit_ns + REQUEST_SLACK_NS


def instants(state: FarmState) -> tuple[int, ...]:
    """When time alone may change something of all this."""
    return () if state.operation is None else (_limit_ns(state, state.operation),)
