"""The files that take longest are named as they are, and come first."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from tests.longest_first import HERE, LONGEST, sort


@dataclass
class _Item:
    """As much of a test as its place depends on."""

    path: Path


def test_each_that_is_named_is_there_and_once() -> None:
    assert [name for name in LONGEST if not (HERE / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


def test_they_come_first_in_their_order_and_all_others_stay_as_they_were() -> None:
    others = [HERE / "unit/test_b.py", HERE / "integration/test_a.py", Path("/elsewhere/test_history.py")]
    paths = [others[0], HERE / LONGEST[1], others[1], HERE / LONGEST[0], others[2]]
    items = [_Item(path) for path in paths]
    sort(cast(list[pytest.Item], items))
    assert [item.path for item in items] == [HERE / LONGEST[0], HERE / LONGEST[1], *others]
