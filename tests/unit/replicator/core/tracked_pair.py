"""Two nodes with their trackers, the stream between them, their disks, and the file with the list.

What runs them here is what the replicator does, without its waiting: the primary marks and ships, the peer marks and
applies first, the primary applies what the peer has. Each step is one method; what cannot be done now is not done.
"""

import copy
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from replicator.core.dirty import BOUNDS, ZONE_BYTES, Bounds, Dirty
from replicator.core.dirty_codec import absorb
from replicator.core.filesystem import RENAME_EXCHANGE
from replicator.core.operations import (
    Attribute,
    Create,
    Fallocate,
    Fsync,
    Link,
    Operation,
    Rename,
    Rmdir,
    SetAttr,
    SetXattr,
    Unlink,
    Write,
)
from replicator.core.tracking import Mode, Tracker
from tests.unit.replicator.core.two_copies import HIDDEN, Disk, Pick, Tree, TreeWhere, misplaced, unfindable, unnamed

Step = Callable[[], None]
NAMES: Final = (b"a", b"b", b"c", HIDDEN)
_ZONES: Final = 4


@dataclass
class Node:
    """What one node has."""

    disk: Disk
    tracker: Tracker
    bases: tuple[str, ...] = ()
    file: tuple[str, list[bytes]] | None = None
    batch: list[bytes] | None = None
    """On its way to the file."""

    def advance_base(self, base: str) -> None:
        """Its disk came through a barrier."""
        if self.bases:
            self.bases = (base, self.bases[0])


@dataclass
class Issued:
    """An operation, the number that it is known by, and whether the peer has it."""

    operation: Operation
    number: int
    delivered: bool = False


@dataclass
class Stream:
    """From the primary to a peer."""

    frames: deque[tuple[str, Issued | str | None]] = field(default_factory=deque)
    finish: str = ""
    """The base, once the join point was sent."""
    finish_taken: bool = False
    peer_durable: bool = False
    own_durable: bool = False
    listed: bool = False
    forget_taken: bool = False
    barrier: str = ""
    """"sent", "taken", "peer", or nothing."""
    barrier_at: int = 0
    barrier_sequence: int = 0
    barrier_base: str = ""


class Pair:
    """The first node is the primary; both have the same tree, and what they may lack is tracked in memory."""

    def __init__(self, pick: Pick, bounds: Bounds = BOUNDS) -> None:
        self.pick = pick
        self.bounds = bounds
        self.clock = 100
        self.bases = 0
        self.next_inode = 1000
        tree = Tree()
        self.nodes: list[Node] = []
        for _ in range(2):
            self.nodes.append(self._node(Disk(tree)))
        self.primary = 0
        self.stream: Stream | None = None
        self.unapplied: deque[Issued] = deque()
        self.waiting: deque[Operation] = deque()
        self.logical = copy.deepcopy(tree)
        """As the application will see it when all is applied."""
        self.held = False
        """A peer that was listed is lost, and the record does not say so yet."""
        self.content_only = False
        """No operation concerns names."""
        self.exact = bounds is BOUNDS
        """Nothing happened that makes hints wrong."""
        self.checked = 0
        self.fine = 0
        """Of the checks, those that were not of a full compare."""
        self._seed()
        self.join_through(lambda: None)
        assert self.here.tracker.mode is self.there.tracker.mode is Mode.MEMORY

    def _node(self, disk: Disk) -> Node:
        node = Node(disk, Tracker(TreeWhere(lambda: disk.tree), self.bounds))
        return node

    @property
    def here(self) -> Node:
        return self.nodes[self.primary]

    @property
    def there(self) -> Node:
        return self.nodes[1 - self.primary]

    def _now(self) -> int:
        self.clock += 1
        return self.clock

    def _seed(self) -> None:
        """Something is there from before."""
        for parent, inode, name, mode in (
            (1, 10, b"a", stat.S_IFDIR),
            (1, 11, b"b", stat.S_IFDIR),
            (10, 12, b"a", stat.S_IFDIR),
            (10, 13, b"b", stat.S_IFREG),
            (12, 14, b"a", stat.S_IFREG),
            (11, 15, b"a", stat.S_IFREG),
            (1, 16, b"c", stat.S_IFREG),
        ):
            self.issue(Create(0, inode, parent, name, mode, 0, 0, 0, 0, b""))
        self.issue(Link(0, 15, 12, b"b"))
        for inode in (13, 14, 15, 16):
            self.issue(Write(0, inode, 0, bytes(2 * ZONE_BYTES)))

    def join_through(self, between: Step) -> None:
        """All steps of a join, as far as each can be done; ``between`` them something else."""
        for step in (
            self.write_all,
            self.deliver_all,
            self.rejoin,
            between,
            self.write_all,
            self.send_finish,
            between,
            self.deliver_all,
            between,
            self.peer_durable,
            between,
            self.deliver,
            self.own_durable,
            between,
            self.write_all,
            self.settle,
            self.deliver_all,
        ):
            step()

    # Operations

    def issue(self, operation: Operation) -> None:
        """The application asks for it."""
        self.logical.apply(operation, 0, 0)
        if self.waiting:
            self.here.tracker.foresee(operation)
            self.waiting.append(operation)
        elif not self._ship(operation):
            self.waiting.append(operation)
        self.apply()

    def _ship(self, operation: Operation) -> bool:
        if not self.here.tracker.mark(operation):
            return False
        issued = Issued(operation, self._now())
        self.unapplied.append(issued)
        if self.stream is not None:
            self.stream.frames.append(("operation", issued))
        return True

    def sync_time(self) -> None:
        """An fsync tells a peer that is past its join point the mtime that an inode has here."""
        if self.stream is None or not self.stream.finish or self.waiting:
            return
        tree = self.here.disk.tree
        under_way = {
            number for issued in self.unapplied for number in (*_locks(issued.operation), issued.operation.inode)
        }
        inodes = sorted(tree.reached() - under_way)
        if not inodes:
            return
        inode = inodes[self.pick(len(inodes))]
        self.here.tracker.timed(0, inode)
        operation = Fsync(0, inode, True, tree.inodes[inode].mtime)
        self.stream.frames.append(("operation", Issued(operation, self._now())))

    def apply(self) -> None:
        """The primary applies what it may."""
        if self.held:
            return
        complete = self.stream is not None and self.stream.finish
        while self.unapplied and (self.unapplied[0].delivered or not complete):
            issued = self.unapplied.popleft()
            self.here.disk.apply(issued.operation, self._now(), issued.number)

    def deliver(self) -> None:
        """The peer takes a frame."""
        stream, peer = self.stream, self.there
        if stream is None or not stream.frames:
            return
        kind, what = stream.frames.popleft()
        if kind == "operation":
            assert isinstance(what, Issued)
            assert peer.tracker.mark(what.operation)
            peer.disk.apply(what.operation, self._now(), what.number)
            what.delivered = True
        elif kind == "finish":
            assert isinstance(what, str)
            peer.tracker.finish(what)
            stream.finish_taken = True
        elif kind == "forget finish":
            peer.tracker.finished()
            peer.tracker.to_memory()
            stream.forget_taken = True
        elif kind == "barrier":
            assert peer.tracker.close_generation(stream.barrier_sequence) == stream.barrier_base
            stream.barrier = "taken"
        else:
            peer.tracker.forget_closed()
        self.apply()

    def deliver_all(self) -> None:
        """All frames."""
        while self.stream is not None and self.stream.frames:
            self.deliver()

    # The list on disk

    def write(self) -> None:
        """A batch goes to the disk."""
        if self.here.batch is None:
            self.here.batch = self.here.tracker.pending() or None

    def written(self) -> None:
        """It is there."""
        node = self.here
        if node.batch is None:
            return
        assert node.file is not None
        node.file[1].extend(node.batch)
        node.batch = None
        node.tracker.written()
        self.retry()

    def retry(self) -> None:
        """What waits is tried again, perhaps too early."""
        while self.waiting and self._ship(self.waiting[0]):
            self.waiting.popleft()
        for operation in self.waiting:
            self.here.tracker.foresee(operation)
        self.apply()

    def write_all(self) -> None:
        """Until nothing waits; nothing may wait for ever."""
        self.release()
        for _ in range(len(self.waiting) + 2):
            self.write()
            self.written()
        assert not self.waiting

    # Barriers

    def barrier(self) -> None:
        """The primary sends one."""
        stream = self.stream
        if stream is None or not stream.listed or stream.barrier or self.here.tracker.mode is not Mode.MEMORY:
            return
        stream.barrier_sequence = self._now()
        stream.barrier_base = self.here.tracker.close_generation(stream.barrier_sequence)
        stream.frames.append(("barrier", None))
        stream.barrier = "sent"
        stream.barrier_at = len(self.unapplied)

    def barrier_peer(self) -> None:
        """All up to it is on the peer's disk."""
        if self.stream is not None and self.stream.barrier == "taken":
            self.there.disk.sync()
            self.there.advance_base(self.stream.barrier_base)
            self.stream.barrier = "peer"

    def barrier_own(self) -> None:
        """And on the primary's: what was before it is applied, since the peer has all of that."""
        if self.stream is not None and self.stream.barrier == "peer":
            self.here.disk.sync()
            self.here.advance_base(self.stream.barrier_base)
            self.here.tracker.forget_closed()
            self.stream.frames.append(("forget", None))
            self.stream.barrier = ""

    # Joins

    def rejoin(self) -> None:
        """A stream begins at a quiet moment; what the peer lacks is checked, and copied."""
        if self.stream is not None or self.unapplied or self.waiting:
            return
        here, there = self.here, self.there
        missing = here.tracker.missing()
        if here.tracker.mode is not Mode.DISK or here.tracker.base not in there.bases:
            missing = Dirty(everything=True)
        self.check(missing)
        self.held = False
        there.tracker.void()
        there.file = None
        there.disk.become(here.disk.tree)
        self.stream = Stream()

    def check(self, missing: Dirty) -> None:
        """Everything that differs is named, and marked inodes are where they are said to be."""
        here, there = self.here.disk.tree, self.there.disk.tree
        assert unnamed(missing, here, there) == []
        if self.exact:
            assert misplaced(missing, here) == []
            assert unfindable(missing, here, there) == []
        self.checked += 1
        self.fine += not missing.everything

    def send_finish(self) -> None:
        """The join point."""
        stream = self.stream
        if stream is None or stream.finish or self.unapplied or self.waiting:
            return
        self.bases += 1
        stream.finish = f"{self.bases:016x}"
        self.here.tracker.finish(stream.finish)
        stream.frames.append(("finish", stream.finish))

    def peer_durable(self) -> None:
        """The peer's disk has everything up to it, and notes the base."""
        stream = self.stream
        if stream is not None and stream.finish_taken and not stream.peer_durable:
            self.there.disk.sync()
            self.there.bases = (stream.finish, *self.there.bases[:1])
            stream.peer_durable = True

    def own_durable(self) -> None:
        """The primary's likewise; then both are told."""
        stream = self.stream
        if stream is not None and stream.peer_durable and not stream.own_durable:
            self.here.disk.sync()
            self.here.bases = (stream.finish, *self.here.bases[:1])
            stream.own_durable = True
            self.here.tracker.finished()
            stream.frames.append(("forget finish", None))

    def settle(self) -> None:
        """The record lists the peer."""
        stream = self.stream
        if stream is not None and stream.own_durable and not stream.listed and self.here.batch is None:
            self.here.file = None
            self.here.tracker.to_memory()
            stream.listed = True
            self.retry()

    # Faults

    def lose_peer(self, power: bool) -> None:
        """Its stream ends, or it loses its power."""
        stream = self.stream
        if stream is None:
            return
        self.stream = None
        node = self.here
        if node.tracker.mode is Mode.MEMORY:
            records = node.tracker.to_disk()
            assert records is not None
            node.file = (node.tracker.base, records)
            self.held = True
            self.retry()
            node.tracker.opened()
        else:
            node.tracker.abandon()
        node.bases = ()
        if power:
            self.there.disk.lose(self.pick)
        self._new_process(self.there, power or self.pick(2) == 0)
        self.retry()

    def release(self) -> None:
        """The record leaves the lost peer out."""
        self.held = False
        self.apply()

    def _new_process(self, node: Node, ended: bool) -> None:
        if ended:
            node.tracker = self._node(node.disk).tracker
        elif node.tracker.mode is not Mode.MEMORY:
            node.tracker.void()

    def fail_over(self, power: bool) -> None:
        """The primary ends; the peer takes over, if it is listed and tracks."""
        stream = self.stream
        if stream is None or not stream.listed or not stream.forget_taken:
            return
        for _ in range(self.pick(len(stream.frames) + 1)):
            self.deliver()
        former, self.stream = self.here, None
        former.tracker = self._node(former.disk).tracker
        if power:
            former.disk.lose(self.pick)
        self.primary = 1 - self.primary
        node = self.here
        records = node.tracker.to_disk()
        assert records is not None
        node.file = (node.tracker.base, records)
        node.tracker.opened()
        node.bases = ()
        self._forget_under_way()

    def restart(self, power: bool) -> None:
        """The primary, which serves alone, ends and comes back."""
        node = self.here
        if self.stream is not None or node.tracker.mode is not Mode.DISK:
            return
        assert node.file is not None
        if node.batch is not None and self.pick(2):
            node.file[1].extend(node.batch)
        node.batch = None
        if power:
            node.disk.lose(self.pick)
        node.tracker = self._node(node.disk).tracker
        dirty = Dirty(bounds=self.bounds)
        for record in node.file[1]:
            absorb(dirty, record)
        node.tracker.take_up(node.file[0], dirty)
        self.exact = False
        self._forget_under_way()

    def _forget_under_way(self) -> None:
        self.held = False
        self.unapplied.clear()
        self.waiting.clear()
        self.logical = copy.deepcopy(self.here.disk.tree)

    # What an application may ask for

    def issue_some(self) -> None:
        """One of them, if it can be."""
        operation = self.some_operation()
        if operation is not None:
            self.issue(operation)

    def some_operation(self) -> Operation | None:
        """One that can be asked for now; the kernel lets no two operations on names of one inode go at once."""
        tree = self.logical
        busy = {number for issued in self.unapplied for number in _locks(issued.operation)}
        busy |= {number for operation in self.waiting for number in _locks(operation)}
        directories = sorted(n for n in tree.reached() if tree.inodes[n].is_directory and n not in busy)
        files = sorted(n for n in tree.reached() if not tree.inodes[n].is_directory)
        orphans = sorted(n for n in tree.inodes if not tree.inodes[n].is_directory and n not in files)
        kind = self.pick(4) if self.content_only else self.pick(10)
        files += orphans[-1:] if kind < 4 else []
        made = {o.inode for o in self.waiting if isinstance(o, Create)}
        made |= {issued.operation.inode for issued in self.unapplied if isinstance(issued.operation, Create)}
        files = [number for number in files if number not in made]
        if kind < 5:
            return self._on_inode(kind, files, directories)
        return self._on_names(kind, tree, directories, [number for number in files if number not in busy])

    def _on_inode(self, kind: int, files: list[int], directories: list[int]) -> Operation | None:
        numbers = files if kind < 3 else files + directories
        if not numbers:
            return None
        inode = numbers[0 if self.content_only else self.pick(len(numbers))]
        zone = self.pick(2 if self.content_only else _ZONES)
        if kind < 2:
            return Write(0, inode, zone * ZONE_BYTES + 5, bytes(10) if self.pick(4) else bytes(ZONE_BYTES))
        if kind == 2:
            if self.pick(3):
                return SetAttr(0, inode, Attribute.SIZE, size=zone * ZONE_BYTES + self.pick(2))
            return Fallocate(0, inode, 0, zone * ZONE_BYTES, 2 * ZONE_BYTES)
        if kind == 3:
            return SetAttr(0, inode, Attribute.MTIME, mtime_ns=self._now())
        return SetXattr(0, inode, b"user.x", b"", 0, False)

    def _on_names(self, kind: int, tree: Tree, directories: list[int], files: list[int]) -> Operation | None:
        if not directories:
            return None
        parent = directories[self.pick(len(directories))]
        name = NAMES[self.pick(len(NAMES))]
        there = tree.entries[parent].get(name, 0)
        movable = {*files, *directories}
        if not there:
            if kind < 8:
                return self._new(parent, name)
            if files and kind == 8:
                return Link(0, files[self.pick(len(files))], parent, name)
        if there and there not in movable:
            return None
        if kind < 7 and there:
            if not tree.inodes[there].is_directory:
                return Unlink(0, there, parent, name)
            return None if tree.entries[there] else Rmdir(0, there, parent, name)
        return self._rename(tree, directories, movable, parent, name)

    def _new(self, parent: int, name: bytes) -> Operation:
        self.next_inode += 1
        mode = stat.S_IFREG if self.pick(3) else stat.S_IFDIR
        return Create(0, self.next_inode, parent, name, mode, 0, 0, 0, 0, b"")

    def _rename(self, tree: Tree, directories: list[int], movable: set[int], to: int, new: bytes) -> Operation | None:
        source = directories[self.pick(len(directories))]
        names = sorted(name for name, inode in tree.entries[source].items() if inode in movable)
        if not names:
            return None
        name = names[self.pick(len(names))]
        inode, replaced = tree.entries[source][name], tree.entries[to].get(new, 0)
        exchange = bool(replaced) and self.pick(2) == 0
        is_directory = tree.inodes[inode].is_directory
        if is_directory and tree.is_above(inode, to):
            return None
        if replaced and exchange and tree.inodes[replaced].is_directory and tree.is_above(replaced, source):
            return None
        fits = not replaced or is_directory is tree.inodes[replaced].is_directory
        if not exchange and not (fits and (not replaced or not is_directory or not tree.entries[replaced])):
            return None
        return Rename(0, inode, source, name, to, new, RENAME_EXCHANGE if exchange else 0, replaced)


def _locks(operation: Operation) -> tuple[int, ...]:
    """The inodes that the kernel has locked for it."""
    if isinstance(operation, Rename):
        return operation.inode, operation.parent, operation.new_parent, operation.replaced
    if isinstance(operation, Create | Unlink | Rmdir | Link):
        return operation.inode, operation.parent
    return ()
