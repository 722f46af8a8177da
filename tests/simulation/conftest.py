"""``--seed N``, or MIRRORFARM_SEED: one run, the one that failed. MIRRORFARM_SOAK=1: many more, each time others.

A soak says its first seed; MIRRORFARM_FIRST_SEED=N begins another one with N.
"""

import gc
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.simulation.cluster import Cluster

CI_RUNS = 2_000
SOAK_RUNS = 100_000
_SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
CHUNKS = 100 if _SOAK else 4
"""Each plan's runs are so many tests: for several processes, and so that a soak shows how far it has come."""
_FIRST_SEED = "MIRRORFARM_FIRST_SEED"
_OBJECTS_BETWEEN_LOOKS = 100_000
"""Costs a process of many runs 7 MiB more than the usual 700."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    parser.addoption("--seed", type=int, default=None, help="simulate this one run")
    parser.addoption("--rewrite", action="store_true", help="write the kept scenarios and traces anew")


def pytest_configure(config: pytest.Config) -> None:
    """The first seed is drawn once, for all processes of a run of the tests: they inherit it."""
    if _SOAK:
        os.environ.setdefault(_FIRST_SEED, str(random.SystemRandom().randrange(1_000_000_000)))
        config.pluginmanager.register(_AtOnce(config))


class _AtOnce:
    """A soak takes hours: what fails is told at once, not at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line(report.longreprtext)


@pytest.fixture(autouse=True, scope="module")
def _cycles_are_looked_for_seldom() -> Iterator[None]:
    """A run makes many objects and few cycles: looking for those takes up to a tenth of its time else."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS, *before[1:])
    yield
    gc.set_threshold(*before)


def pytest_report_header() -> list[str]:
    """With which a soak can be repeated."""
    return [f"simulation: {SOAK_RUNS} runs, {_FIRST_SEED}={os.environ[_FIRST_SEED]}"] if _SOAK else []


def seeds_of(config: pytest.Config, share: float = 1.0, chunk: int = 0) -> range:
    """The runs to simulate, by their seeds: ``share`` of the usual number, the part ``chunk`` of CHUNKS of them."""
    one = config.getoption("--seed", default=None) or os.environ.get("MIRRORFARM_SEED")
    if one is not None:
        return range(int(one), int(one) + (1 if chunk == 0 else 0))
    first = int(os.environ[_FIRST_SEED]) if _SOAK else 1
    count = round((SOAK_RUNS if _SOAK else CI_RUNS) * share / CHUNKS)
    return range(first + chunk * count, first + (chunk + 1) * count)


@dataclass(slots=True)
class Runs:
    """What many runs came to."""

    count: int = 0
    promotions: int = 0
    reads: int = 0
    pairs: int = 0
    """Runs of two nodes, which track what the other one may lack."""
    tracked: int = 0
    """Joins in those, in which only that was copied."""
    idle: int = 0
    """Runs in which next to nothing was written."""

    def add(self, run: Cluster) -> None:
        """One that ended well."""
        self.count += 1
        self.promotions += run.promises.promotions
        self.reads += run.promises.reads
        self.pairs += len(run.plan.nodes) == 2
        self.tracked += run.promises.tracked_joins
        self.idle += run.promises.completions <= 20 or run.promises.promotions < 1

    def must_have_worked(self) -> None:
        """They wrote, read, failed over, and brought back what was away by what was tracked."""
        # An operator who stops everything, and a store that is restored meanwhile, may leave one run without work.
        assert self.idle <= max(1, self.count // 25)
        if self.count > 10:
            assert self.promotions > 1.5 * self.count
            assert self.reads > 20 * self.count
            assert self.tracked >= self.pairs
