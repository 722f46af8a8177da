"""Which directories must be listed before a joining peer can be told of an inode, or of an operation.

An inode is introduced by the names that lead to it: so the directories of these names have to be listed there. An
operation on names needs the directory itself. When something is listed is not decided here.
"""

from collections.abc import Sequence

from replicator.core.operations import Create, Link, Operation, Rename, Rmdir, Unlink
from replicator.disk.volume import Inode, Volume
from replicator.lacking import Lacking


class Reach:
    """Of one join. Every method raises OSError and DivergenceError."""

    def __init__(self, volumes: Sequence[Volume], lacking: Lacking) -> None:
        self._volumes = volumes
        self._lacking = lacking

    def needed(self, operation: Operation) -> list[Inode]:
        """Directories to be listed before ``operation`` is shipped: the first one now, then it is asked again."""
        volume = self._volumes[operation.volume]
        needed: dict[Inode, None] = {}
        for inode, itself in self._named(volume, operation):
            needed |= dict.fromkeys(self.unlisted(volume, inode, itself))
        return list(needed)

    def unlisted(self, volume: Volume, inode: Inode, itself: bool = False) -> list[Inode]:
        """The directories by which the inode is introduced, and ``itself`` if asked, that are not listed yet.

        Parents first. To list one brings in doubt whether the peer has those below it: so it is asked again then.
        """
        if inode.unlinked:
            return []  # removed by an operation that was shipped: the peer knows it
        chain = [bind.parent for bind in volume.ancestry(inode)]
        if itself:
            chain.append(inode.id)
        return [volume.table[at] for at in chain if not self._lacking.is_listed((volume.index, at))]

    def _named(self, volume: Volume, operation: Operation) -> list[tuple[Inode, bool]]:
        """The inodes that an operation names, and whether a directory among them has to be listed itself."""
        table = volume.table
        if isinstance(operation, Create):
            return [(table[operation.parent], True)]
        named = [(table[operation.inode], isinstance(operation, Rmdir))]
        if isinstance(operation, Unlink | Rmdir | Link | Rename):
            named.append((table[operation.parent], True))
        if isinstance(operation, Rename):
            named.append((table[operation.new_parent], True))
            if operation.replaced:
                replaced = table[operation.replaced]
                named.append((replaced, replaced.is_directory))
        return named
