"""Where live inodes stand, as far as the volumes' tables know: the ``Where`` of ``replicator.core.tracking``.

It tells; what is to be marked for it is the tracker's decision. Nothing is searched for, and nothing made live.
"""

from collections.abc import Sequence

from replicator.core.tracking import Where
from replicator.disk.inodes import DivergenceError
from replicator.disk.volume import Volume


class LiveNames(Where):
    """Of the directories of a module. Its methods are for the thread that uses the volumes, and raise nothing."""

    def __init__(self, volumes: Sequence[Volume]) -> None:
        """``volumes`` in the order of the module's directories."""
        self._volumes = volumes

    def place_of(self, volume: int, inode: int, without: tuple[int, bytes] | None = None) -> tuple[int, bytes] | None:
        """A directory's id and the name that the inode has in it, not ``without``.

        ``None`` when no such name is known: it is the root, is not live, or its other names were not looked up.
        """
        found = self._volumes[volume].table.get(inode)
        if found is not None:
            for place in found.names:
                if place != without:
                    return place
        return None

    def has_other_names(self, volume: int, inode: int) -> bool:
        """Whether an inode that is no directory may have several names, known or not, or one that is not known.

        A name that is about to go counts until it is gone. What is not live may have some.
        """
        files = self._volumes[volume]
        found = files.table.get(inode)
        if found is None:
            return True
        if found.is_directory or found.unlinked:
            return False
        try:
            count = files.status(found).st_nlink
        except (OSError, DivergenceError):  # not known, so it may: the failure itself shows where the file is used
            return True
        return count > min(1, len(found.names))

    def links_from(self, volume: int, inode: int) -> list[int]:
        """The directories in which the inode has names that are known, each once."""
        found = self._volumes[volume].table.get(inode)
        return sorted({parent for parent, _ in found.names}) if found is not None else []
