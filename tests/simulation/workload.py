"""The application that writes, syncs and reads wherever it runs, and a client that reads by the virtual address."""

import random
from typing import TYPE_CHECKING

from tests.simulation.clockwork import Clockwork
from tests.simulation.machine import Machine
from tests.simulation.volume import BLOCKS

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

_MOST_UNDER_WAY = 4
"""An application waits for what it has asked for: a few at a time."""
_MOVES_ON, _ELSEWHERE = 0.02, 0.02


class Workload:
    """Goes on from the start to the end of a run."""

    def __init__(self, cluster: "Cluster", seed: int) -> None:
        """Chance of its own: what else happens does not change what is written."""
        self._cluster, self._clock = cluster, cluster.clock
        self._random = random.Random(f"workload {seed}")
        self.writes = True
        self._few: list[int] = [0]
        self.only_writes = False
        """Where pauses are measured: between two writes there may be many a read and sync."""
        self._turn()

    def _turn(self) -> None:
        if self.writes:
            for node in self._cluster.nodes.values():
                if node.application_runs:
                    self._work(node)
            if self._random.random() < 0.3:
                self._ask_address()
        self._clock.after(self._pause_ns(self._clock), self._turn)

    def _pause_ns(self, clock: Clockwork) -> int:
        return round((100 if clock.steady else self._random.uniform(15, 185)) * 1e6)

    def _work(self, node: Machine) -> None:
        promises, chance = self._cluster.promises, 1.0 if self.only_writes else self._random.random()
        if chance < 0.2:
            # A frozen or unguarded node's own reads are not promised.
            found = node.read()
            if found is not None and self._cluster.clocks_are_right and not self._cluster.is_excused(node):
                promises.read(node.name, "by the application", found, promises.completed)
            return
        replicator = node.replicator
        primary = None if replicator is None or not replicator.serves else replicator.primary
        if primary is None or primary.completions.gated:
            return
        if primary.completions.issued - primary.completions.released >= _MOST_UNDER_WAY:
            return
        if chance < 0.32:
            primary.fsync()
        else:
            primary.write(self._block())

    def _block(self) -> int:
        """A few blocks for a while, seldom another one: else a list would soon name them all."""
        if self._random.random() < _MOVES_ON:
            self._few = self._random.sample(range(BLOCKS), self._random.randrange(1, 4))
        return self._random.randrange(BLOCKS) if self._random.random() < _ELSEWHERE else self._random.choice(self._few)

    def _ask_address(self) -> None:
        cluster = self._cluster
        if not cluster.clocks_are_right:
            return
        for node in cluster.nodes.values():
            found = node.read() if node.answers(cluster.network.reaches) else None
            if found is not None:
                cluster.promises.read(node.name, "by a client", found, cluster.promises.completed)
