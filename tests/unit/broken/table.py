"""The table of docs/SAFETY.md of what was taken away from the shell, and what notices it. Made from the variants."""

from tests.unit.broken import VARIANTS
from tests.unit.broken.variant import ROOT, Variant

_DOCUMENT = ROOT / "docs" / "SAFETY.md"
_BEGIN = "<!-- shell variants: begin -->"
_END = "<!-- shell variants: end -->"


def made() -> str:
    """As it has to stand there."""
    lines = ["| what is taken away | from | what notices it |", "|---|---|---|"]
    for variant in sorted(VARIANTS.values(), key=_place_of):
        lines.append(f"| **{_rule_of(variant)}** {variant.what} | {_where(variant)} | {_notices(variant)} |")
    return "\n".join(lines)


def found() -> str:
    """As it stands there."""
    return _DOCUMENT.read_text(encoding="utf-8").split(_BEGIN)[1].split(_END)[0].strip()


def rewrite() -> None:
    """Put it there."""
    text = _DOCUMENT.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    _DOCUMENT.write_text(f"{before}{_BEGIN}\n{made()}\n{_END}{after}", encoding="utf-8")


def _where(variant: Variant) -> str:
    """The modules that are cut."""
    return ", ".join(dict.fromkeys(f"`{cut.module}`" for cut in variant.cuts)) or "the whole process"


def _notices(variant: Variant) -> str:
    if variant.redundant:
        return f"nothing: {variant.redundant[0].lower()}{variant.redundant[1:]}"
    kind = "" if variant.cuts else "integration: "
    return f"{kind}`{variant.file.name}`: {variant.test.removeprefix('test_').replace('_', ' ')}"


def _rule_of(variant: Variant) -> str:
    return variant.name.split("-")[0].upper()


def _place_of(variant: Variant) -> int:
    """By the rule's number; those of the resync (R), which have none, come last."""
    rule = _rule_of(variant)
    return int(rule[1:] or 99)
