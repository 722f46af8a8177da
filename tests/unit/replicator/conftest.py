"""What several tests of a primary begin with; those that begin otherwise have a ``stage`` of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.secondaries import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A primary on a stepped loop, which has raised nothing in the end."""
    with stepped_loop() as loop:
        made = Stage(loop, tmp_path)
        yield made
        made.close()
