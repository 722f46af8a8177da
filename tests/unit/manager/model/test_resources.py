"""What is written of a node's resources is what is read of them."""

from hypothesis import given
from hypothesis import strategies as st

from manager.model.resources import Unsteady, has_failed_application, resources_of, unsteady_in

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
