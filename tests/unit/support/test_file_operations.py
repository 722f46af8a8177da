"""What one thread draws is done to its own files: else what comes of it depends on how far the other one is."""

import os
from pathlib import Path

import pytest

from tests.support.file_actor import Actor
from tests.support.file_operations import TARGETS


@pytest.mark.parametrize("place", ["x", "b/x", "b/b/x"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_symbolic_link_leads_to_nothing_of_others_and_nothing_can_be_made_by_it_elsewhere(
    tmp_path: Path, target: str, place: str
) -> None:
    for name in ("t0", "t1"):
        (tmp_path / name).mkdir()
        Actor(str(tmp_path / name), 0).begin()
    own = tmp_path / "t1"
    led_to = Path(os.path.normpath(os.path.join((own / place).parent, target)))
    assert led_to.is_relative_to(own) or not led_to.parent.exists()
