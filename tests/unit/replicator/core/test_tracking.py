"""Tracking what the other node may lack, by example; that nothing is missed in any order: test_tracking_soundness."""

import stat

import pytest

from manager.model.errors import InvariantViolated
from replicator.core.bases import after_barrier
from replicator.core.dirty import NOWHERE, ZONE_BYTES, Bounds, Dirty
from replicator.core.dirty_codec import absorb
from replicator.core.filesystem import RENAME_EXCHANGE
from replicator.core.operations import (
    Attribute,
    Bind,
    Create,
    Fsync,
    Link,
    Operation,
    Rename,
    SetAttr,
    SetXattr,
    Unbind,
    Unlink,
    Write,
)
from replicator.core.tracking import Mode, Tracker

BASE = "0123456789abcdef"


class Places:
    """What is known of live inodes: 5 is a directory in the root, 10 to 19 are files in it."""

    def __init__(self) -> None:
        self.names: dict[int, list[tuple[int, bytes]]] = {5: [(1, b"d")]}
        self.names |= {inode: [(5, b"%d" % inode)] for inode in range(10, 20)}
        self.unknown: set[int] = set()
        """Have names beside those."""

    def place_of(self, volume: int, inode: int, without: tuple[int, bytes] | None = None) -> tuple[int, bytes] | None:
        return next((place for place in self.names.get(inode, []) if place != without), None)

    def has_other_names(self, volume: int, inode: int) -> bool:
        return inode in self.unknown or len(self.names.get(inode, [])) > 1

    def links_from(self, volume: int, inode: int) -> list[int]:
        return [directory for directory, _ in self.names.get(inode, [])]


def write(inode: int, zone: int = 0) -> Write:
    return Write(0, inode, zone * ZONE_BYTES, bytes(10))


def create(inode: int, parent: int = 5, mode: int = stat.S_IFREG) -> Create:
    return Create(0, inode, parent, b"new", mode, 0, 0, 0, 0, b"")


def in_memory(places: Places | None = None, bounds: Bounds | None = None) -> Tracker:
    """Both are there."""
    tracker = Tracker(places or Places(), bounds or Bounds())
    tracker.finish(BASE)
    tracker.finished()
    tracker.to_memory()
    return tracker


def on_disk(places: Places | None = None) -> Tracker:
    """Alone, with a list in its file that names nothing."""
    tracker = in_memory(places)
    assert tracker.to_disk() == []
    tracker.opened()
    return tracker


def written(tracker: Tracker) -> Dirty:
    """Brings a batch to the disk; what it says."""
    dirty = Dirty()
    for record in tracker.pending():
        absorb(dirty, record)
    tracker.written()
    return dirty


# Where a mark has to be


def test_a_mark_is_on_the_disk_before_the_operation_goes_on() -> None:
    tracker = on_disk()
    assert not tracker.mark(write(10))
    assert not tracker.mark(write(10))
    dirty = written(tracker)
    assert dirty.has_zones((0, 10), 0, 0)
    assert dirty.places == {(0, 10): (5, b"10"), (0, 5): (1, b"d")}
    assert tracker.mark(write(10))
    assert not tracker.mark(write(10, 1))
    assert not tracker.mark(Write(0, 10, ZONE_BYTES - 1, bytes(2)))


def test_what_is_marked_while_a_batch_is_written_is_the_next_batch() -> None:
    tracker = on_disk()
    assert not tracker.mark(write(10))
    batch = tracker.pending()
    assert not tracker.mark(write(10))
    assert not tracker.mark(write(11))
    assert tracker.pending() == []
    assert batch
    tracker.written()
    assert tracker.mark(write(10))
    assert not tracker.mark(write(11))
    assert written(tracker).has_zones((0, 11), 0, 0)
    assert tracker.mark(write(11))
    assert tracker.pending() == []


def test_what_waits_behind_goes_to_the_disk_with_the_first() -> None:
    tracker = on_disk()
    assert not tracker.mark(write(10))
    tracker.foresee(write(11))
    tracker.foresee(Unlink(0, 12, 5, b"12"))
    written(tracker)
    for operation in (write(10), write(11), Unlink(0, 12, 5, b"12")):
        assert tracker.mark(operation)


def test_nothing_goes_on_until_a_new_file_is_there() -> None:
    tracker = in_memory()
    assert tracker.mark(write(10))
    records = tracker.to_disk()
    assert records
    assert tracker.mode is Mode.DISK
    assert tracker.base == BASE
    assert not tracker.mark(write(10))
    assert not tracker.mark(write(11))
    assert tracker.pending() == []
    tracker.opened()
    assert tracker.mark(write(10))
    assert not tracker.mark(write(11))
    written(tracker)
    assert tracker.mark(write(11))


def test_a_new_inode_waits_until_it_is_known_on_the_disk_that_it_is_new() -> None:
    tracker = on_disk()
    assert not tracker.mark(Unlink(0, 12, 5, b"12"))
    written(tracker)
    assert tracker.mark(Unlink(0, 12, 5, b"12"))
    assert not tracker.mark(create(100))
    assert written(tracker).new_from == 100
    for operation in (create(100), write(100, 7), create(101), SetXattr(0, 101, b"user.x", b"", 0, False)):
        assert tracker.mark(operation)
    assert tracker.pending() == []


def test_coarsening_is_on_the_disk_too() -> None:
    tracker = Tracker(Places(), Bounds(zones=2, all_zones=9, files=2, inodes=2))
    tracker.take_up(BASE, Dirty())
    for zone in (4, 2):
        assert not tracker.mark(write(10, zone))
        written(tracker)
    assert not tracker.mark(write(10, 6))
    assert written(tracker).has_tail((0, 10), 2)
    assert tracker.mark(write(10, 99))
    assert not tracker.mark(write(11))
    written(tracker)
    assert not tracker.mark(write(12))
    assert written(tracker).everything
    assert tracker.mark(write(13))
    assert tracker.pending() == []


def test_too_many_directories_are_all_of_them() -> None:
    tracker = Tracker(Places(), Bounds(inodes=2))
    tracker.take_up(BASE, Dirty())
    for inode in (10, 11, 12):
        assert not tracker.mark(SetXattr(0, inode, b"user.x", b"", 0, False))
        dirty = written(tracker)
    assert dirty.all_names
    assert tracker.mark(Unlink(0, 13, 5, b"13"))


# The life of a list


def test_it_begins_void_and_a_full_compare_is_what_that_means() -> None:
    tracker = Tracker(Places())
    assert (tracker.mode, tracker.base) == (Mode.VOID, "")
    assert tracker.mark(write(10))
    assert tracker.missing() == Dirty(everything=True)
    assert tracker.to_disk() is None


def test_what_is_marked_since_the_join_point_counts_for_both_bases() -> None:
    tracker = on_disk()
    tracker.finish("f" * 16)
    assert not tracker.mark(write(10))
    written(tracker)
    assert tracker.mark(write(10))
    assert (tracker.mode, tracker.base) == (Mode.DISK, BASE)
    tracker.finished()
    tracker.to_memory()
    assert (tracker.mode, tracker.base) == (Mode.MEMORY, "f" * 16)
    assert tracker.missing().has_zones((0, 10), 0, 0)


def test_a_zone_that_was_marked_before_the_join_point_is_marked_anew_after_it() -> None:
    tracker = on_disk()
    assert not tracker.mark(write(10))
    written(tracker)
    assert tracker.mark(write(10))
    tracker.finish("f" * 16)
    assert tracker.mark(write(10))
    tracker.finished()
    tracker.to_memory()
    assert tracker.missing().has_zones((0, 10), 0, 0)


def test_an_abandoned_join_leaves_all_as_it_was() -> None:
    tracker = on_disk()
    assert not tracker.mark(write(10))
    written(tracker)
    tracker.finish("f" * 16)
    tracker.finished()
    tracker.abandon()
    assert (tracker.mode, tracker.base) == (Mode.DISK, BASE)
    assert tracker.missing().has_zones((0, 10), 0, 0)
    with pytest.raises(InvariantViolated):
        tracker.to_memory()


def test_a_list_that_cannot_be_written_is_void_and_the_join_goes_on() -> None:
    tracker = on_disk()
    tracker.finish("f" * 16)
    assert not tracker.mark(write(10))
    tracker.void()
    assert tracker.mark(write(10))
    assert tracker.missing().everything
    tracker.finished()
    tracker.to_memory()
    assert tracker.missing().has_zones((0, 10), 0, 0)


def test_a_barrier_closes_what_may_be_forgotten_and_nothing_more() -> None:
    tracker = in_memory()
    assert tracker.mark(write(10))
    tracker.close_generation(1)
    assert tracker.mark(write(10))
    assert tracker.mark(write(11))
    tracker.close_generation(1)
    assert tracker.mark(write(12))
    tracker.forget_closed()
    zones = tracker.missing().zones
    assert set(zones) == {(0, 10), (0, 11), (0, 12)}
    tracker.forget_closed()
    assert set(tracker.missing().zones) == {(0, 12)}


def test_each_barrier_makes_a_base_of_the_one_before_and_the_list_is_of_use_for_all_that_are_not_forgotten() -> None:
    tracker = in_memory()
    first = tracker.close_generation(7)
    second = tracker.close_generation(9)
    assert tracker.base == BASE and tracker.bases == {BASE, first, second}
    assert (first, second) == (after_barrier(BASE, 7), after_barrier(first, 9))
    tracker.forget_closed()
    assert tracker.base == first and tracker.bases == {first, second}
    tracker.to_disk()
    assert tracker.base == first and tracker.bases == {first, second}
    tracker.void()
    assert tracker.bases == set()


@pytest.mark.parametrize(
    "call",
    [
        Tracker.to_disk,
        Tracker.written,
        Tracker.opened,
        Tracker.finished,
        Tracker.to_memory,
        lambda tracker: tracker.close_generation(1),
        Tracker.forget_closed,
        lambda tracker: tracker.take_up(BASE, Dirty()),
    ],
)
def test_what_cannot_be_is_a_broken_invariant(call) -> None:  # type: ignore[no-untyped-def]
    tracker = on_disk()
    with pytest.raises(InvariantViolated):
        call(tracker)


def test_in_memory_nothing_is_forgotten_that_is_not_closed() -> None:
    with pytest.raises(InvariantViolated):
        in_memory().forget_closed()


# A list that is taken up


def test_what_reading_had_to_coarsen_is_written_before_anything_relies_on_it() -> None:
    file = Dirty()
    for zone in (1, 3, 5):
        file.add_zones((0, 10), zone, zone)
    tracker = Tracker(Places(), Bounds(zones=2))
    tracker.take_up(BASE, file)
    assert not tracker.mark(write(10, 9))
    assert written(tracker).has_tail((0, 10), 1)
    assert tracker.mark(write(10, 9))


def test_what_was_new_to_a_former_process_is_marked_by_this_one() -> None:
    """It may have been adopted there by a look-up that did not come to the file."""
    file = Dirty()
    file.add_new(100)
    tracker = Tracker(Places())
    tracker.take_up(BASE, file)
    assert not tracker.mark(write(105))
    assert written(tracker).has_zones((0, 105), 0, 0)


def test_places_are_taken_up_and_told_again() -> None:
    file = Dirty()
    file.add_zones((0, 77), 0, 0)
    file.set_place((0, 77), (66, b"x"))
    file.set_place((0, 66), NOWHERE)
    tracker = Tracker(Places())
    tracker.take_up(BASE, file)
    assert tracker.missing().places == {(0, 77): (66, b"x"), (0, 66): NOWHERE}


# New inodes


def test_what_is_new_needs_no_marks_in_its_own_generation_alone() -> None:
    tracker = in_memory()
    assert tracker.mark(create(100))
    assert tracker.mark(write(100))
    assert tracker.mark(SetAttr(0, 100, Attribute.MTIME, mtime_ns=1))
    missing = tracker.missing()
    assert missing.new_from == 100
    assert (set(missing.names), set(missing.zones)) == ({(0, 5)}, set())
    tracker.close_generation(1)
    assert tracker.mark(write(100))
    tracker.forget_closed()
    missing = tracker.missing()
    assert not missing.is_new(100)
    assert missing.has_zones((0, 100), 0, 0)


def test_an_id_below_one_that_was_seen_is_marked_itself() -> None:
    tracker = in_memory()
    assert tracker.mark(create(101))
    tracker.close_generation(1)
    tracker.forget_closed()
    assert tracker.mark(create(100))
    assert tracker.mark(create(99, mode=stat.S_IFDIR))
    assert tracker.mark(write(101))
    missing = tracker.missing()
    assert not missing.is_new(101)
    assert missing.has_zones((0, 101), 0, 0)
    assert missing.has_tail((0, 100), 0)
    assert missing.has_name((0, 99))


@pytest.mark.parametrize("seen", ["adopted", "bound"])
def test_an_adopted_inode_does_not_become_new_by_a_create_that_comes_late(seen: str) -> None:
    tracker = in_memory()
    if seen == "adopted":
        tracker.adopted(0, 101, 5, b"old")
    else:
        assert tracker.mark(Bind(0, 101, 5, b"old"))
    tracker.close_generation(1)
    tracker.forget_closed()
    assert tracker.mark(create(100, parent=7))
    assert tracker.mark(write(101))
    assert tracker.missing().has_zones((0, 101), 0, 0)


@pytest.mark.parametrize("seen", ["adopted", "bound"])
def test_an_adopted_inode_that_counts_as_new_is_met_in_its_directory(seen: str) -> None:
    tracker = in_memory()
    assert tracker.mark(create(100, parent=7))
    if seen == "adopted":
        tracker.adopted(0, 101, 5, b"old")
    else:
        assert tracker.mark(Bind(0, 101, 5, b"old"))
    assert tracker.mark(write(101))
    missing = tracker.missing()
    assert missing.is_new(101)
    assert missing.has_name((0, 5))


@pytest.mark.parametrize("under_way", [False, True])
def test_what_concerns_an_adopted_inode_waits_for_its_directory(under_way: bool) -> None:
    tracker = on_disk()
    assert not tracker.mark(create(100, parent=7))
    written(tracker)
    assert tracker.mark(create(100, parent=7))
    tracker.adopted(0, 101, 5, b"old")
    if under_way:
        assert tracker.pending()
    assert not tracker.mark(write(101))
    if not under_way:
        assert tracker.pending()
    tracker.written()
    assert tracker.mark(write(101))


# Times


def test_an_inode_whose_time_was_not_shipped_stays_marked_over_barriers() -> None:
    tracker = in_memory()
    for operation in (write(10), write(11), write(12), create(100)):
        assert tracker.mark(operation)
    for _ in range(3):
        tracker.close_generation(1)
        tracker.forget_closed()
    assert tracker.missing().attributes == {(0, inode) for inode in (5, 10, 11, 12, 100)}
    tracker.timed(0, 10)
    assert tracker.mark(SetAttr(0, 11, Attribute.MTIME, mtime_ns=1))
    assert tracker.mark(Fsync(0, 12, True, 1))
    tracker.close_generation(1)
    assert tracker.missing().attributes == {(0, inode) for inode in (5, 10, 11, 12, 100)}
    tracker.forget_closed()
    assert tracker.missing().attributes == {(0, 5), (0, 100)}


def test_a_write_behind_a_shipped_time_makes_it_different_again() -> None:
    tracker = in_memory()
    for operation in (write(10), SetAttr(0, 10, Attribute.MTIME, mtime_ns=1), write(10)):
        assert tracker.mark(operation)
    tracker.close_generation(1)
    tracker.forget_closed()
    assert tracker.missing().attributes == {(0, 10)}


def test_too_many_without_a_shipped_time_are_all() -> None:
    tracker = in_memory(bounds=Bounds(inodes=3))
    for inode in range(10, 14):
        assert tracker.mark(write(inode))
    tracker.close_generation(1)
    tracker.forget_closed()
    assert tracker.missing().all_names


# Names


def test_sources_of_renames_go_before_their_targets() -> None:
    tracker = in_memory()
    assert tracker.mark(Unlink(0, 10, 7, b"x"))
    assert tracker.mark(Rename(0, 11, 5, b"11", 7, b"y", 0, 0))
    assert list(tracker.missing().names) == [(0, 5), (0, 7)]


def test_both_of_an_exchange_are_where_the_other_was() -> None:
    tracker = in_memory()
    assert tracker.mark(write(10))
    assert tracker.mark(write(11))
    assert tracker.mark(Rename(0, 10, 5, b"10", 7, b"y", RENAME_EXCHANGE, 11))
    missing = tracker.missing()
    assert missing.places[0, 10] == (7, b"y")
    assert missing.places[0, 11] == (5, b"10")
    assert set(missing.zones) == {(0, 10), (0, 11)}


def test_of_a_moved_directory_what_is_in_it_moves_along() -> None:
    tracker = in_memory()
    assert tracker.mark(write(10))
    assert tracker.mark(Rename(0, 5, 1, b"d", 7, b"e", 0, 0))
    assert tracker.missing().places[0, 5] == (7, b"e")


def test_what_lost_its_last_name_is_not_looked_for() -> None:
    tracker = in_memory()
    assert tracker.mark(write(10))
    assert tracker.mark(Unlink(0, 10, 5, b"10"))
    missing = tracker.missing()
    assert missing.places[0, 10] == NOWHERE
    assert missing.has_zones((0, 10), 0, 0)  # the removal can be lost, and the write not


def test_in_the_file_the_marks_of_what_was_removed_stay() -> None:
    tracker = on_disk()
    assert not tracker.mark(write(10))
    assert written(tracker).has_zones((0, 10), 0, 0)
    assert tracker.mark(write(10))
    assert not tracker.mark(Unlink(0, 10, 5, b"10"))
    assert (0, 10) in tracker.missing().zones
    written(tracker)
    assert tracker.mark(Unlink(0, 10, 5, b"10"))
    assert (0, 10) not in tracker.missing().zones
    assert not tracker.mark(write(10))  # an open file: it must be named if the removal is lost
    assert written(tracker).places[0, 10] == NOWHERE


def test_of_several_names_another_one_becomes_the_place() -> None:
    places = Places()
    places.names[10] = [(5, b"10"), (7, b"x")]
    tracker = in_memory(places)
    assert tracker.mark(write(10))
    assert tracker.mark(Unlink(0, 10, 5, b"10"))
    assert tracker.missing().places[0, 10] == (7, b"x")


def test_where_another_name_is_not_known_all_is_to_be_listed() -> None:
    places = Places()
    places.unknown.add(10)
    tracker = in_memory(places)
    assert tracker.mark(write(10))
    assert tracker.mark(Unlink(0, 10, 5, b"10"))
    places.names[10] = []
    missing = tracker.missing()
    assert missing.has_zones((0, 10), 0, 0)
    assert (0, 10) not in missing.places


def test_a_link_that_does_not_show_yet_keeps_the_inode() -> None:
    tracker = on_disk()
    operations: list[Operation] = [write(10), Link(0, 10, 7, b"x"), Unlink(0, 10, 5, b"10")]
    for operation in operations:
        if not tracker.mark(operation):
            written(tracker)
            assert tracker.mark(operation)
    missing = tracker.missing()
    assert missing.has_zones((0, 10), 0, 0)
    assert missing.places[0, 10] == (7, b"x")


def test_a_link_names_a_directory_that_the_other_copy_has_the_inode_in() -> None:
    places = Places()
    tracker = in_memory(places)
    assert tracker.mark(Link(0, 10, 7, b"x"))
    assert set(tracker.missing().names) == {(0, 7), (0, 5)}
    places.names[11] = []
    assert tracker.mark(Link(0, 11, 7, b"y"))
    assert tracker.missing().all_names


def test_what_is_no_change_marks_nothing() -> None:
    tracker = on_disk()
    for operation in (Bind(0, 10, 5, b"10"), Unbind(0, 10), Fsync(0, 10, True)):
        assert tracker.mark(operation)
    assert not tracker.missing()


# What was found to differ


def found() -> Dirty:
    """Of a file in a directory that nobody has looked up since."""
    dirty = Dirty()
    dirty.add_zones((0, 100), 2, 3)
    dirty.add_tail((0, 100), 9)
    dirty.add_name((0, 101))
    dirty.add_attributes((0, 10))
    for key, place in {(0, 100): (101, b"f"), (0, 101): (1, b"d"), (0, 10): (7, b"old")}.items():
        dirty.set_place(key, place)
    return dirty


def test_what_was_found_is_missing_with_the_place_that_it_was_found_at() -> None:
    tracker = in_memory()
    assert tracker.mark(write(11))
    assert tracker.add(found())
    missing = tracker.missing()
    assert missing.zones.keys() == {(0, 11), (0, 100)} and missing.zones[0, 100] == found().zones[0, 100]
    assert set(missing.names) == {(0, 101)} and missing.attributes == {(0, 10)}
    assert missing.places[0, 100] == (101, b"f") and missing.places[0, 101] == (1, b"d")
    assert missing.places[0, 10] == (5, b"10"), "what is live is known better"
    records = tracker.to_disk()
    assert records is not None
    on_file = Dirty()
    for record in records:
        absorb(on_file, record)
    assert on_file == missing


def test_what_was_found_is_followed_where_it_is_moved_to() -> None:
    tracker = in_memory()
    assert tracker.add(found())
    assert tracker.mark(Rename(0, 100, 101, b"f", 5, b"g", 0, 0))
    assert tracker.missing().places[0, 100] == (5, b"g")


def test_alone_what_was_found_is_on_the_disk_first() -> None:
    tracker = on_disk()
    assert not tracker.add(found())
    batch = tracker.pending()
    assert not tracker.add(found())
    dirty = Dirty()
    for record in batch:
        absorb(dirty, record)
    tracker.written()
    assert tracker.add(found())
    assert dirty.zones == found().zones and dirty.names == found().names and dirty.attributes == found().attributes
    assert dirty.places[0, 100] == (101, b"f")


def test_what_was_found_after_a_join_point_counts_from_there_too() -> None:
    tracker = on_disk()
    tracker.finish("00000000000000aa")
    assert not tracker.add(found())
    written(tracker)
    assert tracker.add(found())
    tracker.finished()
    tracker.to_memory()
    assert tracker.missing().zones == found().zones


@pytest.mark.parametrize("coarse", [Dirty(everything=True), Dirty(all_names=True), Dirty(new_from=400)])
def test_what_was_found_may_be_coarse(coarse: Dirty) -> None:
    tracker = in_memory()
    assert tracker.add(coarse) and tracker.missing() == coarse
    tracker = on_disk()
    assert not tracker.add(coarse)
    assert written(tracker) == coarse
    assert tracker.add(coarse)


def test_where_nothing_is_known_nothing_has_to_be_added() -> None:
    tracker = Tracker(Places())
    assert tracker.add(found()) and tracker.missing().everything


# Bounds


def test_whatever_is_done_it_stays_small() -> None:
    bounds = Bounds(zones=4, all_zones=20, files=10, inodes=10, places=12)
    tracker = in_memory(bounds=bounds)
    for count in range(3000):
        inode = 1000 + count
        tracker.mark(create(inode, parent=2000 + count, mode=stat.S_IFDIR if count % 3 else stat.S_IFREG))
        tracker.mark(write(10 + count % 9, count))
        tracker.mark(Unlink(0, 500 + count, 5, b"x"))
        if count % 100 == 0:
            tracker.close_generation(1)
            tracker.forget_closed()
        missing = tracker.missing()
        assert len(missing.zones) <= 10
        assert len(missing.names) + len(missing.attributes) <= 10
        assert len(missing.places) <= 12
