"""docs/DIFFERENCES.md and the tests that it names."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_TESTS = ("tests/integration/filesystem", "tests/integration/pair", "tests/unit/replicator/disk")


def test_every_line_names_tests_that_are_there_and_every_shown_difference_is_a_line() -> None:
    rows = [
        line
        for line in (_ROOT / "docs" / "DIFFERENCES.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and not line.startswith(("|---", "| what |"))
    ]
    named = [re.findall(r"`(test_\w+)`", row.rsplit("|", 2)[1]) for row in rows]
    assert rows and all(named)
    there: set[str] = set()
    for directory in _TESTS:
        for path in (_ROOT / directory).glob("test_*.py"):
            there.update(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert {name for names in named for name in names} - there == set()
    shown = (_ROOT / "tests/integration/filesystem/test_differences.py").read_text(encoding="utf-8")
    assert (
        set(re.findall(r"^def (test_\w+)", shown, re.MULTILINE)) - {name for names in named for name in names} == set()
    )
