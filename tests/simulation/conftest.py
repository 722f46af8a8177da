"""``--seed N``, or MIRRORFARM_SEED: one run, the one that failed. MIRRORFARM_SOAK=1: many more, each time others."""

import os
import random

import pytest

CI_RUNS = 200
SOAK_RUNS = 20_000


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option."""
    parser.addoption("--seed", type=int, default=None, help="simulate this one run")


def seeds_of(config: pytest.Config, share: float = 1.0) -> range:
    """The runs to simulate, by their seeds; ``share`` of the usual number."""
    one = config.getoption("--seed", default=None) or os.environ.get("MIRRORFARM_SEED")
    if one is not None:
        return range(int(one), int(one) + 1)
    if os.environ.get("MIRRORFARM_SOAK") == "1":
        first = random.SystemRandom().randrange(1_000_000_000)
        return range(first, first + round(SOAK_RUNS * share))
    return range(1, 1 + round(CI_RUNS * share))
