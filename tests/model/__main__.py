"""``python -m tests.model``: the tables of docs/MODEL.md; ``traces``: writes those of the broken rules anew."""

import sys

from tests.model.broken import BROKEN
from tests.model.configurations import LONG, MOST_STATES, QUICK, search
from tests.model.traces import DIRECTORY, path_of, text_of


def write_traces() -> None:
    """Each broken rule's shortest trace."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, broken in BROKEN.items():
        result = broken.search()
        if not result.violation.startswith(broken.noticed_as):
            raise SystemExit(f"{name}: not noticed as {broken.noticed_as}: {result}")
        path_of(name).write_text(text_of(broken, result))
        print(
            f"| {broken.rule} | {broken.says} | {result.violation.partition(':')[0]}, {result.depth} steps |",
            flush=True,
        )


def write_tables(names: list[str]) -> None:
    """Each configuration's states."""
    for table in (QUICK, LONG):
        for name, bounds in table.items():
            if names and name not in names:
                continue
            result = search(bounds, MOST_STATES)
            print(f"| {name} | {result} | {result.seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["traces"]:
        write_traces()
    else:
        write_tables(sys.argv[1:])
