"""Keeps this disk's own version of what differs from the primary's copy, below ``.mirrorfarm/aside/<number>.part/``.

Of one replicated directory, while what differs is found out. The copy itself is not touched, so that all this can be
begun anew. A path that is kept already is not kept again, further names of one inode are links to the first one, and
directories get their attributes at the end, when all is in them. What differs is not known here, nor who asked.
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Sequence
from typing import Any, Final

from manager.model.asides import Aside, AsideItem, Kept, path_text
from manager.model.codec import to_plain
from replicator.core.aside_room import ENTRY_BYTES, NoRoom, Room, Space
from replicator.disk import linux
from replicator.disk.aside_shelf import LIST, TREE, delete_aside, open_shelf, part_of, write_about
from replicator.disk.duplicating import Pause, copy_attributes, duplicate
from replicator.disk.survey import open_path, target_at, xattrs_of
from replicator.disk.volume import Volume

Path = tuple[bytes, ...]
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_NO_LINK: Final = (errno.EMLINK, errno.EXDEV)
"""It has all the names that it can have, or the directories are of two projects (xfs): it is kept once more."""
_LIST_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class AsideTree:
    """What is kept of one replicated directory. One thread at a time; raises OSError, NoRoom, and what pause does."""

    def __init__(self, volume: Volume, number: int, room: Room, pause: Pause) -> None:
        """``pause`` is called between two pieces of work. Nothing is made before something is to be kept."""
        self._volume = volume
        self._number = number
        self._room = room
        self._pause = pause
        self._linked: dict[int, Path] = {}
        """Where inodes with several names are kept, by their inode numbers here."""
        self._aside = -1
        self._tree = -1
        self._list: Any = None
        self.items = 0
        self.bytes = 0

    def clear(self) -> None:
        """Takes away what there is of this number: it was not brought to its end."""
        delete_aside(self._volume.private_fd, self._number)

    def close(self) -> None:
        """Closes what is open; it can only be begun anew then."""
        files, listed = (self._aside, self._tree), self._list
        self._aside = self._tree = -1
        self._list = None
        for file in files:
            if file >= 0:
                os.close(file)
        if listed is not None:
            with contextlib.suppress(OSError):  # A full disk: what is not written by now is of one that is not whole.
                listed.close()

    # Keeping

    def keep(self, path: Path, what: Sequence[str]) -> None:
        """All that stands at ``path``, and below it; nothing when nothing does."""
        try:
            source = open_path(self._volume.root_fd, path[:-1])
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            status = _status(source, path[-1])
            if status is None or status.st_dev != self._volume.device:
                return
            self._guard(self._keep_one, source, path, status, what)
        finally:
            os.close(source)
        if stat.S_ISDIR(status.st_mode):
            self._keep_below(path, what)

    def _keep_below(self, top: Path, what: Sequence[str]) -> None:
        waiting = [top]
        while waiting:
            path = waiting.pop()
            source = open_path(self._volume.root_fd, path)
            try:
                for entry in linux.each_entry(source):
                    self._pause()
                    inner = (*path, entry.name)
                    status = _status(source, entry.name)
                    if status is None or status.st_dev != self._volume.device:
                        continue
                    self._guard(self._keep_one, source, inner, status, what)
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(inner)
            finally:
                os.close(source)

    def keep_directory(self, path: Path, what: Sequence[str], detail: str) -> None:
        """The directory at ``path`` with its attributes, without what is in it."""

        def keep() -> None:
            os.close(self._open(path))
            self._note(AsideItem(path_text(b"/".join(path)), tuple(what), Kept.DIRECTORY, 0, ENTRY_BYTES, detail))

        self._guard(keep)

    def note_attributes(self, path: Path, what: Sequence[str], detail: str) -> None:
        """The attributes of the file at ``path``; its content is the primary's too, as far as is known yet."""

        def note() -> None:
            source = open_path(self._volume.root_fd, path[:-1])
            try:
                status = _status(source, path[-1])
                if status is None:
                    return
                more = _attributes(status, target_at(source, path[-1]))
            finally:
                os.close(source)
            self._make()
            text = path_text(b"/".join(path))
            self._note(AsideItem(text, tuple(what), Kept.ATTRIBUTES, status.st_size, 0, detail), more)

        self._guard(note)

    def _guard(self, work: Callable[..., None], *arguments: Any) -> None:
        """A full disk is no broken one."""
        try:
            work(*arguments)
        except OSError as error:
            if error.errno in _FULL:
                raise NoRoom(f"the disk is full: {error.strerror}", ENTRY_BYTES, 0) from None
            raise

    def _keep_one(self, source: int, path: Path, status: os.stat_result, what: Sequence[str]) -> None:
        """One name; a directory without what is in it."""
        target = self._open(path[:-1])
        try:
            name = path[-1]
            if _status(target, name) is not None:
                return
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            needed = ENTRY_BYTES + (status.st_blocks * 512 if size else 0)
            if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
                if self._link(status.st_ino, target, path):
                    self._take(ENTRY_BYTES, False)
                    needed = ENTRY_BYTES
                else:
                    self._take(needed)
                    duplicate(source, name, target, name, self._pause)
                    self._linked[status.st_ino] = path
            else:
                self._take(needed)
                duplicate(source, name, target, name, self._pause)
            kept = Kept.DIRECTORY if stat.S_ISDIR(status.st_mode) else Kept.WHOLE
            self._note(AsideItem(path_text(b"/".join(path)), tuple(what), kept, size, needed))
        finally:
            os.close(target)

    def _link(self, local: int, target: int, path: Path) -> bool:
        """Whether it is there under another name, and is now under this one too."""
        first = self._linked.get(local)
        if first is None:
            return False
        directory = open_path(self._tree, first[:-1])
        try:
            os.link(first[-1], path[-1], src_dir_fd=directory, dst_dir_fd=target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            return False
        finally:
            os.close(directory)
        return True

    # What it consists of

    def _open(self, path: Path) -> int:
        """The directory of the tree at ``path``, made with all above it where it is missing; the caller closes it."""
        self._make()
        directory = os.dup(self._tree)
        for name in path:
            try:
                inner = self._open_inner(directory, name)
            finally:
                os.close(directory)
            directory = inner
        return directory

    def _open_inner(self, directory: int, name: bytes) -> int:
        try:
            return open_path(directory, (name,))
        except FileNotFoundError:
            self._take(ENTRY_BYTES)
            self.bytes += ENTRY_BYTES
            os.mkdir(name, 0o700, dir_fd=directory)
            return open_path(directory, (name,))

    def _make(self) -> None:
        """Begins the aside, unless it was."""
        if self._list is not None:
            return
        self._take(2 * ENTRY_BYTES)
        shelf = open_shelf(self._volume.private_fd)
        try:
            os.mkdir(part_of(self._number), 0o700, dir_fd=shelf)
            self._aside = open_path(shelf, (part_of(self._number),))
        finally:
            os.close(shelf)
        os.mkdir(TREE, 0o700, dir_fd=self._aside)
        self._tree = open_path(self._aside, (TREE,))
        self._list = open(os.open(LIST, _LIST_FLAGS, 0o600, dir_fd=self._aside), "w", encoding="utf-8")  # noqa: SIM115

    def _take(self, needed: int, new_inode: bool = True) -> None:
        found = os.fstatvfs(self._volume.private_fd)
        size = found.f_frsize
        space = Space(found.f_blocks * size, found.f_bavail * size, found.f_files, found.f_favail)
        self._room.take(space, needed, new_inode)

    def _note(self, item: AsideItem, more: dict[str, Any] | None = None) -> None:
        line = json.dumps(to_plain(item) | (more or {}), ensure_ascii=False) + "\n"
        if item.kept is Kept.ATTRIBUTES:
            self._take(len(line), False)
            self.bytes += len(line)
        self._list.write(line)
        self.items += 1
        self.bytes += item.bytes

    # The end

    def finish(self, about: Aside) -> None:
        """All is in it; its directories get their attributes, and it says where it came from. It is not on the disk."""
        if self._list is None:
            return

        def finish() -> None:
            self._list.flush()
            self._equalise_directories()
            write_about(self._aside, about)

        self._guard(finish)

    def _equalise_directories(self) -> None:
        """Each directory of the tree becomes as the one at its path is: after this nothing is added to it."""
        waiting: list[Path] = [()]
        while waiting:
            path = waiting.pop()
            self._pause()
            directory = open_path(self._tree, path)
            try:
                source = open_path(self._volume.root_fd, path)
                try:
                    waiting += [(*path, name) for name in _directories(directory)]
                    copy_attributes(source, directory)
                finally:
                    os.close(source)
            finally:
                os.close(directory)

    def complete(self) -> None:
        """It is on the disk by now, and counts as whole when this returns."""
        if self._list is None:
            return
        shelf = open_shelf(self._volume.private_fd)
        try:
            os.rename(part_of(self._number), b"%d" % self._number, src_dir_fd=shelf, dst_dir_fd=shelf)
            os.fsync(shelf)
        finally:
            os.close(shelf)


def _status(directory: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _directories(directory: int) -> list[bytes]:
    found = []
    for entry in linux.each_entry(directory):
        status = _status(directory, entry.name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            found.append(entry.name)
    return found


def _attributes(status: os.stat_result, target: bytes) -> dict[str, Any]:
    """What no text for people says whole; extended attributes in hexadecimal digits."""
    xattrs = {path_text(name): value.hex() for name, value in xattrs_of(target, follow=False)}
    return {
        "mode": f"{stat.S_IMODE(status.st_mode):o}",
        "owner": f"{status.st_uid}:{status.st_gid}",
        "mtime_ns": status.st_mtime_ns,
        "xattrs": xattrs,
    }
