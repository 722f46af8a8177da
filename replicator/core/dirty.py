"""What another copy may lack: zones of files, entries of directories, attributes of inodes. Pure.

Everything in it is "may": what is named may be the same on both sides, what is not named is. It is bounded: where it
grows over its bounds it coarsens (many zones of a file become all from the first of them on; many directories or
attributes become those of the whole module; many files become a full compare), and never forgets. Where an inode was
last known is a hint, which costs a longer search when it is wrong or missing. When marks are made and when they may
go is not known here (``replicator.core.tracking``).
"""

from dataclasses import dataclass, field
from typing import Final

ZONE_BYTES: Final = 8 << 20
NO_NEW: Final = 1 << 64
"""Above every inode id."""
NOWHERE: Final[tuple[int, bytes]] = (0, b"")
"""The place of an inode whose last name was removed: it is not to be looked for. Where a listing shows it nevertheless
(the removal was lost with a page cache), its marks hold."""
Key = tuple[int, int]
"""Directory of the module (index), inode id."""
_LONGEST: Final = 1 << 16
"""Zones of one range, above which everything from its first on is meant."""


def zone_of(offset: int) -> int:
    """The zone that the byte at ``offset`` is in."""
    return offset // ZONE_BYTES


@dataclass(frozen=True, slots=True)
class Bounds:
    """How fine a Dirty may be: about 50 MB at the very most."""

    zones: int = 8192
    """Of one file."""
    all_zones: int = 1 << 18
    """Of all files, not counting a last one from which on everything is meant."""
    files: int = 1 << 15
    inodes: int = 1 << 16
    """Directories and attributes, together."""
    places: int = 1 << 17
    """Above which no further one is kept."""


BOUNDS: Final = Bounds()


class Zones:
    """Of one file: some, and perhaps every one from ``tail`` on."""

    __slots__ = ("some", "tail")

    def __init__(self) -> None:
        self.some: set[int] = set()
        """Below ``tail``."""
        self.tail: int | None = None

    def __eq__(self, other: object) -> bool:
        """Whether both name the same zones."""
        return isinstance(other, Zones) and (self.some, self.tail) == (other.some, other.tail)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """For test output."""
        return f"Zones({sorted(self.some)}, tail={self.tail})"

    def add(self, first: int, last: int) -> bool:
        """``first`` to ``last``, inclusive; whether anything is new."""
        if last - first >= _LONGEST:
            return self.add_tail(first)
        if self.tail is not None:
            last = min(last, self.tail - 1)
        before = len(self.some)
        self.some.update(range(first, last + 1))
        return len(self.some) > before

    def add_tail(self, first: int) -> bool:
        """``first`` and every one after it; whether anything is new."""
        if self.has_tail(first):
            return False
        self.tail = first
        self.some = {zone for zone in self.some if zone < first}
        return True

    def collapse(self) -> None:
        """Coarsens: every one from the first on."""
        if self.some:
            self.add_tail(min(self.some))

    def merge(self, other: "Zones") -> None:
        """Those of ``other`` too."""
        self.some |= other.some
        if other.tail is not None and not self.has_tail(other.tail):
            self.tail = other.tail
        if self.tail is not None:
            tail = self.tail
            self.some = {zone for zone in self.some if zone < tail}

    def has(self, first: int, last: int) -> bool:
        """Whether all from ``first`` to ``last``, inclusive, are in it."""
        if self.tail is not None:
            last = min(last, self.tail - 1)
        return last - first < len(self.some) and all(zone in self.some for zone in range(first, last + 1))

    def has_tail(self, first: int) -> bool:
        """Whether ``first`` and every one after it are in it."""
        return self.tail is not None and self.tail <= first

    def meets(self, first: int, last: int) -> bool:
        """Whether any from ``first`` to ``last``, inclusive, is in it."""
        if self.tail is not None and last >= self.tail:
            return True
        if last - first < len(self.some):
            return any(zone in self.some for zone in range(first, last + 1))
        return any(first <= zone <= last for zone in self.some)

    def runs(self) -> list[tuple[int, int]]:
        """The ranges of ``some``, inclusive, ascending, as long as they can be."""
        runs: list[tuple[int, int]] = []
        for zone in sorted(self.some):
            if runs and runs[-1][1] == zone - 1:
                runs[-1] = (runs[-1][0], zone)
            else:
                runs.append((zone, zone))
        return runs

    def spans(self, size: int) -> list[tuple[int, int]]:
        """What it means of a file of ``size`` bytes: (offset, length), ascending, merged, within the size."""
        runs = self.runs()
        if self.tail is not None:
            first = runs.pop()[0] if runs and runs[-1][1] == self.tail - 1 else self.tail
            runs.append((first, max(first, zone_of(size))))
        spans = []
        for first, last in runs:
            offset, end = first * ZONE_BYTES, min((last + 1) * ZONE_BYTES, size)
            if offset < end:
                spans.append((offset, end - offset))
        return spans


@dataclass(slots=True)
class Dirty:
    """What another copy may lack. Read the fields; change them by the methods, which keep the bounds."""

    everything: bool = False
    """All of it: a full compare. Nothing else is told then."""
    all_names: bool = False
    """The entries of every directory, and the attributes of every inode; ``names`` and ``attributes`` are empty."""
    names: dict[Key, None] = field(default_factory=dict)
    """Directories whose entries, and own attributes, may differ: to be gone through in this order, sources of renames
    first."""
    attributes: set[Key] = field(default_factory=set)
    """Inodes whose attributes may differ; those of ``names`` and ``zones`` may too."""
    zones: dict[Key, Zones] = field(default_factory=dict)
    """Regular files whose content, and attributes, may differ, and where."""
    places: dict[Key, tuple[int, bytes]] = field(default_factory=dict)
    """Where a marked inode, or an ancestor of one, was last known: (id of the directory, name). A hint: whoever is not
    there, or is not in here, is found by listing everything. See NOWHERE."""
    new_from: int = NO_NEW
    """Inodes with ids from this one on may be unknown there, wholly: content, entries and attributes."""
    bounds: Bounds = field(default=BOUNDS, repr=False, compare=False)
    _zone_count: int = field(default=0, repr=False, compare=False)

    def __bool__(self) -> bool:
        """Whether anything may differ."""
        return (
            self.everything
            or self.all_names
            or self.new_from < NO_NEW
            or bool(self.names or self.attributes or self.zones)
        )

    @property
    def volumes(self) -> frozenset[int]:
        """The directories of the module that it names something of."""
        return frozenset(volume for keys in (self.names, self.attributes, self.zones) for volume, _ in keys)

    # Marking; each says whether that is new

    def add_name(self, key: Key) -> bool:
        """The entries of a directory, and its own attributes."""
        if self.has_name(key):
            return False
        self.names[key] = None
        self.attributes.discard(key)
        self._bound_inodes()
        return True

    def move_to_end(self, key: Key) -> None:
        """A marked directory is to be gone through after those that are marked now."""
        if key in self.names:
            del self.names[key]
            self.names[key] = None

    def add_attributes(self, key: Key) -> bool:
        """The attributes of an inode."""
        if self.has_attributes(key):
            return False
        self.attributes.add(key)
        self._bound_inodes()
        return True

    def add_zones(self, key: Key, first: int, last: int) -> bool:
        """Zones ``first`` to ``last``, inclusive, and the attributes of a file."""
        if self.everything:
            return False
        zones = self._zones(key)
        if zones is None:
            return True
        before = len(zones.some)
        new = zones.add(first, last)
        return self._bound_zones(key, zones, before) or new

    def add_tail(self, key: Key, first: int) -> bool:
        """Zone ``first`` and every one after it, and the attributes of a file."""
        if self.everything:
            return False
        zones = self._zones(key)
        if zones is None:
            return True
        before = len(zones.some)
        new = zones.add_tail(first)
        return self._bound_zones(key, zones, before) or new

    def add_new(self, inode: int) -> bool:
        """Inodes with ids from ``inode`` on."""
        if self.is_new(inode):
            return False
        self.new_from = inode
        return True

    def make_all_names(self) -> bool:
        """Coarsens: the entries of every directory, and the attributes of every inode."""
        if self.everything or self.all_names:
            return False
        self.all_names = True
        self.names.clear()
        self.attributes.clear()
        return True

    def make_everything(self) -> bool:
        """Coarsens: a full compare."""
        if self.everything:
            return False
        self.everything, self.all_names, self.new_from, self._zone_count = True, False, NO_NEW, 0
        for finer in (self.names, self.attributes, self.zones, self.places):
            finer.clear()
        return True

    def set_place(self, key: Key, place: tuple[int, bytes]) -> None:
        """Where an inode is."""
        if not self.everything and (key in self.places or len(self.places) < self.bounds.places):
            self.places[key] = place

    def drop(self, key: Key) -> None:
        """Forgets the marks of an inode, which has no name any more; its place stays."""
        self.names.pop(key, None)
        self.attributes.discard(key)
        zones = self.zones.pop(key, None)
        if zones is not None:
            self._zone_count -= len(zones.some)

    def merge(self, other: "Dirty") -> None:
        """What is named in either; the order, and the places, of ``other`` are the later ones."""
        if other.everything:
            self.make_everything()
        if self.everything:
            return
        if other.all_names:
            self.make_all_names()
        self.add_new(other.new_from)
        for key, zones in other.zones.items():
            mine = self._zones(key)
            if mine is None:
                return
            before = len(mine.some)
            mine.merge(zones)
            self._bound_zones(key, mine, before)
        for key in other.names:
            self.add_name(key)
            self.move_to_end(key)
        for key in other.attributes:
            self.add_attributes(key)
        for key, place in other.places.items():
            self.set_place(key, place)

    # Asking

    def is_new(self, inode: int) -> bool:
        """Whether all of the inode may be unknown there."""
        return self.everything or inode >= self.new_from

    def has_name(self, key: Key) -> bool:
        """Whether the entries of this directory are named; one that is new is not asked for."""
        return self.everything or self.all_names or key in self.names

    def has_attributes(self, key: Key) -> bool:
        """Whether the attributes of this inode are named; one that is new is not asked for."""
        marked = key in self.attributes or key in self.zones or key in self.names
        return marked or self.everything or self.all_names

    def has_zones(self, key: Key, first: int, last: int) -> bool:
        """Whether all these zones are named; one that is new is not asked for."""
        zones = self.zones.get(key)
        return self.everything or (zones is not None and zones.has(first, last))

    def has_tail(self, key: Key, first: int) -> bool:
        """Whether all zones from this one on are named; one that is new is not asked for."""
        zones = self.zones.get(key)
        return self.everything or (zones is not None and zones.has_tail(first))

    # Bounds

    def _zones(self, key: Key) -> Zones | None:
        """Those of a file, made when they are the first; None: they were too many, everything is named now."""
        zones = self.zones.get(key)
        if zones is None:
            if len(self.zones) >= self.bounds.files:
                self.make_everything()
                return None
            zones = self.zones[key] = Zones()
            self.attributes.discard(key)
        return zones

    def _bound_zones(self, key: Key, zones: Zones, before: int) -> bool:
        """Counts; whether it had to coarsen."""
        self._zone_count += len(zones.some) - before
        if len(zones.some) <= self.bounds.zones and self._zone_count <= self.bounds.all_zones:
            return False
        self._zone_count -= len(zones.some)
        zones.collapse()
        return True

    def _bound_inodes(self) -> None:
        if len(self.names) + len(self.attributes) > self.bounds.inodes:
            self.make_all_names()
