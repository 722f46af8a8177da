"""Whatever is refused, not found or failed says what to do next, wherever in the sources that is said."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = ("REFUSED", "NOT_FOUND", "FAILED")


def test_every_refusal_names_a_remedy_or_the_reason_that_has_one() -> None:
    refusals = list(_refusals())
    assert len(refusals) > 50, "they are no longer found"
    bare = [where for where, told in refusals if not {"remedy", "reason"} & told]
    assert bare == []


def _refusals() -> Iterator[tuple[str, set[str]]]:
    """Where each is made, and what it is given by name."""
    for package in ("agent", "manager"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for call in ast.walk(ast.parse(path.read_text())):
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("ApiError") and call.args:
                    kind = ast.unparse(call.args[0]).removeprefix("ErrorKind.")
                    if kind in KINDS:
                        named = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
                        yield f"{path.relative_to(ROOT)}:{call.lineno}", named
