"""One replicated directory: the real files, reached below whatever is mounted over them.

A Volume is opened before the mount, and from then on uses only the descriptor of the directory itself. It applies
operations, on both nodes alike, and answers what the file system in front of it asks. It knows nothing of FUSE, of
the stream, nor of which node it is on. All its methods are for one thread; what may block is prepared here and run
elsewhere (:meth:`Volume.prepare_fsync`, :meth:`Volume.duplicate`).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import HIDDEN_XATTRS, PRIVATE_NAME, Free, Limits
from replicator.core.operations import Bind, Fsync, Operation, Write
from replicator.disk import linux
from replicator.disk.applying import APPLY, any_fd, open_for_sync, sync_and_close, target_of, write
from replicator.disk.inode_ids import InodeIds, read_id, write_id
from replicator.disk.inodes import DEFAULT_MAX_OPEN, DivergenceError, Inode, InodeTable
from replicator.disk.limits import check_fit, open_private, open_scratch, probe
from replicator.disk.losses import Losses

__all__ = ["DivergenceError", "Inode", "Volume"]

_PATH_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME
_LIST_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOATIME


class Volume:
    """The files of one replicated directory."""

    def __init__(self, path: str, index: int, root_fd: int, private_fd: int, max_open: int) -> None:
        self.path: Final = path
        self.index: Final = index
        """Which of the module's directories it is."""
        self.root_fd: Final = root_fd
        self.private_fd: Final = private_fd
        """``.mirrorfarm/``."""
        status = os.fstat(root_fd)
        self.device: Final = status.st_dev
        self.room: Final = (status.st_dev, os.fstatvfs(root_fd).f_blocks)
        """Volumes with the same take from the same free space. A directory with a quota of its own has another size."""
        self.limits: Limits = probe(private_fd)
        root = Inode(ROOT_INODE, status.st_ino, stat.S_IFDIR, linux.extended(root_fd).protected)
        root.path_fd = root_fd
        self.table: Final = InodeTable(root, max_open)
        self.memory_lost = False
        """What the page cache has of it may not be on the disk, and pass for it (S8).

        Until a join has compared everything as it is there, and brought it there. That counts for this process: by the
        next one the file system may have been unmounted, checked and repaired.
        """
        self.on_adopted: Callable[[int, int, bytes], None] | None = None
        """Told of an inode that was there and got a new id by a look-up: the id, and the directory and name it has."""
        self._ids: InodeIds | None = None
        self._scratch_fd = -1
        self._watch: Final = self.watch()
        self.losses: Final = Losses(self._watch.check)
        """Of its file system, whoever was told of them."""

    @classmethod
    def open(cls, path: str, index: int = 0, max_open: int = DEFAULT_MAX_OPEN) -> "Volume":
        """Opens the directory ``path``, over which nothing of ours is mounted yet.

        ``max_open`` bounds the O_PATH descriptors and, apart, those of data; the process needs twice that and more.

        Raises:
            UnfitDirectory: it cannot be replicated.
            OSError: it cannot be opened.
        """
        check_fit(path)
        with contextlib.ExitStack() as opened:
            root_fd = os.open(path, _LIST_FLAGS)
            opened.callback(os.close, root_fd)
            private_fd = open_private(root_fd)
            opened.callback(os.close, private_fd)
            volume = cls(path, index, root_fd, private_fd, max_open)
            opened.pop_all()
        return volume

    def close(self) -> None:
        """Closes every descriptor."""
        self.table.clear()
        self._watch.close()
        for descriptor in (self.root_fd, self.private_fd, self._scratch_fd):
            if descriptor >= 0:
                os.close(descriptor)

    def number_from(self, ids: InodeIds | None) -> None:
        """Whence inodes without an id get one: set on the primary, ``None`` on a secondary, which is told each id."""
        self._ids = ids

    def forget_all(self) -> None:
        """No inode is live any more: the kernel or the stream that knew them is gone."""
        self.table.clear()

    # Changing

    def apply(self, operation: Operation) -> int:
        """Does ``operation`` to the files below; returns what the system call returns, 0 or the bytes written.

        A :class:`Create` leaves the new inode with one reference, which is the creator's to release.

        Raises:
            OSError: as the file system does, ESTALE for an inode that is not live.
            DivergenceError: the files are not what the operation says they are.
        """
        if operation.__class__ is Write:
            return write(self.table, operation)
        self.table.trim()
        return APPLY[operation.kind](self.table, operation)

    def new_id(self) -> int:
        """The id for an inode that is about to be created. Raises OSError (EROFS) where no ids are given."""
        if self._ids is None:
            raise OSError(errno.EROFS, "this node gives no inode ids")
        return self._ids.take()

    # Names and life

    def inode(self, inode: int) -> Inode:
        """The live inode with this id. Raises OSError (ESTALE)."""
        return self.table[inode]

    def lookup(self, parent: Inode, name: bytes) -> tuple[Inode, os.stat_result]:
        """What ``name`` stands for, made live; an inode without an id gets one.

        Raises:
            OSError: ENOENT when there is no such name, EXDEV for another file system's, EROFS for an inode without
                an id where none are given.
        """
        if self.is_private(parent, name):
            raise FileNotFoundError(errno.ENOENT, "reserved")
        self.table.trim()
        descriptor = os.open(name, _PATH_FLAGS, dir_fd=self.table.path_fd(parent))
        try:
            status = os.fstat(descriptor)
            inode, adopted = self.table.at(status.st_ino), False
            if inode is None or status.st_dev != self.device:
                inode, adopted = self._load(descriptor, status)
                if adopted:
                    status = os.fstat(descriptor)  # it has another ctime now
        except BaseException:
            os.close(descriptor)
            raise
        self.table.adopt_path(inode, descriptor)
        self.table.add_name(inode, parent, name)
        if adopted and self.on_adopted is not None:
            self.on_adopted(inode.id, parent.id, name)
        return inode, status

    def _load(self, descriptor: int, status: os.stat_result) -> tuple[Inode, bool]:
        """Makes it live; whether its id is new."""
        if status.st_dev != self.device:
            raise OSError(errno.EXDEV, "another file system, or a subvolume")
        protected = linux.extended(descriptor).protected
        target = f"/proc/self/fd/{descriptor}"
        known = self._id_of(target, status.st_ino)
        inode_id = known or self.new_id()
        if not known and not protected:  # else the file system refuses; the id then lasts while the inode is live
            write_id(target, inode_id, status.st_ino)
        inode = Inode(inode_id, status.st_ino, stat.S_IFMT(status.st_mode), protected)
        self.table.add(inode)
        return inode, not known

    def _id_of(self, target: str, local: int) -> int:
        """The id that it has and nothing else that is live; 0: none."""
        inode_id = read_id(target, local)
        if inode_id is None or inode_id <= ROOT_INODE or self.table.get(inode_id) is not None:
            return 0
        return inode_id

    def resolve(self, parent: Inode, name: bytes) -> Inode:
        """What ``name`` stands for; as :meth:`lookup`, and cheaper for what is live already. Raises OSError."""
        if not self.is_private(parent, name):
            status = os.stat(name, dir_fd=self.table.path_fd(parent), follow_symlinks=False)
            inode = self.table.at(status.st_ino)
            if inode is not None and status.st_dev == self.device:
                self.table.add_name(inode, parent, name)
                return inode
        return self.lookup(parent, name)[0]

    def exists(self, parent: Inode, name: bytes) -> bool:
        """Whether the name is taken. Raises OSError for other reasons than its absence."""
        try:
            os.stat(name, dir_fd=self.table.path_fd(parent), follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def entry_id(self, parent: Inode, name: bytes, local: int) -> int:
        """The id of a listed entry, which is not made live; one without an id gets it. Raises OSError."""
        inode = self.table.at(local)
        if inode is not None:
            return inode.id
        loaded, _ = self.lookup(parent, name)
        inode_id = loaded.id
        self.table.release(loaded, 0)
        return inode_id

    def is_private(self, parent: Inode, name: bytes) -> bool:
        """Whether this is the name that is hidden and reserved."""
        return name == PRIVATE_NAME and parent.id == ROOT_INODE

    def hold(self, inode: Inode, count: int = 1) -> None:
        """Keeps the inode live until it is released as often."""
        inode.references += count

    def release(self, inode: Inode, count: int = 1) -> list[int]:
        """Ends ``count`` holds; the ids of inodes that are not live any more for it, names' directories included."""
        return self.table.release(inode, count)

    def name_of(self, inode: Inode) -> tuple[Inode, bytes] | None:
        """A directory and the name that the inode has in it; ``None`` when it is unlinked, or the root.

        When none is known, the tree is searched: a hard link whose names were all looked up elsewhere. Rare, slow.
        """
        for parent_id, name in inode.names:
            return self.table[parent_id], name
        if inode.unlinked or inode.id == ROOT_INODE:
            return None
        return self._search(inode)

    def _search(self, inode: Inode) -> tuple[Inode, bytes] | None:
        way: list[tuple[Inode, list[bytes]]] = []
        """Held, for what is looked up in one, and released, takes it along; with the names that are to be visited."""
        try:
            found = self._enter(self.table[ROOT_INODE], way, inode)
            while found is None and way:
                directory, left = way[-1]
                if left:
                    found = self._enter(self.lookup(directory, left.pop())[0], way, inode)
                else:
                    way.pop()
                    self.table.release(directory, 1)
            return found
        finally:
            for directory, _ in reversed(way):
                self.table.release(directory, 1)

    def _enter(
        self, directory: Inode, way: list[tuple[Inode, list[bytes]]], inode: Inode
    ) -> tuple[Inode, bytes] | None:
        """Goes on by one directory: the name that the inode has in it, if any."""
        self.hold(directory)
        below: list[bytes] = []
        way.append((directory, below))
        for entry in self.entries(directory):
            if entry.inode == inode.local:
                self.lookup(directory, entry.name)
                return directory, entry.name
            if stat.S_ISDIR(entry.type << 12) and not self.is_private(directory, entry.name):
                below.append(entry.name)
        return None

    def ancestry(self, inode: Inode) -> list[Bind]:
        """The operations that introduce the inode to a peer that knows only the root: directories first.

        Empty for the root. Raises OSError (ENOENT) when the inode has no name left.
        """
        binds: list[Bind] = []
        while inode.id != ROOT_INODE:
            found = self.name_of(inode)
            if found is None:
                raise OSError(errno.ENOENT, f"inode {inode.id:x} has no name")
            parent, name = found
            binds.append(Bind(self.index, inode.id, parent.id, name))
            inode = parent
        binds.reverse()
        return binds

    # Reading

    def status(self, inode: Inode) -> os.stat_result:
        """fstat(2); st_ino is the file system's own. Raises OSError."""
        return os.fstat(any_fd(self.table, inode))

    def birth_ns(self, inode: Inode) -> int | None:
        """When the inode was made on this disk, in nanoseconds since the epoch of Unix. Raises OSError."""
        return linux.extended(any_fd(self.table, inode)).birth_ns

    def data_fd(self, inode: Inode, writing: bool) -> int:
        """The shared descriptor of a regular file, for use before anything else is asked. Raises OSError."""
        return self.table.data_fd(inode, writing)

    def duplicate(self, inode: Inode) -> int:
        """A descriptor of a regular file's data for another thread, which closes it. Raises OSError."""
        return os.dup(self.table.data_fd(inode, False))

    def open_to_read(self, inode: Inode) -> int:
        """As :meth:`duplicate`, and the inode is left without one of its own: for what is read once. Raises OSError."""
        return os.open(f"/proc/self/fd/{self.table.path_fd(inode)}", _READ_FLAGS)

    def readlink(self, inode: Inode) -> bytes:
        """A symbolic link's target. Raises OSError."""
        return os.readlink(b"", dir_fd=self.table.path_fd(inode))

    def open_directory(self, inode: Inode) -> int:
        """A descriptor to list a directory by (linux.list_entries), which the caller closes. Raises OSError."""
        return os.open(f"/proc/self/fd/{self.table.path_fd(inode)}", _LIST_FLAGS)

    def entries(self, inode: Inode) -> Iterator[linux.Entry]:
        """All of a directory but ".", ".." and the reserved name. Raises OSError."""
        directory = self.open_directory(inode)
        try:
            for entry in linux.each_entry(directory):
                if not self.is_private(inode, entry.name):
                    yield entry
        finally:
            os.close(directory)

    def is_empty(self, inode: Inode) -> bool:
        """Whether a directory has no entries. Raises OSError."""
        return next(self.entries(inode), None) is None

    def getxattr(self, inode: Inode, name: bytes) -> bytes:
        """An extended attribute; those of HIDDEN_XATTRS are not shown. Raises OSError (ENODATA)."""
        if name in HIDDEN_XATTRS:
            raise OSError(errno.ENODATA, "reserved")
        return os.getxattr(target_of(self.table, inode), name)

    def listxattr(self, inode: Inode) -> list[bytes]:
        """The names of the extended attributes but those of HIDDEN_XATTRS. Raises OSError."""
        names = [os.fsencode(name) for name in os.listxattr(target_of(self.table, inode))]
        return [name for name in names if name not in HIDDEN_XATTRS]

    def statvfs(self) -> os.statvfs_result:
        """fstatvfs(2); may block. Any thread. Raises OSError."""
        return os.fstatvfs(self.root_fd)

    def free(self) -> Free:
        """What is free; may block. Any thread. Raises OSError."""
        status = os.fstatvfs(self.root_fd)
        inodes = status.f_favail if status.f_files else 1 << 62
        return Free(bytes=status.f_bavail * status.f_frsize, inodes=inodes)

    def scratch(self) -> int:
        """A file without a name, to try things on. Raises OSError."""
        if self._scratch_fd < 0:
            self._scratch_fd = open_scratch(self.private_fd)
        return self._scratch_fd

    # The disk

    def open_for_sync(self, operation: Fsync) -> int:
        """A descriptor to sync the inode by, which the caller closes. Raises OSError."""
        return open_for_sync(self.table, self.table[operation.inode])

    def prepare_fsync(self, operation: Fsync) -> Callable[[], None]:
        """What brings the inode to the disk: to be called once, in any thread. It blocks, and raises OSError."""
        return partial(sync_and_close, self.open_for_sync(operation), operation.data_only)

    def syncfs(self) -> None:
        """Brings everything to the disk; blocks. Any thread. Raises OSError when a writeback failed, or none can be."""
        _sync_all(self.root_fd)

    def watch(self) -> "Watch":
        """Is told of every writeback that fails from here on. Raises OSError."""
        return Watch(os.open(".", _LIST_FLAGS, dir_fd=self.root_fd))


def _sync_all(file: int) -> None:
    """syncfs(2), which does nothing, and succeeds, where the file system as a whole is read-only.

    So it may be after an error: of ext4 on older kernels (6.18 has the call fail, measured), and of btrfs.
    """
    linux.syncfs(file)
    if os.fstatvfs(file).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def one_on_each_disk(volumes: Iterable[Volume]) -> list[Volume]:
    """One of those that share a file system, which is synced, and asked for errors, as a whole."""
    return list({volume.device: volume for volume in volumes}.values())


class Watch:
    """Failed writebacks of one file system: the kernel remembers for each descriptor which it was told of."""

    def __init__(self, file: int) -> None:
        self._file = file

    def check(self) -> None:
        """As :meth:`Volume.syncfs`, whoever else was told; raises OSError once for what failed since the last call, and
        each time where nothing can be written."""
        _sync_all(self._file)

    def close(self) -> None:
        """Is told of nothing more."""
        os.close(self._file)
