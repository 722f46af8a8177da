"""What a verification found to differ, put as what the peer's copy lacks: that a join with a list brings just that.

Names that differ are those of their directory, which the join lists anew. What should stand at such a name may stand
somewhere else there, and is found by its id: nobody has compared it then, nor what is below it. So it is *unsure*, and
all of it counts as different, whatever the answers say of the paths. Of what a join makes anew it knows that itself.
The primary's copy is the one that counts: which one is right is not known here.
"""

import stat
from collections.abc import Mapping, Sequence
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.core.dirty import Dirty, Key, zone_of
from replicator.core.operations import Bind
from replicator.wire.copying import Attributes
from replicator.wire.verifying import Found, What

Way = Sequence[Bind]
"""From the root to an inode, each by its name in the one before; the root's is empty."""
_OF_INODES: Final = frozenset((What.MODE, What.OWNER, What.SIZE, What.MTIME, What.XATTR))
"""These are of an inode, by whatever name it was met; all others are of names."""


class Differing:
    """Of one verification. What concerns a directory is told before what is below it."""

    def __init__(self) -> None:
        self.dirty: Final = Dirty()
        self._unsure: set[Key] = set()
        """Directories that stand somewhere else there, or not at all."""

    def listed(
        self, volume: int, way: Way, entries: Mapping[bytes, Attributes], total: int, found: Sequence[Found]
    ) -> None:
        """The peer's answer to a part of the listing of the directory at ``way``.

        ``entries``: what is in it, those of other parts may be left out. ``total``: how many differences there are;
        ``found`` may be less.
        """
        if self._is_unsure(volume, way):
            self._names(volume, way)
        if total > len(found):
            self._names(volume, way)
            for name in entries:
                self._entry(volume, way, name, entries)
        for each in found:
            if each.what in _OF_INODES and (not each.name or each.name in entries):
                inode = self._way_to(volume, way, each.name, entries) if each.name else way
                self.dirty.add_attributes(self._place(volume, inode))
            elif each.name:
                self._names(volume, way)
                self._entry(volume, way, each.name, entries)
            else:  # It is missing there.
                self._names(volume, way[:-1])
                self._names(volume, way)
                self._unsure.add(self._place(volume, way))

    def content(self, volume: int, way: Way, offset: int, length: int, *, differs: bool) -> None:
        """These bytes of the file at ``way`` were compared, or there was no such file."""
        if differs or self._is_unsure(volume, way):
            self.dirty.add_zones(self._place(volume, way), zone_of(offset), zone_of(max(offset, offset + length - 1)))

    def _entry(self, volume: int, way: Way, name: bytes, entries: Mapping[bytes, Attributes]) -> None:
        """What should stand at a name may stand somewhere else."""
        wish = entries.get(name)
        if wish is None:
            return  # it should not stand there at all
        if stat.S_ISDIR(wish.mode):
            self._unsure.add((volume, wish.inode))
        elif stat.S_ISREG(wish.mode):
            self.dirty.add_tail(self._place(volume, self._way_to(volume, way, name, entries)), 0)

    def _way_to(self, volume: int, way: Way, name: bytes, entries: Mapping[bytes, Attributes]) -> Way:
        return *way, Bind(volume, entries[name].inode, way[-1].inode if way else ROOT_INODE, name)

    def _is_unsure(self, volume: int, way: Way) -> bool:
        return bool(self._unsure) and any((volume, step.inode) in self._unsure for step in way)

    def _names(self, volume: int, way: Way) -> None:
        self.dirty.add_name(self._place(volume, way))

    def _place(self, volume: int, way: Way) -> Key:
        """Keeps where the inode at ``way`` is: it may not be live any more when it is looked for."""
        for step in way:
            self.dirty.set_place((volume, step.inode), (step.parent, step.name))
        return volume, (way[-1].inode if way else ROOT_INODE)
