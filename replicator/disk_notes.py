"""What this node's disks note for resyncs, from role to role: the list of what the other copy may lack, and bases.

A primary takes up the list that is there, and its copy is of no join from then on; a role that ends leaves there what
it has tracked in memory. Within a role the list is written by ``replicator.dirty_keeper``, at the end of a join what it
came through by ``replicator.stream_tracking``. Which role comes next is not known here.
"""

import contextlib
import errno
import threading
from collections.abc import Sequence
from typing import Final

from replicator.core.tracking import Mode, Tracker
from replicator.disk import base
from replicator.disk.dirty_list import DirtyList
from replicator.disk.live_names import LiveNames
from replicator.disk.volume import Volume
from replicator.peers import Note


class DiskNotes:
    """Of one module on this node. What reads or writes blocks; for any thread, one call at a time but for the bases."""

    def __init__(self, volumes: Sequence[Volume], peers: int, warn: Note) -> None:
        """Reads nothing yet. ``peers``: of how many other nodes the module is; ``warn`` is the log's."""
        self.tracks: Final = peers == 1
        """Whether anything is tracked: where there are several, each is brought in sync by a full compare."""
        self.list: Final = DirtyList(volumes[0].private_fd)
        self._volumes = volumes
        self._private = tuple(volume.private_fd for volume in volumes)
        self._live_names = LiveNames(volumes)
        self._warn = warn
        self._lock = threading.Lock()
        """A base that is about to be noted is not noted after it was cleared since memory was lost."""

    def new_tracker(self) -> Tracker:
        """One that knows nothing of the other copy."""
        return Tracker(self._live_names)

    def go_alone(self, *, with_list: bool = True) -> Tracker:
        """For a new primary: what the other copy may lack, by the list that is there, or else everything.

        Without ``with_list`` the list is of no use, whatever it says. When this returns this copy is of no join, on the
        disks. Raises OSError.
        """
        self._void_others()
        tracker = self.new_tracker()
        if not (with_list and self._take_up(tracker)):
            self.list.void()
        self.clear_base()
        return tracker

    def _void_others(self) -> None:
        """No list is left where one was kept when the directories had another order, and nothing added to it since."""
        for volume in self._volumes[1:]:
            DirtyList(volume.private_fd).void()

    def _take_up(self, tracker: Tracker) -> bool:
        """Whether a list was there that can be believed."""
        if not self.tracks or self._is_memory_lost:
            return False
        known = self.list.load()
        if known is None:
            if self.list.damage:
                self._warn("dirty.damaged", detail=self.list.damage)
            return False
        if not known[1].volumes <= frozenset(range(len(self._volumes))):
            return False
        tracker.take_up(*known)
        return True

    def keep(self, tracker: Tracker) -> None:
        """A role ends: what the other copy may lack is on the disk when this returns, for whatever this node is next.

        A list that cannot be put there is none, and is not missed but for the time of a full compare. If what there is
        of it cannot be taken away either it is whole, and true, or damaged.
        """
        if tracker.mode is not Mode.MEMORY or not self.tracks:
            return
        records = tracker.to_disk()
        try:
            self.list.create(tracker.base, records or [])
        except OSError as error:
            self._warn("dirty.not_kept", error=str(error))
            with contextlib.suppress(OSError):  # The disk is broken, which its next use will tell.
                self.list.void()
        tracker.void()

    @property
    def _is_memory_lost(self) -> bool:
        """Whether something of this copy is in memory, and never came to the disks."""
        return any(volume.memory_lost for volume in self._volumes)

    def read_bases(self) -> tuple[str, ...]:
        """Those of the last joins that the disks came through, the last one first. Raises OSError.

        None where memory was lost, and none from then on: after a start of the node nothing shows it any more.
        """
        self._void_others()
        if self._is_memory_lost:
            self.clear_base()
        with self._lock:
            return base.read_bases(self._private)

    def write_base(self, made: str) -> None:
        """The primary's copy is that of a join point; of none before, since it served without the other. OSError."""
        with self._lock:
            self._check_memory()
            base.write_base(self._private, made, "")

    def advance_base(self, made: str) -> None:
        """The primary's copy came through a barrier past the join point, if it is of one. Raises OSError."""
        with self._lock:
            self._check_memory()
            base.advance_base(self._private, made)

    def _check_memory(self) -> None:
        if self._is_memory_lost:
            raise OSError(errno.EIO, "what is in memory is not known to be on the disks")

    def clear_base(self) -> None:
        """This copy is of no join, on the disks. Raises OSError."""
        with self._lock:
            base.clear_base(self._private)
