"""``--seed N``, or MIRRORFARM_SEED: one run, the one that failed. MIRRORFARM_SOAK=1: many more, each time others."""

import os
import random
from dataclasses import dataclass

import pytest

from tests.simulation.cluster import Cluster

CI_RUNS = 2_000
SOAK_RUNS = 100_000
CHUNKS = 4
"""Each plan's runs are so many tests, for as many processes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    parser.addoption("--seed", type=int, default=None, help="simulate this one run")
    parser.addoption("--rewrite", action="store_true", help="write the kept scenarios and traces anew")


def seeds_of(config: pytest.Config, share: float = 1.0, chunk: int = 0) -> range:
    """The runs to simulate, by their seeds: ``share`` of the usual number, the part ``chunk`` of CHUNKS of them."""
    one = config.getoption("--seed", default=None) or os.environ.get("MIRRORFARM_SEED")
    if one is not None:
        return range(int(one), int(one) + (1 if chunk == 0 else 0))
    soak = os.environ.get("MIRRORFARM_SOAK") == "1"
    first = random.SystemRandom().randrange(1_000_000_000) if soak else 1
    count = round((SOAK_RUNS if soak else CI_RUNS) * share / CHUNKS)
    return range(first + chunk * count, first + (chunk + 1) * count)


@dataclass(slots=True)
class Runs:
    """What many runs came to."""

    count: int = 0
    promotions: int = 0
    reads: int = 0
    idle: int = 0
    """Runs in which next to nothing was written."""

    def add(self, run: Cluster) -> None:
        """One that ended well."""
        self.count += 1
        self.promotions += run.promises.promotions
        self.reads += run.promises.reads
        self.idle += run.promises.completions <= 20 or run.promises.promotions < 1

    def must_have_worked(self) -> None:
        """They wrote, read and failed over."""
        assert self.idle == 0
        if self.count > 10:
            assert self.promotions > 1.5 * self.count
            assert self.reads > 20 * self.count
