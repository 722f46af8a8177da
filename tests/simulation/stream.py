"""A primary's stream to one secondary, and what everyone of a simulation shares."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from replicator.peer import PeerState
from replicator.stream_tracking import StreamTracking
from tests.simulation.checkers import Promises
from tests.simulation.clockwork import Clockwork
from tests.simulation.network import Channel, Network
from tests.simulation.restored import Restored
from tests.simulation.views import Views
from tests.simulation.volume import Content
from tests.simulation.words import Words

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.plan import Parts
    from tests.simulation.replicator import Replicator


@dataclass(slots=True)
class Fsync:
    """One fsync of the application."""

    promised: Content
    """What had been completed when it began."""
    epoch: int


@dataclass(slots=True)
class Place:
    """What everyone of one simulation shares."""

    clock: Clockwork
    network: Network
    promises: Promises
    ports: dict[tuple[str, int], "Replicator"]
    numbers: "itertools.count[int]"
    parts: "Parts"
    """What processes are made of: a variant has others."""
    whole: dict[str, int]
    """Replicator process to the memory (``Copy.memories``) with which it had everything on its disk as a secondary."""
    note: Callable[[str], None]
    """For the story of a run."""
    slow_disks: float = 0.05
    """The share of what a disk is asked for that takes it long."""
    tracks: bool = True
    """There are two nodes: each tracks what the other one may lack."""
    machines: "dict[str, Machine]" = field(default_factory=dict)
    views: Views = field(default_factory=Views)
    words: Words = field(default_factory=Words)
    restored: Restored = field(default_factory=Restored)
    on_silent: Callable[[str, str], None] = lambda one, other: None
    """A node has asked another one whether it is there, and it did not answer."""
    on_off: Callable[[str, str], None] = lambda one, other: None
    """A node has had another one turned off."""


class Stream:
    """A primary's connection to one secondary."""

    def __init__(self, place: Place, primary: "Replicator", secondary: "Replicator") -> None:
        """It was welcomed."""
        self.bases: tuple[str, ...] = ()
        """Of the secondary's copy, as it said."""
        self.tracking: StreamTracking | None = None
        """At the secondary's end."""
        self.sets_aside = False
        """The secondary's copy has diverged: what is its own is kept before anything is copied (S12)."""
        self.own: Content = {}
        """What it has kept of it so far."""
        self.compared = 0
        """Blocks, for that."""
        self.found_joining = False
        """The secondary's copy was in the middle of a join when it began."""
        self.touched = False
        """The secondary's copy has been changed by it."""
        self.finish_at = 0
        """The sequence of the join point."""
        self._sequences = itertools.count(1)
        self.primary, self.secondary = primary, secondary
        self.there = Channel(place.clock, place.network, primary.node, secondary.node, secondary.actor)
        self.back = Channel(place.clock, place.network, secondary.node, primary.node, primary.actor)
        self.open_here = self.open_there = True
        """At the primary's end; at the secondary's."""
        self.began = self.complete = self.durable = False
        self.unacknowledged: list[int] = []
        """When each frame that is not acknowledged was sent."""

    def next_sequence(self) -> int:
        """Of a frame."""
        return next(self._sequences)

    # What the primary's barriers want of a peer

    @property
    def node(self) -> str:
        """The secondary's."""
        return self.secondary.node

    @property
    def state(self) -> PeerState:
        """How far it is."""
        if not self.open_here:
            return PeerState.LOST
        return PeerState.COMPLETE if self.complete else PeerState.JOINING

    def barrier(self) -> int:
        """Both are to bring to their disks what was before."""
        sequence = self.next_sequence()
        self.there.send(lambda: self.secondary.barrier(self, sequence))
        return sequence

    def forget(self, sequence: int) -> None:
        """Both have."""
        self.there.send(lambda: self.secondary.forget(self, sequence))

    def drop(self, reason: str) -> None:
        """It is given up."""
        if self.primary.primary is not None:
            self.primary.primary.drop(self.node, reason)
