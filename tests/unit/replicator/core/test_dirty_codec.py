"""Records of what the other copy may lack: there and back, in any order, and nothing else is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.dirty import NOWHERE, Bounds, Dirty
from replicator.core.dirty_codec import absorb, name_record, place_record, records

KEYS = st.tuples(st.integers(0, 65535), st.integers(1, (1 << 63) - 1))
ZONE = st.integers(0, 1 << 40)
PLACES = st.just(NOWHERE) | st.tuples(
    st.integers(1, (1 << 63) - 1),
    st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b"..")),
)


@st.composite
def dirties(draw: st.DrawFn) -> Dirty:
    """Any."""
    dirty = Dirty()
    for key in draw(st.lists(KEYS, max_size=6)):
        dirty.add_name(key)
    for key in draw(st.lists(KEYS, max_size=6)):
        dirty.add_attributes(key)
    for key, first, count in draw(st.lists(st.tuples(KEYS, ZONE, st.integers(0, 9)), max_size=6)):
        dirty.add_zones(key, first, first + count)
    for key, first in draw(st.lists(st.tuples(KEYS, ZONE), max_size=3)):
        dirty.add_tail(key, first)
    for key, place in draw(st.lists(st.tuples(KEYS, PLACES), max_size=6)):
        dirty.set_place(key, place)
    if draw(st.booleans()):
        dirty.add_new(draw(st.integers(1, (1 << 63) - 1)))
    if draw(st.integers(0, 5)) == 0:
        dirty.make_all_names()
    if draw(st.integers(0, 9)) == 0:
        dirty.make_everything()
    return dirty


def absorbed(found: list[bytes]) -> Dirty:
    """What the records make."""
    dirty = Dirty()
    for record in found:
        absorb(dirty, record)
    return dirty


@given(dirties())
def test_records_make_the_same_again(dirty: Dirty) -> None:
    again = absorbed(records(dirty))
    assert again == dirty
    assert list(again.names) == list(dirty.names)


@given(dirties(), dirties())
def test_records_behind_others_add_to_them(first: Dirty, second: Dirty) -> None:
    both = absorbed(records(first) + records(second))
    first.merge(second)
    assert both == first
    assert list(both.names) == list(first.names)


@given(dirties())
def test_where_there_is_less_room_it_coarsens(dirty: Dirty) -> None:
    narrow = Dirty(bounds=Bounds(zones=2, all_zones=4, files=2, inodes=3, places=2))
    for record in records(dirty):
        absorb(narrow, record)
    assert all(narrow.has_name(key) for key in dirty.names)
    assert all(narrow.has_attributes(key) for key in dirty.attributes)
    assert all(narrow.has_zones(key, *run) for key, zones in dirty.zones.items() for run in zones.runs())


@given(st.binary(max_size=40))
def test_garbage_is_a_value_error_or_says_something(record: bytes) -> None:
    dirty = Dirty()
    try:
        absorb(dirty, record)
    except ValueError:
        assert not dirty
        assert not dirty.places
    else:
        assert dirty or dirty.places


@given(dirties(), st.data())
def test_a_record_that_is_cut_short_is_refused(dirty: Dirty, data: st.DataObject) -> None:
    found = [record for record in records(dirty) if record[:1] not in b"P"]
    if found:
        record = data.draw(st.sampled_from(found))
        with pytest.raises(ValueError, match="record"):
            absorb(Dirty(), record[: data.draw(st.integers(0, len(record) - 1))])
        with pytest.raises(ValueError, match="record"):
            absorb(Dirty(), record + b"x")


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"X",
        name_record((0, 0)),
        place_record((0, 5), (0, b"name")),
        place_record((0, 5), (7, b"")),
        place_record((0, 5), (7, b"a/b")),
        place_record((0, 5), (7, b"..")),
        place_record((0, 5), (7, b"x" * 256)),
        b"Z" + bytes(2) + (9).to_bytes(8, "little") + (5).to_bytes(8, "little") + (4).to_bytes(8, "little"),
    ],
)
def test_what_nobody_can_have_written_is_refused(record: bytes) -> None:
    with pytest.raises(ValueError, match="record"):
        absorb(Dirty(), record)
