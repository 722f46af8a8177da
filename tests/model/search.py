"""Every state that can be reached, breadth first, so that the first violation found has the shortest trace."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.model import faults, invariants, membership, place, primary, secondary, streams
from tests.model.draft import Draft
from tests.model.state import RUNS, SERVES, State, Step
from tests.model.world import Bounds, World

May = Callable[[State, Step], bool]
"""Whether a step is to be taken in a state."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found."""

    states: int
    depth: int
    complete: bool
    """Every state within the bounds was looked at."""
    violation: str = ""
    trace: tuple[str, ...] = ()
    seconds: float = 0.0
    """Of processor time."""

    def __str__(self) -> str:
        if self.violation:
            return "\n".join((self.violation, *(f"{i:4} {text}" for i, text in enumerate(self.trace, 1))))
        extent = "complete" if self.complete else "NOT complete"
        return f"{self.states:,} states, depth {self.depth}, {extent}, no violation"


def steps(world: World, state: State) -> Iterator[Step]:
    """All that can happen in ``state``, in a fixed order."""
    for text, draft in _found(world, state):
        if draft.client.failures and invariants.is_whole(world, draft):
            draft.client = draft.client._replace(failures=0)
        draft.flag(invariants.in_sync(world, draft))
        yield Step(text, draft.finish(world), draft.violation)


def _found(world: World, state: State) -> Iterator[tuple[str, Draft]]:
    for n, node in enumerate(state.nodes):
        if node.power != RUNS:
            continue
        if node.role is SERVES:
            yield from primary.actions(world, state, n)
            yield from streams.actions(world, state, n)
            if not state.store.absent >> n & 1:
                yield from membership.actions(world, state, n)
                yield from place.actions(world, state, n)
        yield from secondary.actions(world, state, n)
    yield from faults.actions(world, state)


def search(bounds: Bounds, most_states: int = 10_000_000, may: May = lambda state, step: True) -> Result:
    """Breadth first by the steps that ``may`` be taken, until a violation, the end, or the number of states."""
    world, began = World(bounds), time.process_time()

    def found(state: State) -> Iterator[Step]:
        return (step for step in steps(world, state) if may(state, step))

    first = world.initial()
    parents = {hash(first): 0}
    frontier, depth, seen = [first], 0, 0
    while frontier:
        reached = []
        for state in frontier:
            here = hash(state)
            seen += 1
            for text, after, violation in found(state):
                if violation is not None:
                    trace = (*_trace(found, first, parents, here), text)
                    return Result(seen, depth + 1, False, violation, trace, time.process_time() - began)
                there = hash(after)
                if there not in parents:
                    parents[there] = here
                    reached.append(after)
            if seen >= most_states:
                return Result(seen, depth, False, seconds=time.process_time() - began)
        frontier, depth = reached, depth + 1
    return Result(seen, depth, True, seconds=time.process_time() - began)


def _trace(found: Callable[[State], Iterator[Step]], first: State, parents: dict[int, int], last: int) -> list[str]:
    """The steps to a state: states are not kept, so they are made again along the way."""
    chain = []
    while last != hash(first):
        chain.append(last)
        last = parents[last]
    texts, state = [], first
    for wanted in reversed(chain):
        text, state = next((s.text, s.state) for s in found(state) if hash(s.state) == wanted)
        texts.append(text)
    return texts


def walk(bounds: Bounds, seed: int, walks: int, most_steps: int) -> Result:
    """At random, deeper than every state can be looked at. The seed repeats it."""
    world, chance, began = World(bounds), random.Random(seed), time.process_time()
    seen = 0
    for _ in range(walks):
        state = world.initial()
        trace: list[str] = []
        for _ in range(most_steps):
            found = list(steps(world, state))
            if not found:
                break
            bad = next((s for s in found if s.violation), None)
            if bad is not None:
                violation = f"seed {seed}: {bad.violation}"
                return Result(seen, len(trace) + 1, False, violation, (*trace, bad.text), time.process_time() - began)
            # What goes wrong is rarer than what goes on.
            weights = [1 if s.state.budget != state.budget else 4 for s in found]
            step = chance.choices(found, weights)[0]
            trace.append(step.text)
            state, seen = step.state, seen + 1
    return Result(seen, most_steps, False, seconds=time.process_time() - began)
