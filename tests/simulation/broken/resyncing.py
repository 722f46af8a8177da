"""R: what the other node may lack, by the shipped tracker, and where it is kept, by the shipped keeper and barriers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from replicator.core.dirty import Dirty
from replicator.core.operations import Operation
from replicator.core.tracking import Tracker
from replicator.dirty_keeper import DirtyKeeper
from tests.simulation.broken.variant import Variant, Where, with_parts
from tests.simulation.checkers import Write
from tests.simulation.plan import Plan
from tests.simulation.primary import Item, Primary
from tests.simulation.private import DirtyFile, Follower, operation_on
from tests.simulation.resync import QuickBarriers, Repairs
from tests.simulation.volume import Copy


class _MarksWhenApplied(Primary):
    """What it ships is marked once it is applied here."""

    def _passes(self, item: Item) -> bool:
        return self.resync.keeper.is_careful is False or super()._passes(item)

    def _apply(self, write: Write) -> None:
        self.resync.keeper.mark(operation_on(write.block))
        super()._apply(write)


class _Hasty(DirtyKeeper):
    """An operation goes on while its mark is being written."""

    def passes(self, operation: Operation) -> bool:
        self.mark(operation)
        return True


class _OneDiskIsEnough(QuickBarriers):
    """That the peer's disk has everything up to a barrier is enough."""

    def _look(self, barrier: Any) -> None:
        barrier.here = barrier.here or bool(barrier.base)
        super()._look(barrier)


class _OwnDiskIsEnough(QuickBarriers):
    """That this node's disk has everything up to a barrier is enough."""

    def _look(self, barrier: Any) -> None:
        barrier.there = barrier.there or bool(barrier.base)
        super()._look(barrier)


class _Believes(Follower):
    """It forgets what it is told to, whatever its own disk has."""

    def forget(self, sequence: int) -> None:
        self._reached = max((self._reached, *self._barriers))
        super().forget(sequence)


class _ForgetsAll(Tracker):
    """A barrier forgets what was marked since, too."""

    def forget_closed(self) -> None:
        super().forget_closed()
        self._generations[-1] = Dirty(bounds=self._bounds)
        self._forget_cache()


class _BaseOfTheJoin(Tracker):
    """A barrier makes no base."""

    def close_generation(self, sequence: int) -> str:
        super().close_generation(sequence)
        self._bases[-1] = self.base
        return self.base


class _HeaderOnly(DirtyFile):
    """The list that is taken up says that nothing is missing: its marks were in memory."""

    def create(self, base: str, records: Iterable[bytes]) -> None:
        super().create(base, ())

    def append(self, records: Iterable[bytes]) -> None:
        pass


class _NotVoided(DirtyFile):
    """The list stays when it is tracked in memory again."""

    def void(self) -> None:
        pass


class _AnyBase(DirtyKeeper):
    """The list is taken for one of whatever copy there is."""

    def missing(self, bases: Sequence[str]) -> Dirty:
        return super().missing((self.tracker.base,))


class _ValidAtOnce(Follower):
    """A secondary's list about the primary is of use from the join point on."""

    def finish(self, sequence: int, base: str, highest: int) -> Callable[[], None]:
        note = super().finish(sequence, base, highest)
        self._is_good = True
        self._tracker.finished()
        self._tracker.to_memory()
        return note

    def forget(self, sequence: int) -> None:
        if sequence != self._finish:
            super().forget(sequence)


class _ReadsAtAnyTime(Primary):
    """A block is read for the joining node while an operation on it is under way."""

    def _may_read(self) -> bool:
        return True


class _RepairsUnmarked(Repairs):
    """What the peer is repaired with is not marked."""

    def mark(self, block: int) -> None:
        pass


def _base_stays(copy: Copy) -> None:
    pass


ALONE = Plan(faults=("alone",), mean_between_faults_s=9.0, slow_disks=0.7)
UNHEARD = Plan(faults=("unheard",), mean_between_faults_s=20.0)
SLOW = Plan(faults=("blink",), mean_between_faults_s=4.0, slow_disks=0.8)
CRASHES = Plan(faults=("machine", "power", "operators"), mean_between_faults_s=3.0)
IMAGES = Plan(faults=("images",), mean_between_faults_s=15.0)
FULL = Plan(faults=("disks", "machine", "power", "power"), mean_between_faults_s=3.0)

VARIANTS = (
    Variant(
        "r-marks-when-applied", "A mark is made when the operation is applied here, not when it is shipped.",
        Where.MODEL, with_parts(UNHEARD, primary=_MarksWhenApplied), "tracking",
    ),
    Variant(
        "r-applies-before-the-mark-is-durable", "Alone, it applies before the mark is on its disk.", Where.KEEPER,
        with_parts(ALONE, keeper=_Hasty), "tracking",
    ),
    Variant(
        "r-forgets-by-one-disk", "It forgets what the peer's disk has, though its own may not.", Where.KEEPER,
        with_parts(SLOW, barriers=_OneDiskIsEnough), "tracking",
    ),
    Variant(
        "r-forgets-by-own-disk", "It forgets what its own disk has, though the peer's may not.", Where.KEEPER,
        with_parts(SLOW, barriers=_OwnDiskIsEnough, follower=_Believes), "tracking",
        redundant="A copy notes a barrier's base once its own disk has all before it: one that comes back without that "
        "is compared as a whole. The model, which has no bases, notices it.",
    ),
    Variant(
        "r-forgets-past-the-barrier", "It forgets what was marked after the barrier, too.", Where.TRACKER,
        with_parts(SLOW, tracker=_ForgetsAll), "tracking",
    ),
    Variant(
        "r-list-in-memory-only", "It serves alone with its marks in memory only.", Where.KEEPER,
        with_parts(CRASHES, file=_HeaderOnly), "tracking",
    ),
    Variant(
        "r-list-not-voided", "It tracks in memory while an older list stands on its disk.", Where.KEEPER,
        with_parts(CRASHES, file=_NotVoided), "tracking",
    ),
    Variant(
        "r-base-not-checked", "A list is taken for one of whatever copy joins.", Where.KEEPER,
        with_parts(replace(CRASHES, faults=("replaced", "machine")), keeper=_AnyBase), "tracking",
    ),
    Variant(
        "r-base-of-the-join-only", "A barrier makes no base of its own: a copy notes that of its join alone.",
        Where.TRACKER, with_parts(IMAGES, tracker=_BaseOfTheJoin), "tracking",
    ),
    Variant(
        "r-list-valid-at-once", "A new secondary's list is of use before both disks have the join.", Where.MODEL,
        with_parts(SLOW, follower=_ValidAtOnce), "tracking",
        redundant="A node is listed once both disks have the join, and only a listed one is promoted: nobody takes the "
        "list up before that.",
    ),
    Variant(
        "r-copies-busy-block", "A block is read for a copy while an operation on it is under way.", Where.MODEL,
        with_parts(CRASHES, primary=_ReadsAtAnyTime), "tracking",
    ),
    Variant(
        "r-repair-not-marked", "What repairs a failed write on the peer is not marked.", Where.MODEL,
        with_parts(FULL, repairs=_RepairsUnmarked), "tracking",
        redundant="No barrier is passed while a repair is due, so the mark of the write that failed still stands when "
        "it is repaired, and is forgotten with a barrier that comes after.",
    ),
    Variant(
        "r-base-not-cleared", "It goes on alone with the base of the last join on its disk.", Where.MODEL,
        with_parts(CRASHES, clear_base=_base_stays), "tracking",
        redundant="Who is promoted had every completed write at its last join, and voided its own list then. It counts "
        "where a copy is named that has not: after a forced start.",
    ),
)  # fmt: skip
