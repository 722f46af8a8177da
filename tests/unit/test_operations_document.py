"""docs/operations.md has every cause that a node's state can have, and no other."""

import inspect
import re
from pathlib import Path

from manager.model.reasons import Reason

_TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def _of_states() -> set[str]:
    """Those that stand below "Why a node is in its state"."""
    part = (
        inspect.getsource(Reason).partition("# Why a node is in its state")[2].partition("# Why a primary took over")[0]
    )
    return set(re.findall(r'^    [A-Z_]+ = "([a-z_]+)"$', part, re.MULTILINE))


def test_each_cause_of_a_state_has_its_row() -> None:
    table = _TEXT.partition("| cause | what it means for the data | what to do |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)]
    assert len(named) == len(set(named))
    assert set(named) == _of_states()


def test_each_link_within_the_page_leads_to_a_heading() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in _TEXT.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\(#([^)]+)\)", _TEXT)) <= headings
