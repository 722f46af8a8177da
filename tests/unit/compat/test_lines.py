"""What an older release wrote is read, and what is written now an older release reads: every JSON form there is."""

import importlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import manager
from manager.model.api import ApiError
from manager.model.codec import DecodeError
from manager.model.errors import PeerProtocolError
from tests.unit.compat.forms import Manner, forms
from tests.unit.compat.freeze import minor_release
from tests.unit.compat.frozen import RELEASES, lines, reader, shapes
from tests.unit.compat.samples import samples
from tests.unit.compat.shapes import Reader, shapes_of

FORMS = forms()
KEPT = [(release, name, line) for release in RELEASES for name, line in lines(release)]
NEW_WORD = "a word of tomorrow"
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def holds(now: Any, then: Any) -> bool:
    """Whether all of ``then`` stands in ``now``, which may have more fields."""
    if isinstance(then, dict) and isinstance(now, dict):
        return all(key in now and holds(now[key], value) for key, value in then.items())
    if isinstance(then, list) and isinstance(now, list):
        return len(now) == len(then) and all(map(holds, now, then))
    return bool(now == then) and type(now) is type(then)


def test_this_minor_release_is_kept() -> None:
    assert minor_release() in RELEASES, f"{manager.__version__}: python -m tests.unit.compat.freeze"


def test_every_form_of_this_release_is_among_those_that_are_kept() -> None:
    kept = shapes(minor_release())["forms"]
    assert set(FORMS) == set(kept), "until it is made: python -m tests.unit.compat.freeze --again"
    assert set(kept) == {name for name, _ in lines(minor_release())}


@pytest.mark.parametrize(("release", "name", "line"), KEPT, ids=[f"{r} {n}" for r, n, _ in KEPT])
def test_what_an_older_release_wrote_is_read_whole(release: str, name: str, line: bytes) -> None:
    form = FORMS[name]
    assert holds(json.loads(form.write(form.read(line))), json.loads(line))


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_written_now_is_read_by_an_older_release(release: str) -> None:
    older = reader(release)
    common = FORMS.keys() & shapes(release)["forms"].keys()
    assert common
    for name in sorted(common):
        for sample in samples(name, FORMS[name]):
            assert older.troubles(name, json.loads(FORMS[name].write(sample))) == []


@pytest.mark.parametrize("release", RELEASES)
def test_no_word_of_an_older_release_has_gone(release: str) -> None:
    for name, words in shapes(release)["words"].items():
        module, _, kind = name.rpartition(".")
        assert set(words) <= {member.value for member in getattr(importlib.import_module(module), kind)}


@pytest.mark.parametrize(
    ("spoil", "trouble"),
    [
        (lambda plain: plain.pop("epoch"), "record MemberRecord.epoch: missing"),
        (lambda plain: plain.update(epoch="3"), "record MemberRecord.epoch: no int"),
        (lambda plain: plain.update(frozen=1), "record MemberRecord.frozen: no bool"),
        (lambda plain: plain.update(state="MOVING"), "record MemberRecord.state: the word 'MOVING' is not known"),
        (lambda plain: plain.update(endpoint=[]), "record MemberRecord.endpoint: no object"),
        (lambda plain: plain["endpoint"].pop("port"), "record MemberRecord.endpoint.port: missing"),
        (lambda plain: plain.update(version=2), "record MemberRecord.version: another version, 2"),
    ],
)
def test_what_an_older_release_does_not_read_is_found(spoil: Callable[[Any], Any], trouble: str) -> None:
    """The reader of an older release is worth something: it has its code's own opinion, here of today's."""
    form = FORMS["record MemberRecord"]
    own = shapes_of({"record MemberRecord": form})
    own["objects"]["manager.model.records.MemberRecord"]["epoch"]["required"] = True
    plain = json.loads(form.write(samples("record MemberRecord", form)[1]))
    assert Reader(own).troubles("record MemberRecord", plain) == []
    spoil(plain)
    assert Reader(own).troubles("record MemberRecord", plain) == [trouble]
    if "epoch" in plain:
        with pytest.raises(DecodeError):
            form.read(json.dumps(plain).encode())


@given(st.data())
def test_fields_that_nobody_knows_are_passed_over_wherever_they_stand(data: st.DataObject) -> None:
    release, name, line = data.draw(st.sampled_from(KEPT))
    plain = json.loads(line)
    places = reader(release).objects(name, plain)
    for place in data.draw(st.sets(st.integers(0, len(places) - 1), min_size=1)):
        places[place][f"added_{data.draw(st.integers(0, 9))}"] = data.draw(_values)
    assert FORMS[name].read(json.dumps(plain).encode()) == FORMS[name].read(line)


def _word_places() -> list[tuple[str, str, bytes, int]]:
    found = [(r, n, line, len(reader(r).words(n, json.loads(line)))) for r, n, line in KEPT]
    return [(release, name, line, place) for release, name, line, count in found for place in range(count)]


PLACES = _word_places()
CLOSED = {"protocol", "affinity", "boot", "kind"}
"""Words that are read strictly where they are told, too: of a configuration, and such as will have no others (whether a
module is started at boot; a user or a group). With another one the whole answer is not understood, and that is said."""


def replaced(plain: Any, holder: Any, key: Any, word: str | None) -> Any:
    """``plain`` with another word; a refusal, which has its reason alone, tells people the word itself."""
    holder[key] = word
    return plain if "detail" not in plain or "reason" not in plain else plain | {"detail": f"{NEW_WORD}: why"}


@pytest.mark.parametrize(
    ("release", "name", "line", "place"),
    PLACES,
    ids=[f"{release} {name} {place}" for release, name, _, place in PLACES],
)
def test_a_word_that_nobody_knows_is_unknown_to_people_and_refuses_what_is_done(
    release: str, name: str, line: bytes, place: int
) -> None:
    form = FORMS[name]
    plain = json.loads(line)
    holder, key, tolerant = reader(release).words(name, plain)[place]
    holder[key] = NEW_WORD
    text = json.dumps(plain).encode()
    if form.manner is Manner.TOLD and tolerant:
        again = json.loads(form.write(form.read(text)))
        assert any(holds(again, replaced(plain, holder, key, unknown)) for unknown in (None, "unknown"))
        return
    assert form.manner is Manner.DONE or key in CLOSED
    with pytest.raises((DecodeError, ApiError, PeerProtocolError), match=NEW_WORD):
        form.read(text)
