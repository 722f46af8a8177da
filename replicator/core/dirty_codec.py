"""A Dirty as records of one fact each, to be appended to a file, and back. Pure.

A record that comes later adds to those before it: of a directory that is named again the order is the later one, of
an inode with two places the later one holds. How records are kept together and whole is not known here
(``replicator.disk.dirty_format``).

The first byte says what it is: E everything, A all names, N new inodes from (``<Q``), D entries of a directory and
I attributes of an inode (``<HQ``), Z zones (``<HQQQ``: first, last), T every zone from (``<HQQ``), P place (``<HQQ``
and the name; a directory of 0 and no name: nowhere).
"""

import struct
from collections.abc import Callable
from typing import Final

from replicator.core.dirty import NO_NEW, NOWHERE, Dirty, Key

EVERYTHING: Final = b"E"
ALL_NAMES: Final = b"A"
_NEW: Final = struct.Struct("<cQ")
_INODE: Final = struct.Struct("<cHQ")
_ZONES: Final = struct.Struct("<cHQQQ")
_TAIL: Final = struct.Struct("<cHQQ")
_PLACE: Final = struct.Struct("<cHQQ")
_PLACE_KIND: Final = b"P"
_MAX_NAME: Final = 255


def new_record(inode: int) -> bytes:
    """Inodes from this one on."""
    return _NEW.pack(b"N", inode)


def name_record(key: Key) -> bytes:
    """The entries of a directory."""
    return _INODE.pack(b"D", *key)


def attributes_record(key: Key) -> bytes:
    """The attributes of an inode."""
    return _INODE.pack(b"I", *key)


def place_record(key: Key, place: tuple[int, bytes]) -> bytes:
    """Where an inode is."""
    parent, name = place
    return _PLACE.pack(_PLACE_KIND, *key, parent) + name


def is_hint(record: bytes) -> bool:
    """Whether nothing would be forgotten without the record: it says where an inode is."""
    return record.startswith(_PLACE_KIND)


def records(dirty: Dirty) -> list[bytes]:
    """All of it; :func:`absorb` of each in turn makes the same again."""
    if dirty.everything:
        return [EVERYTHING]
    found = [ALL_NAMES] if dirty.all_names else []
    if dirty.new_from < NO_NEW:
        found.append(new_record(dirty.new_from))
    found += [name_record(key) for key in dirty.names]
    found += [attributes_record(key) for key in dirty.attributes]
    for key, zones in dirty.zones.items():
        if zones.tail is not None:
            found.append(_TAIL.pack(b"T", *key, zones.tail))
        found += [_ZONES.pack(b"Z", *key, first, last) for first, last in zones.runs()]
    found += [place_record(key, place) for key, place in dirty.places.items()]
    return found


def absorb(dirty: Dirty, record: bytes) -> None:
    """Adds what a record says. Raises ValueError, which names what is wrong, for one that nobody can have made."""
    take = _ABSORB.get(record[:1])
    if take is None:
        raise ValueError(f"a record of unknown kind: {record[:16]!r}")
    try:
        take(dirty, record)
    except struct.error:
        raise ValueError(f"a record of {len(record)} bytes: {record[:16]!r}") from None


def _bare(make: Callable[[Dirty], bool]) -> Callable[[Dirty, bytes], None]:
    def take(dirty: Dirty, record: bytes) -> None:
        if len(record) != 1:
            raise ValueError(f"a record of {len(record)} bytes: {record[:16]!r}")
        make(dirty)

    return take


def _key(volume: int, inode: int) -> Key:
    if not inode:
        raise ValueError("a record of inode 0")
    return volume, inode


def _take_new(dirty: Dirty, record: bytes) -> None:
    _, inode = _NEW.unpack(record)
    _key(0, inode)
    dirty.add_new(inode)


def _take_name(dirty: Dirty, record: bytes) -> None:
    _, volume, inode = _INODE.unpack(record)
    key = _key(volume, inode)
    dirty.add_name(key)
    dirty.move_to_end(key)


def _take_attributes(dirty: Dirty, record: bytes) -> None:
    _, volume, inode = _INODE.unpack(record)
    dirty.add_attributes(_key(volume, inode))


def _take_zones(dirty: Dirty, record: bytes) -> None:
    _, volume, inode, first, last = _ZONES.unpack(record)
    if first > last:
        raise ValueError(f"a record of zones {first} to {last}")
    dirty.add_zones(_key(volume, inode), first, last)


def _take_tail(dirty: Dirty, record: bytes) -> None:
    _, volume, inode, first = _TAIL.unpack(record)
    dirty.add_tail(_key(volume, inode), first)


def _take_place(dirty: Dirty, record: bytes) -> None:
    _, volume, inode, parent = _PLACE.unpack(record[: _PLACE.size])
    name = record[_PLACE.size :]
    if (parent, name) != NOWHERE and (
        not parent or not 0 < len(name) <= _MAX_NAME or b"/" in name or b"\0" in name or name in (b".", b"..")
    ):
        raise ValueError(f"a record of a place that cannot be: {name[:32]!r} in {parent:x}")
    dirty.set_place(_key(volume, inode), (parent, name))


_ABSORB: Final[dict[bytes, Callable[[Dirty, bytes], None]]] = {
    EVERYTHING: _bare(Dirty.make_everything),
    ALL_NAMES: _bare(Dirty.make_all_names),
    b"N": _take_new,
    b"D": _take_name,
    b"I": _take_attributes,
    b"Z": _take_zones,
    b"T": _take_tail,
    _PLACE_KIND: _take_place,
}
