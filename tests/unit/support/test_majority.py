"""Most measurements hold, or the test fails; as soon as that is certain."""

from collections.abc import Sequence

import pytest

from tests.support.majority import hold_mostly


def measured(values: Sequence[int], times: int = 3) -> list[int]:
    """Those below ten hold."""
    left = iter(values)
    return hold_mostly(lambda: next(left), lambda value: value < 10, times)


@pytest.mark.parametrize(
    ("values", "times"),
    [((1, 2), 3), ((10, 1, 2), 3), ((1, 10, 2), 3), ((1,), 1), ((10, 1, 10, 2, 3), 5)],
)
def test_what_holds_mostly_is_measured_until_most_have(values: Sequence[int], times: int) -> None:
    assert measured(values, times) == list(values)


@pytest.mark.parametrize(
    ("values", "times"),
    [((10, 11), 3), ((1, 10, 11), 3), ((10, 1, 11), 3), ((10,), 1), ((1, 10, 2, 11, 12), 5)],
)
def test_what_holds_now_and_then_fails(values: Sequence[int], times: int) -> None:
    with pytest.raises(AssertionError) as failed:
        measured(values, times)
    assert str(list(values)) in str(failed.value)
