"""What the other node may lack, from operation to operation (DESIGN: resync in proportion to what changed). Pure."""

import enum
from typing import Protocol

from replicator.core.dirty import BOUNDS, Bounds, Dirty
from replicator.core.operations import Operation


class Mode(enum.Enum):
    """Where the list is."""

    VOID = "void"
    """Nowhere: the other node needs a full compare."""
    DISK = "disk"
    """In the file: nothing is shipped or applied whose mark is not durable there."""
    MEMORY = "memory"
    """In memory, in generations: both nodes are there."""


class Where(Protocol):
    """Of live inodes. What is issued and not yet applied here may not show."""

    def place_of(self, volume: int, inode: int, without: tuple[int, bytes] | None = None) -> tuple[int, bytes] | None:
        """(id of the directory, name) of a known name, other than ``without``; None: no such name is known."""
        ...

    def has_other_names(self, volume: int, inode: int) -> bool:
        """Whether an inode that is no directory has several names, known or not (nlink > 1); False for directories."""
        ...

    def links_from(self, volume: int, inode: int) -> list[int]:
        """The ids of the directories of its known names."""
        ...


class Tracker:
    """Of one node, about the other one. For the loop."""

    def __init__(self, where: Where, bounds: Bounds = BOUNDS) -> None:
        self.mode = Mode.VOID
        self.base = ""
        """What the list is relative to; empty in VOID."""
        self._where = where
        self._bounds = bounds

    # Operations

    def mark(self, operation: Operation) -> bool:
        """``operation`` is about to be shipped, or applied here where it came by a stream.

        True: it has its marks, and must be shipped or applied now, before any that is marked after it. False (in
        DISK): not before what :meth:`pending` gives is durable; then it has to be marked again. All operations are
        to be marked, in every mode, BIND and FSYNC and what goes to the peer alone (copies, repairs) too.
        """
        raise NotImplementedError

    def foresee(self, operation: Operation) -> None:
        """``operation`` waits behind one that was answered False: its marks can go to the disk with that one's.

        It has to be marked all the same when its turn comes.
        """
        raise NotImplementedError

    def timed(self, volume: int, inode: int) -> None:
        """An FSYNC that was shipped, and was not itself marked, carried the inode's mtime."""
        raise NotImplementedError

    def adopted(self, volume: int, inode: int, parent: int, name: bytes) -> None:
        """An inode that was there got a new id by a look-up."""
        raise NotImplementedError

    # The list on disk

    def pending(self) -> list[bytes]:
        """Records to be appended to the file now; [] when there are none, or a batch is under way."""
        raise NotImplementedError

    def written(self) -> None:
        """What the last :meth:`pending` gave is durable."""
        raise NotImplementedError

    def to_disk(self) -> list[bytes] | None:
        """MEMORY to DISK: all records of a new file. None in VOID: nothing is to be written."""
        raise NotImplementedError

    def opened(self) -> None:
        """The new file is durable."""
        raise NotImplementedError

    def take_up(self, base: str, dirty: Dirty) -> None:
        """VOID to DISK: a file that was there, whole."""
        raise NotImplementedError

    # Joins

    def finish(self, base: str) -> None:
        """The join point: what is marked from here on counts for ``base`` too."""
        raise NotImplementedError

    def finished(self) -> None:
        """Both disks have everything up to the join point."""
        raise NotImplementedError

    def abandon(self) -> None:
        """The join's stream was lost before :meth:`to_memory`: as if there had been no join point. Else nothing."""
        raise NotImplementedError

    def to_memory(self) -> None:
        """Both are in the record, the file is durably void: to MEMORY, with what was marked since the join point."""
        raise NotImplementedError

    # Barriers

    def close_generation(self) -> None:
        """A barrier is issued, or taken from the stream: in MEMORY."""
        raise NotImplementedError

    def forget_closed(self) -> None:
        """Both disks have everything up to the oldest barrier that was not forgotten."""
        raise NotImplementedError

    # The whole

    def missing(self) -> Dirty:
        """All that the other node may lack, for the caller to keep."""
        raise NotImplementedError

    def void(self) -> None:
        """To VOID: the list is of no use any more."""
        raise NotImplementedError
