"""What one join has to look at: directories to be listed, inodes to be made equal, content to be compared. Pure.

It begins with what the peer may lack (``replicator.core.dirty``) and grows by what the peer says that it had to make
anew. A directory *counts as listed* when the peer's copy of its names follows the stream: one that is clean does so
from the start, but not while the answer is out to a listing that names it, since the peer may not have had it. Where
inodes are is known by hints, which are kept true by the listings that go out and the operations that pass. Nothing is
known here of files, nor of when something is listed.
"""

from collections.abc import Iterator

from replicator.core.dirty import Dirty, Key

Place = tuple[int, bytes]
"""The id of a directory, and a name in it."""


class Lacking:
    """Of one join."""

    def __init__(self, dirty: Dirty) -> None:
        """``dirty`` is this join's own."""
        self._dirty = dirty
        self._all = dirty.everything or dirty.all_names
        self._listed: set[Key] = set()
        self._anew: set[Key] = set()
        """Directories that the peer had to make, and that are not listed yet."""
        self._doubtful: set[Key] = set()
        """Directories in listings that the peer has not answered."""
        self._places: dict[Key, Place] = {}
        """Newer hints than the list's."""
        self._whole: set[Key] = set()
        """Inodes that would come up again, and whose content is seen to."""
        self._inodes = {} if dirty.everything else dict.fromkeys(dirty.zones)
        if not self._all:
            self._inodes |= dict.fromkeys(dirty.attributes)

    @property
    def everything(self) -> bool:
        """Whether nothing is known of the peer's copy: a full compare."""
        return self._dirty.everything

    @property
    def some_only(self) -> bool:
        """Whether some directories only are listed."""
        return not self._all

    # Directories

    def directories(self) -> list[Key]:
        """Those that the list names, in the order in which they are to be listed; none where all are."""
        return [] if self._all else list(self._dirty.names)

    def is_listed(self, key: Key) -> bool:
        """Whether the peer's copy of this directory's names follows the stream."""
        if key in self._listed:
            return True
        return not (self.was_dirty(key) or key in self._anew or key in self._doubtful)

    def has_been_listed(self, key: Key) -> bool:
        """Whether a listing of the directory was sent."""
        return key in self._listed

    def was_dirty(self, key: Key) -> bool:
        """Whether the list has it that the names in this directory may differ."""
        return self._all or key in self._dirty.names or self._dirty.is_new(key[1])

    def is_gone(self, key: Key) -> bool:
        """Whether an inode that is missed at its last place was removed, as far as can be told when all is listed.

        Where some directories only are listed it may as well have a name in another one.
        """
        return self._all and key not in self._places

    def is_doubtful(self, key: Key) -> bool:
        """Whether it is not known yet if the peer had this directory."""
        return key in self._doubtful and key not in self._listed

    def listed(self, key: Key) -> None:
        """The directory's listing is sent."""
        self._listed.add(key)
        self._anew.discard(key)

    def asked(self, key: Key) -> None:
        """A listing that names the directory is sent."""
        if not self._all:
            self._doubtful.add(key)

    def answered(self, key: Key, anew: bool) -> bool:
        """The peer had the directory, or made it ``anew``; whether it is to be listed."""
        self._doubtful.discard(key)
        if anew and key not in self._listed:
            self._anew.add(key)
        return not self.is_listed(key)

    def clear(self) -> None:
        """The join is over."""
        for each in (self._listed, self._anew, self._doubtful, self._whole):
            each.clear()
        self._places.clear()
        self._inodes.clear()
        self._dirty = Dirty()

    # Content

    def is_whole(self, inode: int, anew: bool) -> bool:
        """Whether the content of a listed file is to be compared from end to end."""
        return anew or self.everything or self._dirty.is_new(inode)

    def take_whole(self, key: Key, several: bool) -> bool:
        """Whether the content of a file is not seen to yet; it is from here on. ``several``: it has other names."""
        if key in self._whole:
            return False
        if several or key in self._inodes:
            self._whole.add(key)
        return True

    def spans(self, key: Key, size: int) -> list[tuple[int, int]]:
        """Offset and end of what of a file of this size is to be compared; nothing where all of it is seen to."""
        zones = self._dirty.zones.get(key)
        if zones is None or key in self._whole:
            return []
        return [(offset, offset + length) for offset, length in zones.spans(size)]

    # Inodes

    def inodes(self) -> Iterator[Key]:
        """Takes them out one by one: those whose attributes, or content in zones, may differ."""
        while self._inodes:
            yield self._inodes.popitem()[0]

    @property
    def has_inodes(self) -> bool:
        """Whether some are left."""
        return bool(self._inodes)

    def awaits(self, key: Key) -> bool:
        """Whether this inode is among them."""
        return key in self._inodes

    def forget(self, key: Key) -> None:
        """The inode is no more."""
        self._inodes.pop(key, None)

    # Places

    def place_of(self, key: Key) -> Place | None:
        """Where an inode was last known."""
        return self._places.get(key) or self._dirty.places.get(key)

    def follows(self, key: Key) -> bool:
        """Whether it matters where this inode is."""
        return key in self._inodes or key in self._dirty.places or key in self._places

    def seen(self, key: Key, place: Place) -> None:
        """Where an inode is, or will be when what is under way is applied."""
        self._places[key] = place

    def leads(self, key: Key, place: Place) -> None:
        """Where a directory is, unless that is known better."""
        self._places.setdefault(key, place)
