"""Bodies of the copy frames: what goes in comes out, and garbage is refused and nothing else."""

import contextlib
import stat
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.errors import PeerProtocolError
from replicator.wire import copying
from replicator.wire.copying import (
    BLOCK,
    MAX_ENTRIES,
    Attributes,
    Compare,
    Entry,
    Equalise,
    Listed,
    Part,
)
from replicator.wire.frames import BODY_BOUNDS, FrameKind
from tests.unit.replicator.wire.strategies import digests_of, names

XATTRS = st.lists(
    st.tuples(st.binary(min_size=1, max_size=9).filter(lambda n: 0 not in n).map(lambda n: b"user." + n), st.binary()),
    max_size=3,
).map(tuple)
ATTRIBUTES = st.builds(
    Attributes,
    inode=st.integers(1, 2**64 - 1),
    mode=st.sampled_from([stat.S_IFREG | 0o4755, stat.S_IFDIR | 0o700, stat.S_IFLNK | 0o777]),
    uid=st.integers(0, 2**32 - 1),
    gid=st.integers(0, 2**32 - 1),
    rdev=st.integers(0, 2**32 - 1),
    size=st.integers(0, 2**63 - 1),
    mtime_ns=st.integers(-(2**63) * 10**9, 2**63 * 10**9 - 1),
    nlink=st.integers(0, 2**32 - 1),
    flags=st.integers(0, 3),
    target=st.binary(max_size=100).filter(lambda t: 0 not in t),
    xattrs=XATTRS,
)
PATHS = st.lists(names, max_size=5).map(tuple)
ENTRIES = st.lists(st.builds(Entry, names, ATTRIBUTES), max_size=5)


@given(st.integers(0, 2), PATHS, ATTRIBUTES, ENTRIES)
def test_a_listing_comes_out_as_it_went_in(
    volume: int, path: tuple[bytes, ...], own: Attributes, entries: list[Entry]
) -> None:
    [body] = copying.encode_listing(volume, path, own, [copying.encode_entry(entry) for entry in entries])
    listing = copying.decode_listing(memoryview(body), 3)
    assert (listing.volume, listing.path, listing.own, listing.entries) == (volume, path, own, tuple(entries))
    assert listing.part == Part.FIRST | Part.LAST


def test_a_listing_says_that_others_may_not_be_listed() -> None:
    own = Attributes(1, stat.S_IFDIR | 0o700, 0, 0, 0, 0, 0, 1, 0, b"", ())
    entries = [copying.encode_entry(Entry(b"%d" % number, own)) for number in range(3000)]
    bodies = copying.encode_listing(0, (), own, entries, tracked=True)
    parts = [copying.decode_listing(memoryview(body), 1).part for body in bodies]
    middle = [Part.TRACKED] * (len(bodies) - 2)
    assert parts == [Part.FIRST | Part.TRACKED, *middle, Part.LAST | Part.TRACKED]


def test_the_fullest_listing_is_taken_and_answered_and_no_fuller_one() -> None:
    own = Attributes(1, stat.S_IFDIR | 0o700, 0, 0, 0, 0, 0, 1, 0, b"", ())
    shortest = copying.encode_entry(Entry(b"x", own))
    bodies = copying.encode_listing(0, (), own, [shortest] * (MAX_ENTRIES + 1))
    counts = [len(copying.decode_listing(memoryview(body), 1).entries) for body in bodies]
    assert counts == [MAX_ENTRIES, 1]
    listed = Listed(True, tuple(range(MAX_ENTRIES)))
    body = copying.encode_listed(listed)
    assert len(body) <= BODY_BOUNDS[FrameKind.LISTED][1]
    assert copying.decode_listed(memoryview(body), MAX_ENTRIES) == listed
    [alone] = copying.encode_listing(0, (), own, [shortest * (MAX_ENTRIES + 1)])
    at = len(alone) - len(shortest) * (MAX_ENTRIES + 1)
    forged = alone[: at - 4] + (MAX_ENTRIES + 1).to_bytes(4, "little") + alone[at:]
    with pytest.raises(PeerProtocolError, match="entries in one listing"):
        copying.decode_listing(memoryview(forged), 1)


def test_a_large_directory_is_listed_in_parts() -> None:
    own = Attributes(1, stat.S_IFDIR | 0o700, 0, 0, 0, 0, 0, 1, 0, b"", ())
    entries = [Entry(b"%d" % number, own) for number in range(5000)]
    bodies = copying.encode_listing(0, (), own, [copying.encode_entry(entry) for entry in entries])
    listings = [copying.decode_listing(memoryview(body), 1) for body in bodies]
    assert len(bodies) > 3
    assert [listing.part for listing in listings] == [Part.FIRST, *[Part(0)] * (len(bodies) - 2), Part.LAST]
    assert [entry for listing in listings for entry in listing.entries] == entries
    assert max(map(len, bodies)) <= BODY_BOUNDS[FrameKind.LISTING][1]


def test_what_no_frame_can_hold_is_refused_before_it_is_sent() -> None:
    huge = tuple((b"user.%d" % number, bytes(65536)) for number in range(17))
    with pytest.raises(ValueError, match="more than can be sent"):
        copying.encode_entry(Entry(b"name", Attributes(1, stat.S_IFREG, 0, 0, 0, 0, 0, 1, 0, b"", huge)))
    with pytest.raises(ValueError, match="more than can be sent"):
        copying.encode_equalise(Equalise(0, Attributes(1, stat.S_IFREG, 0, 0, 0, 0, 0, 1, 0, b"", huge)))
    with pytest.raises(ValueError, match="longer than can be sent"):
        copying.encode_path([b"x" * 255] * 300)


@given(st.integers(0, 2**40), st.integers(1, 16 * BLOCK))
def test_comparisons_come_out_as_they_went_in(offset: int, length: int) -> None:
    for found in (digests_of(length), ()):
        compare = Compare(1, 99, offset, length, found)
        assert copying.decode_compare(memoryview(copying.encode_compare(compare)), 2) == compare


@given(st.booleans(), st.dictionaries(st.integers(0, 99), st.booleans()), st.integers(100, 200))
def test_what_was_made_anew_comes_out_as_it_went_in(unfindable: bool, anew: dict[int, bool], entries: int) -> None:
    """And which of that has no content."""
    listed = Listed(unfindable, tuple(sorted(anew)), frozenset(index for index, made in anew.items() if made))
    body = copying.encode_listed(listed)
    least, most = BODY_BOUNDS[FrameKind.LISTED]
    assert least <= len(body) <= most
    assert copying.decode_listed(memoryview(body), entries) == listed


@pytest.mark.parametrize("anew", [(3,), (0, 0), (1, 0), (0, 1, 2, 2)])
@pytest.mark.parametrize("made", [frozenset[int](), frozenset({0, 3}), frozenset({0, 1, 2, 3})])
def test_entries_that_were_not_listed_cannot_be_made(anew: tuple[int, ...], made: frozenset[int]) -> None:
    with pytest.raises(PeerProtocolError):
        copying.decode_listed(memoryview(copying.encode_listed(Listed(False, anew, made))), 3)


def test_one_entry_is_not_both_made_and_not() -> None:
    body = copying.encode_listed(Listed(False, (1, 2), frozenset({2})))
    twice = body[:-4] + (1 | 1 << 31).to_bytes(4, "little")
    with pytest.raises(PeerProtocolError):
        copying.decode_listed(memoryview(twice), 3)


@pytest.mark.parametrize("body", [b"\2" + bytes(4), bytes(4), bytes(6), b"\0\1\0\0\0" + bytes(3)])
def test_no_answer_to_a_listing_is_refused(body: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        copying.decode_listed(memoryview(body), 3)


@given(st.integers(0, 2), ATTRIBUTES, st.data())
def test_attributes_come_out_as_they_went_in(volume: int, attributes: Attributes, data: st.DataObject) -> None:
    body = copying.encode_equalise(Equalise(volume, attributes))
    assert copying.decode_equalise(memoryview(body), 3) == Equalise(volume, attributes)
    for other in (body[: data.draw(st.integers(0, len(body) - 1))], body + b"x", b"\3" + body[1:]):
        with pytest.raises(PeerProtocolError):
            copying.decode_equalise(memoryview(other), 3)


def test_blocks_that_are_wanted_come_out_as_they_went_in() -> None:
    assert copying.decode_want(memoryview(copying.encode_want(0b101)), 3) == 0b101


def test_blocks_that_were_not_offered_cannot_be_wanted() -> None:
    with pytest.raises(PeerProtocolError):
        copying.decode_want(memoryview(copying.encode_want(0b100)), 2)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"x" * 256])
def test_what_is_no_name_is_refused(name: bytes) -> None:
    own = Attributes(1, stat.S_IFDIR, 0, 0, 0, 0, 0, 1, 0, b"", ())
    for path, inside in (((name,), ()), ((), (name,))):
        [body] = copying.encode_listing(0, path, own, [copying.encode_entry(Entry(n, own)) for n in inside])
        with pytest.raises(PeerProtocolError):
            copying.decode_listing(memoryview(body), 1)


def test_what_is_reserved_in_the_root_is_no_part_of_a_copy() -> None:
    reserved = b".mirrorfarm"
    own = Attributes(1, stat.S_IFDIR, 0, 0, 0, 0, 0, 1, 0, b"", ())
    entry = copying.encode_entry(Entry(reserved, own))
    for path, entries in (((), [entry]), ((reserved,), []), ((reserved, b"limbo"), [])):
        [body] = copying.encode_listing(0, path, own, entries)
        with pytest.raises(PeerProtocolError):
            copying.decode_listing(memoryview(body), 1)
    [body] = copying.encode_listing(0, (b"inner",), own, [entry])
    assert copying.decode_listing(memoryview(body), 1).entries[0].name == reserved


DECODERS: list[Callable[[memoryview], object]] = [
    lambda body: copying.decode_listing(body, 3),
    lambda body: copying.decode_listed(body, 16),
    lambda body: copying.decode_equalise(body, 3),
    lambda body: copying.decode_compare(body, 3),
    lambda body: copying.decode_want(body, 16),
]


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    for decode in DECODERS:
        with contextlib.suppress(PeerProtocolError):
            decode(memoryview(data))


@given(st.data(), PATHS, ATTRIBUTES, ENTRIES)
def test_a_listing_that_is_cut_or_damaged_is_refused_or_is_another(
    data: st.DataObject, path: tuple[bytes, ...], own: Attributes, entries: list[Entry]
) -> None:
    [body] = copying.encode_listing(0, path, own, [copying.encode_entry(entry) for entry in entries])
    at = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(PeerProtocolError):
        copying.decode_listing(memoryview(body[:at]), 1)
    damaged = bytearray(body)
    damaged[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(PeerProtocolError):
        copying.decode_listing(memoryview(bytes(damaged)), 1)
