"""Compares this disk's copy with what the primary says of its own, and keeps its own version of what differs.

The secondary's part of setting aside, for one stream, in a thread. A name that the primary does not have is kept with
all below it, so is one of another type, and a file with other content; attributes that differ alone are noted. Of what
only the primary has there is nothing to keep, and when a directory was last changed is none of its data. What is not
compared is not told apart from what is equal: that every name is compared is the primary's matter.
"""

import dataclasses
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from manager.model.asides import Aside
from replicator.core.aside_room import Room
from replicator.disk.aside import AsideTree, Path
from replicator.disk.aside_shelf import read_asides
from replicator.disk.differences import Inspector
from replicator.disk.divergence import changing, read_divergence, unmark_diverged
from replicator.disk.duplicating import Pause
from replicator.disk.limbo import mark_joining
from replicator.disk.survey import differing, open_file
from replicator.disk.volume import Volume, Watch, one_on_each_disk
from replicator.wire.copying import Listing
from replicator.wire.verifying import CheckState, Found, Keep, VerifyCompare, What

_WHOLE: Final = frozenset({What.EXTRA, What.TYPE, What.SIZE, What.LINK, What.DEVICE})
"""In which a name differs so that all of it is kept."""
_CONTENT: Final = "content"
_GONE: Final = "extra"


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why something is set aside, and when."""

    at: str
    """Wall clock, for people."""
    primary: str
    epoch: int


class Keeping:
    """One attempt, from the beginning. One thread at a time; raises OSError, NoRoom, and what ``pause`` does."""

    def __init__(self, volumes: Sequence[Volume], limit_bytes: int, occasion: Occasion, pause: Pause) -> None:
        """Nothing is opened before :meth:`begin`."""
        self._volumes = tuple(volumes)
        self._limit_bytes = limit_bytes
        self._occasion = occasion
        self._pause = pause
        self._number = 0
        self._node_epoch = 0
        self._trees: list[AsideTree] = []
        self._inspectors: list[Inspector] = []
        self._watches: list[Watch] = []
        self._ending = False
        """All that differs is on the disks, and whole; the marks are being taken away."""

    def begin(self) -> None:
        """Takes away what an attempt before has left."""
        divergence = next(filter(None, map(read_divergence, (v.private_fd for v in self._volumes))), None)
        if divergence is None:
            raise FileNotFoundError("nothing is to be set aside")
        self._number, self._node_epoch = divergence.number, divergence.node_epoch
        others = [a for v in self._volumes for a in read_asides(v.private_fd) if a.number != self._number]
        room = Room(self._limit_bytes, sum(aside.bytes for aside in others))
        self._trees = [AsideTree(volume, self._number, room, self._pause) for volume in self._volumes]
        self._inspectors = [Inspector(volume, with_ids=False) for volume in self._volumes]
        for tree in self._trees:
            tree.clear()
        self._watches = [volume.watch() for volume in one_on_each_disk(self._volumes)]

    def close(self) -> None:
        """Closes what is open."""
        for tree in self._trees:
            tree.close()
        for watch in self._watches:
            watch.close()
        self._watches = []

    def discard(self) -> None:
        """Takes away what was kept until now: it cannot be brought to its end, and its room may be needed. OSError.

        Not what is whole: a mark that could not be taken away may be gone all the same, and the copy be changed next.
        """
        self.close()
        if not self._ending:
            for tree in self._trees:
                tree.clear()

    # What the primary says

    def listed(self, listing: Listing) -> list[Found]:
        """Keeps what differs from a part of a listing; what that was."""
        found = self._inspectors[listing.volume].compare(listing)
        by_name: dict[bytes, list[Found]] = {}
        for each in found:
            by_name.setdefault(each.name, []).append(each)
        tree = self._trees[listing.volume]
        modes = {entry.name: entry.attributes.mode for entry in listing.entries}
        for name, differences in by_name.items():
            self._pause()
            self._keep(tree, listing.path, name, differences, modes)
        return found

    def _keep(
        self, tree: AsideTree, directory: Path, name: bytes, differences: Sequence[Found], modes: dict[bytes, int]
    ) -> None:
        kinds = {each.what for each in differences}
        if What.MISSING in kinds:
            return
        what = tuple(dict.fromkeys(each.what.name.lower() for each in differences))
        path = (*directory, name) if name else directory
        if name and (kinds & _WHOLE or not stat.S_ISREG(modes[name])):
            tree.keep(path, what)
            return
        detail = "; ".join(f"{each.what.name.lower()} {each.there}" for each in differences)
        if name:
            tree.note_attributes(path, what, detail)
        elif kinds != {What.MTIME}:
            tree.keep_directory(path, what, detail)

    def compared(self, compare: VerifyCompare) -> tuple[CheckState, int]:
        """Keeps a file of which a span differs; which blocks of it do."""
        file = open_file(self._volumes[compare.volume].root_fd, compare.path)
        if file < 0:
            return CheckState.ABSENT, 0
        try:
            bitmap = differing(file, compare.offset, compare.length, compare.digests)
        finally:
            os.close(file)
        if bitmap:
            self._trees[compare.volume].keep(compare.path, (_CONTENT,))
        return CheckState.COMPARED, bitmap

    def gone(self, keep: Keep) -> None:
        """What the primary listed at a path is not there any more, or is something else: nothing of it was compared."""
        self._trees[keep.volume].keep(keep.path, (_GONE,))

    # The end

    def finish(self) -> Aside:
        """All that differs is on the disks, and whole; the disks go on to vouch for nothing until a join is through."""
        about = [self._about(tree) for tree in self._trees]
        for tree, own in zip(self._trees, about, strict=True):
            tree.finish(own)
        for watch in self._watches:
            watch.check()
        for tree in self._trees:
            tree.complete()
        self._pause()
        self._ending = True
        end_divergence(self._volumes)
        whole = merged(about)
        return whole if whole.items else dataclasses.replace(whole, number=0)

    def _about(self, tree: AsideTree) -> Aside:
        occasion = self._occasion
        return Aside(
            self._number, occasion.at, self._node_epoch, occasion.primary, occasion.epoch, tree.items, tree.bytes
        )


def end_divergence(volumes: Sequence[Volume]) -> None:
    """Nothing is to be set aside any more; that is on the disks, which vouch for nothing until a join is through.

    Raises OSError.
    """
    with changing:
        for volume in volumes:
            mark_joining(volume.private_fd)
        for volume in volumes:
            unmark_diverged(volume.private_fd)


def merged(asides: Sequence[Aside]) -> Aside:
    """Those of one number, of each directory one, as one. At least one."""
    first = next((aside for aside in asides if aside.at), asides[0])
    return dataclasses.replace(first, items=sum(a.items for a in asides), bytes=sum(a.bytes for a in asides))
