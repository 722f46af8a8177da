"""Nobody who begins is reset by a node that leaves, however long the others' kernels take for their rules."""

import pytest

from manager.model.farm import SLOTS
from manager.model.states import Run
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.conftest import CHUNKS, seeds_of
from tests.simulation.farm.test_losses import started
from tests.simulation.farm.world import World

_SHARE = 0.004
_BUSY_MS = (300.0, 900.0)
_MOST_NS = 10 * SECOND_NS


def _require_no_reset(world: World, left: str) -> None:
    """What begins is not shown to a stack whose application has ended."""
    kernel = world.machines[left].kernel
    if kernel.application or not kernel.held:
        return
    for address in world.config.addresses:
        for holder in world.holders(address.ip):
            sharing = world.machines[holder].kernel
            reset = [slot for slot in range(0, SLOTS, 7) if left in sharing.ways(address.ip, slot, begins=True)]
            assert not reset, f"seed {world.seed}: {holder} sends what begins to {left}, which has ended"


def _leave(seed: int, *, directs: bool, restarts: bool) -> None:
    world = started(seed)
    holders = {world.holder(address.ip) for address in world.config.addresses}
    others = [name for name in world.config.nodes if name not in holders]
    left = min(holders) if directs or not others else world.random.choice(others)
    for name, machine in world.machines.items():
        if name != left:
            machine.load_ms = _BUSY_MS
    world.part(left)
    assert left in world.parting
    if restarts:
        world.restart(left)
    else:
        world.want(Run.STOPPED, left)
    end_ns = world.clock.now_ns + _MOST_NS
    while world.clock.now_ns < end_ns and world.machines[left].kernel.application:
        world.clock.run_for(10 * MS_NS)
    assert world.clock.now_ns < end_ns, f"seed {seed}: it does not leave"
    for _ in range(100):
        _require_no_reset(world, left)
        world.clock.run_for(10 * MS_NS)


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("restarts", [False, True], ids=["stop", "restart"])
@pytest.mark.parametrize("directs", [False, True], ids=["member", "director"])
def test_what_begins_goes_to_others_before_its_application_ends(
    request: pytest.FixtureRequest, chunk: int, directs: bool, restarts: bool
) -> None:
    for seed in seeds_of(request.config, _SHARE, chunk):
        _leave(seed, directs=directs, restarts=restarts)
