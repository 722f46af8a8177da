"""What two releases speak with each other: the newest that both know, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.versions import SPEAKS, Spoken, said, strange

_spoken = st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda ends: Spoken(min(ends), max(ends)))


@given(_spoken, _spoken)
def test_they_agree_on_the_newest_that_both_speak(one: Spoken, other: Spoken) -> None:
    common = {v for v in range(1, 7) if v in one and v in other}
    assert one.agree(other) == other.agree(one) == max(common, default=None)


def test_an_end_that_says_one_number_speaks_no_other() -> None:
    assert said(3, 0) == Spoken(3, 3)
    assert said(3, 2) == Spoken(2, 3)
    assert said(3, 7) == Spoken(3, 3), "no less than what it says itself"


@pytest.mark.parametrize(("spoken", "words"), [(Spoken(2, 2), "2"), (Spoken(1, 3), "1 to 3")])
def test_in_words(spoken: Spoken, words: str) -> None:
    assert str(spoken) == words


def test_strange_is_where_nothing_is_in_common() -> None:
    own = {"records": (1, 1), "stream": (1, 2), "probes": (2, 2)}
    assert strange({"records": (1, 2), "stream": (2, 5), "probes": (2, 2)}, own) == ()
    assert strange({"records": (2, 2), "stream": (3, 5), "probes": (3, 3)}, own) == ("records", "stream", "probes")


def test_what_is_not_said_or_not_understood_is_not_strange() -> None:
    own = {"records": (1, 1), "stream": (1, 1)}
    assert strange({}, own) == strange({"records": (), "stream": (9,), "telepathy": (9, 9)}, own) == ()


def test_this_release_goes_with_itself() -> None:
    assert strange(SPEAKS) == ()
