"""Whole clusters of shipped cores through rough times: no promise is broken, and healed they converge."""

import os
from dataclasses import replace

import pytest

from tests.simulation import faults
from tests.simulation.broken import BROKEN, ROUGH_STORE
from tests.simulation.clockwork import Violation
from tests.simulation.cluster import Cluster, Plan
from tests.simulation.conftest import seeds_of

PLANS = {
    "everything": (Plan(), 0.5),
    "a rough store": (replace(ROUGH_STORE, power=True), 0.2),
    "no operators, faults close together": (Plan(operators=False, mean_between_faults_s=3.0), 0.2),
    "three nodes": (Plan(nodes=("a", "b", "c"), seconds=45), 0.1),
}


def simulate(seed: int, plan: Plan, name: str) -> Cluster:
    """One run; a failure says how to repeat it, and what had happened."""
    cluster = Cluster(seed, plan)
    try:
        faults.run(cluster)
    except Exception as error:
        story = "\n".join(cluster.log[-30:])
        pytest.fail(
            f'{type(error).__name__}: {error}\n{story}\nagain: tox run -e simulation -- -k "{name}" --seed {seed}',
        )
    return cluster


@pytest.mark.timeout(6 * 3600 if os.environ.get("MIRRORFARM_SOAK") == "1" else 600)
@pytest.mark.parametrize("name", PLANS)
def test_no_promise_is_broken(name: str, request: pytest.FixtureRequest) -> None:
    plan, share = PLANS[name]
    runs = [simulate(seed, plan, name) for seed in seeds_of(request.config, share)]
    # Rough times that stop everything for good would prove nothing.
    assert all(run.promises.completions > 20 and run.promises.promotions >= 1 for run in runs)
    if len(runs) > 10:
        assert sum(run.promises.promotions for run in runs) > 2 * len(runs)


def test_a_seed_is_one_run() -> None:
    first, second = (simulate(3, Plan(seconds=30), "everything") for _ in range(2))
    assert (first.log, first.clock.happened) == (second.log, second.clock.happened)


NOTICED_WITHIN = 40
"""Runs; each of the broken cores is found in far fewer."""


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_core_is_noticed(rule: str) -> None:
    noticed = []
    for seed in range(1, 1 + NOTICED_WITHIN):
        try:
            faults.run(Cluster(seed, BROKEN[rule]))
        except Violation as violation:
            noticed.append(str(violation))
            if not str(violation).startswith("convergence"):
                return
    pytest.fail(f"not noticed in {NOTICED_WITHIN} runs: {rule}; only {noticed}")
