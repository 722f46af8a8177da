"""R: what a join copies, when a block is read, who marks, and what a failed write leaves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from replicator.core.dirty import Dirty
from replicator.core.operations import Operation
from replicator.dirty_keeper import DirtyKeeper
from tests.simulation.broken.resyncing import ALONE, CRASHES, SLOW, _ValidAtOnce
from tests.simulation.broken.standing import DISKS
from tests.simulation.broken.variant import Variant, Where, with_parts
from tests.simulation.checkers import Write
from tests.simulation.plan import Plan
from tests.simulation.primary import Primary
from tests.simulation.private import Follower
from tests.simulation.replicator import Replicator
from tests.simulation.resync import Repairs
from tests.simulation.stream import Stream


class _NoListIsEmpty(DirtyKeeper):
    """Where there is no list, or it is of another base, nothing is missing."""

    def missing(self, bases: Sequence[str]) -> Dirty:
        found = super().missing(bases)
        return Dirty() if found.everything else found


class _MarksNothing(Follower):
    """A secondary marks nothing of what it applies."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.mark = _passes  # type: ignore[misc]


def _passes(operation: Operation) -> bool:
    return True


class _CopiesUnmarked(Primary):
    """What a join copies is not marked here."""

    def _copy(self, stream: Stream, blocks: list[int]) -> None:
        keeper: Any = self.resync.keeper
        keeper.mark = lambda operation: None
        super()._copy(stream, blocks)
        del keeper.mark


class _CopiedUnmarked(Replicator):
    """Nor there."""

    _unmarked = False

    def copied(self, stream: Stream, block: int, value: int) -> None:
        self._unmarked = True
        super().copied(stream, block, value)
        self._unmarked = False

    def _touch(self, stream: Stream, block: int | None = None) -> None:
        super()._touch(stream, None if self._unmarked else block)


class _RepairsAtAnyTime(Repairs):
    """A block is read for a repair while operations are under way."""

    _is_quiet = True


class _NotRepaired(Repairs):
    """What has failed here stays on the peer."""

    def add(self, write: Write) -> None:
        pass


class _Trusts(Replicator):
    """A copy counts as what its last join made of it, though its memory was lost since."""

    distrusts = False


class _ReleasedFirst(Primary):
    """What is held is released before the list is on the disk."""

    def _settle(self) -> None:
        told = self._settling[0]
        takes_out = self.completions.takes_out(told.number, told.holders)
        durable = any(stream.durable for stream in self.streams.values())
        alone = not durable and (takes_out or self.resync.keeper.has_noted_base)
        self._settled(told)

        def note() -> None:
            if takes_out:
                self.process.note(epoch=self.process.epoch, revision=told.revision, store_id="")

        if takes_out or alone:
            self.resync.when_settled_alone(note, alone=alone, then=lambda: None)


FULL_FOR_A_MOMENT = Plan(faults=("full for a moment",), mean_between_faults_s=6.0)

VARIANTS = (
    Variant(
        "r-no-list-is-empty", "Where there is no list of use, nothing is missing.", Where.KEEPER,
        with_parts(CRASHES, keeper=_NoListIsEmpty), "tracking",
    ),
    Variant(
        "r-secondary-marks-nothing", "A secondary marks nothing of what it applies.", Where.MODEL,
        with_parts(SLOW, follower=_MarksNothing), "tracking",
    ),
    Variant(
        "r-repairs-busy-block", "A block is read for a repair while an operation on it is under way.", Where.MODEL,
        with_parts(FULL_FOR_A_MOMENT, repairs=_RepairsAtAnyTime), "S2",
    ),
    Variant(
        "r-not-repaired", "A write that failed here, and not on the peer, stays there.", Where.MODEL,
        with_parts(replace(FULL_FOR_A_MOMENT, seconds=6, mean_between_faults_s=3.0), repairs=_NotRepaired), "at rest",
    ),
    Variant(
        "r-copies-unmarked", "What a join copies is marked on neither side.", Where.MODEL,
        with_parts(CRASHES, primary=_CopiesUnmarked, replicator=_CopiedUnmarked), "",
        redundant="The list of the one that joins begins at the join point, and is of use once both disks have that. "
        "The model, without that, notices it.",
    ),
    Variant(
        "r-copies-unmarked-and-valid", "The same, and the list of the one that joins is of use at once.", Where.MODEL,
        with_parts(SLOW, primary=_CopiesUnmarked, replicator=_CopiedUnmarked, follower=_ValidAtOnce), "",
        redundant="A node is listed once both disks have the join point, and nobody takes up the list of another one. "
        "The model, where the disk of the primary is not waited for, notices it.",
    ),
    Variant(
        "r-trusts-what-was-lost", "A copy whose memory was lost counts as what its last join made of it.", Where.MODEL,
        with_parts(DISKS, replicator=_Trusts), "",
        redundant="Here a loss shows at once, and what was marked since the last barrier names it. On a real machine "
        "the page cache goes on showing what is not on the disk.",
    ),
    Variant(
        "r-released-before-the-list", "What is held is released before the list is on the disk.", Where.MODEL,
        with_parts(ALONE, primary=_ReleasedFirst), "",
        redundant="Nothing new is issued before the list is there, what was under way is in it, and without it "
        "everything is compared.",
    ),
)  # fmt: skip
