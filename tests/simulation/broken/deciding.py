"""S8, S12: how far an operator's word goes, and when it is over."""

from dataclasses import replace

from agent.core import forcing, requests, standing, vouching
from agent.core.commands import AnswerRequest
from agent.core.copying import replace as changed
from agent.core.standing import Verdict
from agent.core.state import MirrorState, Move
from agent.core.view import Seen
from manager.model.reasons import Reason
from manager.model.records import Holder, RequestRecord
from tests.simulation.broken.forcing import FORCED
from tests.simulation.broken.variant import Variant, Where, with_core
from tests.simulation.plan import Plan


def _his_word_for_ever(state: MirrorState, now_ns: int) -> Move | None:
    move = _finish(state, now_ns)
    return None if move is None else Move(changed(move.state, named=state.named), move.commands)


_finish = requests.finish


def _remembers_what_it_refused(state: MirrorState, seen: Seen[RequestRecord], now_ns: int) -> Move:
    move = _take(state, seen, now_ns)
    refused = any(isinstance(c, AnswerRequest) and c.status == "refused" for c in move.commands)
    if not refused or seen.record.action != requests.PRIM:
        return move
    return Move(changed(move.state, named=True, accepted=forcing.accepted(seen.record)), move.commands)


_take = requests._take


def _whatever_it_has_seen(state: MirrorState) -> Reason | None:
    """A disk that has seen as much as was decided, or more, in another etcd follows as any other."""
    objection = _to_follow(state)
    return None if objection in vouching.STORE_OBJECTIONS else objection


_to_follow = vouching.follow_objection


def _named_is_enough(state: MirrorState) -> bool:
    return state.named


def _at_once_if_named(state: MirrorState, others: tuple[Holder, ...], now_ns: int) -> Verdict:
    """An operator does without the others, whether or not he was told that they may have more."""
    accepted = state.accepted | ({Reason.REBOOTED_SINCE_LISTED} if state.named else frozenset())
    return _without_memory(changed(state, accepted=accepted), others, now_ns)


def _named_whoever_is_there(state: MirrorState, others: tuple[Holder, ...], now_ns: int) -> Verdict:
    """One that has lost its memory stands by his word beside one that has not."""
    decided = _without_memory(state, others, now_ns)
    named = state.named and Reason.REBOOTED_SINCE_LISTED in state.accepted
    return decided if decided.may or not named else Verdict(True, Reason.POWER_LOSS_OTHERS_AWAY)


_without_memory = standing._without_memory


def _does_not_say_so(state: MirrorState) -> Verdict:
    return replace(_decided(state), detail="")


_decided = standing._decided

UNSEEN = Plan(seconds=90, mean_between_faults_s=30.0, faults=("named unseen",), reads_answers=True)
NO_FAILOVER = replace(FORCED, mean_between_faults_s=30.0, failover="off", faults=("forced and named",))

VARIANTS = (
    Variant(
        "s8-his-word-for-ever", "What an operator has said once counts for ever.", Where.CORE,
        with_core(NO_FAILOVER, (requests.finish, _his_word_for_ever)), "S8",
    ),
    Variant(
        "s8-refused-and-remembered", "A node stands by a word of the operator's that it has refused.", Where.CORE,
        with_core(NO_FAILOVER, (requests._take, _remembers_what_it_refused)), "S8",
    ),
    Variant(
        "s8-follows-whatever-it-has-seen",
        "A copy that was away when another one was named in another etcd follows that, whatever it has seen.",
        Where.CORE, with_core(UNSEEN, (vouching.follow_objection, _whatever_it_has_seen)), "S12",
    ),
    Variant(
        "s8-named-unasked", "In another etcd a copy is named without the operator's having been told of that.",
        Where.CORE, with_core(UNSEEN, (standing.accepts_store, _named_is_enough)), "S8",
    ),
    Variant(
        "s8-rebooted-named-unasked",
        "One that has lost its memory is named at once without the operator's having been told of that.",
        Where.CORE, with_core(UNSEEN, (standing._without_memory, _at_once_if_named)), "S8",
    ),
    Variant(
        "s8-rebooted-named-beside-another", "One that has lost its memory is named beside one that has kept its own.",
        Where.CORE, with_core(UNSEEN, (standing._without_memory, _named_whoever_is_there)), "S8",
    ),
    Variant(
        "s8-decided-unsaid", "The history does not say what was against it when an operator named a copy.", Where.CORE,
        with_core(UNSEEN, (standing._decided, _does_not_say_so)), "S12",
    ),
)  # fmt: skip
