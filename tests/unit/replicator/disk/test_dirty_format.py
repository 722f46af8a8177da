"""The file of what the other copy may lack: what was on the disk is found, and what is damaged is not believed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.disk.dirty_format import VERSION, Damaged, Place, group, new_file, parse

BASE = "0123456789abcdef"
NONCE = b"noncence"
RECORDS = st.lists(st.binary(max_size=40), max_size=5)


def written(made: list[bytes], *appended: list[bytes], base: str = BASE, nonce: bytes = NONCE) -> list[bytes]:
    """A file as it was made, and what was appended to it."""
    data, place = new_file(base, nonce, made)
    parts = [data]
    for records in appended:
        data, place = group(place, records)
        parts.append(data)
    return parts


def assert_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        parse(data)


@given(RECORDS, st.lists(RECORDS, max_size=4))
def test_what_was_written_is_read(made: list[bytes], appended: list[list[bytes]]) -> None:
    data = b"".join(written(made, *appended))
    content = parse(data)
    assert content.base == BASE
    assert content.records == tuple(record for records in (made, *appended) for record in records)
    assert (content.end.number, content.end.offset) == (len(appended) + 1, len(data))


def test_a_group_that_is_torn_at_any_byte_counts_for_nothing() -> None:
    *before, last = written([b"one"], [b"two", b""], [b"three"])
    whole = b"".join(before)
    for at in range(len(last)):
        rest = len(last) - at
        for tail in (b"", bytes(rest), b"\xff" * rest, bytes(4096)):
            content = parse(whole + last[:at] + tail)
            assert content.records == (b"one", b"two", b"")
            assert (content.end.number, content.end.offset) == (2, len(whole))


def test_a_file_goes_on_behind_a_torn_group() -> None:
    *before, last = written([b"one"], [b"two"], [b"three"])
    whole = b"".join(before)
    end = parse(whole + last[:-1]).end
    data, _ = group(end, [b"four"])
    assert parse(whole + data).records == (b"one", b"two", b"four")


def test_no_byte_before_the_last_group_can_change() -> None:
    parts = written([b"one", b"two"], [b"three"], [], [b"four"])
    data = b"".join(parts)
    for at in range(len(data) - len(parts[-1])):
        for change in (1, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[at] ^= change
            assert_damaged(bytes(damaged))


def test_no_byte_of_a_file_that_was_not_added_to_can_change_or_be_missing() -> None:
    [data] = written([b"one", b"two"])
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        assert_damaged(bytes(damaged))
        assert_damaged(data[:at])


def test_a_group_that_is_missing_or_out_of_its_place_is_found() -> None:
    first, second, third, fourth = written([b"one"], [b"two"], [b"three"], [b"four"])
    for parts in (
        (first, third, fourth),
        (first, second, fourth),
        (first, third, second),
        (first, second, second),
        (first, bytes(len(second)), third),
        (first, second[:-1], third, fourth),
        (first, second, b"\0", third),
    ):
        assert_damaged(b"".join(parts))


def test_a_group_of_another_file_is_taken_for_a_torn_one() -> None:
    first, _ = written([b"one"], [b"two"])
    for other in (written([b"one"], [b"two"], nonce=b"another."), written([b"one"], [b"two"], base="f" * 16)):
        assert parse(first + other[1]).records == (b"one",)


def test_bytes_in_a_record_are_no_group() -> None:
    first, second = written([b"one"], [b"two"])
    inside = second[:-1] + b"!"
    assert parse(b"".join(written([inside], [inside + second[:20]]))).records == (inside, inside + second[:20])
    assert parse(first + inside).records == (b"one",)


def test_a_list_of_another_version_is_not_guessed_at() -> None:
    [data] = written([b"one"])
    other = data[:8] + (VERSION + 1).to_bytes(4, "little") + data[12:]
    with pytest.raises(Damaged, match=f"version {VERSION + 1}"):
        parse(other)


@pytest.mark.parametrize("base", ["", "0" * 15, "A" * 16, "g" * 16])
def test_a_list_without_a_base_is_none(base: str) -> None:
    data, _ = new_file(base, NONCE, [b"one"])
    assert_damaged(data)


@given(st.binary(max_size=300))
def test_garbage_is_damaged_and_nothing_else_happens(garbage: bytes) -> None:
    for data in (garbage, b"MFdirty\n" + garbage):
        assert_damaged(data)


@given(st.data(), RECORDS, RECORDS)
def test_what_has_changed_is_damaged_or_torn(data: st.DataObject, made: list[bytes], appended: list[bytes]) -> None:
    changed = bytearray(b"".join(written(made, appended)))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Damaged):
        content = parse(bytes(changed))
        assert content.records in (tuple(made), tuple(made + appended))


def test_places_follow_each_other() -> None:
    data, place = new_file(BASE, NONCE, [b"one"])
    more, after = group(place, [b"two"])
    assert after == Place(place.seed, place.number + 1, len(data) + len(more))
