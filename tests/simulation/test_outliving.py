"""A healthy pair outlives its store (S5, S1): whatever becomes of it, for any time, the pair goes on in its epoch."""

import random
from dataclasses import dataclass, replace

import pytest

from agent.core.settings import Settings
from tests.simulation import actions
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.cluster import Cluster
from tests.simulation.conftest import CHUNKS, seeds_of
from tests.simulation.plan import SHIPPED, Plan

UNDISTURBED = Plan(store_faults=0, faults=())
LONGEST_PAUSE_NS = SECOND_NS
"""Between two completed writes, with an application that writes ten times in a second."""
SETTLED_WITHIN_NS = 15 * SECOND_NS
SWAP_WITHOUT_ANSWER_NS = 5 * SECOND_NS
"""Beyond the store's absence: an election, and the application's start."""
SWAP_GIVEN_UP_NS = 8 * SECOND_NS
SLOW_STOP = replace(UNDISTURBED, stopping_ms=(2_500, 4_000))


@dataclass(frozen=True, slots=True)
class Outage:
    """What becomes of the store."""

    gone: str
    back: str
    for_ms: int


def _cluster(seed: int, plan: Plan = UNDISTURBED) -> Cluster:
    cluster = Cluster(seed, plan)
    cluster.workload.only_writes = True
    cluster.begin()
    return cluster


def _longest_pause_ns(cluster: Cluster) -> int:
    """Of the service, until now: also one that has not ended."""
    promises = cluster.promises
    return max(promises.longest_pause_ns, cluster.clock.now_ns - promises.completed_ns)


def _outage(chance: random.Random) -> Outage:
    gone = chance.choice(["store away", "store frozen"])
    back = chance.choice(["store back", "store back without leases"])
    return Outage(gone, back, round(1000 * chance.choice([1, 4, 7, 15, 60]) * chance.uniform(0.5, 1.5)))


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_pair_outlives_its_store(chunk: int, request: pytest.FixtureRequest) -> None:
    for seed in seeds_of(request.config, 0.025, chunk):
        chance = random.Random(f"outage {seed}")
        cluster = _cluster(seed)
        cluster.clock.run_for(chance.randrange(500, 4_000) * MS_NS)
        assert cluster.store.record is not None
        epoch = cluster.store.record.epoch
        for _ in range(chance.randrange(1, 4)):
            outage = _outage(chance)
            cluster.promises.longest_pause_ns = 0
            actions.do(cluster, outage.gone)
            cluster.clock.run_for(outage.for_ms * MS_NS)
            actions.do(cluster, outage.back)
            cluster.must("a whole pair", lambda: cluster.is_whole, SETTLED_WITHIN_NS)  # noqa: B023
            cluster.clock.run_for(chance.randrange(100, 9_000) * MS_NS)
            told = f"seed {seed}, {outage}: {[text for _, text in cluster.log[-12:]]}"
            assert _longest_pause_ns(cluster) < LONGEST_PAUSE_NS, told
            assert cluster.store.record.epoch == epoch, told


def _shorter_at_b(settings: Settings) -> Settings:
    """The lease of ``b`` is so short that its promises are over before another node asks for the next ones."""
    for_ns = settings.taken_off_ns + settings.ask_every_ns * 4 // 5
    return replace(settings, promise_ns=for_ns) if settings.node == "b" else settings


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_pair_with_leases_of_different_lengths_outlives_its_store(seed: int) -> None:
    cluster = _cluster(seed, replace(UNDISTURBED, parts=replace(SHIPPED, settings=_shorter_at_b)))
    cluster.clock.run_for(2 * SECOND_NS)
    for _ in range(2):  # Each of them is the primary once.
        cluster.promises.longest_pause_ns = 0
        actions.do(cluster, "store away")
        cluster.clock.run_for(30 * SECOND_NS)
        assert _longest_pause_ns(cluster) < LONGEST_PAUSE_NS, [text for _, text in cluster.log[-12:]]
        actions.do(cluster, "store back")
        cluster.must("a whole pair", lambda: cluster.is_whole, SETTLED_WITHIN_NS)
        actions.do(cluster, "swap")
        cluster.clock.run_for(SETTLED_WITHIN_NS)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_alone_in_the_record_it_outlives_its_store(chunk: int, request: pytest.FixtureRequest) -> None:
    for seed in seeds_of(request.config, 0.0125, chunk):
        chance = random.Random(f"alone {seed}")
        cluster = _cluster(seed)
        actions.do(cluster, "crash second")
        cluster.must("ALONE", lambda: cluster.store.record is not None and len(cluster.store.record.holders) == 1)  # noqa: B023
        outage = _outage(chance)
        cluster.clock.run_for(SECOND_NS)
        cluster.promises.longest_pause_ns = 0
        actions.do(cluster, outage.gone)
        cluster.clock.run_for(outage.for_ms * MS_NS)
        actions.do(cluster, outage.back)
        cluster.clock.run_for(SETTLED_WITHIN_NS)
        told = f"seed {seed}, {outage}: {[text for _, text in cluster.log[-12:]]}"
        assert _longest_pause_ns(cluster) < LONGEST_PAUSE_NS, told
        assert cluster.store.record is not None and cluster.store.record.epoch == 1, told


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_swap_that_etcd_does_not_answer_costs_what_etcd_does(chunk: int, request: pytest.FixtureRequest) -> None:
    """What was offered can be taken until it is withdrawn through the store (S6): so it waits for it, and no longer.

    Where the application's stop takes longer than noticing, nothing was offered, and it serves on.
    """
    for seed in seeds_of(request.config, 0.025, chunk):
        chance = random.Random(f"swap {seed}")
        slow = chance.random() < 0.5
        cluster = _cluster(seed, SLOW_STOP if slow else UNDISTURBED)
        cluster.clock.run_for(chance.randrange(500, 4_000) * MS_NS)
        outage = _outage(chance)
        cluster.promises.longest_pause_ns = 0
        actions.do(cluster, "swap")
        cluster.clock.run_for(chance.randrange(1, 600) * MS_NS)
        actions.do(cluster, outage.gone)
        cluster.clock.run_for(outage.for_ms * MS_NS)
        actions.do(cluster, outage.back)
        cluster.must("a whole pair", lambda: cluster.is_whole, SETTLED_WITHIN_NS)  # noqa: B023
        told = f"seed {seed}, {outage}: {[text for _, text in cluster.log[-12:]]}"
        allowed_ns = SWAP_GIVEN_UP_NS if slow else SWAP_WITHOUT_ANSWER_NS + outage.for_ms * MS_NS
        assert _longest_pause_ns(cluster) < allowed_ns, told
