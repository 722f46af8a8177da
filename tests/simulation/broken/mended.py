"""What the simulation has found in the shipped core, and was mended: each of these mends, taken away again.

docs/RELIABILITY.md has their stories, by the seeds that found them. What is a matter of other rules stands with those.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from agent.core import absorbing, absorbing_replicator, following, telling
from agent.core.copying import replace as changed
from agent.core.state import MirrorState, Rep
from agent.core.telling import Word
from manager.model import control as c
from manager.model.reasons import Reason
from manager.model.records import DiskIdentity
from manager.model.states import ModuleState, Readiness
from tests.simulation.agent import PULSE_MS, Agent
from tests.simulation.broken.elsewhere import ELSEWHERE
from tests.simulation.broken.variant import Variant, Where, with_core, with_parts
from tests.simulation.plan import Plan
from tests.simulation.replicator import Replicator


def _of_the_present_etcd(state: MirrorState, epoch: int, whole_epoch: int) -> MirrorState:
    noted = _noted(state, epoch, whole_epoch)
    return noted if noted.disk is None else changed(noted, disk=replace(noted.disk, store_id=state.store_id))


_noted = absorbing_replicator._noted


def _of_the_record(state: MirrorState, node: str, boot_id: str, instance: str, epoch: int, now_ns: int) -> MirrorState:
    """Whose epoch is none while it is not understood."""
    return _complete(state, node, boot_id, instance, epoch, now_ns) if epoch == state.epoch else state


_complete = absorbing_replicator._complete


def _as_told_only(state: MirrorState, primary: str, epoch: int) -> MirrorState:
    told = (state.follow_primary, state.follow_epoch)
    return _following(state, primary, epoch) if told == (primary, epoch) else state


_following = absorbing_replicator._following


def _told_no_more(state: MirrorState, node: str, now_ns: int) -> MirrorState:
    return changed(_lost(state, node, now_ns), told_record=state.told_record)


_lost = absorbing_replicator.lost


def _while_closed(state: MirrorState, now_ns: int) -> Word:
    """Whoever has closed its stream says what one says that is about to."""
    return _waiting(changed(state, rep=Rep.CLOSING) if state.rep is Rep.CLOSED else state, now_ns)


_waiting = telling._waiting


def _unknown_only(state: MirrorState, now_ns: int) -> Word:
    return Word(ModuleState.WAIT, Readiness.TRANSIENT, Reason.OUTCOME_UNKNOWN)


def _as_he_said(state: MirrorState) -> MirrorState:
    return state


def _decided_anywhere(state: MirrorState) -> Reason | None:
    return _unawares(changed(state, stood_since_ns=state.store_since_ns))


_unawares = following._elected_unawares


def _listed_once(state: MirrorState) -> MirrorState:
    state, own = _released(state), None if state.insync is None else state.insync.record.holder(state.node)
    listed = own is not None and state.rep is Rep.FOLLOWING and own.instance == state.instance
    if own is None or not listed or state.disk is not None or state.told_store not in ("", state.store_id):
        return state
    disk = DiskIdentity("cluster", "module", own.epoch, state.told_revision, state.told_store, own.epoch)
    return changed(state, disk=disk)


_released = absorbing._released


def _as_found(state: MirrorState, joining: bool, identity: DiskIdentity | None) -> MirrorState:
    return _stream_over(state, False, state.disk)


def _wholeness_unsaid(state: MirrorState, joining: bool, identity: DiskIdentity | None) -> MirrorState:
    return _stream_over(state, joining, identity) if joining else changed(state, half_joined=None)


def _until_listed(state: MirrorState, epoch: int, identity: DiskIdentity) -> MirrorState:
    return state if state.disk is None else _joined(state, epoch, identity)


_stream_over, _joined = absorbing_replicator._stream_over, absorbing_replicator._joined


def _exempt(state: MirrorState) -> bool:
    own = None if state.insync is None else state.insync.record.holder(state.node)
    return _lacks(state) and (own is None or own.instance != state.instance)


_lacks = following._listed_for_what_it_lacks


class _ServesWhatIsLeft(Replicator):
    def _serve(self, command: c.Serve) -> None:
        failure, self.failure = self.failure, None
        super()._serve(command)
        self.failure = failure


class _TakesAnyEtcds(Replicator):
    def welcomes(self, primary: Replicator) -> bool:
        etcd, self.etcd = self.etcd, ""
        welcome = super().welcomes(primary)
        self.etcd = etcd
        return welcome


@contextmanager
def _heard_is_had() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiskIdentity, "copy_epoch", property(lambda disk: disk.epoch))
        yield


@contextmanager
def _waits_for_etcd() -> Iterator[None]:
    pulse = Agent._pulse

    def later(agent: Agent) -> None:
        if agent.state.view is None:
            agent.later(PULSE_MS, PULSE_MS, Agent._pulse)
        else:
            pulse(agent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Agent, "_pulse", later)
        yield


@contextmanager
def _starts_as_it_was() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Agent, "_has_lost_memory", lambda agent, boot_id: False)
        yield


BACK = Plan(faults=("back in another etcd",), mean_between_faults_s=20.0)
UNREAD = Plan(faults=("completed unread",), mean_between_faults_s=14.0)
UNTOLD = Plan(faults=("back untold",), mean_between_faults_s=14.0)
GIVEN_UP = Plan(store_faults=0.3, faults=("operators", "operators", "machine"), mean_between_faults_s=3.0)
FOLLOWED = Plan(faults=("followed before it served",), mean_between_faults_s=14.0)
STANDS = Plan(faults=("restored as one stands",), mean_between_faults_s=20.0)
IN_VAIN = Plan(faults=("stands in vain",), mean_between_faults_s=20.0)
JOINS = Plan(faults=("restored as one joins",), mean_between_faults_s=20.0)
EQUAL = Plan(faults=("restored as one is made equal",), mean_between_faults_s=60.0)
REBUILT = Plan(seconds=90, mean_between_faults_s=30.0, faults=("blank in a rebuilt one",), reads_answers=True)
UNLISTED = Plan(faults=("joined unlisted",), mean_between_faults_s=20.0)
LOST = Plan(faults=("lost when promoted",), mean_between_faults_s=14.0)
BETWEEN = Plan(faults=("lost between agents",), mean_between_faults_s=20.0)
HUNG = Plan(faults=("hung and begun anew",), mean_between_faults_s=20.0)

VARIANTS = (
    Variant(
        "s2-given-up-holds", "That the record does not list who is given up is not told anew.", Where.CORE,
        with_core(GIVEN_UP, (absorbing_replicator.lost, _told_no_more)), "convergence",
    ),
    Variant(
        "s2-never-listed-unread", "That a join ended does not count while the record is not understood.", Where.CORE,
        with_core(UNREAD, (absorbing_replicator._complete, _of_the_record)), "convergence",
    ),
    Variant(
        "s5-back-untold", "A stream that came back before a new agent told its replicator anything does not count.",
        Where.CORE, with_core(UNTOLD, (absorbing_replicator._following, _as_told_only)), "convergence",
    ),
    Variant(
        "s7-waits-for-etcd", "A new agent looks whether the replicator hangs that it has found once it hears etcd.",
        Where.MODEL, with_parts(HUNG, around=_waits_for_etcd), "S5",
    ),
    Variant(
        "s8-back-in-another-etcd", "When a stream comes back, a disk passes for one that goes by the etcd of then.",
        Where.CORE, with_core(BACK, (absorbing_replicator._noted, _of_the_present_etcd)), "S8",
    ),
    Variant(
        "s8-heard-of-alone", "No disk tells the epoch of its copy from one that it has only heard of.", Where.MODEL,
        with_parts(FOLLOWED, around=_heard_is_had), "S2",
    ),
    Variant(
        "s8-closed-is-elected", "Who has closed its stream in order to stand says that it is elected, come what may.",
        Where.CORE, with_core(STANDS, (telling._waiting, _while_closed)), "convergence",
    ),
    Variant(
        "s8-listed-once", "What is half made equal passes for whole, if etcd lists that process.", Where.CORE,
        with_core(JOINS, (absorbing._released, _listed_once), (absorbing_replicator._stream_over, _as_found)), "S8",
    ),
    Variant(
        "s8-listed-before", "A copy that joins an unaware primary follows where a restored etcd lists its process.",
        Where.CORE, with_core(EQUAL, (following._listed_for_what_it_lacks, _exempt)), "S8",
    ),
    Variant(
        "s12-stream-of-another-etcd", "A stream of the number of an epoch is taken, whichever etcd that is of.",
        Where.MODEL, with_parts(REBUILT, replicator=_TakesAnyEtcds), "S12",
    ),
    Variant(
        "s12-joined-unlisted", "Of a join that came to its end unlisted, the copy counts as what it was found as.",
        Where.CORE,
        with_core(
            UNLISTED,
            (absorbing._released, _listed_once),
            (absorbing_replicator._joined, _until_listed),
            (absorbing_replicator._stream_over, _wholeness_unsaid),
        ),
        "S12",
    ),
    Variant(
        "s8-a-word-of-the-etcd-before", "What an operator has said in one etcd counts in the next one.", Where.CORE,
        with_core(ELSEWHERE, (absorbing._unnamed, _as_he_said)), "S8",
    ),
    Variant(
        "s8-decided-in-the-etcd-before", "Who was elected by an operator's word in one etcd serves in the next one.",
        Where.CORE, with_core(ELSEWHERE, (following._elected_unawares, _decided_anywhere)), "S8",
    ),
    Variant(
        "s8-unknown-hides-the-rest", "Whose request to stand is unanswered does not say that it waits for an operator.",
        Where.CORE, with_core(IN_VAIN, (telling._standing_late, _unknown_only)), "convergence",
    ),
    Variant(
        "s8-lost-between-agents", "A new agent starts a replicator as of the boot id that it read when it began.",
        Where.MODEL, with_parts(BETWEEN, around=_starts_as_it_was), "S8",
    ),
    Variant(
        "s8-serves-what-is-left", "A replicator is promoted that has lost what it had in memory.", Where.MODEL,
        with_parts(LOST, replicator=_ServesWhatIsLeft), "P1/P4",
    ),
)  # fmt: skip
