"""Makes a directory of the secondary what the primary's listing says, at that point of the stream.

Names that are not listed go to limbo, missing ones come from there by their id or are made. Content is not this
module's: a file has the right length afterwards, and what is in it is compared next where it may differ. So it is said
which entries are not sure to have theirs: those that were made, adopted under another id, or made by a join before
this one which did not come to its end; and which of them were made just now, and so have none. Nothing is known here
of the stream.

What this relies on, in a join of either sort:

- A directory is listed once, but where a second listing finds it as the first one and the stream have left it.
- A name in a directory that is still to be listed has not changed since the join began: no operation concerns it
  before. So what is listed as having one name has no other in those; what is listed as having several gets an anchor in
  limbo, and its further names become links.
- The path to a listed directory is right here: every directory above is listed, or needs not be.

A *full* join lists every directory. A file of the right type and another id is adopted: a copy seeded from a backup
costs its differences, and all other names that the file has are listed too.

A *tracked* join lists the directories whose names may differ, in any order, and what was made anew. The others are
right, so are the names of inodes in them, and operations on them come from the first moment on. So there

- ids are believed. Another id is another inode, which may be wanted where it is listed later, with all that is below
  it. Adopted is only what has no id, or stands for an inode that cannot keep one on the primary.
- what has several names there may have one here in a directory that is never listed: made anew it would be two. It is
  found by the listing itself, by its id in limbo, or as the inode that is live by one of those names; else it is
  *unfindable*, and the primary lists everything. As unsure is one that a broken join has made: it may be a second one.
- what has one name there, and is not at hand, has no name here but in directories that are still to be listed, and is
  made. Sources of renames are listed first, so that this is seldom.
"""

import enum
import errno
import os
import stat
from dataclasses import dataclass
from typing import Final, NamedTuple

from manager.model.errors import PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import PRIVATE_NAME, RENAME_NOREPLACE
from replicator.disk import linux
from replicator.disk.ahead import Ahead
from replicator.disk.attributes import equalise, is_made_so
from replicator.disk.inode_ids import Kept, read_id, read_kept, write_id
from replicator.disk.inodes import DivergenceError, Inode
from replicator.disk.limbo import Limbo, unprotect
from replicator.disk.survey import open_path, target_at, target_of_fd
from replicator.disk.volume import Volume
from replicator.wire.copying import Attributes, Entry, EntryFlag, Listed, Listing, Part

_PATH_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE_FLAGS: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Result(enum.Enum):
    """What became of an entry."""

    AT_HAND = 1
    ANEW = 2
    """It is not sure to have the content that belongs there."""
    MADE = 3
    """It is sure to have none: it was made just now."""
    UNFINDABLE = 4


@dataclass(slots=True)
class _Directory:
    """The one that is being listed."""

    fd: int
    path: tuple[bytes, ...]
    inode: int
    tracked: bool
    unseen: dict[bytes, int]
    """Names that were there and were not listed yet, with their local inode numbers."""
    by_id: dict[int, bytes] | None = None
    """Where ids were when one was looked for at first; to be checked before use."""


class _Found(NamedTuple):
    """What stands at a name, open on ``file`` (O_PATH, but of what was made just now)."""

    file: int
    status: os.stat_result
    kept: Kept | None
    """What is kept on it."""


@dataclass(slots=True)
class _Claim:
    """An inode that has, or had, several names."""

    local: int
    anchor: bytes | None


class Reconciler:
    """One directory of the module, during one join."""

    def __init__(self, volume: Volume, join: int, ahead: Ahead | None = None) -> None:
        """The disk is marked as joining by now; ``join`` is the number that its marker holds. Raises OSError.

        ``ahead`` is told of what will be compared.
        """
        self._volume = volume
        self._join = join
        self._ahead = ahead
        self._limbo = Limbo(volume.private_fd)
        self._claims: dict[int, _Claim] = {}
        self._claimed: dict[int, int] = {}
        """Local inode number to id, of the claims."""
        self._directory: _Directory | None = None
        self._lacking: set[tuple[int, bytes]] = set()

    def close(self) -> None:
        """Closes what is open."""
        self._limbo.close()
        if self._directory is not None:
            os.close(self._directory.fd)
            self._directory = None

    @property
    def is_whole(self) -> bool:
        """Whether all that was listed is there: nothing was unfindable."""
        return not self._lacking

    def apply(self, listing: Listing) -> Listed:
        """Does what a listing, or the next part of one, says; what the primary has to know of this part.

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
        results = [self._entry(directory, entry, wanted) for entry in listing.entries]
        if listing.part & Part.LAST:
            for name in directory.unseen:
                self._limbo.put(directory.fd, name)
            equalise(self._volume, directory.fd, os.fstat(directory.fd), listing.own)
            os.close(directory.fd)
            self._directory = None
        made = frozenset(index for index, result in enumerate(results) if result is _Result.MADE)
        anew = tuple(index for index, result in enumerate(results) if result is _Result.ANEW or index in made)
        return Listed(_Result.UNFINDABLE in results, anew, made)

    def _open(self, listing: Listing) -> None:
        if self._directory is not None:
            raise PeerProtocolError("a listing begins within another")
        try:
            file = open_path(self._volume.root_fd, listing.path)
        except (FileNotFoundError, NotADirectoryError):
            raise DivergenceError(f"{b'/'.join(listing.path)!r} is listed, and no directory here") from None
        inode = listing.own.inode
        tracked = bool(listing.part & Part.TRACKED)
        directory = self._directory = _Directory(file, listing.path, inode, tracked, {})
        self._check(directory)
        self._lacking = {key for key in self._lacking if key[0] != inode}
        for found in linux.each_entry(file):
            if listing.path or found.name != PRIVATE_NAME:
                directory.unseen[found.name] = found.inode

    def _check(self, directory: _Directory) -> None:
        """Whether it is the one that is listed; makes that it can be changed."""
        shown = b"/".join(directory.path)
        status = os.fstat(directory.fd)
        if status.st_dev != self._volume.device:
            raise DivergenceError(f"{shown!r} is on another file system here")
        kept = read_id(directory.fd, status.st_ino)
        # One that this node had protected when it got its id could not keep that; above it nothing was listed.
        nameless = kept is None and directory.tracked
        if directory.inode != ROOT_INODE and kept != directory.inode and not nameless:
            raise DivergenceError(f"{shown!r} is not inode {directory.inode:x}")
        if linux.extended(directory.fd).protected:
            unprotect(directory.fd, b".")
        if directory.inode != ROOT_INODE and nameless:
            write_id(directory.fd, directory.inode, status.st_ino)

    # One entry

    def _entry(self, directory: _Directory, entry: Entry, wanted: set[int]) -> _Result:
        wish = entry.attributes
        if wish.inode == ROOT_INODE or (not directory.path and entry.name == PRIVATE_NAME):
            raise PeerProtocolError("a listing names what it must not")
        found = self._keep(directory, entry, wanted)
        brought = _Result.AT_HAND
        if found is None:
            if entry.name in directory.unseen:
                self._limbo.put(directory.fd, entry.name)
                del directory.unseen[entry.name]
            brought = self._bring(directory, entry)
            if brought is _Result.UNFINDABLE:
                self._lacking.add((directory.inode, entry.name))
                return brought
            found = _make(directory.fd, entry) if brought is _Result.MADE else _look(directory.fd, entry.name)
        directory.unseen.pop(entry.name, None)
        file, status, kept = found
        try:
            if linux.extended(file).protected:
                unprotect(directory.fd, entry.name)
            result = self._name(file, status.st_ino, kept, wish)
            equalise(self._volume, file, status, wish)
            self._claim(file, wish, status)
            if brought is _Result.MADE:
                return brought
            if self._ahead is not None and not directory.tracked and stat.S_ISREG(wish.mode) and wish.nlink == 1:
                self._ahead.listed(file, wish.size)
            return result
        finally:
            os.close(file)

    def _name(self, file: int, local: int, kept: Kept | None, wish: Attributes) -> _Result:
        """Gives it its id, unless it has it; whether it is sure to be what it was."""
        join = kept.join if kept is not None else 0
        if kept is None or kept.inode != wish.inode:
            live = self._volume.table.at(local)
            join = 0 if live is not None and live.id == wish.inode else self._join
            write_id(f"/proc/self/fd/{file}", wish.inode, local, join)
        # Of what has several names it is said once.
        return _Result.ANEW if join == self._join and wish.inode not in self._claims else _Result.AT_HAND

    def _keep(self, directory: _Directory, entry: Entry, wanted: set[int]) -> _Found | None:
        """What stands at the name, open, when it may stay there."""
        if entry.name not in directory.unseen:
            return None
        wish = entry.attributes
        found = _look(directory.fd, entry.name)
        try:
            status = found.status
            known = self._identity(found)
            stays = self._fits(found.file, status, wish)
            if stays and (known is None or known.inode != wish.inode):
                stays = self._may_adopt(directory, status, known, wish, wanted)
            elif stays:
                stays = self._is_sure(directory, known, wish)
        except BaseException:
            os.close(found.file)
            raise
        if stays:
            return found
        os.close(found.file)
        return None

    def _identity(self, found: _Found) -> Kept | None:
        """What it says of itself; of a live one what it is known as."""
        live = self._volume.table.at(found.status.st_ino)
        if live is not None and (found.kept is None or found.kept.inode != live.id):
            return Kept(live.id, 0)
        return found.kept

    def _may_adopt(
        self, directory: _Directory, status: os.stat_result, kept: Kept | None, wish: Attributes, wanted: set[int]
    ) -> bool:
        """Whether one of another id, or none, is taken for what is wished: not when the right one is known."""
        if directory.tracked:
            several = wish.nlink > 1 or (not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1)
            if several or not (kept is None or wish.flags & EntryFlag.PROTECTED):
                return False
        if kept is not None and kept.inode in wanted:
            return False
        return wish.inode not in self._claims and self._at_hand(directory, wish) is None

    def _is_sure(self, directory: _Directory, kept: Kept | None, wish: Attributes) -> bool:
        """Whether it is the inode, and not a second one that a broken join has made of it."""
        if not directory.tracked or wish.nlink == 1 or wish.inode in self._claims:
            return True
        return kept is None or kept.join != self._join

    def _fits(self, file: int, status: os.stat_result, wish: Attributes) -> bool:
        """Whether an inode is of the sort that is wished, and free to be it."""
        if status.st_dev != self._volume.device or not is_made_so(file, status, wish):
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
        if directory.by_id is None:
            directory.by_id = _ids(directory)
        name = directory.by_id.get(wish.inode)
        if name is not None and name in directory.unseen and self._is(directory, directory.fd, name, wish):
            return directory.fd, name
        name = self._limbo.find(wish.inode)
        if name is not None and self._is(directory, self._limbo.fd, name, wish):
            return self._limbo.fd, name
        return None

    def _is(self, listed: _Directory, directory: int, name: bytes, wish: Attributes) -> bool:
        found = _look(directory, name)
        try:
            known = self._identity(found)
            if known is None or known.inode != wish.inode or not self._is_sure(listed, known, wish):
                return False
            return self._fits(found.file, found.status, wish)
        finally:
            os.close(found.file)

    def _bring(self, directory: _Directory, entry: Entry) -> _Result:
        """Puts the right inode at a name that is free; MADE when it is to be made there.

        UNFINDABLE when it may be somewhere else, or what it is now.
        """
        wish = entry.attributes
        claim = self._claims.get(wish.inode)
        if claim is not None:
            if claim.anchor is None:
                raise DivergenceError(f"{entry.name!r} is a further name of inode {wish.inode:x}, which can have none")
            os.link(claim.anchor, entry.name, src_dir_fd=self._limbo.fd, dst_dir_fd=directory.fd, follow_symlinks=False)
            return _Result.AT_HAND
        live = self._volume.table.get(wish.inode)
        if live is not None:
            self._link_live(directory, entry, live)
            return _Result.AT_HAND
        found = self._at_hand(directory, wish)
        if found is None:
            if directory.tracked and wish.nlink > 1:
                return _Result.UNFINDABLE
            return _Result.MADE
        source, name = found
        unprotect(source, name)
        linux.rename(source, name, directory.fd, entry.name, RENAME_NOREPLACE)
        if source == directory.fd:
            del directory.unseen[name]
        else:
            self._limbo.forget(wish.inode)
        return _Result.AT_HAND

    def _link_live(self, directory: _Directory, entry: Entry, live: Inode) -> None:
        """A further name of an inode that the stream knows by another one, or by one that it has lost since."""
        wish = entry.attributes
        alone = wish.nlink == 1 and bool(live.names)
        if live.is_directory or live.type != stat.S_IFMT(wish.mode) or alone:
            raise DivergenceError(f"{entry.name!r} is inode {wish.inode:x}, which is live elsewhere")
        source = f"/proc/self/fd/{self._volume.table.path_fd(live)}"
        os.link(source, entry.name, dst_dir_fd=directory.fd, follow_symlinks=True)

    def _claim(self, file: int, wish: Attributes, status: os.stat_result) -> None:
        """Remembers an inode with several names, and gives it an anchor when the primary's has several."""
        if stat.S_ISDIR(wish.mode) or wish.inode in self._claims or max(wish.nlink, status.st_nlink) == 1:
            return
        anchor = self._anchor(file) if wish.nlink > 1 else None
        self._claims[wish.inode] = _Claim(status.st_ino, anchor)
        self._claimed[status.st_ino] = wish.inode

    def _anchor(self, file: int) -> bytes | None:
        """None where it has all the names that it can have: no further one is possible then, nor needed as a rule."""
        try:
            return self._limbo.anchor(file)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            return None


def _look(directory: int, name: bytes) -> _Found:
    """Opens what stands at a name, which the caller closes. Raises OSError."""
    file = os.open(name, _PATH_FLAGS, dir_fd=directory)
    try:
        status = os.fstat(file)
        return _Found(file, status, read_kept(target_of_fd(file), status.st_ino))
    except BaseException:
        os.close(file)
        raise


def _make(directory: int, entry: Entry) -> _Found:
    """Makes what is wished at a name that is free, a file with its length; as :func:`_look`."""
    wish = entry.attributes
    kind = stat.S_IFMT(wish.mode)
    if kind == stat.S_IFREG:
        file = os.open(entry.name, _CREATE_FLAGS, 0o600, dir_fd=directory)
        try:
            if wish.size:
                os.ftruncate(file, wish.size)
            return _Found(file, os.fstat(file), None)
        except BaseException:
            os.close(file)
            raise
    if kind == stat.S_IFDIR:
        os.mkdir(entry.name, 0o700, dir_fd=directory)
    elif kind == stat.S_IFLNK:
        os.symlink(wish.target, entry.name, dir_fd=directory)
    else:
        os.mknod(entry.name, kind | 0o600, wish.rdev, dir_fd=directory)
    return _look(directory, entry.name)


def _ids(directory: _Directory) -> dict[int, bytes]:
    """Where the ids are that are kept on what was not listed yet. Raises OSError."""
    found: dict[int, bytes] = {}
    for name, local in directory.unseen.items():
        known = read_id(target_at(directory.fd, name), local, follow=False)
        if known is not None:
            found[known] = name
    return found
