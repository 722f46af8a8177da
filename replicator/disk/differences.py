"""How a directory of the secondary differs from the primary's listing of it. Changes nothing.

Works on what is on the disk by name, not by what the stream holds open, so that a file replaced below is noticed.
"""

import os
import stat
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import PRIVATE_NAME
from replicator.disk import linux
from replicator.disk.inode_ids import read_id
from replicator.disk.survey import attributes, open_path, target_at, target_of_fd
from replicator.disk.volume import Volume
from replicator.wire.copying import Attributes, Entry, EntryFlag, Listing, Part
from replicator.wire.verifying import Found, What

_PATH_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Inspector:
    """One directory of the module, during one verification."""

    def __init__(self, volume: Volume, with_ids: bool = True) -> None:
        """``with_ids``: whether an inode has to have the id that the listing gives it; only on the loop."""
        self._volume = volume
        self._with_ids = with_ids
        self._local_of: dict[int, int] = {}
        """Of inodes with several names, here or there: id to local inode number, and the reverse."""
        self._id_of: dict[int, int] = {}
        self._seen: set[bytes] = set()

    def compare(self, listing: Listing) -> list[Found]:
        """What differs in this part of a listing. Raises OSError."""
        if listing.part & Part.FIRST:
            self._seen.clear()
        try:
            directory = open_path(self._volume.root_fd, listing.path)
        except (FileNotFoundError, NotADirectoryError):
            return [Found(b"", What.MISSING, "directory", "")] if listing.part & Part.FIRST else []
        try:
            found: list[Found] = []
            for entry in listing.entries:
                self._seen.add(entry.name)
                found += self._entry(directory, entry)
            if listing.part & Part.LAST:
                status = os.fstat(directory)
                found += _attributes(
                    b"", listing.own, attributes(ROOT_INODE, status, target_of_fd(directory), follow=True)
                )
                found += self._extra(directory, listing)
            return found
        finally:
            os.close(directory)

    def _extra(self, directory: int, listing: Listing) -> list[Found]:
        found = []
        for entry in linux.each_entry(directory):
            hidden = not listing.path and entry.name == PRIVATE_NAME
            if not hidden and entry.name not in self._seen:
                mode = os.stat(entry.name, dir_fd=directory, follow_symlinks=False).st_mode
                found.append(Found(entry.name, What.EXTRA, "", type_name(mode)))
        return found

    def _entry(self, directory: int, entry: Entry) -> list[Found]:
        wish = entry.attributes
        try:
            file = os.open(entry.name, _PATH_FLAGS, dir_fd=directory)
        except FileNotFoundError:
            return [Found(entry.name, What.MISSING, type_name(wish.mode), "")]
        try:
            status = os.fstat(file)
            if stat.S_IFMT(status.st_mode) != stat.S_IFMT(wish.mode):
                return [Found(entry.name, What.TYPE, type_name(wish.mode), type_name(status.st_mode))]
            known = self._known(directory, entry.name, status) if self._with_ids else None
            found = self._links(entry.name, wish, status, known)
            if self._with_ids:
                found += self._identity(entry, known, file)
            if not stat.S_ISDIR(wish.mode):  # its own listing tells
                have = attributes(wish.inode, status, target_at(directory, entry.name))
                found += _attributes(entry.name, wish, have)
            return found
        finally:
            os.close(file)

    def _known(self, directory: int, name: bytes, status: os.stat_result) -> int | None:
        """The id of what stands at a name."""
        live = self._volume.table.at(status.st_ino)
        return live.id if live is not None else read_id(target_at(directory, name), status.st_ino, follow=False)

    def _identity(self, entry: Entry, known: int | None, file: int) -> list[Found]:
        wish = entry.attributes
        if known == wish.inode or (known is None and linux.extended(file).protected):
            return []
        if wish.flags & EntryFlag.PROTECTED:  # it may be one that cannot keep its id on the primary: that is new then
            return []
        return [Found(entry.name, What.IDENTITY, f"{wish.inode:x}", "none" if known is None else f"{known:x}")]

    def _links(self, name: bytes, wish: Attributes, status: os.stat_result, known: int | None) -> list[Found]:
        """Whether the names of one inode there are the names of one inode here."""
        if stat.S_ISDIR(wish.mode) or max(wish.nlink, status.st_nlink) == 1:
            return []
        local = self._local_of.setdefault(wish.inode, status.st_ino)
        inode = self._id_of.setdefault(status.st_ino, wish.inode)
        if local != status.st_ino:
            return [Found(name, What.LINK, "same file as another name", "a file of its own")]
        if inode == wish.inode:
            return []
        if known == wish.inode or wish.flags & EntryFlag.PROTECTED:
            # The former one is gone, and its number was given to another; or it is the former one with a new id.
            self._id_of[status.st_ino] = wish.inode
            self._local_of.pop(inode, None)
            return []
        return [Found(name, What.LINK, "a file of its own", "same file as another name")]


def _attributes(name: bytes, wish: Attributes, have: Attributes) -> list[Found]:
    pairs: list[tuple[What, object, object]] = [
        (What.MODE, oct(stat.S_IMODE(wish.mode)), oct(stat.S_IMODE(have.mode))),
        (What.OWNER, f"{wish.uid}:{wish.gid}", f"{have.uid}:{have.gid}"),
        (What.SIZE, wish.size, have.size),
        (What.DEVICE, wish.rdev, have.rdev),
        (What.LINK, wish.target, have.target),
    ]
    if not wish.flags & EntryFlag.UNSETTLED:
        pairs.append((What.MTIME, wish.mtime_ns, have.mtime_ns))
    found = [Found(name, what, _shown(here), _shown(there)) for what, here, there in pairs if here != there]
    ours, theirs = dict(wish.xattrs), dict(have.xattrs)
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            what = key.decode("utf-8", "backslashreplace")
            here, there = (f"{what}={_value(side.get(key))}" for side in (ours, theirs))
            found.append(Found(name, What.XATTR, here, there))
    return found


def type_name(mode: int) -> str:
    """For people."""
    return {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFLNK: "symbolic link",
        stat.S_IFIFO: "fifo",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "character device",
        stat.S_IFBLK: "block device",
    }.get(stat.S_IFMT(mode), "something else")


def _shown(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _value(value: bytes | None) -> str:
    return "none" if value is None else value[:40].hex()
