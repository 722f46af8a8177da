"""Every state within the bounds keeps the promises; every broken rule is noticed, and in the same way as before."""

import os

import pytest

from tests.model import configurations, search
from tests.model.breaking import Broken
from tests.model.broken import BROKEN, COVERED
from tests.model.traces import DIRECTORY, kept, path_of, text_of

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
LONGEST_S = 6 * 3600 if SOAK else 600

pytestmark = pytest.mark.timeout(LONGEST_S)


@pytest.mark.parametrize("name", configurations.QUICK)
def test_no_promise_is_broken_in_any_state(name: str) -> None:
    result = configurations.search(configurations.QUICK[name])
    print(f"{name}: {result}")
    assert not result.violation, str(result)
    assert result.complete
    assert result.states > 10


@pytest.mark.skipif(not SOAK, reason="takes hours: MIRRORFARM_SOAK=1, which is make soak")
@pytest.mark.parametrize("name", configurations.LONG)
def test_no_promise_is_broken_within_larger_bounds(name: str) -> None:
    result = configurations.search(configurations.LONG[name], configurations.MOST_STATES)
    print(f"{name}: {result}")
    assert not result.violation, str(result)


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


@pytest.mark.skipif(not SOAK, reason="takes minutes, and says only what is redundant: MIRRORFARM_SOAK=1")
@pytest.mark.parametrize("name", COVERED)
def test_a_rule_that_another_one_covers_is_not_noticed_alone(name: str) -> None:
    covered = COVERED[name]
    result = Broken(covered.rule, covered.why, (covered.without,), covered.bounds, "").search()
    # Noticed: it belongs among the broken ones.
    assert not result.violation, str(result)
    assert result.complete


def test_what_is_covered_is_noticed_with_what_covers_it() -> None:
    for covered in COVERED.values():
        assert covered.pair in BROKEN
