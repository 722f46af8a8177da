"""What a simulated primary does with the list of what its peer may lack: the shipped keeper and barriers, as wired.

The wiring is the replicator's own (``replicator.streams``, ``replicator.runtime``): a list that is on the disk is taken
up and the own base cleared before it serves; a join copies what the keeper says; from the join point on both disks are
brought to it and note its base; a record that leaves nobody beside this node clears that of its own, once the list is
on the disk, before anything is released.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from replicator.barriers import Barriers
from replicator.core.completions import Gate
from replicator.core.tracking import Mode, Tracker
from tests.simulation.checkers import Write
from tests.simulation.private import Files, Threads, blocks_in, operation_on
from tests.simulation.stream import Stream
from tests.simulation.volume import advance_base

if TYPE_CHECKING:
    from tests.simulation.primary import Primary
    from tests.simulation.replicator import Replicator


_EVERY_S = 1.5


def tracker_of(process: "Replicator") -> Tracker:
    """A new one, of nothing."""
    tracker: Tracker = process.place.parts.tracker(Files())
    return tracker


def begin_alone(process: "Replicator") -> Tracker:
    """Before it serves: what the other one may lack, by the list that is on the disk; of no base itself any more."""
    tracker, file = tracker_of(process), process.place.parts.file(process.copy)
    known = file.load() if process.tracks and not process.distrusts else None
    if known is None:
        file.void()
    else:
        tracker.take_up(*known)
    process.place.parts.clear_base(process.copy)
    return tracker


def keep_list(process: "Replicator", tracker: Tracker) -> None:
    """At the clean end of a secondary: what is in memory goes to the disk."""
    if tracker.mode is not Mode.MEMORY or not process.tracks:
        return
    records, file = tracker.to_disk(), process.place.parts.file(process.copy)
    try:
        file.create(tracker.base, records or [])
    except OSError:
        file.void()
    tracker.void()


class Resync:
    """Of one primary."""

    def __init__(self, primary: "Primary", tracker: Tracker) -> None:
        """``tracker``: see :func:`begin_alone`."""
        process, parts = primary.process, primary.place.parts
        self._primary, self._process = primary, process
        self._copy = primary.copy
        self._threads = Threads(process)
        loop: Any = _Loop(process)
        file: Any = parts.file(process.copy)
        order: Any = _Order(primary)
        self.keeper = parts.keeper(
            loop, tracker, file, self._note_base, self._advance_base, self._threads, self._note, tracks=process.tracks
        )
        note_barrier = self.keeper.note_barrier
        self.barriers = parts.barriers(loop, order, tracker, Threads(process), note_barrier, self._note, _never)

    def _note(self, event: str, **what: Any) -> None:
        pass

    def _note_base(self, base: str) -> None:
        self._copy.bases = (base,)

    def _advance_base(self, base: str) -> None:
        advance_base(self._copy, base)

    def missing(self, stream: Stream) -> list[int]:
        """The blocks that have to be copied."""
        dirty = self.keeper.missing(stream.bases)
        blocks = blocks_in(dirty)
        lacks = "everything" if dirty.everything else f"{len(blocks)} block{'' if len(blocks) == 1 else 's'}"
        promises = self._primary.place.promises
        promises.joins += 1
        promises.tracked_joins += not dirty.everything
        self._primary.place.note(f"{stream.node} joins, lacks {lacks}")
        return blocks

    def join_point(self, stream: Stream, joined: Callable[[], None]) -> str:
        """At a quiet moment: from here on it is waited for. Returns the base; ``joined`` when both disks have it."""
        base = f"{next(self._primary.place.numbers):016x}"
        sequence = stream.finish_at = stream.next_sequence()
        self.keeper.join_point(base)

        def noted() -> None:
            if stream.open_here:
                self.keeper.joined()
                joined()

        self.barriers.join(stream, sequence, lambda: self.keeper.note_base(base, noted))  # type: ignore[arg-type]
        return base

    def when_settled_alone(self, note: Callable[[], None], *, alone: bool, then: Callable[[], None]) -> None:
        """Once all that was begun is on the disk: ``note``, the own base cleared if it goes on alone, then the rest."""
        if self._threads.busy:
            self._process.later(1, 3, lambda: self.when_settled_alone(note, alone=alone, then=then))
            return

        def work() -> None:
            if alone:
                self._process.place.parts.clear_base(self._copy)
            note()

        if alone:
            self.keeper.forget_base()
        self._threads.run(work, lambda _: then(), lambda error: self._process.fail(str(error)))

    def end(self) -> None:
        """Its role ends in order: its streams are lost, and what is tracked in memory goes to the disk."""
        self.keeper.lost()
        self._threads.finish()


class Repairs:
    """Of writes that the peer has and that failed here, one after the other, each at a quiet moment.

    The peer is sent what is here, and the application gets its error: the write is not completed.
    """

    def __init__(self, primary: "Primary") -> None:
        self._primary = primary
        self._failed: deque[Write] = deque()
        self._sent = False
        self._waits_for: set[Stream] = set()

    @property
    def under_way(self) -> bool:
        """Whether any."""
        return bool(self._failed)

    def add(self, write: Write) -> None:
        """It could not be applied here."""
        self._failed.append(write)
        self._primary.completions.shut(Gate.REPAIR)

    def advance(self) -> None:
        """At a quiet moment: what is here, to all; once they have it, and nothing is held, the next one."""
        primary = self._primary
        while self._failed and self._is_quiet and not self._waits_for:
            if not self._sent:
                self._send(self._failed[0].block)
            elif primary.completions.held:
                return
            else:
                self._failed.popleft()
                self._sent = False
                if not self._failed:
                    primary.completions.open(Gate.REPAIR)

    @property
    def _is_quiet(self) -> bool:
        return self._primary.completions.idle

    def _send(self, block: int) -> None:
        self._sent = True
        self.mark(block)
        value = self._primary.copy.cache[block]
        for stream in self._primary.streams.values():
            self._waits_for.add(stream)
            stream.unacknowledged.append(self._primary.place.clock.now_ns)
            stream.there.send(lambda s=stream: s.secondary.repaired(s, block, value))  # type: ignore[misc]

    def mark(self, block: int) -> None:
        """What is sent beside the order."""
        self._primary.resync.keeper.mark(operation_on(block))

    def acknowledged(self, stream: Stream) -> None:
        """It has what is here."""
        self._waits_for.discard(stream)
        self._primary.rest()

    def lost(self, stream: Stream) -> None:
        """It is not to be repaired any more."""
        self._waits_for.discard(stream)


def _never(reason: str) -> None:
    raise AssertionError(f"a simulated disk does not lose what it has taken: {reason}")


class QuickBarriers(Barriers):
    """Far more of them than a replicator makes, so that a run has many."""

    def _end(self, barrier: Any) -> None:
        super()._end(barrier)
        self._next = min(self._next, self._loop.time() + _EVERY_S)


class _Loop:
    """The clock, as a loop has it."""

    def __init__(self, process: "Replicator") -> None:
        self._process = process

    def time(self) -> float:
        """Seconds."""
        return self._process.clock.now_ns / 1e9

    def create_future(self) -> Any:
        """Nobody waits so here."""
        raise NotImplementedError


class _Order:
    """A primary, as far as barriers are concerned (``replicator.barriers.BarrierOrder``)."""

    def __init__(self, primary: "Primary") -> None:
        self._primary = primary
        self.volumes = (primary.copy,)

    @property
    def repairing(self) -> bool:
        """Whether the peer has something that failed here."""
        return self._primary.repairs.under_way

    @property
    def standing(self) -> tuple[Stream, ...]:
        """The streams."""
        return tuple(self._primary.streams.values())

    @property
    def changes(self) -> int:
        """Differs when something was changed."""
        return self._primary.completions.released

    def when_applied(self, callback: Callable[[], None]) -> None:
        """Once all that has been issued is applied here."""
        self._primary.when_applied(callback)
