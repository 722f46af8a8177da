"""Barriers: places in the stream up to which both disks are known to have everything.

A join point is one, and every few seconds while something changes another is made: the peer is told of it in the
stream's order, both bring all before it to their disks and note its base there (``replicator.core.bases``), and once
both have, what was marked before it is forgotten on both sides (``replicator.core.tracking``). Until then the peer, or
this node, may come back without it.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from replicator.copy_ports import Background
from replicator.core.tracking import Mode, Tracker
from replicator.disk.volume import Volume, one_on_each_disk
from replicator.peer import Peer, PeerState
from replicator.peers import Note

EVERY_S: Final = 10.0
"""As often as the disks are looked at for failed writebacks (``replicator.writeback``), at most."""
SHARE: Final = 20
"""A barrier comes at the earliest so many times later as the one before took."""


class BarrierOrder(Protocol):
    """The primary, as far as this is concerned."""

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """The replicated directories, by their index."""
        ...

    @property
    def standing(self) -> tuple[Peer, ...]:
        """The peers that are sent the operations."""
        ...

    @property
    def changes(self) -> int:
        """Differs when something was changed here, or synced."""
        ...

    @property
    def repairing(self) -> bool:
        """Whether a peer has something that failed here, and is not repaired yet."""
        ...

    def when_applied(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` when all that has been issued until now is applied here, perhaps before this returns."""
        ...


@dataclass(eq=False, slots=True)
class _Barrier:
    """One under way."""

    peer: Peer
    sequence: int
    base: str
    """Of copies that came through it; empty: it is the join point, whose base its FINISH has said."""
    passed: Callable[[], None]
    """Both disks have everything up to it."""
    began: float
    here: bool = False
    there: bool = False


class Barriers:
    """Of one primary and its peer. All methods are for the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        primary: BarrierOrder,
        tracker: Tracker,
        background: Background,
        note_base: Callable[[str, Callable[[], None]], None],
        note: Note,
        on_lost: Callable[[str], None],
    ) -> None:
        """``note_base`` puts the base of a barrier on this node's disks, then calls what it is given.

        ``on_lost`` is told of what is not on them, at once, and also when the role has ended meanwhile: the disk has
        told it here, and would tell it nobody else.
        """
        self._loop = loop
        self._primary = primary
        self._tracker = tracker
        self._background = background
        self._note_base = note_base
        self._note = note
        self._on_lost = on_lost
        self._under_way: dict[Peer, _Barrier] = {}
        self._next = 0.0
        self._closed = 0
        """Generations of marks that are not forgotten."""
        self._changes = -1
        """Up to which everything was before a barrier."""
        self.count = 0
        """How many were passed."""
        self._failed = False
        """This node's disks do not have what was before one. No barrier is made from then on, nor passed.

        A disk tells once of what it lost, and would be taken for one that has it by the next.
        """

    def join(self, peer: Peer, sequence: int, joined: Callable[[], None]) -> None:
        """The FINISH with that ``sequence`` was sent at a quiet moment: ``joined`` is called when both disks have all.

        Its base is noted by ``joined``. A failure on this node's ends the stream.
        """
        barrier = self._under_way[peer] = _Barrier(peer, sequence, "", joined, self._loop.time())
        self._sync_here(barrier)

    def tick(self) -> None:
        """To be called every second: makes a barrier where one is due."""
        now = self._loop.time()
        if self._failed or self._under_way or now < self._next or self._tracker.mode is not Mode.MEMORY:
            return
        complete = [peer for peer in self._primary.standing if peer.state is PeerState.COMPLETE]
        if len(complete) != 1 or self._changes == self._primary.changes or self._primary.repairing:
            return
        self._changes = self._primary.changes
        (peer,) = complete
        sequence = peer.barrier()
        base = self._tracker.close_generation(sequence)
        self._closed += 1
        barrier = self._under_way[peer] = _Barrier(peer, sequence, base, self._forget, now)
        self._primary.when_applied(lambda: self._sync_here(barrier))

    def answered(self, peer: Peer, sequence: int) -> None:
        """The peer's disks have everything up to that FINISH or BARRIER."""
        barrier = self._under_way.get(peer)
        if barrier is not None and barrier.sequence == sequence:
            barrier.there = True
            self._look(barrier)

    def lost(self, peer: Peer) -> None:
        """Its stream is gone."""
        self._under_way.pop(peer, None)
        self._closed = 0

    def disk_lost(self) -> None:
        """This node's disks have lost something, which another one than a barrier was told of.

        A join point may pass: what the peer has is what could be read here, and it is to go on with that.
        """
        self._failed = True
        for barrier in [one for one in self._under_way.values() if one.base]:
            del self._under_way[barrier.peer]

    def _forget(self) -> None:
        """Those of earlier barriers, which did not come to their end, too."""
        for _ in range(self._closed):
            self._tracker.forget_closed()
        self._closed = 0

    def _sync_here(self, barrier: _Barrier) -> None:
        if barrier is not self._under_way.get(barrier.peer):
            return
        if self._primary.repairing:
            # What failed here is on the peer, and comes off it after the barrier: the next one will do.
            del self._under_way[barrier.peer]
            return

        def synced(_: None) -> None:
            barrier.here = True
            self._look(barrier)

        def failed(error: OSError) -> None:
            self._failed = True
            self._note("barrier.failed", error=str(error))
            if barrier is self._under_way.get(barrier.peer):
                del self._under_way[barrier.peer]
                if barrier.peer.state is PeerState.COMPLETE and not barrier.peer.durable:
                    barrier.peer.drop(f"the join point is not on this node's own disk: {error}")
            self._on_lost(f"what was written is not on this node's disk: {os.strerror(error.errno or errno.EIO)}")

        self._background.run(_syncing(self._primary.volumes), synced, failed)

    def _look(self, barrier: _Barrier) -> None:
        if barrier is not self._under_way.get(barrier.peer) or not (barrier.here and barrier.there):
            return
        if barrier.base:
            self._note_base(barrier.base, lambda: self._end(barrier))
        else:
            self._end(barrier)

    def _end(self, barrier: _Barrier) -> None:
        if barrier is not self._under_way.get(barrier.peer):
            return
        del self._under_way[barrier.peer]
        self.count += 1
        now = self._loop.time()
        self._next = now + max(EVERY_S, SHARE * (now - barrier.began))
        barrier.peer.forget(barrier.sequence)
        barrier.passed()


def _syncing(volumes: Sequence[Volume]) -> Callable[[], None]:
    def work() -> None:
        for volume in one_on_each_disk(volumes):
            volume.syncfs()

    return work
