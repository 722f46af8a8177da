"""What a verification found to differ, put as what the peer's copy lacks: that a join with a list brings just that.

Names that differ are those of their directory, which the join lists anew; whatever it has to make anew for it, it
copies whole. Where not all that differs in a directory was named, it is the whole directory too. The primary's copy
is the one that counts: which one is right is not known here.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.core.dirty import Dirty, Key, zone_of
from replicator.core.operations import Bind
from replicator.wire.copying import Found, What

Way = Sequence[Bind]
"""From the root to an inode, each by its name in the one before; the root's is empty."""
_OF_INODES: Final = frozenset((What.MODE, What.OWNER, What.SIZE, What.MTIME, What.XATTR))
"""These are of an inode, by whatever name it was met; all others are of names."""


class Differing:
    """Of one verification."""

    def __init__(self) -> None:
        self.dirty: Final = Dirty()

    def listed(self, volume: int, way: Way, inodes: Mapping[bytes, int], total: int, found: Sequence[Found]) -> None:
        """The peer's answer to a part of the listing of the directory at ``way``.

        ``inodes``: what stands at each name in it. ``total``: how many differences there are; ``found`` may be less.
        """
        if total > len(found):
            self._names(volume, way)
        for each in found:
            if each.what not in _OF_INODES:
                # A directory that is missing is a difference of the one that it is in.
                self._names(volume, way if each.name else way[:-1])
            elif not each.name:
                self._attributes(volume, way)
            elif each.name in inodes:
                directory = way[-1].inode if way else ROOT_INODE
                self._attributes(volume, (*way, Bind(volume, inodes[each.name], directory, each.name)))
            else:
                self._names(volume, way)

    def content(self, volume: int, way: Way, offset: int, length: int) -> None:
        """These bytes of the file at ``way``."""
        self.dirty.add_zones(self._place(volume, way), zone_of(offset), zone_of(max(offset, offset + length - 1)))

    def _names(self, volume: int, way: Way) -> None:
        self.dirty.add_name(self._place(volume, way))

    def _attributes(self, volume: int, way: Way) -> None:
        self.dirty.add_attributes(self._place(volume, way))

    def _place(self, volume: int, way: Way) -> Key:
        """Keeps where the inode at ``way`` is: it may not be live any more when it is looked for."""
        for step in way:
            self.dirty.set_place((volume, step.inode), (step.parent, step.name))
        return volume, (way[-1].inode if way else ROOT_INODE)
