"""What the peer may lack: when it is on the disk, when in memory, and what follows where the disk does not take it."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from replicator.core.dirty import Dirty
from replicator.core.operations import SetXattr, Write
from replicator.core.tracking import Mode, Tracker
from replicator.dirty_keeper import AGAIN_S, DirtyKeeper
from replicator.disk.dirty_list import DirtyList
from tests.unit.replicator.hand_work import attempt
from tests.unit.replicator.loops import SteppedLoop, stepped_loop

BASE, NEXT, OTHER = "0123456789abcdef", "00000000000000aa", "00000000000000bb"


class Nowhere:
    """Nothing is known by a name."""

    def place_of(self, volume: int, inode: int, without: tuple[int, bytes] | None = None) -> None:
        return None

    def has_other_names(self, volume: int, inode: int) -> bool:
        return False

    def links_from(self, volume: int, inode: int) -> list[int]:
        return []


class FailingList(DirtyList):
    """On a disk that fails when it is told to."""

    refuses: tuple[str, ...] = ()

    def _try(self, what: str) -> None:
        if what in self.refuses:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def create(self, base: str, records: Iterable[bytes]) -> None:
        self._try("create")
        super().create(base, records)

    def append(self, records: Iterable[bytes]) -> None:
        self._try("append")
        super().append(records)

    def void(self) -> None:
        self._try("void")
        super().void()


class Later:
    """Work for the disk that is done when the test says so."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[OSError], None]) -> None:
        self.work.append(partial(attempt, work, done, failed))

    def go_on(self) -> None:
        """Does one piece."""
        self.work.pop(0)()

    def finish(self) -> None:
        """Does all there is, and what comes of it."""
        while self.work:
            self.go_on()


class Stage:
    """A primary's keeper on a real directory."""

    def __init__(self, loop: SteppedLoop, path: Path) -> None:
        self.loop = loop
        self.private = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.store = FailingList(self.private)
        self.background = Later()
        self.bases: list[str] = []
        self.notes: list[str] = []
        self.written = 0
        self.keeper = DirtyKeeper(
            loop,
            Tracker(Nowhere()),
            self.store,
            self.bases.append,
            self.bases.append,
            self.background,
            self._note,
            tracks=True,
        )
        self.keeper.on_written = self._count

    def _note(self, name: str, **values: object) -> None:
        self.notes.append(f"{name}: {values}")

    def _count(self) -> None:
        self.written += 1

    @property
    def mode(self) -> Mode:
        return self.keeper.tracker.mode

    @property
    def on_disk(self) -> tuple[str, list[int]] | None:
        """Base and the files of the list that is there, by its own reader."""
        reader = DirtyList(self.private)
        found = reader.load()
        reader.close()
        assert not reader.damage
        return None if found is None else (found[0], sorted(inode for _, inode in found[1].zones))

    def join(self, base: str = BASE) -> None:
        """The peer has come through a join, and both disks say so; it is not listed yet."""
        self.keeper.join_point(base)
        self.keeper.note_base(base, self.keeper.joined)
        self.background.finish()

    def pair(self, base: str = BASE) -> None:
        """It is listed, too."""
        self.join(base)
        self.keeper.listed()
        self.background.finish()
        assert self.mode is Mode.MEMORY


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with stepped_loop() as loop:
        made = Stage(loop, tmp_path)
        yield made
        made.store.close()
        os.close(made.private)


def write(inode: int) -> Write:
    return Write(0, inode, 0, b"x")


def test_while_both_are_there_nothing_waits_and_nothing_is_on_the_disk(stage: Stage) -> None:
    stage.pair()
    assert not stage.keeper.is_careful
    assert stage.keeper.tracker.mark(write(7))
    assert stage.on_disk is None and stage.bases == [BASE] and stage.background.work == []


def test_when_the_peer_is_lost_the_list_is_on_the_disk_before_anything_passes(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.mark(write(7))
    stage.keeper.lost()
    assert stage.keeper.is_careful and not stage.keeper.passes(write(7))
    stage.background.go_on()
    assert stage.on_disk == (BASE, [7]) and stage.mode is Mode.DISK and stage.written
    assert stage.keeper.passes(write(7))


def test_alone_an_operation_waits_until_its_mark_is_on_the_disk(stage: Stage) -> None:
    stage.pair()
    stage.keeper.lost()
    stage.background.finish()
    assert not stage.keeper.passes(write(8))
    stage.keeper.foresee(write(9))
    assert stage.on_disk == (BASE, [])
    stage.background.go_on()
    assert stage.on_disk == (BASE, [8]) and stage.keeper.passes(write(8))
    stage.background.finish()  # What waited behind it came with the next batch.
    assert stage.on_disk == (BASE, [8, 9]) and stage.keeper.passes(write(9)) and stage.background.work == []


def test_a_disk_that_does_not_take_a_mark_costs_the_list_and_nothing_passes_before_it_is_gone(stage: Stage) -> None:
    stage.pair()
    stage.keeper.lost()
    stage.background.finish()
    stage.store.refuses = ("append",)
    assert not stage.keeper.passes(write(8))
    stage.background.go_on()
    assert not stage.keeper.passes(write(8)) and stage.mode is Mode.VOID
    stage.background.go_on()
    assert stage.on_disk is None and stage.keeper.passes(write(8))
    assert stage.keeper.missing((BASE,)).everything and "No space left" in stage.notes[0]


def test_a_list_that_cannot_be_made_is_none(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.mark(write(7))
    stage.store.refuses = ("create",)
    stage.keeper.lost()
    stage.background.finish()
    assert stage.mode is Mode.VOID and stage.on_disk is None
    assert stage.keeper.missing((BASE,)).everything


def test_while_a_list_can_be_neither_kept_nor_taken_away_operations_are_refused(stage: Stage) -> None:
    stage.pair()
    stage.keeper.lost()
    stage.background.finish()
    stage.store.refuses = ("append", "void")
    assert not stage.keeper.passes(write(8)) and stage.keeper.refusal == 0
    stage.background.finish()
    assert not stage.keeper.passes(write(8)) and stage.keeper.refusal == errno.ENOSPC
    stage.store.refuses = ()
    stage.loop.advance(AGAIN_S)
    stage.background.finish()
    assert stage.keeper.passes(write(8)) and stage.keeper.refusal == 0 and stage.on_disk is None


def test_a_peer_that_comes_back_gets_what_is_listed_if_its_copy_is_of_the_same_base(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.mark(write(7))
    stage.keeper.lost()
    stage.background.finish()
    missing = stage.keeper.missing((OTHER, BASE))
    assert not missing.everything and list(missing.zones) == [(0, 7)]


def test_a_copy_of_another_base_gets_everything_and_the_list_is_of_no_use_any_more(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.mark(write(7))
    stage.keeper.lost()
    stage.background.finish()
    assert stage.keeper.missing((OTHER,)).everything
    stage.background.finish()
    assert stage.on_disk is None and stage.mode is Mode.VOID


def test_until_the_peer_is_listed_the_list_stays_on_the_disk_and_grows(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.mark(write(7))
    stage.keeper.lost()
    stage.background.finish()
    stage.join(NEXT)
    assert not stage.keeper.passes(write(8))
    stage.background.finish()
    assert stage.keeper.passes(write(8)) and stage.on_disk == (BASE, [7, 8])
    # Lost before it was listed: whether its disk noted the new base or not, it lacks no more than the list says.
    stage.keeper.lost()
    for bases in ((BASE,), (NEXT, BASE), (NEXT,)):
        assert sorted(stage.keeper.missing(bases).zones) == [(0, 7), (0, 8)]


def test_a_copy_that_came_through_a_barrier_which_is_not_forgotten_gets_what_is_listed(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.mark(write(7))
    came_through = stage.keeper.tracker.close_generation(9)
    stage.keeper.note_barrier(came_through, lambda: None)
    stage.background.finish()
    assert stage.bases == [BASE, came_through]
    stage.keeper.lost()
    stage.background.finish()
    assert stage.on_disk == (BASE, [7])
    for bases in ((BASE,), (came_through, BASE), (came_through,)):
        assert sorted(stage.keeper.missing(bases).zones) == [(0, 7)]


def test_a_copy_that_did_not_come_through_the_last_barrier_gets_everything(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.close_generation(9)
    stage.keeper.tracker.forget_closed()
    stage.keeper.lost()
    stage.background.finish()
    assert stage.keeper.missing((BASE, OTHER)).everything


def test_what_is_marked_between_the_join_point_and_the_listing_is_tracked_on_in_memory(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.mark(write(7))
    stage.keeper.lost()
    stage.background.finish()
    stage.keeper.join_point(NEXT)
    assert not stage.keeper.passes(write(8))
    stage.background.finish()
    assert stage.keeper.passes(write(8))
    stage.keeper.note_base(NEXT, stage.keeper.joined)
    stage.background.finish()
    stage.keeper.listed()
    stage.background.finish()
    assert stage.on_disk is None and stage.mode is Mode.MEMORY
    stage.keeper.lost()
    stage.background.finish()
    assert stage.on_disk == (NEXT, [8])


def test_a_peer_lost_while_the_list_is_taken_away_leaves_a_new_list(stage: Stage) -> None:
    stage.pair()
    stage.keeper.lost()
    stage.background.finish()
    stage.join(NEXT)
    assert not stage.keeper.passes(write(8))
    stage.background.finish()
    assert stage.keeper.passes(write(8))
    stage.keeper.listed()
    stage.keeper.lost()
    assert not stage.keeper.passes(write(9))
    stage.background.go_on()
    assert stage.on_disk is None and not stage.keeper.passes(write(9))
    stage.background.finish()
    assert stage.on_disk == (NEXT, [8]) and stage.mode is Mode.DISK


def differing(inode: int) -> Dirty:
    dirty = Dirty()
    dirty.add_zones((0, inode), 0, 0)
    return dirty


def test_what_was_found_to_differ_is_known_at_once_in_memory(stage: Stage) -> None:
    stage.pair()
    stage.keeper.differs(differing(7), stage.keeper.lost)
    stage.background.finish()
    assert stage.on_disk == (BASE, [7])


def test_what_was_found_to_differ_is_known_once_it_is_on_the_disk(stage: Stage) -> None:
    stage.pair()
    stage.keeper.lost()
    stage.background.finish()
    assert not stage.keeper.passes(write(8))
    known: list[object] = []
    stage.keeper.differs(differing(7), lambda: known.append(stage.on_disk))
    assert not known
    stage.background.finish()
    assert known == [(BASE, [7, 8])]


def test_what_was_found_to_differ_waits_for_the_list_to_be_made_or_voided(stage: Stage) -> None:
    stage.pair()
    stage.keeper.lost()
    known: list[Mode] = []
    stage.keeper.differs(differing(7), lambda: known.append(stage.mode))
    assert not known
    stage.background.finish()
    assert known == [Mode.DISK] and stage.on_disk == (BASE, [7])
    stage.join(NEXT)
    stage.keeper.listed()
    stage.keeper.differs(differing(9), lambda: known.append(stage.mode))
    stage.background.finish()
    assert known == [Mode.DISK, Mode.MEMORY]
    stage.keeper.lost()
    stage.background.finish()
    assert stage.on_disk == (NEXT, [9])


def test_nothing_is_released_before_the_list_is_at_rest(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.mark(write(7))
    stage.keeper.lost()
    waiting = stage.loop.create_task(stage.keeper.at_rest())
    stage.loop.turn()
    assert not waiting.done()
    stage.background.finish()
    stage.loop.turn()
    assert waiting.done() and stage.on_disk == (BASE, [7])


def test_at_the_end_of_the_role_what_was_in_memory_is_on_the_disk(stage: Stage) -> None:
    stage.pair()
    stage.keeper.tracker.mark(SetXattr(0, 7, b"user.a", b"1", 0, False))
    ending: asyncio.Task[None] = stage.loop.create_task(stage.keeper.end())
    stage.loop.turn()
    assert not ending.done()
    stage.background.finish()
    stage.loop.turn()
    assert ending.done() and stage.on_disk == (BASE, [])


def test_with_several_peers_nothing_is_tracked(stage: Stage) -> None:
    keeper = DirtyKeeper(
        stage.loop,
        Tracker(Nowhere()),
        stage.store,
        stage.bases.append,
        stage.bases.append,
        stage.background,
        lambda _, **__: None,
        tracks=False,
    )
    keeper.join_point(BASE)
    keeper.note_base(BASE, keeper.joined)
    stage.background.finish()
    keeper.listed()
    stage.background.finish()
    keeper.lost()
    assert keeper.tracker.mode is Mode.VOID and keeper.missing((BASE,)).everything
