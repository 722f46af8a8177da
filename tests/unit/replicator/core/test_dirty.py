"""What the other copy may lack: what is put in is in it, however much it is; zones and their spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.dirty import NO_NEW, NOWHERE, ZONE_BYTES, Bounds, Dirty, Zones, zone_of

NARROW = Bounds(zones=3, all_zones=6, files=4, inodes=5, places=4)
KEYS = st.tuples(st.integers(0, 1), st.integers(1, 12))
ZONE = st.integers(0, 12)
RANGES = st.tuples(ZONE, ZONE).map(sorted)
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("name"), KEYS),
        st.tuples(st.just("attributes"), KEYS),
        st.tuples(st.just("zones"), KEYS, RANGES),
        st.tuples(st.just("tail"), KEYS, ZONE),
        st.tuples(st.just("new"), st.integers(1, 14)),
        st.tuples(st.just("place"), KEYS),
    ),
    max_size=40,
)


def put(dirty: Dirty, call: tuple) -> bool:  # type: ignore[type-arg]
    """Does a call; whether it said that something is new."""
    kind, what, *more = call
    if kind == "name":
        return dirty.add_name(what)
    if kind == "attributes":
        return dirty.add_attributes(what)
    if kind == "zones":
        return dirty.add_zones(what, *more[0])
    if kind == "tail":
        return dirty.add_tail(what, more[0])
    if kind == "new":
        return dirty.add_new(what)
    dirty.set_place(what, NOWHERE)
    return False


def has(dirty: Dirty, call: tuple) -> bool:  # type: ignore[type-arg]
    """Whether what a call put in is there."""
    kind, what, *more = call
    if kind == "name":
        return dirty.has_name(what) and dirty.has_attributes(what)
    if kind == "attributes":
        return dirty.has_attributes(what)
    if kind == "zones":
        return dirty.has_zones(what, *more[0]) and dirty.has_attributes(what)
    if kind == "tail":
        return dirty.has_tail(what, more[0]) and dirty.has_zones(what, more[0] + 3, more[0] + 99)
    return kind == "place" or dirty.is_new(what)


def within(dirty: Dirty, bounds: Bounds) -> bool:
    """Whether it is as small as it has to be."""
    return (
        len(dirty.zones) <= bounds.files
        and all(len(zones.some) <= bounds.zones for zones in dirty.zones.values())
        and sum(len(zones.some) for zones in dirty.zones.values()) <= bounds.all_zones
        and len(dirty.names) + len(dirty.attributes) <= bounds.inodes
        and len(dirty.places) <= bounds.places
    )


@given(CALLS)
def test_it_is_bounded_and_never_forgets(calls: list[tuple]) -> None:  # type: ignore[type-arg]
    dirty = Dirty(bounds=NARROW)
    for index, call in enumerate(calls):
        there = has(dirty, call)
        assert put(dirty, call) or there
        assert within(dirty, NARROW)
        assert all(has(dirty, each) for each in calls[: index + 1])


@given(CALLS)
def test_wide_enough_it_names_nothing_else(calls: list[tuple]) -> None:  # type: ignore[type-arg]
    dirty = Dirty()
    for call in calls:
        there = has(dirty, call)
        new = put(dirty, call)
        assert call[0] == "place" or new is not there or (new and call[0] == "zones")
    assert not dirty.everything
    assert not dirty.all_names
    zones = {
        (key, zone)
        for kind, key, *more in calls
        if kind in ("zones", "tail")
        for zone in (range(more[0][0], more[0][1] + 1) if kind == "zones" else range(more[0], 30))
    }
    for volume in (0, 1):
        for inode in range(1, 13):
            key = (volume, inode)
            assert dirty.has_name(key) is (("name", key) in calls)
            assert {zone for zone in range(30) if dirty.has_zones(key, zone, zone)} == {z for k, z in zones if k == key}


@given(CALLS, CALLS, st.sampled_from([NARROW, Bounds()]))
def test_what_is_merged_is_in_it(mine: list[tuple], others: list[tuple], bounds: Bounds) -> None:  # type: ignore[type-arg]
    dirty, other = Dirty(bounds=bounds), Dirty(bounds=bounds)
    for call in mine:
        put(dirty, call)
    for call in others:
        put(other, call)
    dirty.merge(other)
    assert all(has(dirty, call) for call in mine + others)
    assert within(dirty, bounds)


@given(st.lists(RANGES, max_size=8), st.none() | ZONE, st.integers(0, 14 * ZONE_BYTES))
def test_spans_are_the_zones_within_the_size(ranges: list[list[int]], tail: int | None, size: int) -> None:
    zones = Zones()
    for first, last in ranges:
        zones.add(first, last)
    if tail is not None:
        zones.add_tail(tail)
    spans = zones.spans(size)
    for zone in range(15):
        start, end = zone * ZONE_BYTES, min((zone + 1) * ZONE_BYTES, size)
        inside = any(offset <= start and end <= offset + length for offset, length in spans)
        assert inside is zones.has(zone, zone) or start >= size
    ends = [offset + length for offset, length in spans]
    assert all(length > 0 for _, length in spans)
    assert all(end <= size for end in ends)
    assert all(end < offset for end, (offset, _) in zip(ends, spans[1:], strict=False))


@given(st.lists(RANGES, max_size=6), st.none() | ZONE, RANGES)
def test_zones_meet_a_range_where_one_of_it_is_there(
    ranges: list[list[int]], tail: int | None, asked: list[int]
) -> None:
    zones = Zones()
    for first, last in ranges:
        zones.add(first, last)
    if tail is not None:
        zones.add_tail(tail)
    there = [zones.has(zone, zone) for zone in range(asked[0], asked[1] + 1)]
    assert zones.meets(*asked) is any(there)
    assert zones.has(*asked) is all(there)


def test_a_range_without_end_costs_no_more_than_one_zone() -> None:
    zones = Zones()
    assert zones.add(3, 1 << 40)
    assert (zones.some, zones.tail) == (set(), 3)
    assert zones.has(4, 1 << 41)
    assert not zones.add(5, 1 << 40)


def test_a_source_of_a_rename_goes_before_its_target() -> None:
    dirty = Dirty()
    for inode in (1, 2, 3):
        dirty.add_name((0, inode))
    dirty.move_to_end((0, 1))
    dirty.move_to_end((0, 9))
    assert list(dirty.names) == [(0, 2), (0, 3), (0, 1)]


def test_what_lost_its_last_name_is_dropped_with_its_count() -> None:
    dirty = Dirty(bounds=NARROW)
    for inode in range(1, 30):
        dirty.add_zones((0, inode), 0, 2)
        dirty.add_name((0, inode))
        dirty.drop((0, inode))
    assert not dirty


@pytest.mark.parametrize("call", [("name", (0, 1)), ("attributes", (0, 1)), ("zones", (0, 1), (0, 0)), ("new", 7)])
def test_it_is_true_where_anything_may_differ(call: tuple) -> None:  # type: ignore[type-arg]
    dirty = Dirty()
    assert not dirty
    put(dirty, call)
    assert dirty


def test_everything_is_all_there_is_to_say() -> None:
    dirty = Dirty()
    dirty.add_zones((0, 5), 1, 1)
    dirty.add_new(7)
    assert dirty.make_everything()
    assert dirty == Dirty(everything=True)
    assert dirty.new_from == NO_NEW
    assert not dirty.add_name((0, 2))
    assert zone_of(ZONE_BYTES) == 1
