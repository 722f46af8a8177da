"""S12: what is looked into before a copy is forced, one test after the other, and what becomes of the other copy."""

from dataclasses import replace

from agent.core import absorbing, forcing, requests, standing
from agent.core import events as e
from agent.core.copying import replace as changed
from agent.core.state import Forcing, MirrorState, Move, Rep
from agent.core.view import Seen
from manager.model import control as c
from manager.model.reasons import Reason
from manager.model.records import InsyncRecord, RequestRecord
from tests.simulation.broken.forcing import APART, FORCED
from tests.simulation.broken.variant import Variant, Where, with_core, with_parts
from tests.simulation.broken.vouching import JOINING
from tests.simulation.plan import Plan
from tests.simulation.replicator import Replicator
from tests.simulation.stream import Stream


def _whoever_is_named(state: MirrorState, seen: Seen[RequestRecord], now_ns: int) -> Move:
    last = "" if state.insync is None else state.insync.record.last_primary
    arguments = {word: last if word == forcing.OFF else said for word, said in seen.record.arguments.items()}
    return _begin(state, replace(seen, record=replace(seen.record, arguments=arguments)), now_ns)


def _of_another_day(state: MirrorState, seen: Seen[RequestRecord], now_ns: int) -> Move:
    move = _begin(changed(state, first_revision=0), seen, now_ns)
    return Move(changed(move.state, first_revision=state.first_revision), move.commands)


_begin = forcing.begin


def _the_hook_has_done_it(state: MirrorState, event: e.FenceEnded, now_ns: int) -> MirrorState:
    return _fenced(state, replace(event, failure=""), now_ns)


_fenced = absorbing._fenced


def _silent_for_ever(state: MirrorState, record: InsyncRecord, now_ns: int) -> standing.Verdict:
    """That nothing answered once counts for ever."""
    known = state.forcing
    return _forced(state if known is None else changed(state, forcing=replace(known, probed_ns=now_ns)), record, now_ns)


def _never_late(forced: Forcing, now_ns: int) -> bool:
    return False


def _without_the_others(state: MirrorState, record: InsyncRecord, now_ns: int) -> standing.Verdict:
    decided = _forced(state, record, now_ns)
    return replace(decided, guards=decided.guards[:1])


def _in_the_next_epoch(state: MirrorState, record: InsyncRecord, now_ns: int) -> standing.Verdict:
    decided = _forced(state, record, now_ns)
    return replace(decided, above=min(decided.above, record.epoch))


def _unpromised(state: MirrorState, record: InsyncRecord, now_ns: int) -> standing.Verdict:
    return _forced(changed(state, promised_until_ns=0, began_ns=0), record, now_ns)


def _of_any_process(state: MirrorState, record: InsyncRecord, now_ns: int) -> standing.Verdict:
    followed = state.rep in (Rep.FOLLOWING, Rep.CLOSED)
    return _forced(changed(state, rep=Rep.IDLE) if followed else state, record, now_ns)


_forced = standing._forced


def _is_not_looked_at(state: MirrorState, now_ns: int) -> Move | None:
    return None


def _always_a_copy(state: MirrorState) -> bool:
    return False


def _whoever_is_there(state: MirrorState, record: InsyncRecord) -> Reason | None:
    """Other nodes that the record lists are not looked for."""
    found = _against(state, record)
    return None if found is Reason.NEWER_COPY_THERE else found


_against = standing._against_forcing


class _VouchesDiverged(Replicator):
    """A copy that another one went on without vouches for what it was."""

    def hello(self) -> list[c.Event]:
        diverged, self.copy.diverged = self.copy.diverged, False
        told = super().hello()
        self.copy.diverged = diverged
        return told


class _OverwritesWithoutRoom(Replicator):
    """What cannot be set aside, for want of room, is overwritten."""

    def set_aside(self, stream: Stream) -> None:
        full, self.copy.full = self.copy.full, False
        if full:
            stream.own = {}
        super().set_aside(stream)
        self.copy.full = full


UNREAD = replace(FORCED, faults=("forced unread",))
SLOWLY = replace(FORCED, faults=("forced slowly",), mean_between_faults_s=30.0)
NO_ROOM = replace(FORCED, faults=("forced", "disks"), mean_between_faults_s=6.0)
OF_THREE = Plan(seconds=60, mean_between_faults_s=15.0, faults=("forced of three",), nodes=("a", "b", "c"))
PAST_ANOTHER = replace(OF_THREE, faults=("forced past another",))

VARIANTS = (
    Variant(
        "s12-another-is-named", "It counts who is named as being off, whoever was primary last.", Where.CORE,
        with_core(UNREAD, (forcing.begin, _whoever_is_named)), "S12",
    ),
    Variant(
        "s12-the-hook-failed", "The hook that turns the last primary off has failed, and that counts as done.",
        Where.CORE, with_core(UNREAD, (absorbing._fenced, _the_hook_has_done_it)), "S12",
    ),
    Variant(
        "s12-silent-for-ever", "That the last primary did not answer once counts for ever.", Where.CORE,
        with_core(SLOWLY, (standing._forced, _silent_for_ever), (requests._is_late, _never_late)), "S12",
    ),
    Variant(
        "s12-newer-copy", "Another node that the record lists, and that is there, is no hindrance.", Where.CORE,
        with_core(OF_THREE, (standing._against_forcing, _whoever_is_there)), "S12",
        redundant="The transaction tests that none is registered. Looking before it says so to the operator at once.",
    ),
    Variant(
        "s12-others-not-tested", "That the other listed nodes are not registered is not tested by the transaction.",
        Where.CORE, with_core(PAST_ANOTHER, (standing._forced, _without_the_others)), "S12",
    ),
    Variant(
        "s12-half-joined", "A copy in the middle of a join is forced.", Where.CORE,
        with_core(JOINING, (standing._is_no_copy, _always_a_copy)), "convergence",
    ),
    Variant(
        "s12-overwritten-without-room", "What cannot be set aside, for want of room, is overwritten.", Where.MODEL,
        with_parts(NO_ROOM, replicator=_OverwritesWithoutRoom), "S12",
    ),
    Variant(
        "s12-of-another-day", "A request from before the agent began is taken up.", Where.CORE,
        with_core(UNREAD, (forcing.begin, _of_another_day)), "S12",
        redundant="An agent that has just begun refuses it since its replicator is being started, and one that sees a "
        "restored etcd since that has to settle.",
    ),
    Variant(
        "s12-in-the-next-epoch", "The forced epoch is above the record's, whatever disks have seen.", Where.CORE,
        with_core(FORCED, (standing._forced, _in_the_next_epoch)), "",
        redundant="A disk has seen more than the record only where etcd was restored: there an operator's epoch is "
        "above all of them (S8, taken away above).",
    ),
    Variant(
        "s12-within-its-promise", "A node is forced within its own promise.", Where.CORE,
        with_core(FORCED, (standing._forced, _unpromised)), "",
        redundant="The last primary's registration has to be gone, which outlives a promise to it: in the runs that "
        "force, all leases are of one length.",
    ),
    Variant(
        "s12-not-looked-at", "Of a copy that followed no new process looks whether it is in the middle of a join.",
        Where.CORE,
        with_core(JOINING, (standing._forced, _of_any_process), (forcing._look_at_disk, _is_not_looked_at)), "",
        redundant="Its process says so when it loses its stream, and without one it is in the middle of nothing.",
    ),
    Variant(
        "s12-diverged-vouches", "A copy that another one went on without vouches for what it was.", Where.MODEL,
        with_parts(APART, replicator=_VouchesDiverged), "",
        redundant="The record does not list it, and it says that it has diverged, too.",
    ),
)  # fmt: skip
