"""The table of live inodes of one directory: id to what is held open for it, and by which names it is known.

An inode is live while the kernel (on the primary) or the stream (on the secondary) refers to it, and while a live
inode is known by a name in it. What is open for a live inode is bounded: descriptors that were not used lately are
closed and opened again by name when needed. So an inode without a known name, or with none at all, keeps its own.
"""

import errno
import os
import stat
from collections import deque
from typing import Final

from manager.model.errors import MirrorfarmError
from replicator.disk.closing import Closer, is_slow_to_close

_PATH_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DATA_FLAGS: Final = os.O_CLOEXEC | os.O_NOATIME | os.O_NONBLOCK
DEFAULT_MAX_OPEN: Final = 65536
"""Of either sort of descriptor, of one directory."""
_LOOKS: Final = 64
"""How many inodes one call looks at for a descriptor to close; each call opens fewer."""


class DivergenceError(MirrorfarmError):
    """The files below are not what the stream says they are: the two copies differ, or somebody changed one."""


class Inode:
    """One live inode. Only the table and the modules beside it change it."""

    __slots__ = (
        "children",
        "data_fd",
        "id",
        "local",
        "names",
        "path_fd",
        "pending",
        "privileged",
        "protected",
        "references",
        "type",
        "unlinked",
        "used",
        "writable",
    )

    def __init__(self, inode: int, local: int, file_type: int, protected: bool) -> None:
        self.id: Final = inode
        self.local: Final = local
        """The file system's own inode number."""
        self.type: Final = file_type
        """The type bits of its mode."""
        self.protected: Final = protected
        """chattr +i or +a: the file system refuses changes."""
        self.path_fd = -1
        self.data_fd = -1
        self.writable = False
        """Whether data_fd is open for writing."""
        self.names: set[tuple[int, bytes]] = set()
        """(directory id, name) of those that are known."""
        self.references = 0
        self.children = 0
        """How many known names of live inodes are in this directory."""
        self.unlinked = False
        """No name is left, known or not: it lives until it is released."""
        self.privileged: bool | None = None
        """Whether a write may have to take set-user or set-group bits away; None: not known."""
        self.pending = 0
        """Operations that were issued on it and are not applied yet."""
        self.used = False
        """Since the last look for descriptors to close."""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.type == stat.S_IFDIR

    @property
    def is_regular(self) -> bool:
        """Whether it has data."""
        return self.type == stat.S_IFREG


class InodeTable:
    """Live inodes by id and by local inode number, and their descriptors."""

    def __init__(self, root: Inode, max_open: int = DEFAULT_MAX_OPEN) -> None:
        self._root = root
        self._by_id: dict[int, Inode] = {root.id: root}
        self._by_local: dict[int, Inode] = {root.local: root}
        self._max_open = max_open
        self._paths: deque[Inode] = deque()
        self._data: deque[Inode] = deque()
        self._closer = Closer()

    def __len__(self) -> int:
        """How many inodes are live, the root included."""
        return len(self._by_id)

    def __getitem__(self, inode: int) -> Inode:
        """The live inode. Raises OSError (ESTALE) when there is none."""
        try:
            return self._by_id[inode]
        except KeyError:
            raise OSError(errno.ESTALE, f"inode {inode:x} is not live") from None

    def get(self, inode: int) -> Inode | None:
        """The live inode, or None."""
        return self._by_id.get(inode)

    def at(self, local: int) -> Inode | None:
        """The live inode with this local inode number, or None."""
        return self._by_local.get(local)

    def add(self, inode: Inode, path_fd: int = -1) -> None:
        """A new live inode, with a descriptor of it if there is one, which the table closes from now on."""
        if inode.id in self._by_id or inode.local in self._by_local:
            raise DivergenceError(f"inode {inode.id:x} (local number {inode.local}) is already live as another")
        self._by_id[inode.id] = inode
        self._by_local[inode.local] = inode
        if path_fd >= 0:
            self.adopt_path(inode, path_fd)

    # Names

    def add_name(self, inode: Inode, parent: Inode, name: bytes) -> None:
        """``name`` in ``parent`` stands for ``inode``."""
        key = (parent.id, name)
        if key not in inode.names:
            inode.names.add(key)
            parent.children += 1

    def remove_name(self, inode: Inode, parent: Inode, name: bytes) -> None:
        """``name`` in ``parent`` stands for ``inode`` no more."""
        key = (parent.id, name)
        if key in inode.names:
            inode.names.remove(key)
            parent.children -= 1

    # Life

    def release(self, inode: Inode, count: int) -> list[int]:
        """Takes ``count`` references away; returns the ids of the inodes that are not live any more."""
        inode.references = max(0, inode.references - count)
        dropped: list[int] = []
        waiting = [inode]
        while waiting:
            candidate = waiting.pop()
            if candidate.references or candidate.children or candidate.pending or candidate is self._root:
                continue
            if self._by_id.pop(candidate.id, None) is None:
                continue
            del self._by_local[candidate.local]
            self._close(candidate)
            dropped.append(candidate.id)
            for parent_id, _ in candidate.names:
                parent = self._by_id[parent_id]
                parent.children -= 1
                waiting.append(parent)
            candidate.names.clear()
        return dropped

    def clear(self) -> None:
        """Forgets all but the root."""
        for inode in self._by_id.values():
            if inode is not self._root:
                self._close(inode)
        self._root.children = 0
        self._root.references = 0
        self._by_id = {self._root.id: self._root}
        self._by_local = {self._root.local: self._root}
        self._paths.clear()
        self._data.clear()

    # Descriptors

    def path_fd(self, inode: Inode) -> int:
        """An O_PATH descriptor of it, for use before anything else is asked of the table. Raises OSError."""
        inode.used = True
        if inode.path_fd >= 0:
            return inode.path_fd
        closed = [inode]
        while closed[-1].names:
            above = self._by_id[next(iter(closed[-1].names))[0]]
            above.used = True
            if above.path_fd >= 0:
                break
            closed.append(above)
        while len(closed) > 1:  # from the top down: a tree may be deeper than calls can be nested
            self._open_by_name(closed.pop())
        return self._open_by_name(inode)

    def _open_by_name(self, inode: Inode) -> int:
        for parent_id, name in inode.names:
            try:
                descriptor = os.open(name, _PATH_FLAGS, dir_fd=self.path_fd(self._by_id[parent_id]))
            except FileNotFoundError:
                continue
            if os.fstat(descriptor).st_ino == inode.local:
                self.adopt_path(inode, descriptor)
                return descriptor
            os.close(descriptor)
        raise DivergenceError(f"inode {inode.id:x} is not where it was: changed below the mount")

    def adopt_path(self, inode: Inode, descriptor: int) -> None:
        """``descriptor`` becomes the inode's own, or is closed when it has one."""
        if inode.path_fd >= 0:
            os.close(descriptor)
            return
        inode.path_fd = descriptor
        self._paths.append(inode)

    def data_fd(self, inode: Inode, writing: bool) -> int:
        """The shared descriptor of a regular file's data. Raises OSError, EPERM for a protected file."""
        inode.used = True
        if inode.data_fd >= 0 and (inode.writable or not writing):
            return inode.data_fd
        path = f"/proc/self/fd/{self.path_fd(inode)}"
        writable = True
        try:
            descriptor = os.open(path, os.O_RDWR | _DATA_FLAGS)
        except OSError:
            if writing:
                raise
            descriptor = os.open(path, os.O_RDONLY | _DATA_FLAGS)
            writable = False
        self.trim()
        self.adopt_data(inode, descriptor, writable)
        return descriptor

    def adopt_data(self, inode: Inode, descriptor: int, writable: bool) -> None:
        """``descriptor`` becomes the inode's data descriptor."""
        if inode.data_fd >= 0:
            os.close(inode.data_fd)
        else:
            self._data.append(inode)
        inode.data_fd = descriptor
        inode.writable = writable

    def trim(self) -> None:
        """Closes what is open beyond the bound: called where no descriptor of the table is in use."""
        if len(self._paths) > self._max_open:
            self._trim(self._paths)
        if len(self._data) > self._max_open:
            self._trim(self._data)

    def _trim(self, clock: deque[Inode]) -> None:
        for _ in range(min(2 * len(clock), _LOOKS)):
            if len(clock) <= self._max_open:
                return
            inode = clock.popleft()
            data = clock is self._data
            if (inode.data_fd if data else inode.path_fd) < 0:
                continue
            if inode.used or (not data and (inode.unlinked or not inode.names)):
                inode.used = False
                clock.append(inode)
            elif data:
                os.close(inode.data_fd)
                inode.data_fd = -1
            else:
                os.close(inode.path_fd)
                inode.path_fd = -1

    def _close(self, inode: Inode) -> None:
        descriptors = [descriptor for descriptor in (inode.path_fd, inode.data_fd) if descriptor >= 0]
        inode.path_fd = inode.data_fd = -1
        if inode.unlinked and inode.is_regular and descriptors and is_slow_to_close(descriptors[0]):
            self._closer.close(descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
