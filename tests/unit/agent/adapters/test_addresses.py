"""The kernel lifetimes of virtual addresses: never longer than the deadline, and as near to it as whole seconds go."""

from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.addresses import LONGEST_LIFE_S, SECOND_NS, TOP_UP_EARLY_NS, lifetime


@given(st.integers(min_value=-(10**12), max_value=10**15))
def test_a_life_never_outlasts_the_deadline(remaining_ns: int) -> None:
    seconds, again_after_ns = lifetime(remaining_ns)
    assert seconds * SECOND_NS <= max(0, remaining_ns)
    assert again_after_ns + seconds * SECOND_NS <= max(0, remaining_ns)
    assert 0 <= seconds <= LONGEST_LIFE_S


@given(st.integers(min_value=SECOND_NS, max_value=LONGEST_LIFE_S * SECOND_NS))
def test_the_same_seconds_given_again_reach_the_deadline(remaining_ns: int) -> None:
    seconds, again_after_ns = lifetime(remaining_ns)
    assert seconds >= 1
    # The second life, given after the fraction, ends less than what it is given early before the deadline.
    end_ns = again_after_ns + seconds * SECOND_NS
    assert remaining_ns - end_ns <= TOP_UP_EARLY_NS
    # And when it is given, there are still as many whole seconds left.
    assert lifetime(remaining_ns - again_after_ns)[0] == seconds


def test_less_than_a_second_is_no_life_at_all() -> None:
    assert lifetime(SECOND_NS - 1) == (0, 0)
    assert lifetime(0) == (0, 0)
    assert lifetime(-1) == (0, 0)


def test_whole_seconds_need_no_second_life() -> None:
    assert lifetime(7 * SECOND_NS) == (7, 0)
