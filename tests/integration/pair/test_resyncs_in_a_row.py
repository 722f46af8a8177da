"""Any number of ways to go and to come back, one after the other: each time what changed travels, and only that.

Most of them befall a resync that is under way: it ends all the same, and does not begin with everything again. A soak
has a hundred of those, in an order that ``MIRRORFARM_SEED=N`` repeats; a failure prints its N. Else a few are enough,
as ``test_resync.py`` has each of them by itself.
"""

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.resync_story import (
    DURING_A_RESYNC,
    IN_SYNC,
    Story,
    link_is_cut,
    link_is_cut_as_the_secondary_joins,
    primary_is_killed,
    primary_loses_power_as_the_secondary_joins,
    story_on,
)
from tests.support.two_disks import KINDS, is_soak

SEED = int(os.environ.get("MIRRORFARM_SEED", str(random.randrange(1 << 32)) if is_soak() else "3"))
FEW = (
    link_is_cut_as_the_secondary_joins,
    primary_is_killed,
    primary_loses_power_as_the_secondary_joins,
    link_is_cut,
)
"""One in each direction, and one upon the other."""
MANY = 100
"""During a resync; each fourth time it is a pair in sync that something befalls."""


def kinds_of_disks() -> list[tuple[str, str]]:
    return [KINDS, KINDS[::-1]] if is_soak() else [KINDS]


def chosen(chance: random.Random) -> Sequence[Callable[[Story], None]]:
    if not is_soak():
        return FEW
    return [chance.choice(IN_SYNC if number % 4 == 3 else DURING_A_RESYNC) for number in range(MANY * 4 // 3)]


@pytest.mark.timeout(7200 if is_soak() else 240)
@pytest.mark.parametrize("kinds", kinds_of_disks(), ids="-".join)
def test_any_number_of_them_in_a_row(tmp_path: Path, kinds: tuple[str, str]) -> None:
    print(f"MIRRORFARM_SEED={SEED}")
    with story_on(tmp_path, kinds, SEED) as story:
        for number, what in enumerate(chosen(random.Random(SEED))):
            print(number, what.__name__, flush=True)
            what(story)
            assert story.lacks() == "what is tracked", what.__name__
            if story.chance.random() < 0.5:
                story.both.assert_equal()
        story.both.assert_equal()
        story.both.rest()
