"""What one stream makes of the secondary's list of what the primary may lack: marks, the join point, barriers.

The list is void while this copy joins. It begins at the join point, and is of use once both nodes have everything up to
there on their disks, which the primary says by FORGET: then the list stays when the stream is lost, for a primary that
this node may become. Each barrier that is on the disks is noted there, by its base. What is marked, and when it is
forgotten, is the tracker's (``replicator.core.tracking``).
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from manager.model.errors import PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.copy_ports import Background
from replicator.core.tracking import Tracker
from replicator.disk.base import advance_base, read_bases, write_base
from replicator.disk.volume import Volume, Watch, one_on_each_disk
from replicator.serial import Serial


class Store(Protocol):
    """The list that this node may have on its disk, from when it was a primary."""

    def void(self) -> None:
        """No list is on the disk when this returns. Raises OSError."""
        ...


class StreamTracking:
    """Of one stream. All methods are for the loop, but what :meth:`finish` returns."""

    def __init__(
        self,
        tracker: Tracker,
        store: Store,
        volumes: Sequence[Volume],
        background: Background,
        on_durable: Callable[[int], None],
        on_failed: Callable[[OSError], None],
    ) -> None:
        """``on_durable`` gets the BARRIER up to which all is on the disks, ``on_failed`` why it is not."""
        self.noted: tuple[str, ...] | None = None
        """The bases that the disks note from this stream's join point on; ``None``: those that they had."""
        self.mark: Final = tracker.mark
        """To be called before an operation is applied."""
        self._tracker = tracker
        self._store = store
        self._volumes = volumes
        self._serial = Serial(background)
        """The primary expects the answers in the order of the barriers."""
        self._on_durable = on_durable
        self._on_failed = on_failed
        self._begun = False
        self._finish = 0
        """The sequence of the FINISH."""
        self._is_good = False
        """Both disks have everything up to it."""
        self._barriers = deque[int]()
        """The sequences of those that are not forgotten."""
        self._reached = 0
        """The last one that was answered."""
        self._watches: list[Watch] = []
        self._syncs = 0
        """Under way."""
        self._lock = threading.Lock()
        """What is noted in a thread is noted before :meth:`end` returns, or not at all."""
        self._ended = False

    def begin(self) -> None:
        """The stream is about to change something here: what the primary may lack is not known any more."""
        self._begun = True
        self._void()

    def _void(self) -> None:
        self._tracker.abandon()
        self._tracker.void()

    def finish(self, sequence: int, base: str, highest: int) -> Callable[[], None]:
        """The join point: the list begins here, relative to ``base``; inodes up to the id ``highest`` were listed.

        Returns what notes it on the disks, to be called in any thread once everything up to here is on them, and before
        they vouch for something again; it may raise OSError. Raises PeerProtocolError, OSError.
        """
        if self._finish:
            raise PeerProtocolError("a second join point")
        for volume in one_on_each_disk(self._volumes):
            self._watches.append(volume.watch())
        self._finish = sequence
        if highest:  # what is created from here on is told by its higher id from what the join has made
            self._tracker.adopted(0, highest, ROOT_INODE, b"")
        self._tracker.finish(base)
        return partial(self._note, base)

    def _note(self, base: str) -> None:
        """The list on the disk first: it is of another copy than the one that has this base."""
        self._store.void()
        private = [volume.private_fd for volume in self._volumes]
        former = read_bases(private)[:1]
        self.noted = ()
        write_base(private, base, *(former or ("",)))
        self.noted = (base, *former)

    def barrier(self, sequence: int) -> None:
        """What was marked up to here may be forgotten once it is on both disks. Raises PeerProtocolError."""
        if not self._is_good:
            raise PeerProtocolError("a barrier before the join point is on both disks")
        base = self._tracker.close_generation(sequence)
        self._barriers.append(sequence)
        self._syncs += 1
        self._serial.run(partial(self._bring, base), partial(self._synced, sequence), self._not_synced)

    def _bring(self, base: str) -> None:
        """In a thread: all is brought to the disks, and that is noted there."""
        try:
            self._sync()
        except OSError:
            self.noted = ()  # A disk tells once of what it lost, and the next barrier may wait already.
            raise
        with self._lock:
            if not self._ended:
                self._note_barrier(base)

    def _sync(self) -> None:
        for watch in self._watches:
            watch.check()

    def _note_barrier(self, base: str) -> None:
        former, self.noted = self.noted, ()
        if former:
            self.noted = advance_base([volume.private_fd for volume in self._volumes], base)

    def _synced(self, sequence: int, _: None) -> None:
        self._answered()
        if not self._ended:
            self._reached = sequence
            self._on_durable(sequence)

    def _not_synced(self, error: OSError) -> None:
        self._answered()
        if not self._ended:
            self._on_failed(error)

    def forget(self, sequence: int) -> None:
        """Both nodes have everything up to that FINISH or BARRIER on their disks. Raises PeerProtocolError."""
        if sequence == self._finish and self.noted and not self._is_good:
            self._is_good = True
            self._tracker.finished()
            self._tracker.to_memory()
        elif sequence in self._barriers and sequence <= self._reached:
            while self._barriers and self._barriers[0] <= sequence:  # the primary may have let one be
                self._barriers.popleft()
                self._tracker.forget_closed()
        else:
            raise PeerProtocolError(f"forgets up to frame {sequence}, which is not said to be on the disks here")

    def end(self) -> None:
        """The stream is over, and nothing is noted any more."""
        if self._ended:
            return
        with self._lock:
            self._ended = True
        if self._begun and not self._is_good:
            self._void()
        if not self._syncs:
            self._close()

    def _answered(self) -> None:
        self._syncs -= 1
        if self._ended and not self._syncs:
            self._close()

    def _close(self) -> None:
        for watch in self._watches:
            watch.close()
        self._watches = []
