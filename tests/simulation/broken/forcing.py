"""S12: an operator has a copy go on that the record does not list."""

from dataclasses import replace

from agent.core import following, forcing, standing, vouching
from agent.core.copying import replace as changed
from agent.core.state import Forcing, MirrorState, Move
from manager.model import control as c
from manager.model.records import InsyncRecord
from manager.store.api import KeyAbsent
from tests.simulation.broken.variant import Variant, Where, with_core, with_parts, without_guards
from tests.simulation.plan import Plan
from tests.simulation.replicator import Replicator


def _not_asked(state: MirrorState, looked: Forcing, now_ns: int) -> Move | None:
    """The operator's word is taken."""
    return Move(changed(state, forcing=changed(looked, answering="", probed_ns=now_ns)))


def _is_registration(guard: object, state: MirrorState) -> bool:
    nodes = {state.settings.cluster.node(node) for node in state.settings.nodes}
    return isinstance(guard, KeyAbsent) and guard.key in nodes


def _nobody_is_registered(state: MirrorState, node: str) -> bool:
    return False


def _is_as_the_primary(state: MirrorState) -> bool:
    return False


def _not_decided(state: MirrorState, record: InsyncRecord, now_ns: int) -> standing.Verdict:
    return replace(_forced(state, record, now_ns), above=0)


_forced = standing._forced


class _MarksAfterTheEpoch(Replicator):
    """That it has diverged is put on the disk once a stream of the primary stands, not before its epoch is."""

    _is_due = False

    def _follow(self, command: c.Follow) -> None:
        self._is_due = self._is_due or command.diverged
        super()._follow(replace(command, diverged=False))

    def take_stream(self, stream: object) -> None:
        self.copy.diverged = self.copy.diverged or self._is_due
        super().take_stream(stream)  # type: ignore[arg-type]


FORCED = Plan(seconds=90, mean_between_faults_s=12.0, faults=("forced",))
LATE = replace(FORCED, faults=("forced late",))
APART = replace(FORCED, faults=("forced apart",))

VARIANTS = (
    Variant(
        "s12-not-asked", "Whether the last primary is there is not asked: the operator's word counts.", Where.CORE,
        with_core(FORCED, (forcing._ask, _not_asked)), "S12",
    ),
    Variant(
        "s12-registration-not-looked-at", "A last primary that is registered is no hindrance, if it does not answer.",
        Where.CORE, with_core(FORCED, (standing._is_registered, _nobody_is_registered)), "S12",
        redundant="The transaction tests that it is not registered. Looking before it says so to the operator at once.",
    ),
    Variant(
        "s12-registration-not-tested", "That the last primary is not registered is not tested by the transaction.",
        Where.CORE, with_core(LATE, (following.stand, without_guards(following.stand, _is_registration))), "S12",
    ),
    Variant(
        "s12-not-decided", "The record does not say that an operator decided.", Where.CORE,
        with_core(FORCED, (standing._forced, _not_decided)), "P4",
    ),
    Variant(
        "s12-own-not-kept", "A copy that another one went on without is made equal as any other.", Where.CORE,
        with_core(FORCED, (vouching.has_diverged, _is_as_the_primary)), "S12",
    ),
    Variant(
        "s12-marked-after-the-epoch", "That a copy has diverged is put on its disk after the epoch that it follows in.",
        Where.MODEL, with_parts(APART, replicator=_MarksAfterTheEpoch), "S12",
    ),
)  # fmt: skip
