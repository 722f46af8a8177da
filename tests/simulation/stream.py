"""A primary's stream to one secondary, and what everyone of a simulation shares."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.checkers import Promises
from tests.simulation.clockwork import Clockwork
from tests.simulation.network import Channel, Network
from tests.simulation.volume import Content

if TYPE_CHECKING:
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


class Stream:
    """A primary's connection to one secondary."""

    __slots__ = ("back", "began", "complete", "durable", "open_here", "open_there", "primary", "secondary", "there",
                 "unacknowledged")  # fmt: skip

    def __init__(self, place: Place, primary: "Replicator", secondary: "Replicator") -> None:
        """It was welcomed."""
        self.primary, self.secondary = primary, secondary
        self.there = Channel(place.clock, place.network, primary.node, secondary.node, secondary.actor)
        self.back = Channel(place.clock, place.network, secondary.node, primary.node, primary.actor)
        self.open_here = self.open_there = True
        """At the primary's end; at the secondary's."""
        self.began = self.complete = self.durable = False
        self.unacknowledged: list[int] = []
        """When each frame that is not acknowledged was sent."""
