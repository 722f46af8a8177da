"""Keeps what the peer may lack where it has to be: on this node's disk while it serves alone, else in memory.

The primary asks it before an operation is issued: one that marks something new waits until that is on the disk, while
the list is there. What is marked is decided by the tracker (``replicator.core.tracking``); here is only what makes it
durable, one piece of work after the other, and what follows where that fails: the list is voided, and the next join is
a full compare. Where the disk does not even let it be voided no operation passes: the application gets the disk's
error, until the list is gone.

| the tracker's mode | flags | what is so | what ends it |
|---|---|---|---|
| VOID | | nothing is known of the peer | it is listed: MEMORY |
| VOID | shut | a list was given up, and is being taken away (``refusal``: in vain) | it is gone: VOID |
| MEMORY | | both are there | the peer is lost: DISK, shut |
| DISK | shut | the list is being made | it is there: DISK; it cannot be made: VOID, shut |
| DISK | | alone, or the peer joins | it is listed: DISK, shut, voiding; a mark fails: VOID, shut |
| DISK | shut, voiding | the peer is listed, the list is taken away | it is gone: MEMORY, even if the peer is too |
"""

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from replicator.copy_ports import Background
from replicator.core.dirty import Dirty
from replicator.core.operations import Operation
from replicator.core.tracking import Mode, Tracker
from replicator.disk.dirty_list import DirtyList
from replicator.peers import Note

AGAIN_S: Final = 1.0
"""After which a disk that refused it is asked again to take the list away."""
Work = tuple[Callable[[], None], Callable[[], None], Callable[[OSError], None]]
"""What is done in a thread, and what follows on the loop: when it is done, or has failed."""


class DirtyKeeper:
    """Of one primary, about its one peer. All methods are for the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tracker: Tracker,
        store: DirtyList,
        write_base: Callable[[str], None],
        advance_base: Callable[[str], None],
        background: Background,
        note: Note,
        *,
        tracks: bool,
    ) -> None:
        """The list is where ``tracker`` says that it is; no base is noted on the disks.

        ``write_base`` notes that this copy came through a join point, ``advance_base`` that it came through a barrier
        past it; they block, and raise OSError. Where there are several peers nothing is tracked (not ``tracks``): each
        is brought in sync by a full compare.
        """
        self._loop = loop
        self.tracker: Final = tracker
        self._store = store
        self._tracks = tracks
        self._write_base = write_base
        self._advance_base = advance_base
        self.has_noted_base = False
        """This node's disks may say that its copy is that of a join point: to be cleared before it goes on alone."""
        self._background = background
        self._note = note
        self.refusal = 0
        """An errno, with which operations are refused: a list on the disk can be neither kept true nor taken away."""
        self.on_written: Callable[[], None] = lambda: None
        """What waited for a mark may be tried again."""
        self._work: deque[Work] = deque()
        self._working = False
        self._ended = False
        self.batches = 0
        """How often marks were added to the list on the disk."""
        self._writing = False
        """A batch of marks is under way."""
        self._shut = False
        """The list is being made or taken away: nothing new passes."""
        self._voiding = False
        """The list is being taken away since the peer is listed."""
        self._lost_while_voiding = False
        self._finished = False
        """Both disks have everything up to the peer's join point."""
        self._all_names = False
        """A tracked join of this peer came upon names that could not be told apart: the next one lists all."""
        self._unlisted: set[str] = set()
        """The bases of join points after which the peer was lost before it was listed.

        Its disks may have noted them. They lack less then than what the list says, which is of use all the same.
        """
        self._differing: list[tuple[Dirty, Callable[[], None]]] = []
        """What was found to differ, and is not where it has to be: it waits for the disk."""
        self._idle: asyncio.Future[None] | None = None

    # Marks

    @property
    def is_careful(self) -> bool:
        """Whether :meth:`passes` has to be asked; else :meth:`mark` will do."""
        return self._shut or self.tracker.mode is Mode.DISK

    def passes(self, operation: Operation) -> bool:
        """Marks; whether it may be issued now. If not, :attr:`on_written` is called when it is time to ask again."""
        if self._shut:
            return False
        if self.tracker.mark(operation):
            return True
        self._write()
        return False

    def foresee(self, operation: Operation) -> None:
        """What it marks goes to the disk with what waits before it."""
        self.tracker.foresee(operation)
        self._write()

    def mark(self, operation: Operation) -> None:
        """Marks what goes to the peer beside the order."""
        if not self.tracker.mark(operation):
            self._write()

    def adopted(self, volume: int, inode: int, parent: int, name: bytes) -> None:
        """An inode that was there got a new id by a look-up."""
        self.tracker.adopted(volume, inode, parent, name)
        self._write()

    def differs(self, dirty: Dirty, known: Callable[[], None]) -> None:
        """The peer's copy was found to differ there: ``known`` is called when a list says so that will be believed.

        The peer has to be given up then and there (see ``Tracker.add``).
        """
        self._differing.append((dirty, known))
        self._add_differing()

    def _add_differing(self) -> None:
        waiting, self._differing = self._differing, []
        for dirty, known in waiting:
            if not self._shut and self.tracker.add(dirty):
                known()
            else:
                self._differing.append((dirty, known))
                self._write()

    def _passed(self) -> None:
        self._add_differing()
        self.on_written()

    def _write(self) -> None:
        if self._writing or self._shut:
            return
        records = self.tracker.pending()
        if records:
            self._writing = True
            self._do(partial(self._store.append, records), self._written, self._not_written)

    def _written(self) -> None:
        self._writing = False
        self.batches += 1
        if self.tracker.mode is Mode.DISK:
            self.tracker.written()
            self._write()
        self._passed()

    def _not_written(self, error: OSError) -> None:
        self._writing = False
        self._give_up(f"a change cannot be noted on the disk: {error.strerror}")

    # The peer

    def missing(self, bases: Sequence[str]) -> Dirty:
        """What a joining peer lacks whose disks are of these bases."""
        tracker = self.tracker
        if tracker.mode is Mode.DISK and not self._shut:
            if not self._bases.isdisjoint(bases):
                dirty = tracker.missing()
                if self._all_names:
                    dirty.make_all_names()
                return dirty
            self._give_up("the peer's copy is of another base")
        return Dirty(everything=True)

    @property
    def _bases(self) -> set[str]:
        return {*self.tracker.bases, *self._unlisted}

    def names_unclear(self) -> None:
        """The next join lists every directory."""
        self._all_names = True

    def join_point(self, base: str) -> None:
        """The peer that joins has all that was until now; it is the ``base`` of what comes."""
        if self._tracks:
            self._unlisted.add(base)
            self.tracker.finish(base)

    def note_base(self, base: str, done: Callable[[], None]) -> None:
        """Both disks have everything up to the join point: ``done`` when this node's say so.

        Where they do not take it they say of no base, and this node will have to be compared as a whole one day.
        """
        self.has_noted_base = True
        self._note_on_disks(partial(self._write_base, base), done)

    def note_barrier(self, base: str, done: Callable[[], None]) -> None:
        """As :meth:`note_base`, of a barrier past the join point, where the disks say that they came through that."""
        self._note_on_disks(partial(self._advance_base, base), done)

    def _note_on_disks(self, note: Callable[[], None], done: Callable[[], None]) -> None:
        def failed(error: OSError) -> None:
            self._note("base.not_noted", error=str(error))
            done()

        self._do(note, done, failed)

    def forget_base(self) -> None:
        """This node's disks are about to say of no join point any more that its copy is of it."""
        self.has_noted_base = False

    def joined(self) -> None:
        """Both disks have everything up to the join point, and say so."""
        self._all_names = False
        if self._tracks:
            self._finished = True
            self.tracker.finished()

    def listed(self) -> None:
        """The record lists the peer, settled: what it lacks is tracked in memory, once no list is left on the disk."""
        if not self._finished or self._voiding or self._shut or self.tracker.mode is Mode.MEMORY:
            return
        self._voiding = True
        self._shut = self.tracker.mode is Mode.DISK
        self._do(self._store.void, self._voided, self._not_voided)

    def _voided(self) -> None:
        self._voiding = self._shut = False
        self._unlisted.clear()
        self.tracker.to_memory()
        if self._lost_while_voiding:
            self._lost_while_voiding = False
            self.lost()
        self._passed()

    def lost(self) -> None:
        """The peer's stream is gone: what it may lack goes to the disk, before anything completes without it."""
        if self.tracker.mode is not Mode.MEMORY:
            if self._voiding:
                self._lost_while_voiding = True
            else:
                self._finished = False
                self.tracker.abandon()
            return
        self._finished = False
        records = self.tracker.to_disk()
        if records is not None:
            self._shut = True
            self._do(partial(self._store.create, self.tracker.base, records), self._made, self._not_made)

    def _made(self) -> None:
        self._shut = False
        self.tracker.opened()
        self._write()
        self._passed()

    def _not_made(self, error: OSError) -> None:
        self._give_up(f"what the peer may lack cannot be noted on the disk: {error.strerror}")

    def _give_up(self, reason: str) -> None:
        """Nothing is known of the peer from here on; no list may be left that would be believed."""
        self._note("dirty.given_up", reason=reason)
        self.tracker.void()
        self._shut = True
        self._take_away()

    def _take_away(self) -> None:
        def gone() -> None:
            self._shut = False
            self.refusal = 0
            self._passed()

        if not self._ended:
            self._do(self._store.void, gone, self._not_voided)

    def _not_voided(self, error: OSError) -> None:
        if not self.refusal:
            self._note("dirty.not_taken_away", error=str(error))
        self._voiding = self._lost_while_voiding = False
        self.tracker.void()
        self._shut = True
        self.refusal = error.errno or errno.EIO
        self._loop.call_later(AGAIN_S, self._take_away)
        self._passed()

    # Work, one piece after the other

    async def at_rest(self) -> None:
        """Returns when all that was begun is on the disk, or the list is voided."""
        while self._working:
            if self._idle is None:
                self._idle = self._loop.create_future()
            await self._idle

    async def end(self) -> None:
        """The role ends: what is tracked in memory goes to the disk, for whatever this node is next."""
        if self.tracker.mode is Mode.MEMORY:
            self.lost()
        await self.at_rest()
        self._ended = True

    def _do(self, work: Callable[[], None], done: Callable[[], None], failed: Callable[[OSError], None]) -> None:
        self._work.append((work, done, failed))
        self._next()

    def _next(self) -> None:
        if self._working or not self._work:
            return
        self._working = True
        work, done, failed = self._work.popleft()

        def ended(then: Callable[[], None]) -> None:
            self._working = False
            then()
            self._next()
            if not self._working and self._idle is not None:
                self._idle.set_result(None)
                self._idle = None

        self._background.run(work, lambda _: ended(done), lambda error: ended(partial(failed, error)))
