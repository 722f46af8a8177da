"""``python -m tests.model``: the table of docs/MODEL.md; ``long``: the larger bounds; ``traces``: writes them anew."""

import sys

from tests.model.broken import BROKEN
from tests.model.configurations import LONG, MOST_STATES, QUICK, AnyBounds, search
from tests.model.traces import DIRECTORY, path_of, text_of


def write_traces() -> None:
    """Each broken rule's shortest trace."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, broken in BROKEN.items():
        result = broken.search()
        if not result.violation.startswith(broken.noticed_as):
            raise SystemExit(f"{name}: not noticed as {broken.noticed_as}: {result}")
        path_of(name).write_text(text_of(broken, result))
        noticed = result.violation.partition(":")[0]
        print(f"| {broken.rule} | {broken.says} | {noticed} | {result.depth} |", flush=True)


def write_table(table: dict[str, AnyBounds]) -> None:
    """Each configuration's states."""
    for name, bounds in table.items():
        result = search(bounds, MOST_STATES)
        print(f"| {name} | {result} | {result.seconds:.1f} s |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["traces"]:
        write_traces()
    else:
        write_table(LONG if sys.argv[1:] == ["long"] else QUICK)
