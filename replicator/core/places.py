"""Where marked inodes were last known, and the way to them from the root. Pure; hints, see ``Dirty.places``.

A place is kept when an inode is first marked, since it may not be live any more when it is asked for. There is one
for each inode, whatever lists it is marked in: the latest.
"""

from collections.abc import Iterable
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.core.dirty import NOWHERE, Key
from replicator.core.filesystem import RENAME_EXCHANGE
from replicator.core.marking import Where
from replicator.core.operations import Operation, Rename, Rmdir, Unlink

Name = tuple[int, bytes]
"""Id of the directory, name in it."""
_MOST_GONE: Final = 4096


class Places:
    """Of the inodes of one module."""

    def __init__(self, where: Where, most: int) -> None:
        """No more than ``most`` are kept: who has none is found otherwise."""
        self._where = where
        self._most = most
        self._places: dict[Key, Name] = {}
        self._gone: dict[Key, None] = {}
        """Inodes that lost their last name and may be written to all the same."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def get(self, key: Key) -> tuple[int, bytes] | None:
        """Where the inode is, as far as is known."""
        return self._places.get(key)

    def keep(self, key: Key) -> list[Key]:
        """Has the place of an inode and of the directories above it; returns of whom it is new."""
        new: list[Key] = []
        while key[1] != ROOT_INODE and key not in self._places and len(self._places) < self._most:
            place = NOWHERE if key in self._gone else self._where.place_of(*key)
            if place is None:
                break
            self._places[key] = place
            new.append(key)
            if place == NOWHERE:
                break
            key = (key[0], place[0])
        return new

    def linked(self, key: Key, place: tuple[int, bytes]) -> None:
        """The inode is about to get a further name."""
        self._gone.pop(key, None)
        if key in self._places or len(self._places) < self._most:
            self._places[key] = place

    def moved(self, key: Key, place: tuple[int, bytes]) -> None:
        """The inode is about to be there.

        That is kept of all, where there is plenty of room: before it shows in the files here the inode, or one below
        it, may be marked.
        """
        if key in self._places or len(self._places) < self._most // 2:
            self._places[key] = place

    def lose(self, key: Key, name: tuple[int, bytes]) -> bool:
        """The inode, which may be a directory, is about to lose a name; whether it was its last one, for certain."""
        hint = self._places.get(key)
        other = self._where.place_of(*key, name)
        if other is not None:
            if hint == name:
                self._places[key] = other
            elif hint is None:
                self.moved(key, other)
            return False
        if self._where.has_other_names(*key):
            if hint == name:
                del self._places[key]
            return False
        if len(self._places) >= self._most or (hint is not None and hint not in (name, NOWHERE)):
            return False  # it was given another name by an operation that may not be applied here yet
        self._gone[key] = None
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        if hint is not None:
            self._places[key] = NOWHERE
        return True

    def forget(self, key: Key) -> None:
        """It is of no interest, unless it is marked again."""
        self._places.pop(key, None)

    def clear(self) -> None:
        """Forgets all."""
        self._places.clear()
        self._gone.clear()

    def prune(self, marked: Iterable[Key]) -> None:
        """Keeps those of ``marked``, and what is above them."""
        self._places = self.of(marked)

    def of(self, marked: Iterable[Key]) -> dict[Key, Name]:
        """Those of ``marked``, and of what is above them."""
        found: dict[Key, Name] = {}
        for each in marked:
            key = each
            while key not in found:
                place = self._places.get(key)
                if place is None:
                    break
                found[key] = place
                key = (key[0], place[0])
        return found


def names_lost(operation: Operation) -> list[tuple[Key, Name]]:
    """The names that go, and what stood there."""
    if isinstance(operation, Unlink | Rmdir):
        return [((operation.volume, operation.inode), (operation.parent, operation.name))]
    if not isinstance(operation, Rename) or operation.flags & RENAME_EXCHANGE:
        return []
    if operation.replaced in (0, operation.inode):
        return []
    return [((operation.volume, operation.replaced), (operation.new_parent, operation.new_name))]


def names_changed(operation: Operation) -> list[tuple[Key, Name]]:
    """What stands somewhere else from now on, and where. Nothing, for a rename from one name of a file to another."""
    if not isinstance(operation, Rename) or operation.replaced == operation.inode:
        return []
    changed = [((operation.volume, operation.inode), (operation.new_parent, operation.new_name))]
    if operation.replaced and operation.flags & RENAME_EXCHANGE:
        changed.append(((operation.volume, operation.replaced), (operation.parent, operation.name)))
    return changed
