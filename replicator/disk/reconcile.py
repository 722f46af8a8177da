"""Makes a directory of the secondary what the primary's listing says, at that point of the stream.

Names that are not listed go to limbo, missing ones come from limbo by their id or are made, a file of the right type
and another id is adopted: a copy seeded from a backup costs only its differences. Content is not this module's: a
file has the right length afterwards, and what is in it is compared next. Nothing is known here of the stream.

What holds during a join, and what this relies on: a directory is listed once; a name in one that is not listed yet
has not changed since the join began; so an inode that is listed by a second name had several when it was first
listed, and got an anchor in limbo then, from which the further names become links.
"""

import os
import stat
from dataclasses import dataclass, field
from typing import Final

from manager.model.errors import PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import PRIVATE_NAME, RENAME_NOREPLACE
from replicator.disk import linux
from replicator.disk.inode_ids import read_id, write_id
from replicator.disk.inodes import DivergenceError
from replicator.disk.limbo import Limbo, unprotect
from replicator.disk.survey import open_path, target_at, xattrs_of
from replicator.disk.volume import Volume
from replicator.wire.copying import Attributes, Entry, Listing, Part

_PATH_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE_FLAGS: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_RESIZE_FLAGS: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(slots=True)
class _Directory:
    """The one that is being listed."""

    fd: int
    path: tuple[bytes, ...]
    unseen: dict[bytes, int]
    """Names that were there and were not listed yet, with their local inode numbers."""
    by_id: dict[int, bytes] = field(default_factory=dict)
    """Where ids were at first; to be checked before use."""


@dataclass(slots=True)
class _Claim:
    """An inode that has, or had, several names."""

    local: int
    anchor: bytes | None


class Reconciler:
    """One directory of the module, during one join."""

    def __init__(self, volume: Volume) -> None:
        """The disk is marked as joining by now. Raises OSError."""
        self._volume = volume
        self._limbo = Limbo(volume.private_fd)
        self._claims: dict[int, _Claim] = {}
        self._claimed: dict[int, int] = {}
        """Local inode number to id, of the claims."""
        self._directory: _Directory | None = None

    def close(self) -> None:
        """Closes what is open."""
        self._limbo.close()
        if self._directory is not None:
            os.close(self._directory.fd)
            self._directory = None

    def apply(self, listing: Listing) -> None:
        """Does what a listing, or the next part of one, says.

        Raises:
            OSError: it could not be done.
            DivergenceError: the tree is not what the listings before have made it.
            PeerProtocolError: a part out of order.
        """
        if listing.part & Part.FIRST:
            self._open(listing)
        directory = self._directory
        if directory is None or directory.path != listing.path:
            raise PeerProtocolError("a listing goes on that did not begin")
        wanted = {entry.attributes.inode for entry in listing.entries}
        for entry in listing.entries:
            self._entry(directory, entry, wanted)
        if listing.part & Part.LAST:
            for name in directory.unseen:
                self._limbo.put(directory.fd, name)
            self._equalise(directory.fd, listing.own)
            os.close(directory.fd)
            self._directory = None

    def _open(self, listing: Listing) -> None:
        if self._directory is not None:
            raise PeerProtocolError("a listing begins within another")
        try:
            directory = open_path(self._volume.root_fd, listing.path)
        except (FileNotFoundError, NotADirectoryError):
            raise DivergenceError(f"{b'/'.join(listing.path)!r} is listed, and no directory here") from None
        status = os.fstat(directory)
        self._directory = _Directory(directory, listing.path, {})
        if status.st_dev != self._volume.device:
            raise DivergenceError(f"{b'/'.join(listing.path)!r} is on another file system here")
        if listing.own.inode != ROOT_INODE and read_id(directory, status.st_ino) != listing.own.inode:
            raise DivergenceError(f"{b'/'.join(listing.path)!r} is not inode {listing.own.inode:x}")
        if linux.extended(directory).protected:
            unprotect(directory, b".")
        while batch := linux.list_entries(directory):
            for found in batch:
                if found.name in (b".", b"..") or (not listing.path and found.name == PRIVATE_NAME):
                    continue
                self._directory.unseen[found.name] = found.inode
                inode = read_id(target_at(directory, found.name), found.inode, follow=False)
                if inode is not None:
                    self._directory.by_id[inode] = found.name

    # One entry

    def _entry(self, directory: _Directory, entry: Entry, wanted: set[int]) -> None:
        wish = entry.attributes
        if wish.inode == ROOT_INODE or (not directory.path and entry.name == PRIVATE_NAME):
            raise PeerProtocolError("a listing names what it must not")
        file = self._keep(directory, entry, wanted)
        if file < 0:
            if entry.name in directory.unseen:
                self._limbo.put(directory.fd, entry.name)
            self._bring(directory, entry)
            file = os.open(entry.name, _PATH_FLAGS, dir_fd=directory.fd)
        directory.unseen.pop(entry.name, None)
        try:
            if linux.extended(file).protected:
                unprotect(directory.fd, entry.name)
            status = os.fstat(file)
            target = f"/proc/self/fd/{file}"
            if read_id(target, status.st_ino) != wish.inode:
                write_id(target, wish.inode, status.st_ino)
            self._equalise(file, wish)
            self._claim(file, wish, os.fstat(file))
        finally:
            os.close(file)

    def _keep(self, directory: _Directory, entry: Entry, wanted: set[int]) -> int:
        """A descriptor of what stands at the name when it may stay there, else -1."""
        if entry.name not in directory.unseen:
            return -1
        wish = entry.attributes
        file = os.open(entry.name, _PATH_FLAGS, dir_fd=directory.fd)
        status = os.fstat(file)
        inode = read_id(f"/proc/self/fd/{file}", status.st_ino)
        stays = self._fits(file, status, wish)
        if stays and inode != wish.inode:
            # Another id: adopted, unless it is wanted elsewhere or the right one is at hand.
            stays = inode not in wanted and wish.inode not in self._claims and self._at_hand(directory, wish) is None
        if stays:
            return file
        os.close(file)
        return -1

    def _fits(self, file: int, status: os.stat_result, wish: Attributes) -> bool:
        """Whether an inode is of the sort that is wished, and free to be it."""
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(wish.mode) or status.st_dev != self._volume.device:
            return False
        if stat.S_ISLNK(wish.mode) and os.readlink(b"", dir_fd=file) != wish.target:
            return False
        if (stat.S_ISCHR(wish.mode) or stat.S_ISBLK(wish.mode)) and status.st_rdev != wish.rdev:
            return False
        local = status.st_ino
        claim = self._claims.get(wish.inode)
        if self._claimed.get(local, wish.inode) != wish.inode or (claim is not None and claim.local != local):
            return False
        table = self._volume.table
        here, there = table.at(local), table.get(wish.inode)
        return (here is None or here.id == wish.inode) and (there is None or there.local == local)

    def _at_hand(self, directory: _Directory, wish: Attributes) -> tuple[int, bytes] | None:
        """Where the inode that is wished is, under another name in the directory or in limbo, and free to be moved."""
        name = directory.by_id.get(wish.inode)
        if name is not None and name in directory.unseen and self._is(directory.fd, name, wish):
            return directory.fd, name
        name = self._limbo.find(wish.inode)
        if name is not None and self._is(self._limbo.fd, name, wish):
            return self._limbo.fd, name
        return None

    def _is(self, directory: int, name: bytes, wish: Attributes) -> bool:
        file = os.open(name, _PATH_FLAGS, dir_fd=directory)
        try:
            status = os.fstat(file)
            inode = read_id(f"/proc/self/fd/{file}", status.st_ino)
            return inode == wish.inode and self._fits(file, status, wish)
        finally:
            os.close(file)

    def _bring(self, directory: _Directory, entry: Entry) -> None:
        """Puts the right inode at a name that is free."""
        wish = entry.attributes
        claim = self._claims.get(wish.inode)
        if claim is not None:
            if claim.anchor is None:
                raise DivergenceError(f"{entry.name!r} is a further name of inode {wish.inode:x}, which had but one")
            os.link(claim.anchor, entry.name, src_dir_fd=self._limbo.fd, dst_dir_fd=directory.fd, follow_symlinks=False)
            return
        if self._volume.table.get(wish.inode) is not None:
            raise DivergenceError(f"{entry.name!r} is inode {wish.inode:x}, which is live under other names")
        found = self._at_hand(directory, wish)
        if found is None:
            self._make(directory.fd, entry)
            return
        source, name = found
        unprotect(source, name)
        linux.rename(source, name, directory.fd, entry.name, RENAME_NOREPLACE)
        if source == directory.fd:
            del directory.unseen[name]
        else:
            self._limbo.forget(wish.inode)

    def _make(self, directory: int, entry: Entry) -> None:
        wish = entry.attributes
        kind = stat.S_IFMT(wish.mode)
        if kind == stat.S_IFREG:
            os.close(os.open(entry.name, _CREATE_FLAGS, 0o600, dir_fd=directory))
        elif kind == stat.S_IFDIR:
            os.mkdir(entry.name, 0o700, dir_fd=directory)
        elif kind == stat.S_IFLNK:
            os.symlink(wish.target, entry.name, dir_fd=directory)
        else:
            os.mknod(entry.name, kind | 0o600, wish.rdev, dir_fd=directory)

    def _claim(self, file: int, wish: Attributes, status: os.stat_result) -> None:
        """Remembers an inode with several names, and gives it an anchor when the primary's has several."""
        if stat.S_ISDIR(wish.mode) or wish.inode in self._claims or max(wish.nlink, status.st_nlink) == 1:
            return
        anchor = self._limbo.anchor(file) if wish.nlink > 1 else None
        self._claims[wish.inode] = _Claim(status.st_ino, anchor)
        self._claimed[status.st_ino] = wish.inode

    # Attributes

    def _equalise(self, file: int, wish: Attributes) -> None:
        """Size, owner, extended attributes, mode and mtime: in this order, since each may change those after it."""
        target = f"/proc/self/fd/{file}"
        status = os.fstat(file)
        live = self._volume.table.at(status.st_ino)
        if live is not None:
            live.privileged = None
        if stat.S_ISREG(wish.mode) and status.st_size != wish.size:
            _resize(target, wish.size)
        if (status.st_uid, status.st_gid) != (wish.uid, wish.gid):
            os.chown(target, wish.uid, wish.gid)
        _equalise_xattrs(target, wish.xattrs, dict(xattrs_of(target)))
        if not stat.S_ISLNK(wish.mode) and os.fstat(file).st_mode != wish.mode:
            os.chmod(target, stat.S_IMODE(wish.mode))
        if os.fstat(file).st_mtime_ns != wish.mtime_ns:
            linux.set_times(file, None, wish.mtime_ns)


def _resize(target: str, size: int) -> None:
    file = os.open(target, _RESIZE_FLAGS)
    try:
        os.ftruncate(file, size)
    finally:
        os.close(file)


def _equalise_xattrs(target: str, wish: tuple[tuple[bytes, bytes], ...], found: dict[bytes, bytes]) -> None:
    for name in found.keys() - {name for name, _ in wish}:
        os.removexattr(target, name)
    for name, value in wish:
        if found.get(name) != value:
            os.setxattr(target, name, value)
