"""Any number of ways to go and to come back, one after the other: each time what changed travels, and only that."""

import random
from pathlib import Path

import pytest

from tests.support.resync_story import TRACKED, story_on
from tests.support.two_disks import is_soak

ROUNDS = 100 if is_soak() else 8
SEED = random.randrange(1 << 32) if is_soak() else 3


@pytest.mark.timeout(3600 if is_soak() else 240)
@pytest.mark.parametrize("kinds", [("ext4", "xfs"), ("xfs", "ext4")], ids="-".join)
def test_any_number_of_them_in_a_row(tmp_path: Path, kinds: tuple[str, str]) -> None:
    print(f"seed {SEED}")
    with story_on(tmp_path, kinds, SEED) as story:
        for _ in range(ROUNDS):
            what = story.chance.choice(TRACKED)
            print(what.__name__, flush=True)
            what(story)
            assert story.lacks() == "what is tracked", what.__name__
            if story.chance.random() < 0.5:
                story.both.assert_equal()
        story.both.assert_equal()
        story.both.rest()
