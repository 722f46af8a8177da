"""The tracker of what a peer lacks, and its file, as a primary has them: for worlds without a primary."""

from functools import partial

from replicator.core.dirty import Dirty
from replicator.core.dirty_codec import absorb
from replicator.core.operations import Operation
from replicator.core.tracking import Mode, Tracker
from replicator.disk.live_names import LiveNames
from replicator.disk.volume import Volume

_BASE = "0123456789abcdef"


class Tracking:
    """Of one peer."""

    def __init__(self, volume: Volume) -> None:
        """Nothing is known of it at first."""
        self.file: list[bytes] = []
        self.tracker = Tracker(LiveNames([volume]))
        volume.on_adopted = partial(self.tracker.adopted, 0)

    def begun_anew(self, volume: Volume) -> "Tracking":
        """What another process makes of the file."""
        other = Tracking(volume)
        if self.tracker.mode is Mode.DISK:
            dirty = Dirty()
            for record in self.file:
                absorb(dirty, record)
            other.file = self.file
            other.tracker.take_up(_BASE, dirty)
        return other

    def missing(self) -> Dirty:
        assert self.tracker.mode is not Mode.MEMORY
        return self.tracker.missing()

    def mark(self, operation: Operation) -> None:
        """It is shipped next."""
        while not self.tracker.mark(operation):
            self.file += self.tracker.pending()
            self.tracker.written()

    def join_point(self) -> None:
        self.tracker.finish(_BASE)

    def durable(self) -> None:
        """Both disks have everything up to the join point, and the record lists the peer."""
        self.tracker.finished()
        self.file.clear()
        self.tracker.to_memory()

    def lost(self) -> None:
        if self.tracker.mode is Mode.MEMORY:
            self.file += self.tracker.to_disk() or []
            self.tracker.opened()
        else:
            self.tracker.abandon()
