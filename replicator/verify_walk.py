"""What a comparison has still to visit, in its order: directories to be listed, files to be compared.

All of it is live and held, so that it is visited wherever it has been moved by then; its place in the order stays that
at which it was found. Nothing is read or asked here.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.disk.listing import Surveyed
from replicator.disk.volume import Inode, Volume
from replicator.verify_place import Place, Rest


@dataclass(frozen=True, slots=True)
class Directory:
    """One that is to be listed, held."""

    volume: int
    inode: Inode
    path: tuple[bytes, ...]
    """Where it was found."""


@dataclass(eq=False, slots=True)
class File:
    """One that is to be compared, held."""

    volume: int
    inode: Inode
    end: int
    directory: tuple[bytes, ...]
    """Where it was found."""
    name: bytes
    offset: int = 0
    different: bool = False

    @property
    def place(self) -> Place:
        """What is to be compared next."""
        return Place(self.volume, self.directory, self.name, self.offset)


class Walk:
    """Of one comparison; it begins where ``rest`` does."""

    def __init__(self, volumes: Sequence[Volume], rest: Rest, release: Callable[[int, Inode], None]) -> None:
        self._volumes = volumes
        self._rest = rest
        self._release = release
        self._listing = rest.place
        """Of the directory that was taken and is not :meth:`listed` yet."""
        self.directories: Final[list[Directory]] = []
        """The last one is the next."""
        self.files: Final[deque[File]] = deque()
        """Of one directory; they come before the directories."""
        self.bytes_found = 0
        """Content of the files that were found."""
        self._pinned: list[tuple[int, Inode]] = []
        """Held to the end, so that each of their names is told with the same id."""

    def begin(self) -> None:
        """With the roots."""
        self._listing = None
        for volume in reversed(self._volumes):
            if self._rest.has_volume(volume.index):
                root = volume.table[ROOT_INODE]
                volume.hold(root)
                self.directories.append(Directory(volume.index, root, ()))

    def take(self) -> Directory:
        """The next directory; its hold is the caller's from now on."""
        directory = self.directories.pop()
        self._listing = Place(directory.volume, directory.path)
        return directory

    def listed(self) -> None:
        """Whatever is to be asked of the directory that was taken, was."""
        self._listing = None

    def add(self, directory: Directory, surveyed: Surveyed) -> bool:
        """What it has in it is to be visited, as far as it is left; the rest is released.

        Whether its entries are to be compared, too.
        """
        volume, rest, entries = directory.volume, self._rest, surveyed.entries
        found: list[Directory] = []
        for name, at in sorted(((entries[at].name, at) for at in surveyed.kept), key=itemgetter(0)):
            inode, path = surveyed.kept[at], (*directory.path, name)
            offset = rest.file_offset(volume, directory.path, name) if inode.is_regular else None
            if offset is not None:
                size = entries[at].attributes.size
                self.files.append(File(volume, inode, size, directory.path, name, offset))
                self.bytes_found += max(0, size - offset)
            elif inode.is_directory and rest.has_directory(volume, path):
                found.append(Directory(volume, inode, path))
            else:
                self._release(volume, inode)
        self.directories.extend(reversed(found))
        self._pinned += [(volume, inode) for inode in surveyed.pinned]
        return rest.has_entries(volume, directory.path)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return not self.files and not self.directories

    @property
    def place(self) -> Place | None:
        """The first thing that is left; ``None``: nothing is."""
        if self._listing is not None:
            return self._listing
        if self.files:
            return self.files[0].place
        return Place(self.directories[-1].volume, self.directories[-1].path) if self.directories else None

    def close(self) -> None:
        """Nothing is visited any more."""
        for directory in self.directories:
            self._release(directory.volume, directory.inode)
        for file in self.files:
            self._release(file.volume, file.inode)
        for volume, inode in self._pinned:
            self._release(volume, inode)
        self.directories.clear()
        self.files.clear()
        self._pinned.clear()
