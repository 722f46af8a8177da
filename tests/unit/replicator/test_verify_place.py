"""Where a comparison stopped: whatever the tree, another one that goes on there visits just what is left."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.verify_place import Place, Rest, decode_place, encode_place

NAMES = st.binary(min_size=1, max_size=3).filter(lambda name: b"/" not in name and b"\0" not in name)
TREES = st.recursive(st.integers(1, 4), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=20).filter(
    lambda tree: isinstance(tree, dict)
)
"""A directory is a dict, a file the number of its blocks."""
PATHS = ("/srv/db", "/srv/%2F a\u00e4")


def visited(rest: Rest, volume: int, tree: dict[bytes, object], path: tuple[bytes, ...] = ()) -> Iterator[Place]:
    """What a comparison asks, in its order."""
    if rest.has_entries(volume, path):
        yield Place(volume, path)
    for name, inner in sorted(tree.items()):
        if isinstance(inner, int) and (begin := rest.file_offset(volume, path, name)) is not None:
            for offset in range(begin, inner):
                yield Place(volume, path, name, offset)
    for name, inner in sorted(tree.items()):
        if isinstance(inner, dict) and rest.has_directory(volume, (*path, name)):
            yield from visited(rest, volume, inner, (*path, name))


def whole(rest: Rest, trees: list[dict[bytes, object]]) -> list[Place]:
    found: list[Place] = []
    for volume, tree in enumerate(trees):
        if rest.has_volume(volume):
            found += visited(rest, volume, tree)
    return found


@given(st.lists(TREES, min_size=1, max_size=2), st.data())
def test_from_each_place_on_just_what_is_left_is_visited(trees: list[dict[bytes, object]], data: st.DataObject) -> None:
    order = whole(Rest(None), trees)
    at = data.draw(st.integers(0, len(order) - 1))
    assert whole(Rest(order[at]), trees) == order[at:]


@given(TREES, TREES, st.data())
def test_of_another_tree_nothing_that_comes_after_is_left_out(
    tree: dict[bytes, object], other: dict[bytes, object], data: st.DataObject
) -> None:
    """The place may be of a directory that is gone by then, or become a file."""
    place = data.draw(st.sampled_from(whole(Rest(None), [tree])))

    def key(each: Place) -> tuple[tuple[bytes, ...], bytes, int]:
        return each.directory, each.file, each.offset

    left = [each for each in whole(Rest(None), [other]) if key(each) >= key(place)]
    assert whole(Rest(place), [other]) == left


@given(
    st.builds(
        Place,
        st.integers(0, 1),
        st.lists(NAMES, max_size=4).map(tuple),
        st.one_of(st.just(b""), NAMES),
        st.integers(0, 1 << 60),
    )
)
def test_a_place_is_read_back_as_it_was(place: Place) -> None:
    text = encode_place(place, PATHS)
    assert decode_place(text, PATHS) == place
    assert text.isascii() and text.isprintable()


def test_a_place_in_a_deep_tree_is_one_above_it() -> None:
    text = encode_place(Place(0, (b"\xff" * 255,) * 100, b"file", 5), PATHS)
    place = decode_place(text, PATHS)
    assert len(text) <= 16 << 10 and place is not None
    assert (set(place.directory), place.file, place.offset) == ({b"\xff" * 255}, b"", 0) and len(place.directory) > 10


@pytest.mark.parametrize("text", ["", "x", "/srv/db:a:b", "/srv/db:a:b:x", "/srv/other:a:b:0", "/srv/db:a:b:-1"])
def test_what_is_not_understood_is_the_beginning(text: str) -> None:
    assert decode_place(text, PATHS) is None
