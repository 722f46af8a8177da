"""What the checkers take for right, where the runs seldom come."""

import pytest

from tests.simulation.checkers import Promises, Violation, Write


def _promises() -> Promises:
    """Epoch 3 serves, and has completed a write."""
    promises = Promises()
    promises.serve("a", 3, {}, now_ns=100, kept_memory=True)
    promises.complete(Write(7, 1, "a", 3, 110), now_ns=120)
    return promises


@pytest.mark.parametrize("kept_memory", [True, False])
def test_an_epoch_that_is_served_once_it_is_over_lacks_what_was_completed_since(kept_memory: bool) -> None:
    promises = _promises()
    promises.serve("b", 2, {}, now_ns=200, kept_memory=kept_memory)
    assert promises.completed == {1: 7}


def test_but_completes_nothing() -> None:
    promises = _promises()
    promises.serve("b", 2, {}, now_ns=200, kept_memory=True)
    with pytest.raises(Violation, match="P3"):
        promises.complete(Write(8, 1, "b", 2, 210), now_ns=220)


def test_the_next_epoch_lacks_nothing() -> None:
    with pytest.raises(Violation, match="P1/P4"):
        _promises().serve("b", 4, {}, now_ns=200, kept_memory=True)
