"""S8, S12: how far an operator's word goes, and when it is over."""

from dataclasses import replace

from agent.core import forcing, requests
from agent.core.commands import AnswerRequest
from agent.core.copying import replace as changed
from agent.core.state import MirrorState, Move
from agent.core.view import Seen
from manager.model.records import RequestRecord
from tests.simulation.broken.forcing import FORCED
from tests.simulation.broken.variant import Variant, Where, with_core


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
)  # fmt: skip
