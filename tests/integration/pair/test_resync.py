"""A node that was away gets what changed, and only that: after each way to go and to come back.

In the end both copies are equal to a comparer that shares no code with the replicator.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.resync_story import TRACKED, Story, story_on
from tests.support.two_disks import is_soak

KINDS = ("ext4", "xfs")
SEED = random.randrange(1 << 32) if is_soak() else 3
CASES = [
    pytest.param(what, kinds, id=f"{what.__name__}-{kinds[0]}")
    for number, what in enumerate(TRACKED)
    for turn, kinds in enumerate((KINDS, KINDS[::-1]))
    if is_soak() or number % 2 == turn
]
"""At full counts each of them on both; else one is on ext4 first, the next on xfs."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("what", "kinds"), CASES)
def test_what_changed_travels_and_the_copies_are_equal(
    tmp_path: Path, what: Callable[[Story], None], kinds: tuple[str, str]
) -> None:
    with story_on(tmp_path, kinds, SEED) as story:
        what(story)
        assert story.lacks() == "what is tracked", f"seed {SEED}"
        story.both.assert_equal()
        story.both.rest()
