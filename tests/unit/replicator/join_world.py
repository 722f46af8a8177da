"""A primary, its stream and a secondary in one thread, each step taken by hand: real volumes, joiner and receiver.

What stands in for others does what they promise and no more: the kernel's locks in front of the operations
(``join_application``), the primary's order (peer first, lagging here), the stream with its binding of inodes, the
loop and its threads. Every step is one that could happen next; who chooses among them is the test.
"""

import errno
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from manager.model.control import Progress
from manager.model.ids import ROOT_INODE
from manager.model.replicator_spec import SpecWindow
from replicator.core.dirty import Dirty
from replicator.core.operations import (
    Attribute,
    Bind,
    Create,
    Link,
    Operation,
    Rename,
    Rmdir,
    SetAttr,
    Unbind,
    Unlink,
    Write,
)
from replicator.disk.inode_ids import InodeIds
from replicator.disk.inodes import DEFAULT_MAX_OPEN
from replicator.disk.volume import DivergenceError, Inode, Volume
from replicator.join_receiver import JoinReceiver
from replicator.joiner import Joiner
from replicator.pacing import Bandwidth
from replicator.repair import _true_content
from replicator.wire.frames import BODY_BOUNDS, FrameKind
from tests.unit.replicator.join_tracking import Tracking

_SOON_S = 0.3
"""More than a resync ever leaves an application alone for."""


@dataclass(slots=True)
class Nature:
    """What happens to a join beside the application; at first nothing does."""

    rng: random.Random = field(default_factory=lambda: random.Random(0))
    steps_of_moment: int = 0
    """So much of a quiet moment is done in one turn of the loop; 0: all of it."""
    room: int | None = None
    """Bytes that the socket takes; None: all."""
    unreadable: float = 0.0
    """How often a file cannot be read."""
    full: float = 0.0
    """How often a write that the peer has finds no room here."""
    most_open: int = DEFAULT_MAX_OPEN
    """Descriptors of either sort, on each node."""
    bytes_s: int = 0
    windows: tuple[SpecWindow, ...] = ()
    """Each minute lasts as long as a second does."""

    @classmethod
    def drawn(cls, rng: random.Random) -> "Nature":
        """Any of it, or nothing."""
        windows = tuple(SpecWindow(at, at + 1, rng.choice([0, 64 << 10, 4 << 20])) for at in range(rng.randrange(8)))
        return cls(
            random.Random(rng.random()),
            steps_of_moment=rng.choice([0, 1, 2]),
            room=rng.choice([None, 1000, 3 << 20]),
            unreadable=rng.choice([0.0, 0.0, 0.02]),
            full=rng.choice([0.0, 0.0, 0.1]),
            most_open=rng.choice([DEFAULT_MAX_OPEN, 2, 8]),
            bytes_s=rng.choice([0, 0, 4 << 20]),
            windows=rng.choice([(), windows]),
        )

    def happens(self, often: float) -> bool:
        return often > 0.0 and self.rng.random() < often


class HandLoop:
    """A loop that does one thing at a time, when told."""

    def __init__(self) -> None:
        self.soon: deque[Callable[[], object]] = deque()
        self.later: list[tuple[float, int, Callable[[], object]]] = []
        self.now = 0.0
        self._order = itertools.count()

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self.soon.append(lambda: callback(*arguments))

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> None:
        heapq.heappush(self.later, (self.now + delay, next(self._order), lambda: callback(*arguments)))

    def time(self) -> float:
        self.now += 3e-3  # a listing or two are a slice
        return self.now

    def round(self) -> None:
        self.soon.popleft()()

    def wait(self) -> None:
        """Until the next timer."""
        due, _, callback = heapq.heappop(self.later)
        self.now = max(self.now, due)
        callback()


class HandThreads:
    """Threads that work when told."""

    def __init__(self, loop: HandLoop) -> None:
        self._loop = loop
        self.jobs: list[Callable[[], None]] = []

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[OSError], None]) -> None:
        def job() -> None:
            try:
                result = work()
            except OSError as error:
                self._loop.call_soon(failed, error)
            else:
                self._loop.call_soon(done, result)

        self.jobs.append(job)

    def work_first(self) -> None:
        self.jobs.pop(0)()

    def work_last(self) -> None:
        self.jobs.pop()()


class Reading:
    """The primary's threads, in which a read of a file may fail."""

    def __init__(self, threads: HandThreads, nature: Nature) -> None:
        self._threads = threads
        self._nature = nature

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[OSError], None]) -> None:
        def attempt() -> Any:
            result = work()
            if self._nature.happens(self._nature.unreadable):
                raise OSError(errno.EIO, "it cannot be read")
            return result

        self._threads.run(attempt, done, failed)


class HandStream:
    """As replicator.peer.Peer with a Link, but frames arrive when told."""

    node = "b"

    def __init__(self, world: "World") -> None:
        self._world = world
        self._sizes: deque[int] = deque()
        """Of the frames that did not arrive."""
        self.bound = {ROOT_INODE}
        self.sequence = 0
        self.frames: deque[Callable[[], None]] = deque()
        self.answers: deque[Callable[[], None]] = deque()
        self.unfindable = False
        """The secondary has said so, and cannot do what rests on what it has not found."""
        self.failed = False

    @property
    def unsent_bytes(self) -> int:
        room = self._world.nature.room
        return 0 if room is None else max(0, sum(self._sizes) - room)

    def frame(self) -> None:
        frame = self.frames.popleft()
        self._sizes.popleft()
        try:
            if not self.failed:
                frame()
        except DivergenceError:
            if not self.unfindable:
                raise
            self.failed = True

    def answer(self) -> None:
        self.answers.popleft()()

    # The primary's end

    def introduce(self, volume: int, inode: int) -> None:
        files = self._world.here
        for bind in files.ancestry(files.inode(inode)) if inode not in self.bound else ():
            if bind.inode not in self.bound:
                self.bound.add(bind.inode)
                self._operation(bind, None)

    def ship_to(self, operation: Operation, acknowledged: Callable[[], None] | None = None) -> int:
        self._world.tracking.mark(operation)
        return self.ship(operation, acknowledged)

    def ship(self, operation: Operation, acknowledged: Callable[[], None] | None = None) -> int:
        if isinstance(operation, Create | Unlink | Rmdir | Link | Rename):
            self.introduce(0, operation.parent)
        if isinstance(operation, Rename):
            self.introduce(0, operation.new_parent)
            if operation.replaced:
                self.introduce(0, operation.replaced)
        if isinstance(operation, Create):
            self.bound.add(operation.inode)
        else:
            self.introduce(0, operation.inode)
        return self._operation(operation, acknowledged)

    def is_introduced(self, volume: int, inode: int) -> bool:
        return inode in self.bound

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def unbind(self, inode: int) -> None:
        if inode in self.bound:
            self.bound.remove(inode)
            self._operation(Unbind(0, inode), None)

    def _operation(self, operation: Operation, acknowledged: Callable[[], None] | None) -> int:
        self.sequence += 1
        assert not isinstance(operation, Bind) or operation.inode != ROOT_INODE

        def arrive() -> None:
            self._world.tracking_there.mark(operation)
            self._world.there.apply(operation)
            if acknowledged is not None:
                self.answers.append(acknowledged)

        self.frames.append(arrive)
        self._sizes.append(len(operation.data) if isinstance(operation, Write) else 0)
        return self.sequence

    def send(self, kind: FrameKind, *parts: bytes | memoryview, acknowledged: Callable[[], None] | None = None) -> int:
        self.sequence += 1
        sequence, body = self.sequence, b"".join(parts)
        assert BODY_BOUNDS[kind][0] <= len(body) <= BODY_BOUNDS[kind][1]

        def arrive() -> None:
            if kind is FrameKind.FINISH:
                self._world.tracking_there.join_point()
                self._world.receiver.finish(sequence, lambda: None, lambda: None, _not_joined)
            else:
                self._world.receiver.on_frame(kind, sequence, memoryview(body))
            if acknowledged is not None:
                self.answers.append(acknowledged)

        self.frames.append(arrive)
        self._sizes.append(len(body))
        return self.sequence

    def drop(self, reason: str) -> None:
        assert self._world.all_names or self._world.nature.unreadable, f"the joiner gave up: {reason}"
        self._world.cut()
        self._world.loop.call_soon(self._world.connect)


class HandLink:
    """The secondary's end."""

    epoch = 1

    def __init__(self, world: "World", stream: HandStream) -> None:
        self._world = world
        self._stream = stream

    def send(self, kind: int, sequence: int, *parts: bytes | memoryview) -> None:
        body = memoryview(b"".join(parts))

        def arrive() -> None:
            if kind == FrameKind.DURABLE:
                self._world.durable = True
                self._world.all_names = False
                self._world.tracking.durable()
                self._world.tracking_there.durable()
            else:
                assert kind != FrameKind.FAILED, bytes(body)
                self._world.answered(FrameKind(kind), sequence, body)

        if kind == FrameKind.LISTED and body[0]:
            self._stream.unfindable = True
        self._stream.answers.append(arrive)


class World:
    """Both nodes."""

    def __init__(self, here: str, there: str, epoch: int, tracking: Tracking | None = None) -> None:
        """``tracking``: what is known of what the peer lacks, from a world before; else nothing is."""
        self.loop = HandLoop()
        self.threads = HandThreads(self.loop)
        self.here = Volume.open(here)
        self.here.number_from(InodeIds(epoch))
        self.there = Volume.open(there)
        self.tracking = Tracking(self.here) if tracking is None else tracking.begun_anew(self.here)
        self.tracking_there = Tracking(self.there)
        self.under_way: deque[tuple[Operation, tuple[Inode, ...], Callable[[], None]]] = deque()
        self.gated: deque[tuple[Operation, tuple[Inode, ...], Callable[[], None]]] = deque()
        self.preparing: Operation | None = None
        """Waits for what it needs at the peer to be listed."""
        self.nature = Nature()
        self.quiet: deque[Callable[[], Iterator[None] | None]] = deque()
        self._lasting: Iterator[None] | None = None
        """What is left of a quiet moment."""
        self.failed_here: deque[tuple[Write, tuple[Inode, ...]]] = deque()
        """What failed here, and whose peer is not repaired."""
        self._repairing: Iterator[Operation] | None = None
        self.touched: set[int] = set()
        self.watchers: list[Callable[[Operation], None]] = []
        self.changes = 0
        self.progress: list[Progress] = []
        self.joins = 0
        self.joined = self.durable = self._resting = False
        self.all_names = False
        self.unclear_joins = 0
        self.stream: HandStream | None = None

    def close(self) -> None:
        if self.stream is not None:
            self.receiver.close()
        self.here.close()
        self.there.close()

    def take(self, nature: Nature) -> None:
        """It is so from now on."""
        self.nature = nature
        for volume in (self.here, self.there):
            volume.table._max_open = nature.most_open

    # The connection

    def connect(self) -> None:
        """A stream begins at the next quiet moment."""
        self.when_quiet(self._begin)

    def _begin(self) -> Iterator[None]:
        self.joins += 1
        self.joined = self.durable = False
        self.there.forget_all()
        self.stream = HandStream(self)
        self.receiver = JoinReceiver([self.there], HandLink(self, self.stream), self.threads)
        self.joiner = Joiner(
            self.loop,
            self,
            self.stream,
            [self.here],
            Reading(self.threads, self.nature),
            self,
            self._join_point,
            self.progress.append,
            self.missing(),
            self.unclear,
            Bandwidth(self.nature.bytes_s, self.nature.windows),
            self.minute,
        )
        return self.joiner.start()

    def minute(self) -> int:
        return int(self.loop.now) % (24 * 60)

    def missing(self) -> Dirty:
        dirty = self.tracking.missing()
        if self.all_names:
            dirty.make_all_names()
        return dirty

    def unclear(self) -> None:
        self.all_names = True
        self.unclear_joins += 1

    def _join_point(self) -> None:
        assert self.stream is not None
        assert not self.under_way
        self.joined = True
        self.tracking.join_point()
        self.stream.send(FrameKind.FINISH, b"0123456789abcdef")

    def cut(self) -> None:
        """What is on its way is lost; the secondary forgets what it had open."""
        assert self.stream is not None
        self.stream = None
        self.joined = self.durable = False
        self.tracking.lost()
        self.tracking_there.lost()
        self.receiver.close()
        self.joiner.lost()
        self.there.forget_all()
        if self._repairing is not None:
            self._repair()

    def answered(self, kind: FrameKind, sequence: int, body: memoryview) -> None:
        self.joiner.answered(kind, sequence, body)

    # As replicator.primary

    def when_quiet(self, callback: Callable[[], Iterator[None] | None]) -> None:
        self.quiet.append(callback)
        self.rest()

    def underway_on(self, volume: int, inode: int) -> list[Operation]:
        return [operation for operation in self.underway_in(volume) if operation.inode == inode]

    def underway_in(self, volume: int) -> list[Operation]:
        shipped = [*(operation for operation, _, _ in self.under_way), *(failed for failed, _ in self.failed_here)]
        return shipped if self.preparing is None else [*shipped, self.preparing]

    def watch(self, watcher: Callable[[Operation], None]) -> None:
        self.watchers.append(watcher)

    def unwatch(self, watcher: Callable[[Operation], None]) -> None:
        self.watchers.remove(watcher)

    def issue(self, operation: Operation, concerned: tuple[Inode, ...], done: Callable[[], None]) -> None:
        for inode in concerned:
            inode.pending += 1
        waits = self.gated or self.quiet or self._lasting is not None or self._repairing is not None
        self.gated.append((operation, concerned, done))
        if not waits:
            self.rest()

    def rest(self) -> None:
        if self._resting or self._lasting is not None:
            return
        self._resting = True
        while self._repairing is None:
            if not self.under_way and self.quiet:
                if not self._advance(iter(self.quiet.popleft()() or ())):
                    break
            elif self.gated and not self.quiet:
                self._try(*self.gated.popleft())
            else:
                break
        self._resting = False

    def _advance(self, steps: Iterator[None]) -> bool:
        for count, _ in enumerate(steps, 1):
            if count == self.nature.steps_of_moment:
                self._lasting = steps
                return False
        return True

    def go_on(self) -> None:
        """The next turn of a quiet moment that lasts."""
        assert self._lasting is not None
        steps, self._lasting = self._lasting, None
        self._resting = True
        ended = self._advance(steps)
        self._resting = False
        if ended:
            self.rest()

    def _try(self, operation: Operation, concerned: tuple[Inode, ...], done: Callable[[], None]) -> None:
        for watcher in self.watchers:
            watcher(operation)
        joiner = self.joiner if self.stream is not None and not self.joined else None
        if joiner is None or joiner.may_ship(operation):
            self._ship(operation, concerned, done)
            return

        def prepare() -> Iterator[None]:
            yield from joiner.prepare(operation)
            self.preparing = None
            self._ship(operation, concerned, done)

        self.preparing = operation
        self.quiet.appendleft(prepare)

    def _ship(self, operation: Operation, concerned: tuple[Inode, ...], done: Callable[[], None]) -> None:
        self.under_way.append((operation, concerned, done))
        self.tracking.mark(operation)
        if self.stream is not None and not self._is_nothing_to(self.stream, operation):
            self.stream.ship(operation)

    def _is_nothing_to(self, stream: HandStream, operation: Operation) -> bool:
        """An inode that lost its last name before the stream began: it waited while that happened."""
        inode = self.here.table.get(operation.inode)
        return inode is not None and inode.unlinked and inode.id not in stream.bound

    def apply_next(self) -> None:
        operation, concerned, done = self.under_way.popleft()
        self.changes += 1
        if isinstance(operation, Write) and self.stream is not None and self.nature.happens(self.nature.full):
            self._fail(operation, concerned)
        else:
            self.here.apply(operation)
            done()
            self._is_over(concerned)
        self.rest()

    def _is_over(self, concerned: tuple[Inode, ...]) -> None:
        for inode in concerned:
            inode.pending -= 1
            if not (inode.pending or inode.references or inode.children):
                self.release(0, inode, 0)

    # As replicator.repair

    def _fail(self, operation: Write, concerned: tuple[Inode, ...]) -> None:
        """There was room for a part of it."""
        part = operation.data[: self.nature.rng.randrange(len(operation.data))]
        if part:
            self.here.apply(Write(0, operation.inode, operation.offset, part))
        self.failed_here.append((operation, concerned))
        if len(self.failed_here) == 1:
            self.quiet.appendleft(self._begin_repair)

    def _begin_repair(self) -> None:
        self._repairing = _true_content(self.here, self.failed_here[0][0])
        self._repair()

    def _repair(self) -> None:
        """The next step, once the peer has the one before."""
        assert self._repairing is not None
        stream = self.stream
        step = next(self._repairing, None) if stream is not None else None
        if stream is not None and step is not None and not self._is_nothing_to(stream, step):
            stream.ship_to(step, acknowledged=self._repair)
            return
        self._repairing = None
        _, concerned = self.failed_here.popleft()
        if self.failed_here:
            self.quiet.appendleft(self._begin_repair)
        self._is_over(concerned)
        self.rest()

    @property
    def issued(self) -> list[Operation]:
        """What is not applied yet."""
        waiting = [operation for operation, _, _ in [*self.under_way, *self.gated]]
        return waiting if self.preparing is None else [*waiting, self.preparing]

    # As replicator.joiner's host, and replicator.fuse.context

    def release(self, volume: int, inode: Inode, count: int = 1) -> None:
        if inode.references <= count:
            # Unlike the kernel this application does not hold the directories of what it holds.
            for concerned in self._with_parents(inode):
                self.ship_time(concerned)
        for dropped in self.here.release(inode, count):
            self.touched.discard(dropped)
            if self.stream is not None:
                self.stream.unbind(dropped)

    def _with_parents(self, inode: Inode) -> list[Inode]:
        found = [inode]
        for each in found:
            found += [self.here.table[parent] for parent, _ in each.names if parent != ROOT_INODE]
        return found

    def is_touched(self, volume: int, inode: int) -> bool:
        timed = [each for each in self.issued if isinstance(each, SetAttr) and each.valid & Attribute.MTIME]
        return inode in self.touched or any(each.inode == inode for each in timed)

    def ship_time(self, inode: Inode) -> None:
        if inode.pending or inode.id not in self.touched:
            return
        self.touched.discard(inode.id)
        if not inode.unlinked:
            mtime_ns = self.here.status(inode).st_mtime_ns
            self.issue(SetAttr(0, inode.id, Attribute.MTIME, mtime_ns=mtime_ns), (inode,), lambda: None)

    def held(self) -> list[int]:
        """The inodes that somebody holds."""
        found = [self.here.table[inode] for inode in list(self.here.table._by_id)]
        return [inode.id for inode in found if inode.references]

    # Steps

    def steps(self) -> dict[str, Callable[[], None]]:
        """What could happen next, by who does it."""
        possible: dict[str, Callable[[], None]] = {}
        if self.loop.soon:
            possible["loop"] = self.loop.round
        if self.threads.jobs:
            possible["thread"] = self.threads.work_first
            possible["last thread"] = self.threads.work_last
        if self.under_way:
            possible["apply"] = self.apply_next
        if self._lasting is not None:
            possible["moment"] = self.go_on
        if self.stream is not None:
            if self.stream.frames:
                possible["frame"] = self.stream.frame
            if self.stream.answers:
                possible["answer"] = self.stream.answer
        return possible

    def passing_time(self) -> dict[str, Callable[[], None]]:
        """As :meth:`steps`, of what waits for its time; what is due much later does not come before an operation."""
        later = self.loop.later
        return {"time": self.loop.wait} if later and later[0][0] < self.loop.now + _SOON_S else {}

    def rest_alone(self) -> None:
        """Lets everything happen that is left, while no peer is there."""
        while possible := self.steps():
            next(iter(possible.values()))()

    def settle(self, most: int = 200_000) -> None:
        """Lets everything happen that is left, until the peer is complete and both sides are at rest."""
        for _ in range(most):
            possible = self.steps()
            if possible:
                next(iter(possible.values()))()
            elif not self.durable:
                self.loop.wait()
            elif self.touched:
                for inode in sorted(self.touched):
                    live = self.here.table.get(inode)
                    if live is None:
                        self.touched.discard(inode)
                    else:
                        self.ship_time(live)
            else:
                return
        raise AssertionError("it does not come to rest")


def _not_joined(error: OSError) -> None:
    raise AssertionError("a join's end is on the disk here") from error
