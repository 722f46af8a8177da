"""S3, S7: the stream's rules and the warden, as modelled, and who takes a stream."""

from dataclasses import replace

from agent.core import fencing, following, promising
from agent.core.state import MirrorState
from manager.model import control as c
from manager.model.reasons import Reason
from tests.simulation.broken.variant import (
    CUT_OFF,
    FREEZES,
    PEERS,
    ROUGH_STORE,
    Variant,
    Where,
    with_core,
    with_parts,
)
from tests.simulation.checkers import Write
from tests.simulation.plan import Plan
from tests.simulation.replicator import Replicator
from tests.simulation.stream import Fsync, Stream


class _AcknowledgesFirst(Replicator):
    """What it has received it acknowledges at once, and applies a little later."""

    def received(self, stream: Stream, place: int, item: Write | Fsync | None) -> None:
        if not self.alive or not stream.open_there:
            return
        self.acknowledge(stream, place)

        def apply() -> None:
            if self.alive and isinstance(item, Write):
                self.copy.cache[item.block] = max(self.copy.cache[item.block], item.number)
            elif self.alive and isinstance(item, Fsync):
                self.copy.sync()

        self.place.clock.after(self.place.clock.between(5, 60), apply, self.actor)


class _ClosesNothing(Replicator):
    """It stands with the former primary's stream open, and takes what still comes of its epoch."""

    def close_stream(self) -> None:
        self.later(0, 5, lambda: self._say_closed())

    def _say_closed(self) -> None:
        self.tell(c.StreamClosed(self.epoch, self.copy.joining, self.copy.vouches()))

    def _play_no_part(self) -> None:
        kept, self.incoming = self.incoming, None
        super()._play_no_part()
        self.incoming = kept


class _NotesLate(Replicator):
    """It serves an epoch that its disk hears of a little later."""

    def note(self, epoch: int, revision: int, store_id: str, *, promotion: bool = False) -> None:
        if not promotion:
            super().note(epoch, revision, store_id)
            return
        whole = super().note

        def run() -> None:
            if self.alive:
                whole(epoch, revision, store_id, promotion=True)

        self.place.clock.after(self.place.clock.between(500, 3_000), run, self.actor)


class _Heedless(Replicator):
    """Its warden does not look at the deadline."""

    def _watch_deadline(self) -> None:
        self.later(1_000, 1_000, lambda: None)


def _takes_any_stream(state: MirrorState) -> bool:
    return True


def _keeps_serving(state: MirrorState, now_ns: int) -> Reason | None:
    return None


def _promises_at_any_time(state: MirrorState, now_ns: int) -> bool:
    asked = state.asked
    return asked is not None and (asked.primary, asked.epoch) == (state.follow_primary, state.follow_epoch)


LATE_FRAMES = Plan(faults=("late frames",), mean_between_faults_s=14.0)

VARIANTS = (
    Variant(
        "s3-acknowledged-before-applied", "An acknowledgement means: received.", Where.MODEL,
        with_parts(PEERS, replicator=_AcknowledgesFirst), "S2",
    ),
    Variant(
        "s3-stream-while-its-own-stand-is-unsettled", "A node takes a stream while its own stand may still execute.",
        Where.CORE, with_core(ROUGH_STORE, (following._may_take_a_stream, _takes_any_stream)), "",
        redundant="A primary whose stream could be taken has written the record since, by its election, resume or "
        "adoption: the node's own stand, guarded by the revision before, can no longer succeed.",
    ),
    Variant(
        "s3-stream-not-closed", "A node that stands leaves the former primary's stream open.", Where.MODEL,
        with_parts(LATE_FRAMES, replicator=_ClosesNothing), "S",
    ),
    Variant(
        "s3-served-before-noted", "A primary serves before its epoch is on its disk.", Where.MODEL,
        with_parts(PEERS, replicator=_NotesLate), "progress",
    ),
    Variant(
        "s7-heedless-warden", "The warden does not look at the deadline.", Where.MODEL,
        with_parts(FREEZES, replicator=_Heedless), "S5",
    ),
    Variant(
        "s7-agent-does-not-kill", "The agent goes on past the end of its right to serve.", Where.CORE,
        with_core(Plan(faults=("hung",), mean_between_faults_s=20.0), (fencing._without_right, _keeps_serving)),
        "S5",
    ),
    Variant(
        "s5-promises-while-it-stands", "A node promises although its own stand may be executed.", Where.CORE,
        with_core(replace(CUT_OFF, store_faults=0.3), (promising._may_promise, _promises_at_any_time)), "S5",
        redundant="A node closes the stream before it stands, and is asked over the stream only; while its stand is of "
        "unknown outcome it takes none (S3).",
    ),
)  # fmt: skip
