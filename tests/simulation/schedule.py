"""What happens in a run, at random: actions and their instants, made from the seed before the run.

Each fault is a group of steps (a crash and the boot after it), which is kept or left out as a whole when the schedule
of a failing run is shortened.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.simulation.clockwork import MS_NS, SECOND_NS, Clockwork


@dataclass(frozen=True, slots=True)
class Step:
    """One action at an instant, counted from the end of the first start."""

    at_ms: int
    line: str


Group = tuple[Step, ...]
Chance = random.Random
Fault = Callable[[Chance, str, tuple[str, ...]], list[tuple[float, str]]]
"""Given chance, a node and all nodes: actions, and how many milliseconds after the first."""


def then(chance: Chance, first: str, second: str, least_ms: float, most_ms: float) -> list[tuple[float, str]]:
    """Two actions, the second one so long after the first."""
    return [(0, first), (chance.uniform(least_ms, most_ms), second)]


def drawn(
    seed: int, faults: Sequence[Fault], nodes: tuple[str, ...], seconds: int, mean_between_faults_s: float
) -> list[Group]:
    """What happens in the run of ``seed``: some of ``faults``, of which those that stand there twice come as often."""
    chance = random.Random(f"schedule {seed}")
    at_ms, end_ms = 0.0, seconds * 1000
    groups: list[Group] = []
    while True:
        # Faults come singly, and now and then close together.
        mean_ms = 1000 * mean_between_faults_s * (0.1 if chance.random() < 0.3 else 1.3)
        at_ms += chance.uniform(0, 2 * mean_ms)
        if at_ms >= end_ms or not faults:
            return groups
        steps = chance.choice(faults)(chance, chance.choice(nodes), nodes)
        groups.append(tuple(Step(round(at_ms + later_ms), line) for later_ms, line in steps))


def play(clock: Clockwork, groups: Iterable[Group], seconds: int, act: Callable[[Step], None]) -> None:
    """Let it happen for so long; what would come after that does not (healing does it)."""
    began_ns, end_ns = clock.now_ns, seconds * SECOND_NS
    for step in sorted((s for group in groups for s in group), key=lambda s: s.at_ms):
        if step.at_ms * MS_NS >= end_ns:
            break
        clock.run_for(began_ns + step.at_ms * MS_NS - clock.now_ns)
        act(step)
    clock.run_for(began_ns + end_ns - clock.now_ns)
