"""Time alone changes nothing of what the core does but at the instants for which it has asked (``waking``)."""

from dataclasses import replace
from types import ModuleType

import pytest

from agent.core import (
    fencing,
    following,
    forcing,
    membership,
    opening,
    patience,
    promising,
    requests,
    serving,
    standing,
)
from agent.core import waking as core
from tests.simulation import faults
from tests.simulation.checkers import Violation
from tests.simulation.plan import SHIPPED, Plan
from tests.simulation.test_cluster import PLANS
from tests.simulation.waking import Waking

SEED = 1
SHARE = 0.01
"""Of all steps: some five states of each run."""
LEAST_LOOKS = 30


def _looks(plan: Plan, share: float) -> int:
    """How often it was looked in a run."""
    waking = Waking(share, SEED)
    faults.run(SEED, replace(plan, parts=replace(SHIPPED, step=waking)))
    return waking.looks


@pytest.mark.parametrize("name", PLANS)
def test_a_core_that_is_left_alone_does_nothing_before_it_wakes(name: str) -> None:
    assert _looks(PLANS[name][0], SHARE) > LEAST_LOOKS


DECIDES_BY_TIME = {
    requests: "everything",
    forcing: "forced starts, failover off",
    fencing: "everything",
    opening: "a restored store",
    serving: "applications",
    membership: "everything",
    following: "no operators, faults close together",
    standing: "everything",
    patience: "no operators, faults close together",
}
"""Who names instants, and in which run they matter."""


@pytest.mark.parametrize("who", DECIDES_BY_TIME, ids=lambda who: who.__name__.rpartition(".")[2])
def test_a_core_that_forgets_to_ask_is_noticed(who: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = core._WHO_DECIDES
    monkeypatch.setattr(core, "_WHO_DECIDES", tuple(instants for instants in asked if instants is not who.instants))
    assert len(core._WHO_DECIDES) == len(asked) - 1
    with pytest.raises(Violation, match="waking: "):
        _looks(PLANS[DECIDES_BY_TIME[who]][0], 0.5)


def test_one_that_forgets_when_promises_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promising, "instants", lambda state, now_ns: ())
    with pytest.raises(Violation, match="waking: "):
        _looks(PLANS["everything"][0], 0.5)
