"""What each operation may leave different in the other copy. Pure.

The same rules for a list in memory and for one on disk, which are told apart by what they do with a mark. An inode
that was made in a list's own time (it is *new* in it) needs no marks: all of it counts as unknown. For that it has to
be met when the directories that are marked are gone through, so whatever may be new is marked by the directories that
it comes to be in.
"""

import stat
from collections.abc import Callable
from typing import Any, Final, Protocol

from replicator.core.dirty import NO_NEW, Key, zone_of
from replicator.core.operations import (
    Attribute,
    Bind,
    Create,
    Fallocate,
    Fsync,
    Kind,
    Link,
    Operation,
    RemoveXattr,
    Rename,
    Rmdir,
    SetAttr,
    SetXattr,
    Unlink,
    Write,
)


class Where(Protocol):
    """Of live inodes. What is issued and not yet applied here may not show."""

    def place_of(self, volume: int, inode: int, without: tuple[int, bytes] | None = None) -> tuple[int, bytes] | None:
        """(id of the directory, name) of a known name, other than ``without``; None: no such name is known."""
        ...

    def has_other_names(self, volume: int, inode: int) -> bool:
        """Whether an inode that is no directory has several names, known or not (nlink > 1); False for directories."""
        ...

    def links_from(self, volume: int, inode: int) -> list[int]:
        """The ids of the directories of its known names."""
        ...


class Sink(Protocol):
    """Where marks are put: a Dirty, or the list on disk. What the methods of a Dirty return is of no interest here."""

    @property
    def new_from(self) -> int:
        """The lowest id that is new in it, or NO_NEW."""
        ...

    def is_new(self, inode: int) -> bool:
        """Whether the inode needs no marks."""
        ...

    def add_new(self, inode: int) -> object:
        """See Dirty."""
        ...

    def add_name(self, key: Key) -> object:
        """See Dirty."""
        ...

    def move_to_end(self, key: Key) -> object:
        """See Dirty."""
        ...

    def add_attributes(self, key: Key) -> object:
        """See Dirty."""
        ...

    def add_zones(self, key: Key, first: int, last: int) -> object:
        """See Dirty."""
        ...

    def add_tail(self, key: Key, first: int) -> object:
        """See Dirty."""
        ...

    def make_all_names(self) -> object:
        """See Dirty."""
        ...


def put(sink: Sink, operation: Operation, where: Where, highest: int) -> None:
    """Marks what ``operation`` changes. ``highest`` is the highest id that was created or adopted before it."""
    marks = _MARKS.get(operation.kind)
    if marks is not None:
        marks(sink, operation, where, highest)


def marked_by(operation: Operation, where: Where) -> tuple[int, ...]:
    """The inodes that :func:`put` marks, those that are new included."""
    if isinstance(operation, Rename):
        return operation.parent, operation.new_parent
    if isinstance(operation, Link):
        return operation.parent, *where.links_from(operation.volume, operation.inode)
    if isinstance(operation, Create | Unlink | Rmdir | Bind):
        return (operation.parent,)
    return (operation.inode,) if operation.kind in _MARKS else ()


def touched_by(operation: Operation) -> tuple[int, ...]:
    """The inodes whose mtime each node sets by its own clock when it applies the operation."""
    if isinstance(operation, Rename):
        return operation.parent, operation.new_parent
    if isinstance(operation, Create):
        return operation.parent, operation.inode
    if isinstance(operation, Unlink | Rmdir | Link):
        return (operation.parent,)
    if isinstance(operation, SetAttr):
        touched = operation.valid & Attribute.SIZE and not operation.valid & Attribute.MTIME
        return (operation.inode,) if touched else ()
    return (operation.inode,) if isinstance(operation, Write | Fallocate) else ()


def carries_time(operation: Operation) -> bool:
    """Whether the operation makes the inode's mtime the same on both nodes."""
    if isinstance(operation, SetAttr):
        return bool(operation.valid & Attribute.MTIME)
    return isinstance(operation, Fsync) and operation.mtime_ns is not None


def entries(sink: Sink, key: Key) -> None:
    """The entries of a directory."""
    if not sink.is_new(key[1]):
        sink.add_name(key)


def _write(sink: Sink, o: Write, _where: Where, _highest: int) -> None:
    if not sink.is_new(o.inode):
        sink.add_zones((o.volume, o.inode), zone_of(o.offset), zone_of(max(o.offset, o.offset + len(o.data) - 1)))


def _create(sink: Sink, o: Create, _where: Where, highest: int) -> None:
    entries(sink, (o.volume, o.parent))
    if sink.is_new(o.inode):
        return
    if o.inode > highest and sink.new_from == NO_NEW:
        sink.add_new(o.inode)
        return
    # A lower id than one that was seen before cannot be where "new" begins: what lies between may have come here, and
    # been forgotten, in an earlier list's time.
    key = (o.volume, o.inode)
    sink.add_attributes(key)
    if stat.S_ISDIR(o.mode):
        sink.add_name(key)
    elif stat.S_ISREG(o.mode):
        sink.add_tail(key, 0)


def _remove(sink: Sink, o: Unlink | Rmdir, _where: Where, _highest: int) -> None:
    entries(sink, (o.volume, o.parent))


def _rename(sink: Sink, o: Rename, _where: Where, _highest: int) -> None:
    entries(sink, (o.volume, o.parent))
    entries(sink, (o.volume, o.new_parent))
    if o.new_parent != o.parent:
        sink.move_to_end((o.volume, o.new_parent))


def _link(sink: Sink, o: Link, where: Where, _highest: int) -> None:
    """With a directory that the other copy knows the inode from: there a further name is made from it.

    So that one is to be gone through before.
    """
    directories = [] if sink.is_new(o.inode) else where.links_from(o.volume, o.inode)
    for directory in directories:
        entries(sink, (o.volume, directory))
    entries(sink, (o.volume, o.parent))
    if directories and o.parent not in directories:
        sink.move_to_end((o.volume, o.parent))
    if not directories and not sink.is_new(o.inode):
        sink.make_all_names()


def _set_attributes(sink: Sink, o: SetAttr, _where: Where, _highest: int) -> None:
    if sink.is_new(o.inode):
        return
    key = (o.volume, o.inode)
    sink.add_attributes(key)
    if o.valid & Attribute.SIZE:
        sink.add_tail(key, zone_of(o.size))


def _set_xattr(sink: Sink, o: SetXattr | RemoveXattr, _where: Where, _highest: int) -> None:
    if not sink.is_new(o.inode):
        sink.add_attributes((o.volume, o.inode))


def _fallocate(sink: Sink, o: Fallocate, _where: Where, _highest: int) -> None:
    if not sink.is_new(o.inode):
        last = zone_of(max(o.offset, o.offset + o.length - 1))
        sink.add_zones((o.volume, o.inode), zone_of(o.offset), last)


def _fsync(sink: Sink, o: Fsync, _where: Where, _highest: int) -> None:
    if o.mtime_ns is not None and not sink.is_new(o.inode):
        sink.add_attributes((o.volume, o.inode))


def _bind(sink: Sink, o: Bind, _where: Where, _highest: int) -> None:
    """Whoever takes the stream hears of an id that was given by a look-up only here."""
    if sink.is_new(o.inode):
        entries(sink, (o.volume, o.parent))


_MARKS: Final[dict[Kind, Callable[[Sink, Any, Where, int], None]]] = {
    Kind.WRITE: _write,
    Kind.CREATE: _create,
    Kind.UNLINK: _remove,
    Kind.RMDIR: _remove,
    Kind.RENAME: _rename,
    Kind.LINK: _link,
    Kind.SETATTR: _set_attributes,
    Kind.SETXATTR: _set_xattr,
    Kind.REMOVEXATTR: _set_xattr,
    Kind.FALLOCATE: _fallocate,
    Kind.FSYNC: _fsync,
    Kind.BIND: _bind,
}
