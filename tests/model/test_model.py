"""Every state within the bounds keeps the promises; every broken rule is noticed, and in the same way as before."""

import os
from dataclasses import fields
from pathlib import Path

import pytest

from tests.model import configurations, search
from tests.model.breaking import Broken
from tests.model.broken import BROKEN, COVERED
from tests.model.rules import Rules
from tests.model.serving import state as timed
from tests.model.traces import DIRECTORY, kept, path_of, text_of
from tests.model.world import Bounds

DOCUMENT = Path(__file__).parents[2] / "docs" / "MODEL.md"
SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"

pytestmark = pytest.mark.timeout(6 * 3600 if SOAK else 600)


BOUNDS = configurations.QUICK | (configurations.LONG if SOAK else {})


@pytest.mark.parametrize("name", BOUNDS)
def test_no_promise_is_broken_in_any_state(name: str) -> None:
    result = configurations.search(BOUNDS[name], configurations.MOST_STATES)
    print(f"{name}: {result}")
    assert not result.violation, str(result)
    # The longer ones end at a number of states, which is said.
    assert result.complete or name in configurations.LONG
    assert result.states > 1_000


@pytest.mark.parametrize("name", configurations.WALKS)
def test_no_promise_is_broken_on_long_walks(name: str) -> None:
    seed = int.from_bytes(os.urandom(4)) if SOAK else 1
    result = search.walk(configurations.WALKS[name], seed, walks=20_000 if SOAK else 40, most_steps=200)
    assert not result.violation, str(result)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_noticed(name: str) -> None:
    broken = BROKEN[name]
    result = broken.search()
    assert result.violation.startswith(broken.noticed_as), str(result)
    # Another trace is a change of the model: look at it, then "python -m tests.model traces" keeps it.
    assert text_of(broken, result) == kept(name)


def test_no_trace_is_of_a_rule_that_is_not_there() -> None:
    assert sorted(DIRECTORY.iterdir()) == sorted(path_of(name) for name in BROKEN)


# Those of the files take minutes, and say only what is redundant.
@pytest.mark.parametrize("name", [n for n, c in COVERED.items() if SOAK or isinstance(c.bounds, timed.Bounds)])
def test_a_rule_that_another_one_covers_is_not_noticed_alone(name: str) -> None:
    covered = COVERED[name]
    result = Broken(covered.rule, covered.why, (covered.without,), covered.bounds, "").search()
    # Noticed: it belongs among the broken ones.
    assert not result.violation, str(result)
    assert result.complete


def test_every_rule_is_taken_away() -> None:
    for rules, bounds in ((Rules, Bounds), (timed.Rules, timed.Bounds)):
        alone = {b.without[0] for b in BROKEN.values() if isinstance(b.bounds, bounds) and len(b.without) == 1}
        alone |= {covered.without for covered in COVERED.values() if isinstance(covered.bounds, bounds)}
        assert alone == {field.name for field in fields(rules)}


def test_what_is_covered_is_noticed_with_what_covers_it() -> None:
    for covered in COVERED.values():
        assert covered.without in BROKEN[covered.pair].without


def test_the_document_has_a_row_for_each() -> None:
    rows = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for name, broken in BROKEN.items():
        violation, *trace = kept(name).splitlines()[1:]
        assert f"| {broken.rule} | {broken.says} | {violation.partition(':')[0]} | {len(trace)} |" in rows
    for covered in COVERED.values():
        assert f"| {covered.rule} `{covered.without}` | {covered.why} |" in rows
