"""Two copies of a tree, and joins of the one with the other: the primary's side of it is done here by hand."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from manager.model.ids import ROOT_INODE
from replicator.disk.inode_ids import InodeIds, Kept, read_kept
from replicator.disk.limbo import begin_join, empty_limbo, unmark_joining
from replicator.disk.listing import list_directory
from replicator.disk.reconcile import Reconciler
from replicator.disk.volume import Inode, Volume
from replicator.wire.copying import Entry, Listing, Part

NamePath = tuple[bytes, ...]


class Copies:
    """``here`` is the primary's, ``there`` the secondary's: real directories."""

    def __init__(self, path: Path) -> None:
        for name in ("here", "there"):
            (path / name).mkdir()
        self.here = Volume.open(str(path / "here"))
        self.there = Volume.open(str(path / "there"))
        self.here.number_from(InodeIds(2))
        self._reconciler: Reconciler | None = None
        self.made: set[bytes] = set()
        """The names that the last listing was told to have made, with no content."""

    def close(self) -> None:
        self.cut()
        self.here.close()
        self.there.close()

    # Paths

    def path(self, *names: bytes) -> bytes:
        """At the primary."""
        return os.path.join(os.fsencode(self.here.path), *names)

    def copy_path(self, *names: bytes) -> bytes:
        """At the secondary."""
        return os.path.join(os.fsencode(self.there.path), *names)

    def kept(self, *names: bytes) -> Kept | None:
        """What an inode of the secondary says of itself."""
        path = self.copy_path(*names)
        return read_kept(path, os.lstat(path).st_ino, follow=False)

    def local(self, *names: bytes) -> int:
        """The inode number at the secondary."""
        return os.lstat(self.copy_path(*names)).st_ino

    def directory(self, volume: Volume, names: NamePath) -> Inode:
        found = volume.table[ROOT_INODE]
        for name in names:
            found, _ = volume.lookup(found, name)
        return found

    def directories(self, top: NamePath = ()) -> Iterator[NamePath]:
        """All of the primary's."""
        yield top
        for entry in sorted(os.scandir(self.path(*top)), key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False) and entry.name != b".mirrorfarm":
                yield from self.directories((*top, entry.name))

    # Joins

    def begin(self) -> None:
        """A stream that joins, with all that follows."""
        self.there.forget_all()
        self._reconciler = Reconciler(self.there, begin_join(self.there.private_fd))

    def cut(self) -> None:
        """The stream is lost."""
        if self._reconciler is not None:
            self._reconciler.close()
            self._reconciler = None
        self.there.forget_all()

    @property
    def is_whole(self) -> bool:
        assert self._reconciler is not None
        return self._reconciler.is_whole

    def listing(self, *names: bytes, tracked: bool = True) -> Listing:
        """A directory as the primary has it."""
        directory = self.directory(self.here, names)
        self.here.hold(directory)
        steps = list_directory(self.here, directory, lambda _inode: False, self.here.release)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                surveyed = end.value
                break
        self.here.forget_all()
        part = Part.FIRST | Part.LAST | (Part.TRACKED if tracked else Part(0))
        return Listing(0, part, surveyed.path, surveyed.own, tuple(surveyed.entries))

    def list(
        self, *names: bytes, tracked: bool = True, change: Callable[[Entry], Entry] = lambda entry: entry
    ) -> tuple[set[bytes], bool]:
        """Lists a directory; the names that are told as made anew, and whether one could not be found."""
        assert self._reconciler is not None
        listing = self.listing(*names, tracked=tracked)
        listing = dataclasses.replace(listing, entries=tuple(map(change, listing.entries)))
        listed = self._reconciler.apply(listing)
        self.made = {listing.entries[index].name for index in listed.made}
        return {listing.entries[index].name for index in listed.anew}, listed.unfindable

    def copy(self, *names: bytes) -> None:
        """Brings the content of a file, as comparing would."""
        source, target = self.path(*names), self.copy_path(*names)
        status = os.lstat(source)
        with open(source, "rb") as here, open(target, "r+b") as there:
            there.write(here.read())
            there.truncate()
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def finish(self) -> None:
        """The join comes to its end."""
        assert self._reconciler is not None and self._reconciler.is_whole
        self.cut()
        assert empty_limbo(self.there.private_fd, _do)
        unmark_joining(self.there.private_fd)

    def join(self) -> None:
        """Everything is listed and copied."""
        self.begin()
        for directory in list(self.directories()):
            anew, unfindable = self.list(*directory, tracked=False)
            assert not unfindable
            for name in anew:
                if os.path.isfile(self.path(*directory, name)) and not os.path.islink(self.path(*directory, name)):
                    self.copy(*directory, name)
        self.finish()


def _do(change: Callable[[], None]) -> bool:
    change()
    return True
