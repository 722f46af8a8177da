"""How much of this node's files is in a list of what the other one lacks: what a resync by it would look at.

Inodes are found by the places that the list has for them, and counted as unfound where they are not there. Nothing is
held or made live, and what is moved meanwhile may count twice or not at all: it is an estimate. Any thread may do it;
it goes by small steps, so that it can be done slowly, or left at any of them.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.core.dirty import NOWHERE, ZONE_BYTES, Dirty, Key, Zones
from replicator.core.filesystem import PRIVATE_NAME
from replicator.disk.extent import sizes_below
from replicator.disk.inode_ids import read_id
from replicator.disk.survey import open_path, target_at

_DEEPEST: Final = 4096
"""Directories on the way to an inode; beyond, the places go round in a circle."""
Path = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Lacked:
    """Counts of one step, or of several together."""

    entries: int = 0
    """Names in the directories that are to be gone through."""
    files: int = 0
    """Whose content in some zones is to be compared."""
    bytes: int = 0
    """Of it, at the most."""
    new_files: int = 0
    """That the other node has nothing of."""
    new_bytes: int = 0
    unfound: int = 0
    """Files and directories that were not where they were last known: of a file whole zones are counted."""

    def __add__(self, other: "Lacked") -> "Lacked":
        """Both together."""
        return Lacked(
            self.entries + other.entries,
            self.files + other.files,
            self.bytes + other.bytes,
            self.new_files + other.new_files,
            self.new_bytes + other.new_bytes,
            self.unfound + other.unfound,
        )


def lacked(roots: Sequence[int], dirty: Dirty) -> Iterator[Lacked]:
    """``roots``: descriptors of the module's directories; ``dirty`` is the caller's own. Blocks.

    Where ``dirty`` is everything, all files count by their content. Raises OSError where a root cannot be read.
    """
    if dirty.everything:
        for root in roots:
            for size in sizes_below(root):
                yield Lacked(entries=1, files=1 if size else 0, bytes=size)
        return
    for key, zones in dirty.zones.items():
        if not dirty.is_new(key[1]) and not _is_gone(dirty, key):
            yield _content(roots, dirty, key, zones)
    if dirty.all_names:
        for volume, root in enumerate(roots):
            yield from _below(root, dirty, (volume, ROOT_INODE), (), whole=True)
        return
    for key in dirty.names:
        path = _path(dirty, key)
        if _is_gone(dirty, key):
            continue
        if path is None:
            yield Lacked(unfound=1)
        else:
            yield from _below(roots[key[0]], dirty, key, path, whole=False)


def _is_gone(dirty: Dirty, key: Key) -> bool:
    return dirty.places.get(key) == NOWHERE


def _path(dirty: Dirty, key: Key) -> Path | None:
    """The names from the root to an inode, as far as the list knows."""
    names: list[bytes] = []
    volume, inode = key
    while inode != ROOT_INODE:
        place = dirty.places.get((volume, inode))
        if place is None or place == NOWHERE or len(names) > _DEEPEST:
            return None
        names.append(place[1])
        inode = place[0]
    names.reverse()
    return tuple(names)


def _content(roots: Sequence[int], dirty: Dirty, key: Key, zones: Zones) -> Lacked:
    path = _path(dirty, key)
    size = None if not path else _size(roots[key[0]], path, key[1])
    if size is None:
        whole = len(zones.some) + (0 if zones.tail is None else 1)
        return Lacked(files=1, bytes=whole * ZONE_BYTES, unfound=1)
    return Lacked(files=1, bytes=sum(length for _, length in zones.spans(size)))


def _size(root: int, path: Path, inode: int) -> int | None:
    """Of the file at ``path``, if it is that inode."""
    try:
        directory = open_path(root, path[:-1])
    except OSError:
        return None
    try:
        status = os.stat(path[-1], dir_fd=directory, follow_symlinks=False)
        if read_id(target_at(directory, path[-1]), status.st_ino, follow=False) != inode:
            return None
        return status.st_size
    except OSError:
        return None
    finally:
        os.close(directory)


def _below(root: int, dirty: Dirty, key: Key, path: Path, *, whole: bool) -> Iterator[Lacked]:
    """The entries of a directory, and of those below it that are new there; of all, with ``whole``."""
    device = os.fstat(root).st_dev
    waiting = [(path, key[1])]
    while waiting:
        above, inode = waiting.pop()
        directory = _open(root, above, inode)
        if directory < 0:
            yield Lacked(unfound=1)
            continue
        try:
            for name in os.listdir(os.fsencode(f"/proc/self/fd/{directory}")):
                found = None if not above and name == PRIVATE_NAME else _entry(directory, name, device)
                if found is None:
                    continue
                status, known = found
                new = known is not None and dirty.is_new(known)
                if stat.S_ISDIR(status.st_mode) and known is not None and (whole or new):
                    waiting.append(((*above, name), known))
                content = new and stat.S_ISREG(status.st_mode)
                yield Lacked(entries=1, new_files=int(content), new_bytes=status.st_size if content else 0)
        finally:
            os.close(directory)


def _entry(directory: int, name: bytes, device: int) -> tuple[os.stat_result, int | None] | None:
    """What is there, with its id; ``None``: it has just been removed, or is another file system's."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if status.st_dev != device:
            return None
        return status, read_id(target_at(directory, name), status.st_ino, follow=False)
    except OSError:
        return None


def _open(root: int, path: Path, inode: int) -> int:
    """A descriptor of the directory at ``path``, which the caller closes; -1: that is not there."""
    try:
        directory = open_path(root, path)
    except OSError:
        return -1
    with contextlib.suppress(OSError):
        if inode == ROOT_INODE or read_id(directory, os.fstat(directory).st_ino) == inode:
            return directory
    os.close(directory)
    return -1
