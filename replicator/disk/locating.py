"""Finds an inode of this node by where it was last known: look-ups from what is live, or the root, on down.

A place is a hint: the name in the directory must stand for the very inode, else it is not found. What follows from
that is not decided here.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from replicator.core.dirty import NOWHERE
from replicator.disk.volume import Inode, Volume

PlaceOf = Callable[[int], tuple[int, bytes] | None]
"""The id of the directory in which an inode was last known, and its name there; None: nothing is known."""
_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.EXDEV, errno.ENAMETOOLONG)


@dataclass(frozen=True, slots=True)
class Missed:
    """An inode is not where it was last known."""

    removed: bool
    """It is known to have lost its last name."""


def locate(volume: Volume, inode: int, place_of: PlaceOf, release: Callable[[Inode], None]) -> Inode | Missed:
    """The inode, held once; ``release`` ends a hold. Raises OSError and DivergenceError; nothing is held then.

    An inode that is live is found whatever the hints say. On the loop; operations may be under way.
    """
    chain: list[tuple[int, bytes]] = []
    passed: set[int] = set()
    at = inode
    while (live := volume.table.get(at)) is None:
        place = place_of(at)
        if place is None or place == NOWHERE or at in passed:
            return Missed(removed=place == NOWHERE and at == inode)
        passed.add(at)
        chain.append((at, place[1]))
        at = place[0]
    if live.unlinked:
        return Missed(removed=at == inode)
    volume.hold(live)
    for child, name in reversed(chain):
        try:
            found = _child(volume, live, name, child, release)
        finally:
            release(live)
        if found is None:
            return Missed(removed=False)
        live = found
    return live


def _child(
    volume: Volume, directory: Inode, name: bytes, wanted: int, release: Callable[[Inode], None]
) -> Inode | None:
    """What the name stands for, held, if that is the inode. Raises OSError."""
    try:
        found, _ = volume.lookup(directory, name)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    volume.hold(found)
    if found.id == wanted:
        return found
    release(found)
    return None
