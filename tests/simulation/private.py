"""What a simulated process keeps on its disk beside the data: the list of what the other node may lack, and the bases.

As ``replicator.disk.dirty_list`` and ``replicator.disk.base``, with the shipped records. What is there is durable. The
threads that write it take their time; what they are at when their process dies is done, or not.
"""

import contextlib
import errno
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from manager.model.ids import ROOT_INODE
from replicator.core.dirty import ZONE_BYTES, Dirty, zone_of
from replicator.core.dirty_codec import absorb
from replicator.core.operations import Write as WriteOperation
from replicator.stream_tracking import StreamTracking
from tests.simulation.volume import BLOCKS, Copy, advance_base

if TYPE_CHECKING:
    from tests.simulation.replicator import Replicator

ZONES = 2
"""Of each file: a block is one of its zones."""
_FIRST_INODE = 100
_SLOW_MS = 400
"""The longest that a disk takes for what takes it long."""


def operation_on(block: int) -> WriteOperation:
    """A write to ``block``, as the tracker knows it."""
    inode, zone = divmod(block, ZONES)
    return WriteOperation(0, _FIRST_INODE + inode, zone * ZONE_BYTES, b"x")


def blocks_in(dirty: Dirty) -> list[int]:
    """The blocks that it names."""
    found = []
    for block in range(BLOCKS):
        write = operation_on(block)
        zone = zone_of(write.offset)
        if dirty.is_new(write.inode) or dirty.has_zones((0, write.inode), zone, zone):
            found.append(block)
    return found


class Files:
    """The names of the files: they never change (``replicator.core.marking.Where``)."""

    def place_of(self, volume: int, inode: int, without: tuple[int, bytes] | None = None) -> tuple[int, bytes] | None:
        """See Where."""
        place = (ROOT_INODE, b"%d" % inode)
        return None if place == without else place

    def has_other_names(self, volume: int, inode: int) -> bool:
        """See Where."""
        return False

    def links_from(self, volume: int, inode: int) -> list[int]:
        """See Where."""
        return [ROOT_INODE]


class DirtyFile:
    """The file of the list: as ``replicator.disk.dirty_list.DirtyList``."""

    damage = ""

    def __init__(self, copy: Copy) -> None:
        """On the disk of ``copy``."""
        self._copy = copy

    def create(self, base: str, records: Iterable[bytes]) -> None:
        """In the place of the one that is there."""
        self._need_space()
        self._copy.dirty = (base, list(records))

    def append(self, records: Iterable[bytes]) -> None:
        """Behind those that are there."""
        self._need_space()
        if self._copy.dirty is None:
            raise AssertionError("marks are appended to a list that is not there")
        base, before = self._copy.dirty
        self._copy.dirty = (base, [*before, *records])

    def void(self) -> None:
        """There is none."""
        self._copy.dirty = None

    def load(self) -> tuple[str, Dirty] | None:
        """What is there."""
        if self._copy.dirty is None:
            return None
        base, records = self._copy.dirty
        dirty = Dirty()
        for record in records:
            absorb(dirty, record)
        return base, dirty

    def _need_space(self) -> None:
        if self._copy.full:
            raise OSError(errno.ENOSPC, "No space left on device")


class Follower(StreamTracking):
    """What a stream makes of a secondary's list; its notes are on a simulated disk."""

    def __init__(self, process: "Replicator", on_durable: Callable[[int], None]) -> None:
        self._copy = process.copy
        file = process.place.parts.file(process.copy)
        super().__init__(process.tracker, file, (), process.background, on_durable, _never)

    def _note(self, base: str) -> None:
        self._store.void()
        self.noted = (base, *self._copy.bases[:1])
        self._copy.bases = self.noted

    def _sync(self) -> None:
        self._copy.sync()

    def _note_barrier(self, base: str) -> None:
        self.noted = advance_base(self._copy, base)


def _never(error: OSError) -> None:
    raise AssertionError("a simulated sync does not fail") from error


class Threads:
    """Of one process, beside its loop: one piece of work after the other, or several at once, as it is asked."""

    def __init__(self, process: "Replicator") -> None:
        """None is at work."""
        self._process = process
        self._at_work: list[tuple[Callable[[], Any], Callable[[], None]]] = []
        process.threads.append(self)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._at_work)

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[OSError], None]) -> None:
        """See ``replicator.copy_ports.Background``."""

        def end() -> None:
            if entry not in self._at_work:
                return  # The process died, or could not wait.
            self._at_work.remove(entry)
            try:
                result = work()
            except OSError as error:
                failed(error)
            else:
                done(result)

        entry = (work, end)
        self._at_work.append(entry)
        clock = self._process.place.clock
        most_ms = _SLOW_MS if clock.chance(self._process.place.slow_disks) else 15
        clock.after(clock.between(0.5, most_ms), end, self._process.actor)

    def finish(self) -> None:
        """The process ends in order: all of it is done, and what follows from it."""
        while self._at_work:
            self._at_work[0][1]()

    def die(self) -> None:
        """What is under way is done, or is not; nothing follows."""
        at_work, self._at_work = self._at_work, []
        for work, _ in at_work:
            if self._process.place.clock.chance(0.5):
                with contextlib.suppress(OSError):
                    work()
