"""Every broken variant is noticed: by the trace that is kept of it, or, where the core has changed since, by a search.

``--rewrite`` searches anew where a trace shows nothing any more, shortens what it finds, and keeps it.
"""

import os
import random

import pytest

from tests.simulation.broken import VARIANTS, trace
from tests.simulation.broken.table import TABLES
from tests.simulation.farm.broken import VARIANTS as FARM_VARIANTS

SEARCHED = 400
"""Runs, where the kept trace shows nothing any more."""
SOME = 5
"""Runs, where nothing is to be found."""
ALL = {**VARIANTS, **FARM_VARIANTS}
NOTICED = {name: variant for name, variant in ALL.items() if not (variant.redundant or variant.scenario)}
BY_SCENARIO = {name: variant for name, variant in ALL.items() if variant.scenario}
REDUNDANT = {name: variant for name, variant in ALL.items() if variant.redundant}


@pytest.mark.timeout(900)  # Of a search; the kept trace takes a moment.
@pytest.mark.parametrize("name", NOTICED)
def test_a_broken_core_is_noticed(name: str, request: pytest.FixtureRequest) -> None:
    variant, path = NOTICED[name], trace.path_of(NOTICED[name])
    if path.exists() and trace.shown(variant, trace.read(path)):
        return
    found = trace.find(variant, range(1, 1 + SEARCHED))
    assert found is not None, f"not noticed in {SEARCHED} runs: {variant.what}"
    if request.config.getoption("--rewrite"):
        trace.write(variant, trace.shorten(variant, found))


@pytest.mark.parametrize("name", NOTICED)
def test_the_shipped_core_passes_the_same_trace(name: str) -> None:
    path = trace.path_of(NOTICED[name])
    if not path.exists():
        pytest.fail(f"no trace is kept: pytest {__file__} --rewrite")
    assert trace.shown_as_shipped(NOTICED[name], trace.read(path)) == ""


@pytest.mark.parametrize("name", BY_SCENARIO)
def test_a_kept_scenario_expects_what_a_broken_core_does_not_do(name: str) -> None:
    assert trace.disappointed(BY_SCENARIO[name]).startswith(BY_SCENARIO[name].finds)


@pytest.mark.parametrize("mark", TABLES)
def test_the_table_in_the_documents_is_made_of_them(mark: str, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        TABLES[mark].rewrite()
    assert TABLES[mark].found() == TABLES[mark].made(), f"pytest {__file__} --rewrite"


@pytest.mark.timeout(900)  # Of a soak's search.
@pytest.mark.parametrize("name", REDUNDANT)
def test_what_is_said_to_be_redundant_is_not_noticed(name: str) -> None:
    """Else it is not redundant, and belongs among those that are noticed."""
    soak = os.environ.get("MIRRORFARM_SOAK") == "1"
    first = random.SystemRandom().randrange(1_000_000) if soak else 1
    found = trace.find(REDUNDANT[name], range(first, first + (SEARCHED if soak else SOME)))
    assert found is None, f"seed {found.seed}: {found.violation}"
