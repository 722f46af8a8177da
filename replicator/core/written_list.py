"""A list of what the other node may lack that is in a file: which marks are durable there, and what is to be written.

Pure: whoever writes takes a batch of records, and says when it is durable. Marks that come meanwhile are the next
batch. A mark counts only when its own record is durable: coarsening is a record of its own.
"""

from typing import Final

from manager.model.errors import InvariantViolated
from replicator.core.dirty import NO_NEW, Bounds, Dirty, Key
from replicator.core.dirty_codec import is_hint, name_record, records

MOST_RECORDS: Final = 1 << 20
"""In one file; beyond, it says "everything"."""


class WrittenList:
    """One file's. A Sink: after marks were put in, ``waits`` says whether one of them is not durable."""

    def __init__(self, known: Dirty, bounds: Bounds, new_from: int, count: int) -> None:
        """``known`` is to be in a new file, in ``count`` records: every operation waits until it is :meth:`opened`.

        ``new_from``: ids from this one on are new in it.
        """
        self.known = known
        self.new_from = new_from
        self.waits = False
        self._bounds = bounds
        self._is_open = False
        self._count = count
        self._pending = Dirty(bounds=bounds)
        self._writing = Dirty(bounds=bounds)
        self._under_way = False
        self._moved: dict[Key, None] = {}
        """Directories that were moved to the end of the order: not worth a batch of their own, as places are not."""
        self._adopted: set[int] = set()
        self._adopted_writing: set[int] = set()
        """Inodes whose directory's mark is not durable."""

    @classmethod
    def taken_up(cls, dirty: Dirty, bounds: Bounds) -> "WrittenList":
        """Of a file that was there. Where reading it had to coarsen, that is to be written first.

        What is new by the file is not new here: not all that the former process adopted need be in it.
        """
        known = Dirty(bounds=bounds)
        known.merge(dirty)
        found = cls(known, bounds, NO_NEW, len(records(dirty)))
        known.places.clear()
        found.opened()
        if known.everything:
            found._pending.make_everything()
        if known.all_names:
            found._pending.make_all_names()
        for key, zones in known.zones.items():
            if zones.tail is not None:
                found._pending.add_tail(key, zones.tail)
        return found

    # The file

    def pending(self) -> list[bytes]:
        """Records to be appended; [] when there are none, or some are under way."""
        if self._under_way or not self._is_open or not self._pending:
            return []
        if self._count > MOST_RECORDS and self.known.make_everything():
            self._pending.make_everything()
        batch = records(self._pending)
        if self._count > MOST_RECORDS // 2:
            batch = [record for record in batch if not is_hint(record)]
        else:
            batch += [name_record(key) for key in self._moved if key in self.known.names]
        self._count += len(batch)
        self._writing, self._pending = self._pending, Dirty(bounds=self._bounds)
        self._adopted_writing, self._adopted = self._adopted, set()
        self._moved.clear()
        self._under_way = True
        return batch

    def written(self) -> None:
        """The batch is durable."""
        if not self._under_way:
            raise InvariantViolated("records are durable that nobody was given")
        self._under_way = False
        self._writing = Dirty(bounds=self._bounds)
        self._adopted_writing = set()

    def opened(self) -> None:
        """The file is there, with all that was known when it was made."""
        if self._is_open:
            raise InvariantViolated("a list was opened twice")
        self._is_open = True

    # Hints

    def hint(self, key: Key, place: tuple[int, bytes]) -> None:
        """Where an inode is, to go with the next batch."""
        self._pending.set_place(key, place)

    def drop(self, key: Key) -> None:
        """The inode is going; the file keeps its marks, since the removal can be lost with a page cache."""
        self.known.drop(key)
        self._pending.drop(key)

    def adopt(self, inode: int, directory: Key) -> None:
        """The inode's directory was marked just now: until that is durable, what concerns the inode waits."""
        if self._pending.has_name(directory):
            self._adopted.add(inode)
        elif self._writing.has_name(directory):
            self._adopted_writing.add(inode)

    # Marks

    def begin(self) -> None:
        """The marks of an operation follow."""
        self.waits = not self._is_open

    def is_new(self, inode: int) -> bool:
        """See Sink; a new one has to wait where that it is new is not durable."""
        if inode < self.new_from and not self.known.everything:
            return False
        if self._pending.is_new(inode) or self._writing.is_new(inode):
            self.waits = True
        if inode in self._adopted or inode in self._adopted_writing:
            self.waits = True
        return True

    def add_new(self, inode: int) -> None:
        """See Sink."""
        self.new_from = inode
        if self.known.add_new(inode):
            self._pending.add_new(inode)
        self.is_new(inode)

    def add_name(self, key: Key) -> None:
        """See Sink."""
        if self.known.add_name(key) and not self._now_all_names():
            self._pending.add_name(key)
        if self._pending.has_name(key) or self._writing.has_name(key):
            self.waits = True

    def move_to_end(self, key: Key) -> None:
        """See Sink."""
        self.known.move_to_end(key)
        if self.known.names:
            self._moved.pop(key, None)
            self._moved[key] = None

    def add_attributes(self, key: Key) -> None:
        """See Sink."""
        if self.known.add_attributes(key) and not self._now_all_names():
            self._pending.add_attributes(key)
        if self._pending.has_attributes(key) or self._writing.has_attributes(key):
            self.waits = True

    def add_zones(self, key: Key, first: int, last: int) -> None:
        """See Sink."""
        tail = self._tail(key)
        if self.known.add_zones(key, first, last) and not self._now_everything():
            self._put_zones(key, tail, first, last)
        for each in (self._pending, self._writing):
            zones = each.zones.get(key)
            if each.everything or (zones is not None and zones.meets(first, last)):
                self.waits = True

    def add_tail(self, key: Key, first: int) -> None:
        """See Sink."""
        if self.known.add_tail(key, first) and not self._now_everything():
            tail = self._tail(key)
            assert tail is not None
            self._pending.add_tail(key, tail)
        for each in (self._pending, self._writing):
            if each.everything or key in each.zones:
                self.waits = True

    def make_all_names(self) -> None:
        """See Sink."""
        if self.known.make_all_names():
            self._pending.make_all_names()
        for each in (self._pending, self._writing):
            if each.everything or each.all_names:
                self.waits = True

    def make_everything(self) -> None:
        """As if it were a mark."""
        if self.known.make_everything():
            self._pending.make_everything()
        if self._pending.everything or self._writing.everything:
            self.waits = True

    def add(self, dirty: Dirty) -> None:
        """All that ``dirty`` names, as the marks of one operation; but for its places."""
        self.begin()
        if dirty.everything:
            self.make_everything()
        if dirty.all_names:
            self.make_all_names()
        if dirty.new_from < self.new_from:
            self.add_new(dirty.new_from)
        for key, zones in dirty.zones.items():
            for first, last in zones.runs():
                self.add_zones(key, first, last)
            if zones.tail is not None:
                self.add_tail(key, zones.tail)
        for key in dirty.names:
            self.add_name(key)
            self.move_to_end(key)
        for key in dirty.attributes:
            self.add_attributes(key)

    def _tail(self, key: Key) -> int | None:
        zones = self.known.zones.get(key)
        return None if zones is None else zones.tail

    def _put_zones(self, key: Key, tail: int | None, first: int, last: int) -> None:
        """Those that are new; ``tail`` is from where on all were known before."""
        now = self._tail(key)
        if now is not None and now != tail:
            self._pending.add_tail(key, now)
        elif tail is None or first < tail:
            self._pending.add_zones(key, first, last if tail is None else min(last, tail - 1))

    def _now_all_names(self) -> bool:
        """Whether a mark that was put in just now made what is known so coarse: then that is to be written."""
        if self.known.all_names:
            self._pending.make_all_names()
        return self.known.all_names

    def _now_everything(self) -> bool:
        """As :meth:`_now_all_names`."""
        if self.known.everything:
            self._pending.make_everything()
        return self.known.everything
