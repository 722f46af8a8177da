"""Farms of several nodes on the fake store, with simulated kernels, clients, operators and faults: one seed is one run.

No connection at a node to which nothing has happened is broken, whoever joins, drains, is weighed anew, dies or
directs; of two nodes never both answer for an address; and in the end, all healed, every farm is as it should be.
"""

from dataclasses import replace

import pytest

from tests.simulation.conftest import CHUNKS, seeds_of
from tests.simulation.farm import faults
from tests.simulation.farm.plan import Plan
from tests.simulation.farm.world import World

_SHARE = 0.004
"""Of the usual number of runs, of each plan."""
_STEADY = Plan(seconds=60, calm_s=15, settles=True)
_HARSH = Plan(seconds=60, calm_s=15, settles=True, store_faults=0.02, fails=0.05, faults=("harsh",))
_WHOLE = Plan(seconds=60, calm_s=15, settles=True, faults=("whole",), mean_between_faults_s=8)
"""What is over again after each fault, so that it is looked how soon."""
_BRIEF = replace(
    _WHOLE,
    faults=(
        "cuts", "store cut", "isolated", "links", "frozen", "director frozen", "frozen in an outage", "late take-over",
        "restored",
    ),
)  # fmt: skip
"""As well over again, but of links, frozen agents, and what is decided by the store too late or by an old one."""
PLANS = {"steady": (_STEADY, 1.0), "harsh": (_HARSH, 1.0), "whole": (_WHOLE, 0.5), "brief": (_BRIEF, 0.5)}
"""With the share of the usual number."""


def _play(seed: int, plan: Plan) -> World:
    plan = replace(plan, nodes=2 + seed % 3, addresses=1 + seed // 3 % 2, spread_after_s=(3, 10)[seed % 2])
    try:
        return faults.run(seed, plan)
    except Exception as failure:
        failure.add_note(f"seed {seed}")
        raise


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize(("plan", "share"), PLANS.values(), ids=PLANS)
def test_no_connection_of_a_node_that_lives_is_broken(
    request: pytest.FixtureRequest, chunk: int, plan: Plan, share: float
) -> None:
    worlds = [_play(seed, plan) for seed in seeds_of(request.config, _SHARE * share, chunk)]
    if len(worlds) > 1:
        assert sum(w.begun for w in worlds) > 100 * len(worlds)
        assert sum(w.checkers.checked for w in worlds) > 5_000 * len(worlds)
        assert sum(w.checkers.writes for w in worlds) > 5 * len(worlds)
