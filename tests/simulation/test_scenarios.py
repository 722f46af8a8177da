"""Every scenario does what is kept beside it. ``--rewrite`` keeps what it does now: look at the difference."""

from pathlib import Path

import pytest

from tests.simulation.scenario import Scenario

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_does_what_is_kept(path: Path, request: pytest.FixtureRequest) -> None:
    kept = path.read_text(encoding="utf-8")
    now = Scenario().play(kept)
    if request.config.getoption("--rewrite"):
        path.write_text(now, encoding="utf-8")
        return
    assert now == kept, "if this is meant: pytest tests/simulation/test_scenarios.py --rewrite"


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) > 20
