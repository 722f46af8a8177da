"""Lists a directory of the primary, with an id for each entry: what a join or a verification tells the secondary.

Directories and files with content are made live and held, since they are visited later, wherever they have been moved
by then.
"""

import errno
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Final

from replicator.disk.inode_ids import read_id
from replicator.disk.survey import attributes, target_at, target_of_fd
from replicator.disk.volume import Inode, Volume
from replicator.wire.copying import Attributes, Entry, EntryFlag

_AT_ONCE: Final = 8
"""Entries, less than a millisecond."""


@dataclass(slots=True)
class Surveyed:
    """A directory as it is now. The caller releases what is held."""

    path: tuple[bytes, ...]
    own: Attributes
    entries: list[Entry] = field(default_factory=list)
    kept: dict[int, Inode] = field(default_factory=dict)
    """By the index of the entry: directories, and regular files that are not empty."""
    pinned: list[Inode] = field(default_factory=list)
    """What has several names and cannot keep its id: it lasts while it is held."""

    @property
    def directories(self) -> list[Inode]:
        """Those among the entries."""
        return [inode for inode in self.kept.values() if inode.is_directory]

    @property
    def files(self) -> list[tuple[Inode, int]]:
        """Regular files that are not empty, with their length."""
        entries = self.entries
        return [(inode, entries[at].attributes.size) for at, inode in self.kept.items() if inode.is_regular]

    @property
    def held(self) -> list[Inode]:
        """All that the caller has to release."""
        return [*self.kept.values(), *self.pinned]


def path_of(volume: Volume, inode: Inode) -> tuple[bytes, ...]:
    """The names from the root to an inode. Raises OSError (ENOENT) when it has none left."""
    return tuple(bind.name for bind in volume.ancestry(inode))


def list_directory(
    volume: Volume, directory: Inode, unsettled: Callable[[int], bool], release: Callable[[Inode], object]
) -> Generator[None, None, Surveyed]:
    """What ``directory`` has in it, and is; ``unsettled`` tells whose mtime is not shipped yet.

    ``release`` ends a hold, of what is not returned.

    It yields now and then, since a directory may be large; nothing may change in it meanwhile. An entry of another file
    system is none of ours, and is left out, as it cannot be reached through the mount. Raises OSError and
    DivergenceError; nothing is held then, nor when it is closed before its end.
    """
    file = volume.open_directory(directory)
    try:
        status = os.fstat(file)
        flags = _flags(directory, unsettled)
        own = attributes(directory.id, status, target_of_fd(file), flags, follow=True)
        surveyed = Surveyed(path_of(volume, directory), own)
        try:
            for number, found in enumerate(volume.entries(directory), 1):
                _add(volume, directory, file, found.name, surveyed, unsettled)
                if number % _AT_ONCE == 0:
                    yield
        except BaseException:
            for inode in surveyed.held:
                release(inode)
            raise
        return surveyed
    finally:
        os.close(file)


def _flags(inode: Inode, unsettled: Callable[[int], bool]) -> EntryFlag:
    protected = EntryFlag.PROTECTED if inode.protected else EntryFlag(0)
    return protected | (EntryFlag.UNSETTLED if unsettled(inode.id) else EntryFlag(0))


def _add(
    volume: Volume, directory: Inode, file: int, name: bytes, surveyed: Surveyed, unsettled: Callable[[int], bool]
) -> None:
    try:
        inode, status = volume.lookup(directory, name)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EXDEV):
            return
        raise
    target = target_at(file, name)
    surveyed.entries.append(Entry(name, attributes(inode.id, status, target, _flags(inode, unsettled))))
    if inode.protected and status.st_nlink > 1 and read_id(target, inode.local, follow=False) != inode.id:
        volume.hold(inode)
        surveyed.pinned.append(inode)
    if inode.is_directory or (inode.is_regular and status.st_size):
        volume.hold(inode)
        surveyed.kept[len(surveyed.entries) - 1] = inode
    else:
        volume.release(inode, 0)


def describe(volume: Volume, inode: Inode) -> Attributes:
    """What a live inode is, by itself. Raises OSError and DivergenceError."""
    file = volume.table.path_fd(inode)
    found = attributes(inode.id, os.fstat(file), target_of_fd(file), _flags(inode, lambda _inode: False), follow=True)
    if found.target:
        return replace(found, target=volume.readlink(inode))  # of what is open the path was told
    return found
