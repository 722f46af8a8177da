"""For ``acknowledge = "disk"``: when what was applied is on this node's disk, in groups.

One group at a time is brought to the disk in a thread; what is applied meanwhile is the next. Data goes by fdatasync
of its file, names and attributes by syncfs of their file system. It knows nothing of the stream but its sequences.
"""

from collections.abc import Callable, Sequence
from typing import Final

from replicator.background import Background
from replicator.core.operations import Fsync, Kind, Operation
from replicator.disk.volume import DivergenceError, Volume

_DATA: Final = frozenset({Kind.WRITE, Kind.FALLOCATE})
_NOTHING: Final = frozenset({Kind.BIND, Kind.UNBIND, Kind.FSYNC})
_MOST_FILES: Final = 16
"""More files of one directory than this in a group: one syncfs is cheaper."""


class DiskGroups:
    """Tells up to which sequence everything is on the disk. All methods are for the loop."""

    def __init__(
        self,
        background: Background,
        volumes: Sequence[Volume],
        on_durable: Callable[[int], None],
        on_failed: Callable[[OSError], None],
    ) -> None:
        """``on_durable`` gets growing sequences, perhaps from within :meth:`reached`."""
        self._background = background
        self._volumes = volumes
        self._on_durable = on_durable
        self._on_failed = on_failed
        self._files: dict[int, set[int]] = {}
        """Of each directory the inodes whose data has changed."""
        self._whole: set[int] = set()
        """Directories whose whole file system is to be synced."""
        self._reached = 0
        self._busy = self._closed = False

    def touched(self, operation: Operation) -> None:
        """``operation`` was applied."""
        kind = operation.kind
        if kind in _DATA:
            self._files.setdefault(operation.volume, set()).add(operation.inode)
        elif kind not in _NOTHING:
            self._whole.add(operation.volume)

    def reached(self, sequence: int) -> None:
        """Everything up to ``sequence`` is applied: have it on the disk, and say so."""
        self._reached = sequence
        if not self._busy:
            self._start()

    def close(self) -> None:
        """Says nothing more."""
        self._closed = True

    def _start(self) -> None:
        sequence = self._reached
        if not self._files and not self._whole:
            self._on_durable(sequence)
            return
        work = [sync for index in self._files.keys() | self._whole for sync in self._syncs(index)]
        self._files, self._whole = {}, set()
        self._busy = True

        def run() -> None:
            for sync in work:
                sync()

        self._background.run(run, lambda _: self._done(sequence), self._failed)

    def _syncs(self, index: int) -> list[Callable[[], None]]:
        volume = self._volumes[index]
        files = self._files.get(index, set())
        if index in self._whole or len(files) > _MOST_FILES:
            return [volume.syncfs]
        if any(volume.table.get(inode) is None for inode in files):
            return [volume.syncfs]  # it was unbound since: there is nothing to open it by
        syncs: list[Callable[[], None]] = []
        try:
            for inode in files:
                syncs.append(volume.prepare_fsync(Fsync(index, inode, True)))
        except (OSError, DivergenceError):
            syncs.append(volume.syncfs)  # whatever keeps it from being opened, this reaches it
        return syncs

    def _done(self, sequence: int) -> None:
        self._busy = False
        if self._closed:
            return
        self._on_durable(sequence)
        if self._reached > sequence and not self._busy and not self._closed:
            self._start()

    def _failed(self, error: OSError) -> None:
        self._busy = False
        if not self._closed:
            self._on_failed(error)
