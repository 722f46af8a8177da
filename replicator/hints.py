"""Keeps true where a join finds what it still has to look at, while the application moves and removes things.

An inode whose turn is to come is found by a place, or held where its place is of no use any more. What is still to
come, and where it was, is ``replicator.lacking``'s; whether an operation may pass is not decided here.
"""

from collections.abc import Callable, Sequence

from replicator.core.filesystem import RENAME_EXCHANGE
from replicator.core.operations import Create, Operation, Rename, Rmdir, Unlink
from replicator.disk.listing import Surveyed
from replicator.disk.volume import Inode, Volume
from replicator.lacking import Lacking


class Hints:
    """Of one join."""

    def __init__(self, volumes: Sequence[Volume], lacking: Lacking, release: Callable[[int, Inode], None]) -> None:
        """``release`` ends a hold."""
        self._volumes = volumes
        self._lacking = lacking
        self._release = release
        self._kept: list[tuple[int, Inode]] = []
        """Held: inodes whose turn is to come, and that have lost the name by which they are found."""

    def passes(self, operation: Operation) -> None:
        """It is shipped next, and what it needs is listed. Raises OSError and DivergenceError."""
        if isinstance(operation, Create):
            self._lacking.listed((operation.volume, operation.inode))  # a new directory is empty on both sides
        elif isinstance(operation, Unlink | Rmdir):
            self._loses_name(operation.volume, operation.inode)
        elif isinstance(operation, Rename):
            self._moves(operation.volume, operation.inode, operation.new_parent, operation.new_name)
            if operation.replaced and operation.flags & RENAME_EXCHANGE:
                self._moves(operation.volume, operation.replaced, operation.parent, operation.name)
            elif operation.replaced:
                self._loses_name(operation.volume, operation.replaced)

    def listed(self, volume: Volume, directory: Inode, surveyed: Surveyed) -> None:
        """The directory is so at this moment. Raises OSError and DivergenceError."""
        lacking, index = self._lacking, volume.index
        found = [(entry.attributes.inode, entry.name) for entry in surveyed.entries]
        followed = [(inode, name) for inode, name in found if lacking.follows((index, inode))]
        for inode, name in followed:
            lacking.seen((index, inode), (directory.id, name))
        if followed:
            for bind in volume.ancestry(directory):
                lacking.seen((index, bind.inode), (bind.parent, bind.name))

    def close(self) -> None:
        """Nothing is looked for any more: what is held is released."""
        kept, self._kept = self._kept, []
        for volume, inode in kept:
            self._release(volume, inode)

    def _moves(self, index: int, number: int, parent: int, name: bytes) -> None:
        """An inode is found by another place from here on. While that is under way it is live, and found so."""
        volume, lacking = self._volumes[index], self._lacking
        if volume.table[number].is_directory or lacking.follows((index, number)):
            lacking.seen((index, number), (parent, name))
            for bind in volume.ancestry(volume.table[parent]):
                lacking.leads((index, bind.inode), (bind.parent, bind.name))

    def _loses_name(self, index: int, number: int) -> None:
        """An inode whose turn is to come may not be found any more by its place."""
        if not self._lacking.awaits((index, number)):
            return
        volume = self._volumes[index]
        inode = volume.table[number]
        if inode.is_directory or volume.status(inode).st_nlink == 1:
            self._lacking.forget((index, number))
        else:
            volume.hold(inode)
            self._kept.append((index, inode))
