"""The table of docs/SAFETY.md: each rule that was taken away, and what noticed it. Made from the variants."""

import sys
from pathlib import Path

from tests.simulation.broken import VARIANTS, trace

DOCUMENT = Path(__file__).parents[3] / "docs" / "SAFETY.md"
BEGIN, END = "<!-- variants: begin -->", "<!-- variants: end -->"


def table() -> str:
    """As it has to stand there."""
    lines = ["| what is taken away | where | what notices it |", "|---|---|---|"]
    for name, variant in sorted(VARIANTS.items(), key=lambda item: _place_of(item[0])):
        path = trace.path_of(variant)
        if variant.redundant:
            said = f"nothing: {variant.redundant[0].lower()}{variant.redundant[1:]}"
        else:
            faults = len(trace.read(path).groups) if path.exists() else 0
            broken = trace.read(path).violation.split(":")[0] if path.exists() else "?"
            said = f"{broken}, in a run with {faults} fault{'' if faults == 1 else 's'}"
        rule = name.split("-", 1)[0].upper()
        lines.append(f"| **{rule}** {variant.what} | {variant.where} | {said} |")
    return "\n".join(lines)


def _place_of(name: str) -> int:
    """By the rule's number; those of the resync (R), which have none, come last."""
    return int(name.split("-")[0][1:] or sys.maxsize)


def found() -> str:
    """As it stands there."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return text.split(BEGIN)[1].split(END)[0].strip() if BEGIN in text else ""


def rewrite() -> None:
    """Put it there."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
