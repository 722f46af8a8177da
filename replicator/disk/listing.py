"""Lists a directory of the primary, with an id for each entry: what a join or a verification tells the secondary.

Directories and files with content are made live and held, since they are visited later, wherever they have been moved
by then.
"""

import errno
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final

from replicator.disk.inode_ids import read_id
from replicator.disk.survey import attributes, target_at, target_of_fd
from replicator.disk.volume import Inode, Volume
from replicator.wire.copying import Attributes, Entry, EntryFlag

_AT_ONCE: Final = 64
"""Entries, some milliseconds."""


@dataclass(slots=True)
class Surveyed:
    """A directory as it is now. The caller releases what is in the three lists."""

    path: tuple[bytes, ...]
    own: Attributes
    entries: list[Entry] = field(default_factory=list)
    directories: list[Inode] = field(default_factory=list)
    files: list[tuple[Inode, int]] = field(default_factory=list)
    """Regular files that are not empty, with their length."""
    pinned: list[Inode] = field(default_factory=list)
    """What has several names and cannot keep its id: it lasts while it is held."""

    @property
    def held(self) -> list[Inode]:
        """All that the caller has to release."""
        return [*self.directories, *(inode for inode, _ in self.files), *self.pinned]


def path_of(volume: Volume, inode: Inode) -> tuple[bytes, ...]:
    """The names from the root to an inode. Raises OSError (ENOENT) when it has none left."""
    return tuple(bind.name for bind in volume.ancestry(inode))


def list_directory(
    volume: Volume, directory: Inode, unsettled: Callable[[int], bool]
) -> Generator[None, None, Surveyed]:
    """What ``directory`` has in it, and is; ``unsettled`` tells whose mtime is not shipped yet.

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
                volume.release(inode)
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
    if inode.is_directory:
        surveyed.directories.append(inode)
    elif inode.is_regular and status.st_size:
        surveyed.files.append((inode, status.st_size))
    else:
        volume.release(inode, 0)
        return
    volume.hold(inode)
