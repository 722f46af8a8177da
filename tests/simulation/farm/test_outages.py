"""Without etcd a farm goes on: its director receives for as long as it lives, and nothing that is open breaks."""

import pytest

from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.conftest import CHUNKS, seeds_of
from tests.simulation.farm.test_losses import started
from tests.simulation.farm.world import World

_SHARE = 0.004
_AGAIN_NS = 4 * SECOND_NS
"""So long after its lease ended in an outage, at the most, nobody receives: who has promised keeps to it first."""


def _holders(world: World) -> list[list[str]]:
    return [world.holders(address.ip) for address in world.config.addresses]


def _goes_on(world: World, span_ns: int) -> None:
    """The same nodes receive, all the time."""
    before = _holders(world)
    assert all(len(holders) == 1 for holders in before)
    end_ns = world.clock.now_ns + span_ns
    while world.clock.now_ns < end_ns:
        world.clock.run_for(100 * MS_NS)
        assert _holders(world) == before


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("leases", [True, False], ids=["its leases live", "its leases are over"])
def test_it_goes_on_without_etcd_and_when_that_is_back(
    request: pytest.FixtureRequest, chunk: int, leases: bool
) -> None:
    for seed in seeds_of(request.config, _SHARE, chunk):
        world = started(seed)
        world.clock.etcd.go(frozen=seed % 2 == 0)
        _goes_on(world, world.clock.between(2_000, 30_000))
        world.clock.etcd.come_back(leases=leases)
        if leases:
            _goes_on(world, 10 * SECOND_NS)
            continue
        world.doubt_leases()
        world.clock.run_for(_AGAIN_NS)
        _goes_on(world, 5 * SECOND_NS)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_an_agent_may_be_exchanged_meanwhile_but_the_directors(request: pytest.FixtureRequest, chunk: int) -> None:
    for seed in seeds_of(request.config, _SHARE, chunk):
        world = started(seed)
        world.clock.etcd.go(frozen=False)
        world.clock.run_for(8 * SECOND_NS)
        directing = {holder for holders in _holders(world) for holder in holders}
        others = [name for name in world.config.nodes if name not in directing]
        for name in others:
            world.start_again(name, world.clock.between(100, 1_500))
            _goes_on(world, 5 * SECOND_NS)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_where_its_director_dies_too_nobody_receives_until_etcd_is_back(
    request: pytest.FixtureRequest, chunk: int
) -> None:
    for seed in seeds_of(request.config, _SHARE, chunk):
        world = started(seed)
        address = world.config.addresses[0].ip
        world.clock.etcd.go(frozen=False)
        world.clock.run_for(8 * SECOND_NS)
        (director,) = world.holders(address)
        world.doubt(*world.config.nodes)
        world.machines[director].crash()
        world.clock.run_for(20 * SECOND_NS)
        assert not world.holders(address)
        # What is open there goes on when somebody receives again.
        assert all(machine.kernel.held for machine in world.machines.values() if machine.is_on)
        world.doubt_leases()
        world.clock.etcd.come_back(leases=seed % 2 == 0)
        world.clock.run_for(_AGAIN_NS)
        assert len(world.holders(address)) == 1
