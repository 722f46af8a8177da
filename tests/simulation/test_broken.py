"""Every broken variant is noticed: by the trace that is kept of it, or, where the core has changed since, by a search.

``--rewrite`` searches anew where a trace shows nothing any more, shortens what it finds, and keeps it.
"""

import os
import random
from dataclasses import replace

import pytest

from tests.simulation.broken import VARIANTS, table, trace
from tests.simulation.broken.trace import Trace
from tests.simulation.broken.variant import Variant
from tests.simulation.plan import SHIPPED, Plan

SEARCHED = 400
"""Runs, where the kept trace shows nothing any more."""
SOME = 5
"""Runs, where nothing is to be found."""
NOTICED = {name: variant for name, variant in VARIANTS.items() if not variant.redundant}
REDUNDANT = {name: variant for name, variant in VARIANTS.items() if variant.redundant}


def _shown_by(variant: Variant, kept: Trace) -> str:
    found = trace.violation_of(kept.seed, _of(variant, kept), list(kept.groups))
    return found if found.startswith(variant.finds) else ""


def _of(variant: Variant, kept: Trace) -> Plan:
    return replace(variant.plan, seconds=kept.seconds)


@pytest.mark.timeout(900)  # Of a search; the kept trace takes a moment.
@pytest.mark.parametrize("name", NOTICED)
def test_a_broken_core_is_noticed(name: str, request: pytest.FixtureRequest) -> None:
    variant, path = NOTICED[name], trace.path_of(NOTICED[name])
    if path.exists() and _shown_by(variant, trace.read(path)):
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
    kept = trace.read(path)
    shipped = replace(_of(NOTICED[name], kept), parts=SHIPPED)
    assert trace.violation_of(kept.seed, shipped, list(kept.groups)) == ""


def test_the_table_in_the_documents_is_made_of_them(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        table.rewrite()
    assert table.found() == table.table(), f"pytest {__file__} --rewrite"


@pytest.mark.parametrize("name", REDUNDANT)
def test_what_is_said_to_be_redundant_is_not_noticed(name: str) -> None:
    """Else it is not redundant, and belongs among those that are noticed."""
    soak = os.environ.get("MIRRORFARM_SOAK") == "1"
    first = random.SystemRandom().randrange(1_000_000) if soak else 1
    found = trace.find(REDUNDANT[name], range(first, first + (SEARCHED if soak else SOME)))
    assert found is None, f"seed {found.seed}: {found.violation}"
