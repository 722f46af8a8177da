"""Changes on their whole way, at random: each is answered once, nothing is left over, and both copies are the same."""

import random
import tempfile
from pathlib import Path

import pytest

from manager.model.ids import ROOT_INODE
from replicator.fuse.device import BUFFERS
from tests.support.compare_trees import differences
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.path_world import World


def run(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, stepped_loop() as loop:
        world = World(loop, Path(directory), rng)
        try:
            world.run(steps, cuts=rng.choice([1, 3, 9]))
            world.finish()
            assert not differences(*world.roots)
            check_nothing_is_left(world)
        finally:
            world.close()


def check_nothing_is_left(world: World) -> None:
    """No buffer, no room, no operation, and no reference that the kernel does not have."""
    free = world.system._device._free
    assert len({id(buffer.obj) for buffer in free}) == len(free) == BUFFERS
    assert world.system.context.guard.under_way == 0
    live = {inode.id: inode for inode in world.here.table._by_id.values() if inode.id != ROOT_INODE}
    assert not [inode.id for inode in live.values() if inode.pending]
    known = {node.id: node.lookups for node in world.kernel.nodes.values() if node.id != ROOT_INODE}
    assert {inode.id: inode.references for inode in live.values() if inode.references} == known


@pytest.mark.parametrize("seed", range(24))
def test_what_an_application_does_is_done_once_on_both(seed: int) -> None:
    run(seed, 1500)
