"""The end of a join at the secondary, brought to its disks in a thread, step by step.

The order is the contract: what was set aside is deleted, all is on the disks, that is noted, and only then the disks
vouch for something again (S8). What is noted, and what follows from its end, is not known here.
"""

import errno
import threading
from collections.abc import Callable, Sequence

from replicator.disk.identity import IdentityUnreadable, note_whole
from replicator.disk.limbo import empty_limbo, unmark_joining
from replicator.disk.volume import Volume, Watch


class Finishing:
    """Of one join."""

    def __init__(
        self, volumes: Sequence[Volume], watches: Sequence[Watch], note: Callable[[], None], epoch: int
    ) -> None:
        """``note`` is called in the thread. ``epoch`` is the primary's.

        ``watches`` are those of a join that has compared everything as it is on the disks: they are told of what was
        lost since it began, and are closed here. Without them what was lost before counts, too.
        """
        self._volumes = volumes
        self._watches = tuple(watches)
        self._note = note
        self._epoch = epoch
        self._lock = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        """When this returns nothing is changed any more."""
        with self._lock:
            self._cancelled = True

    def _step(self, change: Callable[[], None]) -> bool:
        with self._lock:
            if self._cancelled:
                return False
            change()
            return True

    def run(self) -> bool:
        """Deletes limbo, brings everything to the disks, notes it, takes the marks away; False when cancelled.

        To be called once. Raises OSError.
        """
        try:
            for volume in self._volumes:
                if not empty_limbo(volume.private_fd, self._step):
                    return False
            self._bring()
        finally:
            for watch in self._watches:
                watch.close()
        return self._step(self._note) and all(self._step(_vouching(volume, self._epoch)) for volume in self._volumes)

    def _bring(self) -> None:
        for volume in self._volumes:
            if self._watches:
                volume.losses.settle()
            else:
                volume.losses.check()
        for watch in self._watches:
            watch.check()


def _vouching(volume: Volume, epoch: int) -> Callable[[], None]:
    def vouch() -> None:
        try:
            note_whole(volume.root_fd, epoch)
        except IdentityUnreadable as error:
            raise OSError(errno.EIO, str(error)) from error  # what cannot be read vouches for nothing
        unmark_joining(volume.private_fd)

    return vouch
