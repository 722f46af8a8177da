"""Every state of the timed model, breadth first. What must hold (S5): no two nodes serve at the same moment."""

import time
from collections.abc import Iterator

from tests.model.search import Result
from tests.model.serving.actions import actions
from tests.model.serving.state import Bounds, State
from tests.model.world import name


def two_serve(state: State) -> str | None:
    """Two applications run, on the same addresses."""
    serving = [name(n) for n, node in enumerate(state.nodes) if node.serves]
    return f"S5: {' and '.join(serving)} serve at the same time" if len(serving) > 1 else None


def steps(bounds: Bounds, state: State) -> Iterator[tuple[str, State]]:
    """All that can happen in ``state``, in a fixed order."""
    for text, draft in actions(bounds, state):
        yield text, draft.finish(bounds)


def search(bounds: Bounds, most_states: int = 10_000_000) -> Result:
    """Breadth first, until a violation, the end, or the number of states."""
    began, first = time.process_time(), bounds.initial()
    parents: dict[State, tuple[State | None, str]] = {first: (None, "")}
    frontier, depth, seen = [first], 0, 0
    while frontier:
        reached = []
        for state in frontier:
            seen += 1
            for text, after in steps(bounds, state):
                if after in parents:
                    continue
                parents[after] = (state, text)
                violation = two_serve(after)
                if violation is not None:
                    return Result(
                        seen, depth + 1, False, violation, _trace(parents, after), time.process_time() - began
                    )
                reached.append(after)
            if seen >= most_states:
                return Result(seen, depth, False, seconds=time.process_time() - began)
        frontier, depth = reached, depth + 1
    return Result(seen, depth, True, seconds=time.process_time() - began)


def _trace(parents: dict[State, tuple[State | None, str]], last: State) -> tuple[str, ...]:
    texts: list[str] = []
    at: State | None = last
    while at is not None:
        at, text = parents[at]
        texts.append(text)
    return tuple(reversed(texts[:-1]))
