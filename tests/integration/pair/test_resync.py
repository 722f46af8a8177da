"""A node that was away gets what changed, and only that: after each way to go and to come back.

In the end both copies are equal to a comparer that shares no code with the replicator.
"""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.replicators import changed
from tests.support.resync_story import TRACKED, Story, story_on
from tests.support.two_disks import is_soak

KINDS = ("ext4", "xfs")
SEED = int(os.environ.get("MIRRORFARM_SEED", str(random.randrange(1 << 32)) if is_soak() else "3"))
CASES = [
    pytest.param(what, kinds, id=f"{what.__name__}-{kinds[0]}")
    for number, what in enumerate(TRACKED)
    for turn, kinds in enumerate((KINDS, KINDS[::-1]))
    if is_soak() or number % 2 == turn
]
"""At full counts each of them on both; else one is on ext4 first, the next on xfs."""
AT_EACH_TICK = changed("from replicator import barriers; barriers.EVERY_S, barriers.SHARE = 0.2, 0")
"""A barrier comes, while something changes."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("what", "kinds"), CASES)
def test_what_changed_travels_and_the_copies_are_equal(
    tmp_path: Path, what: Callable[[Story], None], kinds: tuple[str, str]
) -> None:
    with story_on(tmp_path, kinds, SEED) as story:
        what(story)
        assert story.lacks() == "what is tracked", f"MIRRORFARM_SEED={SEED}"
        story.both.assert_equal()
        story.both.rest()


@pytest.mark.timeout(120)
def test_an_older_image_of_a_disk_that_is_put_back_gets_everything(tmp_path: Path) -> None:
    """What came through a barrier since is forgotten, and not on it."""
    with story_on(tmp_path, KINDS, SEED, AT_EACH_TICK) as story:
        two = story.pair
        story.change()
        story.both.take_image(two.b)
        passed = barriers(story)
        story.change()
        end = time.monotonic() + 30.0
        while barriers(story) < passed + 2:  # the first one may have been on the image already
            assert time.monotonic() < end, "no barrier was passed"
            story.change(1)
            time.sleep(0.2)
        story.change()
        story.forget_events()
        story.kill(two.b)
        story.drop()
        story.both.put_image_back(two.b)
        story.come_back()
        assert story.lacks() == "everything"
        story.both.assert_equal()
        story.both.rest()


def barriers(story: Story) -> int:
    """How many the primary has passed."""
    return story.pair.a.status().counters["barriers"]
