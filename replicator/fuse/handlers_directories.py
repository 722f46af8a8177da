"""Handlers of reading directories. Offsets are those of the file system below; only what is left over is kept."""

import errno
import os
from collections.abc import Callable
from typing import Any

from replicator.disk import linux
from replicator.disk.volume import Inode
from replicator.fuse import replies, requests
from replicator.fuse.abi import UNKNOWN_INODE, Opcode
from replicator.fuse.context import Context
from replicator.fuse.requests import Header


class _Listing:
    """An open directory: where it stands, and entries that were read and did not fit."""

    __slots__ = ("directory", "left", "next")

    def __init__(self, directory: int) -> None:
        self.directory = directory
        self.left: list[linux.Entry] = []
        self.next = 0

    def entries_from(self, offset: int) -> list[linux.Entry]:
        """Some of the entries from ``offset``, none at the end."""
        if offset != self.next or offset == 0:
            os.lseek(self.directory, offset, os.SEEK_SET)
            self.left = []
        if not self.left:
            self.left = linux.list_entries(self.directory)
        return self.left

    def consumed(self, count: int) -> None:
        """The first ``count`` of them were given out."""
        if count:
            self.next = self.left[count - 1].after
            self.left = self.left[count:]


class DirectoryHandlers:
    """Of one mounted directory."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._volume = context.volume
        self._replies = context.replies
        self._listings: dict[int, _Listing] = {}
        self._last = 0

    def table(self) -> dict[int, Callable[[Header, Any], None]]:
        """Opcode to handler."""
        return {
            Opcode.OPENDIR: self.opendir,
            Opcode.READDIR: self.readdir,
            Opcode.READDIRPLUS: self.readdirplus,
            Opcode.RELEASEDIR: self.releasedir,
        }

    def close(self) -> None:
        """Closes what is open."""
        for listing in self._listings.values():
            os.close(listing.directory)
        self._listings.clear()

    def opendir(self, header: Header, _request: requests.Open) -> None:
        """OPENDIR."""
        inode = self._volume.inode(header.node)
        self._last += 1
        self._listings[self._last] = _Listing(self._volume.open_directory(inode))
        self._replies.ok(header.unique, replies.opened(self._last, 0))

    def releasedir(self, header: Header, request: requests.Release) -> None:
        """RELEASEDIR."""
        listing = self._listings.pop(request.handle, None)
        if listing is not None:
            os.close(listing.directory)
        self._replies.ok(header.unique)

    def readdir(self, header: Header, request: requests.Read) -> None:
        """READDIR."""
        self._list(header, request, self._plain)

    def readdirplus(self, header: Header, request: requests.Read) -> None:
        """READDIRPLUS: each entry is looked up as well."""
        self._list(header, request, self._plus)

    def _list(
        self, header: Header, request: requests.Read, encode: Callable[[Inode, linux.Entry, int], bytes | None]
    ) -> None:
        inode = self._volume.inode(header.node)
        listing = self._listings.get(request.handle)
        if listing is None:
            raise OSError(errno.EBADF, "directory")
        parts: list[bytes] = []
        room = request.size
        offset = request.offset
        while not parts:
            entries = listing.entries_from(offset)
            if not entries:
                break
            count = 0
            for entry in entries:
                if not self._volume.is_private(inode, entry.name):
                    part = encode(inode, entry, room)
                    if part is None:
                        break
                    if part:  # no answer at all is the directory's end, and there may be more behind what is gone
                        parts.append(part)
                        room -= len(part)
                count += 1
            listing.consumed(count)
            if count < len(entries):
                break
            offset = listing.next
        self._replies.ok(header.unique, b"".join(parts))  # one part: writev takes no more than 1024

    def _plain(self, directory: Inode, entry: linux.Entry, room: int) -> bytes | None:
        inode = self._entry_id(directory, entry)
        part = replies.directory_entry(inode, entry.after, entry.name, entry.type)
        return part if len(part) <= room else None

    def _plus(self, directory: Inode, entry: linux.Entry, room: int) -> bytes | None:
        bare = replies.directory_entry_bare(UNKNOWN_INODE, entry.after, entry.name, entry.type)
        if len(bare) > room:
            return None
        if entry.name in (b".", b".."):
            inode = self._entry_id(directory, entry)
            return replies.directory_entry_bare(inode, entry.after, entry.name, entry.type)
        try:
            found, status = self._volume.lookup(directory, entry.name)
        except FileNotFoundError:
            return b""
        except OSError:
            return bare  # the kernel asks by its name, and gets the error then
        self._volume.hold(found)
        return replies.directory_entry_plus(found.id, entry.after, entry.name, status)

    def _entry_id(self, directory: Inode, entry: linux.Entry) -> int:
        if entry.name == b".":
            return directory.id
        if entry.name == b"..":
            above = self._volume.table.at(entry.inode) if directory.id != 1 else directory
            return above.id if above is not None else UNKNOWN_INODE
        try:
            return self._volume.entry_id(directory, entry.name, entry.inode)
        except OSError:
            return UNKNOWN_INODE
