"""The tables of docs/SAFETY.md: each rule that was taken away, and what noticed it. Made from the variants."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.broken import VARIANTS, trace
from tests.simulation.broken.variant import Variant
from tests.simulation.farm.broken import VARIANTS as FARM_VARIANTS

DOCUMENT = Path(__file__).parents[3] / "docs" / "SAFETY.md"


@dataclass(frozen=True, slots=True)
class Table:
    """One of them, between its marks."""

    mark: str
    variants: Mapping[str, Variant]

    @property
    def _begin(self) -> str:
        return f"<!-- {self.mark}: begin -->"

    @property
    def _end(self) -> str:
        return f"<!-- {self.mark}: end -->"

    def made(self) -> str:
        """As it has to stand there."""
        lines = ["| what is taken away | where | what notices it |", "|---|---|---|"]
        for name, variant in sorted(self.variants.items(), key=lambda item: _place_of(item[0])):
            lines.append(f"| **{_rule_of(name)}** {variant.what} | {variant.where} | {_notices(variant)} |")
        return "\n".join(lines)

    def found(self) -> str:
        """As it stands there."""
        text = DOCUMENT.read_text(encoding="utf-8")
        return text.split(self._begin)[1].split(self._end)[0].strip() if self._begin in text else ""

    def rewrite(self) -> None:
        """Put it there."""
        text = DOCUMENT.read_text(encoding="utf-8")
        before, after = text.split(self._begin)[0], text.split(self._end)[1]
        DOCUMENT.write_text(f"{before}{self._begin}\n{self.made()}\n{self._end}{after}", encoding="utf-8")


TABLES = {table.mark: table for table in (Table("variants", VARIANTS), Table("farm variants", FARM_VARIANTS))}


def _notices(variant: Variant) -> str:
    if variant.redundant:
        return f"nothing: {variant.redundant[0].lower()}{variant.redundant[1:]}"
    if variant.scenario:
        return f"the scenario `{variant.scenario}`: {variant.finds}"
    path = trace.path_of(variant)
    faults = len(trace.read(path).groups) if path.exists() else 0
    broken = trace.read(path).violation.split(":")[0] if path.exists() else "?"
    return f"{broken}, in a run with {faults} fault{'' if faults == 1 else 's'}"


def _rule_of(name: str) -> str:
    """A safety rule's name; of the farm the number of the decision."""
    rule = name.split("-", 1)[0].upper()
    return f"ADR {rule[1:]}" if rule.startswith("A") else rule


def _place_of(name: str) -> int:
    """By the rule's number; those of the resync (R), which have none, come last."""
    return int(name.split("-")[0][1:] or sys.maxsize)
