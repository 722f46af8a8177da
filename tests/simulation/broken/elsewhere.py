"""S8: what goes on in a restored etcd of what was in the one before, until an operator has decided."""

from dataclasses import replace

from agent.core import absorbing, fencing, promising
from agent.core.copying import replace as changed
from agent.core.state import MirrorState, Move, Office
from manager.model.reasons import Reason
from tests.simulation.broken.variant import Variant, Where, with_core
from tests.simulation.plan import Plan


def _of_this_etcd(state: MirrorState) -> MirrorState:
    """Its disk has nothing against the etcd of now."""
    disk = state.disk
    seen = (
        None if disk is None else replace(disk, store_id=state.store_id, epoch=min(disk.epoch, state.epoch), revision=0)
    )
    return changed(state, went_back=False, disk=seen)


def _office_anywhere(state: MirrorState) -> Office | None:
    return _office(_of_this_etcd(state))


_office = absorbing._office


def _resumes_anywhere(state: MirrorState, now_ns: int) -> Move | None:
    move = _resume(_of_this_etcd(state), now_ns)
    if move is None:
        return None
    return Move(changed(move.state, went_back=state.went_back, disk=state.disk), move.commands)


_resume = promising.resume


def _right_anywhere(state: MirrorState, now_ns: int) -> Reason | None:
    return _without_right(_of_this_etcd(state) if state.holds_office else state, now_ns)


_without_right = fencing._without_right

ELSEWHERE = Plan(faults=("goes on elsewhere",), mean_between_faults_s=20.0, reads_answers=True)

VARIANTS = (
    Variant(
        "s8-resumes-in-another-etcd", "A primary resumes in whichever etcd is there.", Where.CORE,
        with_core(
            ELSEWHERE, (absorbing._office, _office_anywhere), (promising.resume, _resumes_anywhere),
            (fencing._without_right, _right_anywhere),
        ),
        "S8",
    ),
    Variant(
        "s8-serves-in-another-etcd", "A primary whose key a backup has brought back serves on.", Where.CORE,
        with_core(ELSEWHERE, (fencing._without_right, _right_anywhere)), "S8",
    ),
)  # fmt: skip
