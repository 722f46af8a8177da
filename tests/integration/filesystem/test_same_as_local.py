"""Random operations by two threads at once give the same on a plain directory and on the mirrored one."""

from tests.support.comparison import Comparison, compare
from tests.support.grounds import Grounds

__all__ = ["Comparison"]


def test_two_threads_get_the_same_results_and_trees(grounds: Grounds) -> None:
    compare(grounds)
