"""What the other node may lack, from operation to operation (R). Pure.

It decides what is marked, where a mark has to be before the operation may go on, and when marks may be forgotten. It
knows neither the file nor the stream: whoever ships, applies, writes and syncs says so, in the order in which it
happens. The same object serves the primary and the secondary.

Marks are made in a *list*. In DISK it is the one in the file, to which a mark is only added. In MEMORY it is a row of
generations: a barrier begins a new one, and when both disks have everything up to a barrier the generation that it
closed is forgotten. From a join point on a second list is made beside, which takes the former one's place when the
join is in the record; until then the former one goes on as if there had been none.

What is forgotten by a barrier must be the same on both disks. Not so the mtime that each node set by its own clock:
inodes whose mtime was not shipped since stay marked over barriers (``untimed``).
"""

import enum
from collections import deque
from collections.abc import Iterator
from typing import Final

from manager.model.errors import InvariantViolated
from replicator.core.bases import after_barrier
from replicator.core.dirty import BOUNDS, ZONE_BYTES, Bounds, Dirty, Key, zone_of
from replicator.core.dirty_codec import records
from replicator.core.marking import Sink, Where, carries_time, entries, marked_by, put, touched_by
from replicator.core.operations import Bind, Create, Link, Operation, Write
from replicator.core.places import Places, names_changed, names_lost
from replicator.core.untimed import Untimed
from replicator.core.written_list import WrittenList

__all__ = ["Mode", "Tracker", "Where"]

_MOST_CACHED: Final = 1 << 16


class Mode(enum.Enum):
    """Where the list is."""

    VOID = "void"
    """Nowhere: the other node needs a full compare."""
    DISK = "disk"
    """In the file: nothing is shipped or applied whose mark is not durable there."""
    MEMORY = "memory"
    """In memory, in generations: both nodes are there."""


class Tracker:
    """Of one node, about the other one. For the loop."""

    def __init__(self, where: Where, bounds: Bounds = BOUNDS) -> None:
        self.mode = Mode.VOID
        self.base = ""
        """What the list is relative to; empty in VOID."""
        self._bases: deque[str] = deque()
        """Those of the barriers since, that were not forgotten."""
        self._where = where
        self._bounds = bounds
        self._list: WrittenList | None = None
        """In DISK."""
        self._generations: deque[Dirty] = deque()
        """In MEMORY: those that are closed, and the current one."""
        self._since: Dirty | None = None
        """Since a join point that is not in the record yet."""
        self._since_base = ""
        self._finished = False
        self._places = Places(where, bounds.places)
        self._untimed = Untimed(bounds.inodes)
        self._highest = 0
        """The highest id that was created, adopted or introduced."""
        self._marked: dict[Key, set[int]] = {}
        """A cache: files, and zones of them, where a write has nothing to mark."""
        self._cached = 0

    # Operations

    def mark(self, operation: Operation) -> bool:
        """``operation`` is about to be shipped, or applied here where it came by a stream.

        True: it has its marks, and must be shipped or applied now, before any that is marked after it. False (in
        DISK): not before what :meth:`pending` gives is durable; then it has to be marked again. To be called in every
        mode, for what goes to the peer alone (copies, repairs) too; of a stream for each operation, BIND and FSYNC too.
        """
        if isinstance(operation, Write):
            # The hot path: a zone that was written to before.
            zones = self._marked.get((operation.volume, operation.inode))
            if zones is not None:
                offset = operation.offset
                zone = offset // ZONE_BYTES
                if zone in zones and offset + len(operation.data) <= (zone + 1) * ZONE_BYTES:
                    return True
        return self._mark(operation)

    def _mark(self, operation: Operation) -> bool:
        self._keep_places(operation)
        for generation in self._current():
            put(generation, operation, self._where, self._highest)
        if self._list is not None and not self._mark_on_disk(self._list, operation):
            return False
        self._happens(operation)
        return True

    def _mark_on_disk(self, written: WrittenList, operation: Operation) -> bool:
        """Whether all its marks are durable."""
        written.begin()
        put(written, operation, self._where, self._highest)
        return not written.waits

    def foresee(self, operation: Operation) -> None:
        """``operation`` waits behind one that was answered False: its marks can go to the disk with that one's.

        It has to be marked all the same when its turn comes.
        """
        if self._list is not None:
            self._keep_places(operation)
            self._mark_on_disk(self._list, operation)

    def timed(self, volume: int, inode: int) -> None:
        """An FSYNC that was shipped, and was not itself marked, carried the inode's mtime."""
        key = (volume, inode)
        if key in self._untimed:
            self._is_timed(key)
            for sink in self._sinks():
                if not sink.is_new(inode):
                    sink.add_attributes(key)

    def adopted(self, volume: int, inode: int, parent: int, name: bytes) -> None:
        """An inode that was there got a new id, by a look-up or a listing; ``name`` in ``parent`` stands for it."""
        self._highest = max(self._highest, inode)
        directory = (volume, parent)
        for sink in self._sinks():
            entries(sink, directory)
        if self._list is not None:
            self._list.adopt(inode, directory)
        self._keep_place(directory)

    def add(self, dirty: Dirty) -> bool:
        """What ``dirty`` names was found to differ, whatever it comes of; whether that is known where it has to be.

        False (in DISK): not before what :meth:`pending` gives is durable; then it has to be added again. In MEMORY the
        next barrier would have it forgotten, since it is not that it is not on the disks: the other node's stream is to
        be given up before. In VOID a full compare finds it.
        """
        for key, place in dirty.places.items():
            self._places.keep(key)
            if self._places.get(key) is None:
                self._places.linked(key, place)
        for generation in self._current():
            generation.merge(dirty)
        if self._list is None:
            return True
        self._list.add(dirty)
        for key in dirty.places:
            self._hint(key)
        return not self._list.waits

    # What an operation means beside its marks

    def _happens(self, operation: Operation) -> None:
        """It is shipped or applied now."""
        if isinstance(operation, Create | Bind):
            self._highest = max(self._highest, operation.inode)
        elif isinstance(operation, Link):
            self._places.linked((operation.volume, operation.inode), (operation.parent, operation.name))
            if self._is_old(operation.inode):
                self._keep_place((operation.volume, operation.parent))
        for key, name in names_lost(operation):
            self._loses(key, name)
        for key, name in names_changed(operation):
            if self._places.get(key) is not None or self._is_old(key[1]):
                self._places.moved(key, name)
                self._hint(key)
                self._keep_place((key[0], name[0]))
        for inode in touched_by(operation):
            self._untimed.add((operation.volume, inode))
        if carries_time(operation):
            self._is_timed((operation.volume, operation.inode))
        elif isinstance(operation, Write):
            self._cache(operation)

    def _loses(self, key: Key, name: tuple[int, bytes]) -> None:
        """In memory the marks stay: a removal can be lost with a page cache, and a list may go to the disk before."""
        former = self._places.get(key)
        gone = self._places.lose(key, name)
        place = self._places.get(key)
        if place is not None and place != former:
            self._hint(key)
        if not gone:
            if place is not None:
                self._keep_place((key[0], place[0]))
            return
        self._is_timed(key)
        if self._list is not None:
            self._list.drop(key)
            if not any(dirty.has_attributes(key) for dirty in self._current()):
                self._places.forget(key)

    def _is_timed(self, key: Key) -> None:
        self._untimed.discard(key)
        self._marked.pop(key, None)

    def _cache(self, write: Write) -> None:
        """Nothing is to be marked for the next one there, until it is forgotten or timed."""
        if self._cached >= _MOST_CACHED:
            self._forget_cache()
        self._marked.setdefault((write.volume, write.inode), set()).add(zone_of(write.offset))
        self._cached += 1

    # Places

    def _keep_places(self, operation: Operation) -> None:
        for inode in marked_by(operation, self._where):
            if self._is_old(inode):
                self._keep_place((operation.volume, inode))

    def _keep_place(self, key: Key) -> None:
        for each in self._places.keep(key):
            self._hint(each)

    def _hint(self, key: Key) -> None:
        place = self._places.get(key)
        if self._list is not None and place is not None:
            self._list.hint(key, place)

    def _is_old(self, inode: int) -> bool:
        """Whether a mark of it would be kept anywhere."""
        return any(inode < sink.new_from for sink in self._sinks())

    # The list on disk

    def pending(self) -> list[bytes]:
        """Records to be appended to the file now; [] when there are none, or a batch is under way."""
        return self._list.pending() if self._list is not None else []

    def written(self) -> None:
        """What the last :meth:`pending` gave is durable."""
        if self._list is None:
            raise InvariantViolated(f"a mark is durable in {self.mode}")
        self._list.written()

    def to_disk(self) -> list[bytes] | None:
        """MEMORY to DISK: all records of a new file. None in VOID: nothing is to be written.

        Until it is :meth:`opened` no operation is let pass. Where it cannot be written: :meth:`void`.
        """
        if self.mode is Mode.VOID:
            return None
        if self.mode is Mode.DISK:
            raise InvariantViolated("a list that is in its file goes there again")
        whole = self.missing()
        found = records(whole)
        whole.places.clear()
        self._list = WrittenList(whole, self._bounds, new_from=whole.new_from, count=len(found))
        self._generations.clear()
        self._forget_cache()
        self.mode = Mode.DISK
        return found

    def opened(self) -> None:
        """The new file is durable."""
        if self._list is None:
            raise InvariantViolated(f"a list was opened in {self.mode}")
        self._list.opened()

    def take_up(self, base: str, dirty: Dirty) -> None:
        """VOID to DISK: a file that was there, whole."""
        if self.mode is not Mode.VOID:
            raise InvariantViolated(f"a list is taken up in {self.mode}")
        self._forget_cache()
        for key, place in dirty.places.items():
            self._places.linked(key, place)
        self._list = WrittenList.taken_up(dirty, self._bounds)
        self.mode, self.base = Mode.DISK, base

    @property
    def bases(self) -> set[str]:
        """Those of copies that the list is of use for: of its own base, or of a barrier since that is not forgotten."""
        return {self.base, *self._bases} - {""}

    # Joins

    def finish(self, base: str) -> None:
        """The join point: what is marked from here on counts for ``base`` too. One that was open is abandoned."""
        self._since, self._since_base, self._finished = Dirty(bounds=self._bounds), base, False
        self._forget_cache()

    def finished(self) -> None:
        """Both disks have everything up to the join point."""
        if self._since is None:
            raise InvariantViolated("a join is on the disks that was not at its end")
        self._finished = True

    def abandon(self) -> None:
        """The join's stream was lost before :meth:`to_memory`: as if there had been no join point. Else nothing."""
        self._since = None
        self._trim()

    def to_memory(self) -> None:
        """Both are in the record, the file is durably void: to MEMORY, with what was marked since the join point."""
        if self._since is None or not self._finished:
            raise InvariantViolated("marks go to memory, and both disks are not known to have what was before")
        self.void()
        self._generations.append(self._since)
        self._since = None
        self.mode, self.base = Mode.MEMORY, self._since_base

    # Barriers

    def close_generation(self, sequence: int) -> str:
        """A barrier is issued, or taken from the stream: in MEMORY. The base of a copy that came through it."""
        if self.mode is not Mode.MEMORY:
            raise InvariantViolated(f"a barrier in {self.mode}")
        self._generations.append(Dirty(bounds=self._bounds))
        self._forget_cache()
        self._bases.append(after_barrier(self._bases[-1] if self._bases else self.base, sequence))
        return self._bases[-1]

    def forget_closed(self) -> None:
        """Both disks have everything up to the oldest barrier that was not forgotten."""
        if len(self._generations) < 2:
            raise InvariantViolated("no generation is closed")
        self._generations.popleft()
        self.base = self._bases.popleft()
        self._trim()

    # The whole

    def missing(self) -> Dirty:
        """All that the other node may lack, for the caller to keep."""
        whole = Dirty(bounds=self._bounds)
        if self._list is not None:
            whole.merge(self._list.known)
        elif self.mode is Mode.MEMORY:
            for generation in self._generations:
                whole.merge(generation)
            for key in self._untimed:
                if not whole.is_new(key[1]):
                    whole.add_attributes(key)
            if self._untimed.is_any:
                whole.make_all_names()
        else:
            whole.make_everything()
        marked = [*whole.names, *whole.attributes, *whole.zones]
        for key in marked:
            self._places.keep(key)
        for key, place in self._places.of(marked).items():
            whole.set_place(key, place)
        return whole

    def void(self) -> None:
        """To VOID: the list is of no use any more. What is marked since a join point stays."""
        self._list = None
        self._generations.clear()
        self._bases.clear()
        self.mode, self.base = Mode.VOID, ""
        self._forget_cache()
        self._trim()

    def _trim(self) -> None:
        """Keeps the places that may be asked for; nothing is heard of the others while nothing is marked."""
        if self._list is not None:
            return
        if self._current():
            self._places.prune(self._all_marked())
        else:
            self._places.clear()

    def _forget_cache(self) -> None:
        self._marked.clear()
        self._cached = 0

    def _current(self) -> list[Dirty]:
        """Where marks are put in memory."""
        current = [self._generations[-1]] if self._generations else []
        return current if self._since is None else [*current, self._since]

    def _sinks(self) -> list[Sink]:
        current: list[Sink] = [*self._current()]
        return current if self._list is None else [self._list, *current]

    def _all_marked(self) -> Iterator[Key]:
        dirties = [*self._generations] if self._since is None else [*self._generations, self._since]
        for dirty in dirties:
            yield from dirty.names
            yield from dirty.attributes
            yield from dirty.zones
        yield from self._untimed
