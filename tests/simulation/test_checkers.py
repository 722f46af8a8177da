"""What the checkers take for right, where the runs seldom come."""

import pytest

from tests.simulation.checkers import SECOND_NS, Promises, Violation, Write
from tests.simulation.to_and_fro import ToAndFro


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


def test_what_was_given_up_is_kept_by_its_last_write() -> None:
    promises = Promises(given_up={(1, 7), (1, 9), (2, 8)})
    promises.require_kept("a", {1: 9, 2: 8, 3: 5}, [{1: 9}, {2: 8}])
    # A power loss brought back what was there before.
    promises.require_kept("a", {1: 7}, [{1: 9}])


@pytest.mark.parametrize("asides", [[], [{1: 7}], [{2: 9}], [{1: 11}]])
def test_and_by_nothing_else(asides: list[dict[int, int]]) -> None:
    promises = Promises(given_up={(1, 7), (1, 9), (2, 9)})
    with pytest.raises(Violation, match="S12: a joins with write 9 in block 1"):
        promises.require_kept("a", {1: 9}, asides)


@pytest.mark.parametrize("others", [[], ["swap"]])
def test_an_application_goes_once_to_each_node_for_its_own_sake(others: list[str]) -> None:
    to_and_fro = ToAndFro(nodes=2)
    for at_s, because in enumerate(["application_failed"] * 2 + others):
        to_and_fro.promoted(because, at_s * SECOND_NS)
    if others:
        to_and_fro.promoted("application_failed", 70 * SECOND_NS)
        return
    with pytest.raises(Violation, match="to and fro"):
        to_and_fro.promoted("application_failed", 70 * SECOND_NS)


def test_for_its_addresses_sake_it_goes_again_after_a_while() -> None:
    to_and_fro = ToAndFro(nodes=2)
    to_and_fro.addresses_fail()
    for at_s in (0, 60, 120, 121):
        to_and_fro.promoted("application_failed", at_s * SECOND_NS)
    with pytest.raises(Violation, match="to and fro"):
        to_and_fro.promoted("application_failed", 122 * SECOND_NS)
