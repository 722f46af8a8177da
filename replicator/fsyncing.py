"""fsync: to this node's disk and to the disks of all complete peers at once.

It decides nothing of who is waited for (``replicator.core.syncs``). A peer whose fsync fails does not hold what it
acknowledged, so it is dropped (S2). When this node's fsync fails while a peer is listed that has the data, the agent
resigns rather than let the application know, and what was in memory here counts as lost (S8); alone, the application
gets the error.
"""

import errno
import os
from collections.abc import Callable
from typing import Protocol

from manager.model.errors import MirrorfarmError
from replicator.core.operations import Fsync
from replicator.core.syncs import Sync, Syncs
from replicator.dirty_keeper import DirtyKeeper
from replicator.disk.loss import is_broken
from replicator.disk.volume import DivergenceError
from replicator.fuse.context import Background
from replicator.order import Order
from replicator.peer import Peer, PeerState


class SyncedOrder(Order, Protocol):
    """The primary, as far as this is concerned."""

    @property
    def background(self) -> Background:
        """What may block, beside the loop."""
        ...

    @property
    def keeper(self) -> DirtyKeeper:
        """Of the list of what the peer may lack."""
        ...

    @property
    def untold_loss(self) -> str:
        """What this node's disk lost, as the process knows and the agent was not told; empty: nothing."""
        ...

    def when_applied(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` when all that has been issued until now is applied here, perhaps before this returns."""
        ...

    def disk_failed(self, reason: str, memory_lost: bool) -> None:
        """This node's disk does not have what was completed: a peer that is listed is to go on with it."""
        ...


class Fsyncing:
    """The fsyncs of one primary."""

    def __init__(self, primary: SyncedOrder, disk_lost: Callable[[str], None]) -> None:
        """``disk_lost``: tells the process what this node's disk lost, perhaps when this primary is none any more."""
        self._primary = primary
        self._disk_lost = disk_lost
        self._syncs = Syncs(primary.completions)
        self.begun = 0
        """How many were begun on this node's disk."""
        self._here: dict[int, int] = {}
        """Those that it has not answered, by their number: at which tick they were begun."""
        self._ticks = 0

    @property
    def under_way(self) -> int:
        """How many there are."""
        return self._syncs.under_way

    def issue(self, operation: Fsync, done: Callable[[int], None]) -> None:
        """See Issuer.fsync."""
        primary = self._primary
        inode = primary.volumes[operation.volume].table.get(operation.inode)
        if inode is None:
            done(-errno.ESTALE)
            return
        if inode.unlinked:
            self._start(operation, lambda result, _: done(result))
            return
        if operation.mtime_ns is not None:
            primary.keeper.tracker.timed(operation.volume, operation.inode)
        sync = self._syncs.begin(done)
        complete = [peer for peer in primary.standing if peer.state is PeerState.COMPLETE]
        try:
            for peer in complete:
                peer.sync(operation, self._answer(sync, peer))
        except (OSError, MirrorfarmError) as error:
            primary.fail(f"an inode cannot be introduced to the peer: {error}")
            return

        def here(result: int, memory_lost: bool) -> None:
            if result < 0:
                reason = f"fsync of inode {operation.inode:x} failed here: {os.strerror(-result)}"
                if memory_lost and not primary.untold_loss:
                    self._disk_lost(reason)
                else:
                    primary.disk_failed(reason, memory_lost)
            if self._syncs.done_here(sync, result):
                self._finish(sync)

        if inode.pending:
            primary.when_applied(lambda: self._start(operation, here))
        else:
            self._start(operation, here)

    def tick(self) -> int:
        """To be called every second; for how many of these this node's disk has owed an answer.

        Ticks are counted and not time: a process that stood still finds answers that it has not read yet.
        """
        self._ticks += 1
        oldest = next(iter(self._here.values()), self._ticks)
        return self._ticks - oldest

    def changed(self) -> None:
        """Who is required has changed."""
        for sync in self._syncs.changed():
            self._finish(sync)

    def _start(self, operation: Fsync, done: Callable[[int, bool], None]) -> None:
        """This node's disk; ``done`` is told the result, and whether what was in memory may be gone."""
        self.begun += 1
        number = self.begun
        try:
            file = self._primary.volumes[operation.volume].open_for_sync(operation)
        except OSError as error:
            done(-(error.errno or errno.EIO), is_broken(error))
            return
        except DivergenceError as error:
            self._primary.fail(f"the files here are not what they were: {error}")
            return

        def synced(_: None) -> None:
            del self._here[number]
            done(0, False)

        def failed(error: OSError) -> None:
            del self._here[number]
            done(-(error.errno or errno.EIO), True)

        self._here[number] = self._ticks
        self._primary.background.sync(file, operation.data_only, synced, failed)

    def _answer(self, sync: Sync, peer: Peer) -> Callable[[int], None]:
        def answered(code: int) -> None:
            if code:
                peer.drop(f"its fsync failed: {os.strerror(code)}")
            elif self._syncs.done_at(sync, peer.node):
                self._finish(sync)

        return answered

    def _finish(self, sync: Sync) -> None:
        if not self._primary.stopped:
            sync.done(sync.result or 0)
