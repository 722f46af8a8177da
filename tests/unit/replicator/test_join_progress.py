"""What a join tells of how far it is, while it goes on."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.replicator.join_world import Nature, World


@pytest.fixture
def world() -> Iterator[World]:
    """One directory of many names, and what is in a file beside it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        here, there = Path(directory, "here"), Path(directory, "there")
        (here / "many").mkdir(parents=True)
        there.mkdir()
        for number in range(100):
            (here / "many" / f"{number}").write_bytes(b"x" * 100)
        (here / "file").write_bytes(b"x" * 1000)
        made = World(str(here), str(there), epoch=1)
        yield made
        made.close()


def test_the_whole_is_not_known_while_the_last_directory_is_listed(world: World) -> None:
    world.take(Nature(steps_of_moment=1))
    world.connect()
    joiner = world.joiner
    while not (joiner._directories.are_over and joiner._listings.are_answered):
        possible = world.steps()
        step = possible.get("frame") or possible.get("answer") or next(iter(possible.values()))
        step()
    joiner._report()
    assert (world.progress[-1].bytes_found, world.progress[-1].bytes_total) == (1000, 0)
    world.settle()
    assert world.progress[-1].bytes_total == 1000 + 100 * 100
