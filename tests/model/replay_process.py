"""A replicator's process of a replay, as far as it tracks what the other one may lack: the shipped objects, as wired.

The wiring is the simulation's (``tests.simulation.resync``, ``tests.simulation.private``). Threads do nothing before
they are let, and what was said is not heard before it is: the replay says when.
"""

import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from manager.model.errors import PeerProtocolError
from replicator.barriers import Barriers
from replicator.core.dirty import Dirty
from replicator.core.tracking import Mode, Tracker
from replicator.dirty_keeper import DirtyKeeper
from replicator.peer import PeerState
from tests.model.replay_words import Parted
from tests.simulation.plan import SHIPPED as SIMULATED
from tests.simulation.plan import Parts
from tests.simulation.private import Threads, blocks_in, operation_on
from tests.simulation.resync import Resync, begin_alone, keep_list, tracker_of
from tests.simulation.volume import Copy

SHIPPED: Final = replace(SIMULATED, barriers=Barriers)
_LONG_NS: Final = 60_000_000_000
"""Longer than the next barrier waits after one that took no time: it only goes by between the two."""

Zones = frozenset[int]
Said = deque[tuple[int, Callable[[], None]]]
"""What was said and is not heard yet; each after the operations up to a place in the stream."""


class Marks:
    """What a list is to have: the model's rule (``tracking.forget``), by the barriers that were passed."""

    def __init__(self, zones: Iterable[int] = ()) -> None:
        self._last = dict.fromkeys(zones, 0)

    def mark(self, zone: int, place: int) -> None:
        """What is at ``place`` of the stream concerns it."""
        self._last[zone] = place

    def forget(self, place: int) -> None:
        """Both disks have everything up to there."""
        self._last = {zone: last for zone, last in self._last.items() if last > place}

    @property
    def zones(self) -> Zones:
        """Those that are marked."""
        return frozenset(self._last)


class Clock:
    """Of threads and barriers."""

    def __init__(self, chance: random.Random | None) -> None:
        """Without ``chance`` nothing that was under way in a process that dies is done."""
        self._chance = chance
        self.now_ns = 0

    def after(self, wait_ns: int, action: Callable[[], None], actor: object) -> None:
        """Nothing happens by itself."""

    def between(self, least_ms: float, most_ms: float) -> int:
        """Any time."""
        return 0

    def chance(self, share: float) -> bool:
        """Whether something happens that does in this share of cases."""
        return self._chance is not None and self._chance.random() < share


@dataclass(slots=True)
class Place:
    """What the processes of a replay share."""

    parts: Parts
    clock: Clock
    zones: int
    slow_disks: float = 0.0
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    seen: dict[str, int] = field(default_factory=dict)
    """How often what matters has happened."""

    def count(self, what: str) -> None:
        """It has happened once more."""
        self.seen[what] = self.seen.get(what, 0) + 1

    def named(self, dirty: Dirty) -> Zones:
        """The zones that it names."""
        return frozenset(blocks_in(dirty)) & frozenset(range(self.zones))


class Process:
    """One, from its start to its end."""

    def __init__(self, place: Place, copy: Copy) -> None:
        self.place, self.copy, self.clock = place, copy, place.clock
        self.actor = None
        self.tracks, self.distrusts = True, False
        self.threads: list[Threads] = []
        this: Any = self
        self.background = Threads(this)
        self.tracker: Tracker = tracker_of(this)
        """What a primary that it follows, or followed last, may lack."""
        self.marks = Marks()
        """What that is to have."""
        self.serving: Serving | None = None

    def serve(self) -> "Serving":
        """It becomes primary: what it tracked goes to its disk, and is taken up."""
        self.leave()
        self.serving = Serving(self)
        return self.serving

    def leave(self) -> None:
        """Its role ends in order."""
        if self.serving is not None:
            self.serving.resync.end()
            self.serving = None
        this: Any = self
        keep_list(this, self.tracker)

    def die(self) -> None:
        """What its threads are at is done, or is not."""
        for threads in self.threads:
            threads.die()

    @property
    def list(self) -> Tracker:
        """What the other node may lack."""
        return self.tracker if self.serving is None else self.serving.keeper.tracker


class Serving:
    """A process while it is primary."""

    def __init__(self, process: Process) -> None:
        self.process, self.place, self.copy = process, process.place, process.copy
        this: Any = self
        known: Any = process
        self.resync = Resync(this, begin_alone(known))
        self.disk, self.syncs = process.threads[-2:]
        """Its threads: those that write the list and the bases, and the one that brings what was to its disk."""
        self.keeper: DirtyKeeper = self.resync.keeper
        self.barriers: Barriers = self.resync.barriers
        self.marks = Marks(self.named)
        self.mode = self.keeper.tracker.mode
        """When it was compared last."""
        self.joined_at = 0
        """The last join point."""
        self.streams: dict[str, Stream] = {}
        self.issued = self.released = 0
        self.under_way = False
        """Whether a repair is."""
        self._waiting: list[tuple[int, Callable[[], None]]] = []

    @property
    def named(self) -> Zones:
        """The zones that the other node may lack."""
        return self.place.named(self.keeper.tracker.missing())

    # What the barriers ask of a primary

    @property
    def completions(self) -> "Serving":
        """For how many there were."""
        return self

    @property
    def repairs(self) -> "Serving":
        """For whether one is under way."""
        return self

    def when_applied(self, callback: Callable[[], None]) -> None:
        """Once all that has been issued is applied here."""
        self._waiting.append((self.issued, callback))

    # What happens

    def mark(self, zones: Iterable[int]) -> None:
        """An operation is about to be shipped: it waits until it passes."""
        for zone in zones:
            while not self._passes(zone):
                if not self.disk.busy:
                    raise Parted("an operation waits for its mark, and nobody writes it")
                self.disk.finish()
            self.marks.mark(zone, self.issued)

    def _passes(self, zone: int) -> bool:
        operation = operation_on(zone)
        return self.keeper.passes(operation) if self.keeper.is_careful else self.keeper.tracker.mark(operation)

    def mark_beside(self, zone: int) -> None:
        """A copy or a repair is about to be sent."""
        self.keeper.mark(operation_on(zone))
        self.marks.mark(zone, self.issued)

    def applied(self, up_to: int) -> None:
        """Everything up to there is applied here, or has failed."""
        due = [callback for place, callback in self._waiting if place <= up_to]
        self._waiting = [entry for entry in self._waiting if entry[0] > up_to]
        for callback in due:
            callback()

    def tick(self) -> None:
        """A barrier is made, where one may be."""
        self.barriers.tick()

    def lost(self, stream: "Stream") -> None:
        """Its stream is gone."""
        stream.open_here = False
        del self.streams[stream.node]
        peer: Any = stream
        self.barriers.lost(peer)
        self.keeper.lost()

    def settled_with(self, stream: "Stream") -> None:
        """The record lists the other node."""
        if stream.open_here and stream.durable:
            self.keeper.listed()

    def settled_without(self) -> None:
        """The record lists this node alone: nothing is released before its disk says so."""
        self.disk.finish()
        self.resync.when_settled_alone(lambda: None, alone=True, then=lambda: None)
        self.disk.finish()


class Stream:
    """Between two processes."""

    def __init__(self, serving: Serving, other: Process) -> None:
        self.serving, self.other = serving, other
        self.node = other.copy.owner
        self.bases = other.copy.bases
        self.there: Said = deque()
        self.back: Said = deque()
        self.open_here = self.open_there = True
        self.complete = self.durable = False
        self.finish_at = 0
        self.lacks: Zones = frozenset()
        """What it has to be copied."""
        self._places: dict[int, int] = {}
        """By sequence of a join point or barrier: where it is."""
        self.asked = self.taken = 0
        """The last one that was made here; that the other one has taken."""
        self._touched = False
        self._numbers = itertools.count(1)
        known: Any = other
        self.tracking = serving.place.parts.follower(known, self._durable_there)
        serving.streams[self.node] = self

    # What the barriers ask of a peer

    @property
    def state(self) -> PeerState:
        """How far it is."""
        if not self.open_here:
            return PeerState.LOST
        return PeerState.COMPLETE if self.complete else PeerState.JOINING

    def next_sequence(self) -> int:
        """Of a join point or a barrier, which is about to be made."""
        sequence = next(self._numbers)
        self.asked = self._places[sequence] = self.serving.issued
        return sequence

    def barrier(self) -> int:
        """Both are to bring to their disks what was before."""
        sequence = self.next_sequence()
        self._say(lambda: self._take_barrier(sequence))
        return sequence

    def forget(self, sequence: int) -> None:
        """Both have."""
        if sequence != self.finish_at:
            self.serving.marks.forget(self._places[sequence])
            self.serving.place.count("barrier passed")
        self.serving.place.clock.now_ns += _LONG_NS
        self._say(lambda: self._forget_there(sequence))

    def drop(self, reason: str) -> None:
        """It is given up."""
        raise Parted(f"the stream to {self.node} is given up: {reason}")

    # The primary's end

    def join(self) -> None:
        """Nothing is left to copy: the join point."""
        self.complete = True
        process: Any = self

        def joined() -> None:
            self.durable = True

        base = self.serving.resync.join_point(process, joined)
        self.serving.joined_at = self.asked
        self._say(lambda: self._finish_there(base))

    def _say(self, hear: Callable[[], None]) -> None:
        self.there.append((self.serving.issued, hear))

    # The other end

    def _durable_there(self, sequence: int) -> None:
        peer: Any = self
        self.back.append((self._places[sequence], lambda: self.serving.barriers.answered(peer, sequence)))

    def touch(self, zone: int | None = None, place: int = 0) -> None:
        """The other copy is about to be changed, perhaps by what is at ``place``."""
        if not self._touched:
            self._touched = True
            self.tracking.begin()
            self.other.marks = Marks()
        if zone is not None:
            if not self.tracking.mark(operation_on(zone)):
                raise Parted("a secondary's mark waits")
            self.other.marks.mark(zone, place)

    def _finish_there(self, base: str) -> None:
        self.touch()
        self.taken = self._places[self.finish_at]
        note = self.tracking.finish(self.finish_at, base, 0)
        steps = [self.other.copy.sync, note]

        def go_on(_: None = None) -> None:
            if steps and self.open_there:
                self.other.background.run(lambda: self.open_there and steps.pop(0)(), go_on, _never)
            elif self.open_there:
                self._durable_there(self.finish_at)

        go_on()

    def close_there(self) -> None:
        """No more is taken of it."""
        self.open_there = False
        self.tracking.end()

    def _take_barrier(self, sequence: int) -> None:
        self.taken = self._places[sequence]
        try:
            self.tracking.barrier(sequence)
        except PeerProtocolError as error:
            raise Parted(str(error)) from error

    def _forget_there(self, sequence: int) -> None:
        try:
            self.tracking.forget(sequence)
        except PeerProtocolError as error:
            raise Parted(str(error)) from error
        self.other.marks.forget(self._places[sequence])
        if sequence != self.finish_at:
            self.serving.place.count("barrier forgotten there")

    @property
    def is_tracked(self) -> bool:
        """Both track in memory what the other one may lack."""
        return self.serving.keeper.tracker.mode is Mode.MEMORY is self.other.tracker.mode


def _never(error: OSError) -> None:
    raise AssertionError("a simulated disk takes everything") from error
