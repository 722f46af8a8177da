"""docs/SAFETY.md has every rule that the code names."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_each_rule_that_a_docstring_names_is_written_down() -> None:
    document = (_ROOT / "docs" / "SAFETY.md").read_text(encoding="utf-8")
    rules = set(re.findall(r"^- \*\*([SP]\d+)\b", document, re.MULTILINE))
    named: dict[str, str] = {}
    for room in ("agent", "manager", "replicator", "tests/simulation"):
        for path in (_ROOT / room).rglob("*.py"):
            named.update(dict.fromkeys(re.findall(r"\b[SP]\d{1,2}\b", path.read_text(encoding="utf-8")), str(path)))
    assert {f"S{number}" for number in range(1, 10)} <= set(named)
    assert {rule: path for rule, path in named.items() if rule not in rules} == {}
