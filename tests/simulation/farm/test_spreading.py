"""Directors come to be spread over the nodes that are up: by the fewest hand-overs, which break no connection."""

from collections import Counter
from dataclasses import replace

import pytest

from manager.model.states import Run
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.conftest import CHUNKS, seeds_of
from tests.simulation.farm.world import World

_SHARE = 0.002
_AFTER_NS = 3 * SECOND_NS
"""So long nothing changes before one is handed over."""
_LOOK_MS = 100


class _Watched:
    """A farm of several addresses, whose hand-overs are looked at closely."""

    def __init__(self, seed: int) -> None:
        """Started, and spread."""
        self.world = world = World(seed, 2 + seed % 3, 2 + seed % 3 + seed // 3 % 2, faults=0, fails=0)
        world.spread_after_ns = _AFTER_NS
        if seed % 4:
            world.config = replace(world.config, chain=())
        for name in world.config.nodes:
            world.weigh(name, 1)
        for machine in world.machines.values():
            machine.start()
        world.want(Run.STARTED)
        self.addresses = world.addresses
        self.last: dict[str, str] = {}
        """Address to who answered for it last: clients send there until another one does."""
        self.moves: list[tuple[str, str, str]] = []
        """Who answered for it after whom, by address."""
        self.run_for(25 * SECOND_NS)

    def run_for(self, span_ns: int) -> None:
        """Look again and again: also while nobody answers for an address, what is sent to the former one arrives."""
        end_ns = self.world.clock.now_ns + span_ns
        while self.world.clock.now_ns < end_ns:
            self.world.clock.run_for(_LOOK_MS * MS_NS)
            for address in self.addresses:
                self._look(address)

    def _look(self, address: str) -> None:
        holder, last = self.world.holder(address), self.last.get(address, "")
        if holder and holder != last:
            self.moves.append((address, last, holder))
            self.last[address] = holder
        if not holder and last and self.world.machines[last].kernel.held:
            self.world.checkers.check_from(last, address)

    @property
    def numbers(self) -> Counter[str]:
        """How many addresses each node answers for."""
        return Counter(self.world.holder(address) for address in self.addresses)

    @property
    def able(self) -> list[str]:
        """The nodes that addresses are handed to, where all serve."""
        groups = self.world.config.groups
        weighed = [n for n in self.world.config.nodes if self.world.desired(n).weight != 0 and self.world.wants(n)]
        return next([n for n in weighed if n in group] for group in groups if set(group) & set(weighed))

    @property
    def is_spread(self) -> bool:
        """Nobody directs two more than a node that could have one of them."""
        numbers = self.numbers
        return "" not in numbers and max(numbers.values()) <= min(numbers[n] for n in self.able) + 1

    def lose(self, name: str) -> None:
        """Its machine crashes."""
        self.world.doubt(name)
        self.world.machines[name].crash()

    def fewest(self) -> int:
        """So many hand-overs make it spread, at the least."""
        numbers, able = dict(self.numbers), self.able
        moved = 0
        while True:
            most = max(numbers, key=lambda n: numbers[n])
            least = min(able, key=lambda n: numbers.get(n, 0))
            if numbers[most] <= numbers.get(least, 0) + 1:
                return moved
            numbers[most] -= 1
            numbers[least] = numbers.get(least, 0) + 1
            moved += 1


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_node_that_returns_is_handed_its_part_by_the_fewest_moves_and_then_all_is_still(
    request: pytest.FixtureRequest, chunk: int
) -> None:
    for seed in seeds_of(request.config, _SHARE, chunk):
        farm = _Watched(seed)
        assert farm.is_spread, f"seed {seed}: {farm.numbers}"
        lost = farm.world.random.choice(farm.able)
        farm.lose(lost)
        farm.run_for(2 * _AFTER_NS + 10 * SECOND_NS)
        farm.world.machines[lost].start()
        farm.run_for(2 * SECOND_NS)
        farm.moves.clear()
        fewest = farm.fewest()
        assert fewest or farm.world.config.chain, f"seed {seed}: there is nothing to be seen"
        farm.run_for(10 * SECOND_NS + (fewest + 1) * 2 * _AFTER_NS)
        assert farm.is_spread, f"seed {seed}: {farm.numbers}"
        assert len(farm.moves) == fewest, f"seed {seed}: {farm.moves}, where {fewest} would do"
        farm.run_for(10 * SECOND_NS)
        assert len(farm.moves) == fewest, f"seed {seed}: it does not end"


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_is_handed_to_one_that_comes_and_goes_nor_to_a_drained_one_nor_without_etcd(
    request: pytest.FixtureRequest, chunk: int
) -> None:
    for seed in seeds_of(request.config, _SHARE, chunk):
        farm = _Watched(seed)
        flapping = farm.world.random.choice(farm.able)
        farm.lose(flapping)
        farm.run_for(2 * _AFTER_NS + 10 * SECOND_NS)
        farm.moves.clear()
        for _ in range(3):
            farm.world.machines[flapping].start()
            farm.run_for(farm.world.clock.between(500, _AFTER_NS // MS_NS))
            farm.lose(flapping)
            farm.run_for(3 * SECOND_NS)
        if seed % 2:
            farm.world.weigh(flapping, 0)
        farm.world.machines[flapping].start()
        if not seed % 2:
            farm.world.doubt_unready()
            farm.run_for(_AFTER_NS // 2)
            farm.world.clock.etcd.go(frozen=seed % 4 == 0)
        farm.run_for(4 * _AFTER_NS)
        assert flapping not in {taker for _, _, taker in farm.moves}, f"seed {seed}: {farm.moves}"
