"""Two copies of a small tree, as the operations leave them, with page caches that can be lost; and what must be named.

Deliberately plain: every state since the last sync is kept whole, and what a crash leaves is put together from them.
"""

import copy
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.core.dirty import NOWHERE, ZONE_BYTES, Dirty, zone_of
from replicator.core.filesystem import RENAME_EXCHANGE
from replicator.core.operations import (
    Attribute,
    Create,
    Fallocate,
    Fsync,
    Link,
    Operation,
    Rename,
    Rmdir,
    SetAttr,
    SetXattr,
    Unlink,
    Write,
)

HIDDEN: Final = b"hidden"
"""A name that is not known of live inodes."""
Pick = Callable[[int], int]
"""Of so many, one: 0 to n-1."""


@dataclass
class Inode:
    """Its attributes, and the content of its zones (0: zeros)."""

    is_directory: bool
    attributes: int = 0
    mtime: int = 0
    size: int = 0
    zones: dict[int, int] = field(default_factory=dict)


@dataclass
class Tree:
    """One state of a copy. Inodes stay in it when no name is left."""

    inodes: dict[int, Inode] = field(default_factory=lambda: {ROOT_INODE: Inode(True)})
    entries: dict[int, dict[bytes, int]] = field(default_factory=lambda: {ROOT_INODE: {}})

    def names(self) -> Iterator[tuple[int, bytes, int]]:
        """(directory, name, inode) of all that can be reached."""
        waiting = [ROOT_INODE]
        while waiting:
            directory = waiting.pop()
            for name, inode in self.entries[directory].items():
                yield directory, name, inode
                if self.inodes[inode].is_directory:
                    waiting.append(inode)

    def reached(self) -> set[int]:
        """All inodes that have a name, and the root."""
        return {ROOT_INODE, *(inode for _, _, inode in self.names())}

    def names_of(self, wanted: int) -> list[tuple[int, bytes]]:
        """Where an inode is."""
        return [(directory, name) for directory, name, inode in self.names() if inode == wanted]

    def is_above(self, inode: int, directory: int) -> bool:
        """Whether ``directory`` is ``inode`` or in it."""
        while directory != inode:
            if directory == ROOT_INODE:
                return False
            directory = self.names_of(directory)[0][0]
        return True

    def apply(self, o: Operation, now: int, content: int) -> None:
        """``now`` is this node's clock, ``content`` the operation's own number."""
        if isinstance(o, Create):
            self.inodes[o.inode] = Inode(stat.S_ISDIR(o.mode), mtime=now)
            if stat.S_ISDIR(o.mode):
                self.entries[o.inode] = {}
            self._enter(o.parent, o.name, o.inode, now)
        elif isinstance(o, Link):
            self._enter(o.parent, o.name, o.inode, now)
        elif isinstance(o, Unlink | Rmdir):
            assert self.entries[o.parent].pop(o.name) == o.inode
            self.inodes[o.parent].mtime = now
        elif isinstance(o, Rename):
            self._rename(o, now)
        elif isinstance(o, SetXattr):
            self.inodes[o.inode].attributes = content
        elif isinstance(o, SetAttr):
            self._set(o, now, content)
        elif isinstance(o, Write | Fallocate):
            inode = self.inodes[o.inode]
            length = len(o.data) if isinstance(o, Write) else o.length
            for zone in range(zone_of(o.offset), zone_of(o.offset + length - 1) + 1):
                inode.zones[zone] = content
            inode.size, inode.mtime = max(inode.size, o.offset + length), now
        elif isinstance(o, Fsync) and o.mtime_ns is not None:
            self.inodes[o.inode].mtime = o.mtime_ns

    def _enter(self, parent: int, name: bytes, inode: int, now: int) -> None:
        assert name not in self.entries[parent]
        self.entries[parent][name] = inode
        self.inodes[parent].mtime = now

    def _rename(self, o: Rename, now: int) -> None:
        assert self.entries[o.parent][o.name] == o.inode
        assert self.entries[o.new_parent].get(o.new_name, 0) == o.replaced
        if o.replaced == o.inode:
            return
        del self.entries[o.parent][o.name]
        self.entries[o.new_parent][o.new_name] = o.inode
        if o.flags & RENAME_EXCHANGE:
            self.entries[o.parent][o.name] = o.replaced
        self.inodes[o.parent].mtime = self.inodes[o.new_parent].mtime = now

    def _set(self, o: SetAttr, now: int, content: int) -> None:
        inode = self.inodes[o.inode]
        if o.valid & Attribute.SIZE:
            first = zone_of(o.size)
            inode.zones = {zone: token for zone, token in inode.zones.items() if zone < first}
            if o.size % ZONE_BYTES:
                inode.zones[first] = content  # cut in its middle, or zeros behind what was there
            inode.size, inode.mtime = o.size, now
        if o.valid & Attribute.MODE:
            inode.attributes = content
        if o.valid & Attribute.MTIME:
            inode.mtime = o.mtime_ns


class Disk:
    """A copy with its page cache."""

    def __init__(self, tree: Tree) -> None:
        self.states = [copy.deepcopy(tree)]

    @property
    def tree(self) -> Tree:
        """As it is now."""
        return self.states[-1]

    def apply(self, operation: Operation, now: int, content: int) -> None:
        """The next state."""
        self.states.append(copy.deepcopy(self.tree))
        self.tree.apply(operation, now, content)

    def become(self, tree: Tree) -> None:
        """What a join does."""
        self.states.append(copy.deepcopy(tree))

    def sync(self) -> None:
        """All is on the disk."""
        del self.states[:-1]

    def lose(self, pick: Pick) -> None:
        """The page cache is lost: names as of some moment, what is in inodes each as of some moment of its own."""
        states = self.states
        left = copy.deepcopy(states[pick(len(states))])
        for number in left.reached():
            former = [state.inodes[number] for state in states if number in state.inodes]
            inode = left.inodes[number]
            inode.attributes = former[pick(len(former))].attributes
            inode.mtime = former[pick(len(former))].mtime
            inode.size = former[pick(len(former))].size
            all_zones = sorted({zone for each in former for zone in each.zones})
            inode.zones = {zone: former[pick(len(former))].zones.get(zone, 0) for zone in all_zones}
        self.states = [left]


class TreeWhere:
    """What is known of the places of live inodes."""

    def __init__(self, tree: Callable[[], Tree]) -> None:
        self._tree = tree

    def _known(self, inode: int) -> list[tuple[int, bytes]]:
        return [place for place in self._tree().names_of(inode) if place[1] != HIDDEN]

    def place_of(self, volume: int, inode: int, without: tuple[int, bytes] | None = None) -> tuple[int, bytes] | None:
        return next((place for place in self._known(inode) if place != without), None)

    def has_other_names(self, volume: int, inode: int) -> bool:
        tree = self._tree()
        node = tree.inodes.get(inode)
        return node is not None and not node.is_directory and len(tree.names_of(inode)) > 1

    def links_from(self, volume: int, inode: int) -> list[int]:
        return [directory for directory, _ in self._known(inode)]


def unnamed(missing: Dirty, here: Tree, there: Tree) -> list[str]:
    """The differences that a join by ``missing`` would leave."""
    if missing.everything:
        return []
    here_inodes, there_inodes = here.reached(), there.reached()
    gone_through = _gone_through(missing, here, there_inodes)
    met = gone_through | {inode for directory in gone_through for inode in here.entries[directory].values()}
    found: list[str] = []
    for number in here_inodes:
        inode, key = here.inodes[number], (0, number)
        other = there.inodes[number] if number in there_inodes else None
        if other is None:
            if number not in met:
                found.append(f"inode {number} is nowhere there")
            continue
        differs = (inode.attributes, inode.mtime, inode.size) != (other.attributes, other.mtime, other.size)
        if differs and not (missing.has_attributes(key) or number in met):
            found.append(f"attributes of {number}: {inode} {other}")
        if inode.is_directory:
            if here.entries[number] != there.entries[number] and number not in gone_through:
                found.append(f"entries of {number}: {here.entries[number]} {there.entries[number]}")
            continue
        for zone in range(zone_of(inode.size + ZONE_BYTES - 1)):
            named = missing.has_zones(key, zone, zone) or (missing.is_new(number) and number in met)
            if inode.zones.get(zone, 0) != other.zones.get(zone, 0) and not named:
                found.append(f"zone {zone} of {number}")
    return found


def _gone_through(missing: Dirty, here: Tree, there_inodes: set[int]) -> set[int]:
    """The directories that are: those that are marked, and below them those that are new, or made anew there."""
    directories = [number for number in here.reached() if here.inodes[number].is_directory]
    waiting = [number for number in directories if missing.has_name((0, number))]
    gone_through: set[int] = set()
    while waiting:
        directory = waiting.pop()
        if directory in gone_through:
            continue
        gone_through.add(directory)
        for inode in here.entries[directory].values():
            if here.inodes[inode].is_directory and (missing.is_new(inode) or inode not in there_inodes):
                waiting.append(inode)
    return gone_through


def unfindable(missing: Dirty, here: Tree, there: Tree) -> list[str]:
    """Inodes with several names, known ones, whose new name shows in a directory, and no former one does in any."""
    there_inodes = there.reached()
    gone_through = _gone_through(missing, here, there_inodes)
    found: list[str] = []
    for directory in gone_through:
        for name, inode in here.entries[directory].items():
            names = here.names_of(inode)
            stays = there.entries.get(directory, {}).get(name) == inode
            if len(names) == 1 or stays or missing.everything or inode not in there_inodes or missing.is_new(inode):
                continue
            former = there.names_of(inode)
            if any(each == HIDDEN for _, each in names + former):
                continue
            if not any(each in gone_through for each, _ in former):
                found.append(f"{inode} is at {names}, and was at {former}")
    return found


def misplaced(missing: Dirty, here: Tree) -> list[str]:
    """The marked inodes that are not found by their places: of those with one name, which may be known, or none."""
    found: list[str] = []
    reached = here.reached()
    for key in {*missing.names, *missing.attributes, *missing.zones}:
        number = key[1]
        if number not in reached:
            # One that was removed before this tracker began, and still written to, has none.
            if missing.places.get(key, NOWHERE) != NOWHERE:
                found.append(f"{number} is gone, and looked for at {missing.places.get(key)}")
            continue
        while number != ROOT_INODE and len(here.names_of(number)) == 1 and here.names_of(number)[0][1] != HIDDEN:
            if missing.places.get((0, number)) != here.names_of(number)[0]:
                found.append(f"{number} is at {here.names_of(number)}, not {missing.places.get((0, number))}")
                break
            number = here.names_of(number)[0][0]
    return found
