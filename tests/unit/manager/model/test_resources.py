"""What is written of a node's resources is what is read of them."""

from hypothesis import given
from hypothesis import strategies as st

from manager.model.resources import (
    KeptAside,
    Unsteady,
    aside_in,
    has_failed_application,
    is_unwatched,
    resources_of,
    unsteady_in,
    waited_in,
    with_aside,
    with_unwatched,
    with_waited,
)

PEERS = st.lists(
    st.builds(Unsteady, st.sampled_from("abc"), st.integers(0, 99), st.integers(0, 999)), unique_by=lambda one: one.node
)


@given(st.booleans(), PEERS)
def test_they_come_back_the_same(failed: bool, unsteady: list[Unsteady]) -> None:
    resources = resources_of(application_failed=failed, unsteady=unsteady)
    assert has_failed_application(resources) is failed
    assert unsteady_in(resources) == tuple(sorted(unsteady, key=lambda one: one.node))


def test_at_rest_there_are_none() -> None:
    assert resources_of(application_failed=False, unsteady=()) == {}


def test_the_words_of_another_release_are_left_out() -> None:
    assert unsteady_in({"unsteady:b": "often", "unsteady:c": "4 x", "disk": "4 24", "unsteady:d": "4 24"}) == (
        Unsteady("d", 4, 24),
    )


@given(st.booleans(), st.none() | st.builds(KeptAside, st.integers(0, 99), st.integers(0, 1 << 50)))
def test_what_is_set_aside_stands_beside_the_rest(failed: bool, kept: KeptAside | None) -> None:
    resources = with_aside(resources_of(application_failed=failed, unsteady=()), kept)
    assert aside_in(resources) == kept
    assert has_failed_application(resources) is failed


def test_what_another_release_says_of_it_in_other_words_is_left_out() -> None:
    assert [aside_in({"aside": words}) for words in ("", "some", "2 much", "-1 5")] == [None] * 4


@given(st.booleans(), st.lists(st.sampled_from(["db", "my-db", "My_db"]), unique=True))
def test_what_is_waited_for_stands_beside_the_rest(failed: bool, modules: list[str]) -> None:
    resources = with_waited(resources_of(application_failed=failed, unsteady=()), modules)
    assert waited_in(resources) == tuple(modules)
    assert has_failed_application(resources) is failed and (len(resources) == failed or modules)


@given(st.booleans(), st.booleans())
def test_what_has_failed_counts_before_what_is_not_watched(failed: bool, unwatched: bool) -> None:
    resources = with_unwatched(resources_of(application_failed=failed, unsteady=()), unwatched=unwatched)
    assert has_failed_application(resources) is failed and is_unwatched(resources) is (unwatched and not failed)
