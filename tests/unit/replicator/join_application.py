"""An application beside a join: operations that a seed chooses, issued as the file system in front would.

The kernel's locks are here: what an operation concerns is taken before it is issued. What becomes of it is the world's
(:class:`World`).
"""

import contextlib
import os
import random
import stat
from collections.abc import Sequence

from manager.model.ids import ROOT_INODE
from replicator.core.dirty import ZONE_BYTES
from replicator.core.filesystem import FALLOC_FL_KEEP_SIZE, PUNCH_HOLE, RENAME_EXCHANGE
from replicator.core.operations import (
    Attribute,
    Create,
    Fallocate,
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
from replicator.disk.volume import Inode
from tests.support.random_trees import NAMES, SIZES, XATTRS
from tests.unit.replicator.join_world import World

_SPOT = 400_000
"""Bytes."""


class Application:
    """Issues random operations as the kernel and the handlers let them through."""

    def __init__(self, world: World, rng: random.Random, names: Sequence[bytes] = NAMES, extent: int = 160_000) -> None:
        """``extent``: how far into a file it writes."""
        self.world = world
        self.names = names
        self.extent = extent
        self.rng = rng
        self.volume = world.here
        self.open: list[Inode] = []
        """Held, as an open file is."""
        self.known: list[Inode] = []
        """Held, as what the kernel has looked up."""
        self.issued = 0
        self.closing = False
        self.favourites = rng.choice([0.0, 0.5, 0.9])
        """How often what is open is written to again."""
        self.spots = [rng.randrange(extent), *(edge - _SPOT // 2 for edge in range(ZONE_BYTES, extent + 1, ZONE_BYTES))]
        """About where it writes, in whatever file."""

    def close_all(self) -> None:
        self.closing = True
        while self.open:
            self.world.release(0, self.open.pop())
        while self.known:
            self.world.release(0, self.known.pop())

    def open_all(self) -> None:
        """Every file of the root is open from now on."""
        root = self.volume.table[ROOT_INODE]
        for name in sorted(entry.name for entry in self.volume.entries(root)):
            inode = self.lookup(root, name)
            if inode.is_regular:
                self.volume.hold(inode)
                self.open.append(inode)

    def act_on_data(self) -> None:
        """One random operation on what is in a file, seldom on its name."""
        actions = [
            *[self.write] * 24,
            *[self.hole] * 4,
            *[self.attributes] * 4,
            *[self.rename] * 2,
            *[self.unlink] * 2,
            self.create_file,
            self.link,
            self.forget,
        ]
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.rng.choice(actions)()

    def act(self) -> None:
        """One random operation, if what is drawn can be done now."""
        actions = [
            *[self.create] * 5,
            *[self.write] * 10,
            *[self.rename] * 6,
            *[self.link] * 3,
            *[self.unlink] * 3,
            *[self.rmdir] * 2,
            *[self.attributes] * 2,
            self.xattr,
            self.hole,
            self.keep_open,
            self.close_one,
            self.times,
            self.forget,
        ]
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.rng.choice(actions)()

    # What there is

    def lookup(self, directory: Inode, name: bytes) -> Inode:
        inode, _ = self.volume.lookup(directory, name)
        self.volume.hold(inode)
        self.known.append(inode)
        return inode

    def forget(self) -> None:
        """The kernel wants for room."""
        known, self.known = self.known, []
        for inode in known:
            if self.rng.random() < 0.3:
                self.known.append(inode)
            else:
                self.world.release(0, inode)

    def walk(self) -> tuple[Inode, bytes, Inode]:
        """A directory, a name in it, and what that is. Raises FileNotFoundError."""
        directory = self.volume.table[ROOT_INODE]
        while True:
            names = sorted(entry.name for entry in self.volume.entries(directory))
            if not names:
                raise FileNotFoundError
            name = self.rng.choice(names)
            inode = self.lookup(directory, name)
            if not inode.is_directory or self.rng.random() < 0.4:
                return directory, name, inode
            directory = inode

    def directory(self) -> Inode:
        directory = self.volume.table[ROOT_INODE]
        while self.rng.random() < 0.7:
            entries = sorted(entry.name for entry in self.volume.entries(directory))
            inodes = [self.lookup(directory, name) for name in entries]
            inside = [inode for inode in inodes if inode.is_directory]
            if not inside:
                break
            directory = self.rng.choice(inside)
        return directory

    def a_file(self) -> Inode:
        if self.open and self.rng.random() < self.favourites:
            return self.rng.choice(self.open)
        _, _, inode = self.walk()
        if not inode.is_regular:
            raise FileNotFoundError
        return inode

    def issue(self, operation: Operation, concerned: tuple[Inode, ...], touched: tuple[Inode, ...] = ()) -> None:
        if concerned[0].unlinked:
            self.volume.apply(operation)  # this node's alone
            return
        self.issued += 1

        def done() -> None:
            for inode in touched:
                if not inode.unlinked:
                    self.world.touched.add(inode.id)
            if isinstance(operation, Create):
                self.world.touched.add(operation.inode)
                made = self.volume.inode(operation.inode)
                if made.is_regular and not self.closing and self.rng.random() < 0.5:
                    self.open.append(made)
                else:
                    self.world.loop.call_soon(self.world.release, 0, made)

        self.world.issue(operation, concerned, done)

    # Names: the kernel holds the locks of the directories and of what is removed

    def create(self) -> None:
        self.make(self.rng.choice([*[stat.S_IFREG] * 2, *[stat.S_IFDIR] * 2, stat.S_IFLNK, stat.S_IFIFO]))

    def create_file(self) -> None:
        self.make(stat.S_IFREG)

    def make(self, kind: int) -> None:
        parent, name = self.directory(), self.rng.choice(self.names)
        if parent.pending or parent.unlinked or self.volume.exists(parent, name):
            return
        target = b"to" if kind == stat.S_IFLNK else b""
        mode = kind | (0o777 if kind == stat.S_IFLNK else 0o640)
        self.issue(Create(0, self.volume.new_id(), parent.id, name, mode, 0o022, 7, 8, 0, target), (parent,), (parent,))

    def unlink(self) -> None:
        parent, name, inode = self.walk()
        if not (parent.pending or inode.pending or inode.is_directory):
            self.issue(Unlink(0, inode.id, parent.id, name), (parent, inode), (parent,))

    def rmdir(self) -> None:
        parent, name, inode = self.walk()
        if inode.is_directory and not (parent.pending or inode.pending) and self.volume.is_empty(inode):
            self.issue(Rmdir(0, inode.id, parent.id, name), (parent, inode), (parent,))

    def rename(self) -> None:
        parent, name, inode = self.walk()
        new_parent, new_name = self.directory(), self.rng.choice(self.names)
        busy = any(isinstance(operation, Rename) for operation in self.world.issued)
        if (
            busy
            or parent.pending
            or new_parent.pending
            or inode.pending
            or (inode.is_directory and self._in(new_parent, inode))
        ):
            return
        replaced, flags = None, 0
        if self.volume.exists(new_parent, new_name):
            replaced = self.lookup(new_parent, new_name)
            if replaced.pending or replaced is inode or self._in(parent, replaced):
                return
            if self.rng.random() < 0.3:
                flags = RENAME_EXCHANGE
            elif replaced.is_directory != inode.is_directory or (
                replaced.is_directory and not self.volume.is_empty(replaced)
            ):
                return
        concerned = (parent, new_parent, inode) + ((replaced,) if replaced else ())
        operation = Rename(0, inode.id, parent.id, name, new_parent.id, new_name, flags, replaced.id if replaced else 0)
        self.issue(operation, concerned, (parent, new_parent))

    def _in(self, inode: Inode, directory: Inode) -> bool:
        return inode is directory or any(bind.inode == directory.id for bind in self.volume.ancestry(inode))

    def link(self) -> None:
        _, _, inode = self.walk()
        parent, name = self.directory(), self.rng.choice(self.names)
        if parent.pending or inode.pending or inode.is_directory or self.volume.exists(parent, name):
            return
        self.issue(Link(0, inode.id, parent.id, name), (parent, inode), (parent,))

    # What is in a file, and attributes: several may be under way

    def write(self) -> None:
        inode = self.a_file()
        offset = (self.rng.choice(self.spots) + self.rng.randrange(_SPOT)) % self.extent
        data = self.rng.randbytes(self.rng.choice([1, 100, 70_000]))
        self.issue(Write(0, inode.id, offset, data), (inode,), (inode,))

    def attributes(self) -> None:
        _, _, inode = self.walk()
        if stat.S_ISLNK(inode.type):
            return
        kind = self.rng.choice(["mode", "owner", "size", "time"])
        if kind == "size" and inode.is_regular:
            now_ns = self.rng.randrange(10**18)
            operation = SetAttr(0, inode.id, Attribute.SIZE | Attribute.MTIME, size=self.size(), mtime_ns=now_ns)
        elif kind == "owner":
            operation = SetAttr(0, inode.id, Attribute.UID | Attribute.GID, uid=3, gid=4)
        elif kind == "time":
            operation = SetAttr(0, inode.id, Attribute.MTIME, mtime_ns=self.rng.randrange(10**18))
        else:
            operation = SetAttr(0, inode.id, Attribute.MODE, mode=self.rng.choice([0o600, 0o4711, 0o000]))
        self.issue(operation, (inode,))

    def xattr(self) -> None:
        inode = self.a_file()
        name = self.rng.choice(XATTRS)
        if inode.pending:
            return
        if name in self.volume.listxattr(inode):
            self.issue(RemoveXattr(0, inode.id, name), (inode,))
        else:
            self.issue(SetXattr(0, inode.id, name, self.rng.randbytes(4), 0, False), (inode,))

    def hole(self) -> None:
        inode = self.a_file()
        mode = self.rng.choice([PUNCH_HOLE, PUNCH_HOLE, 0, FALLOC_FL_KEEP_SIZE])
        length = self.rng.choice([70_000, self.extent]) if mode == PUNCH_HOLE else 70_000
        self.issue(Fallocate(0, inode.id, mode, self.rng.randrange(self.extent), length), (inode,), (inode,))

    def size(self) -> int:
        return self.rng.choice([*SIZES, self.extent // 2, self.extent])

    # Life

    def keep_open(self) -> None:
        _, _, inode = self.walk()
        if inode.is_regular:
            self.volume.hold(inode)
            self.open.append(inode)

    def close_one(self) -> None:
        if self.open:
            self.world.release(0, self.open.pop(self.rng.randrange(len(self.open))))

    def times(self) -> None:
        for inode in sorted(self.world.touched):
            live = self.volume.table.get(inode)
            if live is not None:
                self.world.ship_time(live)


def private_names(root: str) -> list[str]:
    """What is in ``.mirrorfarm``."""
    return sorted(os.listdir(os.path.join(root, ".mirrorfarm")))
