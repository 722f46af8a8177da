"""How a variant was found: a seed, and the shortest schedule that still shows it, kept as a file.

Shortening leaves out one fault after the other, and then shortens the run, as long as some promise is still broken.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manager.model.errors import InvariantViolated
from tests.simulation.broken.variant import Variant
from tests.simulation.checkers import Violation
from tests.simulation.scenario import ExpectationError, Scenario
from tests.simulation.schedule import Group, Step

SCENARIOS = Path(__file__).parent.parent / "scenarios"

_TAIL_S = 5


@dataclass(frozen=True, slots=True)
class Trace:
    """One way to show it."""

    seed: int
    seconds: int
    groups: tuple[Group, ...]
    violation: str


def violation_of(variant: Variant, seed: int, plan: Any, groups: list[Group] | None = None) -> str:
    """What a run of the variant's kind breaks, in one line; empty: nothing, or what proves little.

    An error of the core's own (an invariant) counts: it would end the agent.
    """
    try:
        variant.kind.run(seed, plan, groups)
    except InvariantViolated as error:
        return f"invariant: {error}"
    except Violation as violation:
        text = str(violation)
        proves = bool(variant.finds) and text.startswith(variant.finds)
        return text if proves or not text.startswith(variant.kind.uncounted) else ""
    return ""


def shown(variant: Variant, trace: Trace) -> str:
    """What ``trace`` shows of it; empty: nothing of what it is to show."""
    found = violation_of(variant, trace.seed, replace(variant.plan, seconds=trace.seconds), list(trace.groups))
    return found if found.startswith(variant.finds) else ""


def shown_as_shipped(variant: Variant, trace: Trace) -> str:
    """What is broken by the same with all as it is shipped: nothing."""
    plan = variant.kind.shipped(replace(variant.plan, seconds=trace.seconds))
    return violation_of(variant, trace.seed, plan, list(trace.groups))


def disappointed(variant: Variant) -> str:
    """What its scenario expects in vain; empty: nothing."""
    script = (SCENARIOS / f"{variant.scenario}.txt").read_text(encoding="utf-8")
    with variant.plan.parts.around():
        try:
            Scenario(variant.plan.parts).play(script)
        except (ExpectationError, Violation) as error:
            return str(error)
    return ""


def find(variant: Variant, seeds: Iterable[int]) -> Trace | None:
    """The first of ``seeds`` that shows it, not shortened."""
    for seed in seeds:
        groups = tuple(variant.kind.schedule_of(seed, variant.plan))
        trace = Trace(seed, variant.plan.seconds, groups, "")
        text = shown(variant, trace)
        if text:
            return replace(trace, violation=text)
    return None


def shorten(variant: Variant, trace: Trace) -> Trace:
    """The same with fewer faults, each one needed."""

    def shows(groups: tuple[Group, ...], seconds: int) -> str:
        return shown(variant, Trace(trace.seed, seconds, groups, ""))

    left = _leave_out(trace.groups, lambda groups: bool(shows(groups, trace.seconds)))
    last_s = max((s.at_ms for g in left for s in g), default=0) // 1000
    seconds = next((s for s in range(last_s + 1, trace.seconds, _TAIL_S) if shows(left, s)), trace.seconds)
    return Trace(trace.seed, seconds, left, shows(left, seconds) or trace.violation)


def _leave_out(groups: tuple[Group, ...], still: Callable[[tuple[Group, ...]], bool]) -> tuple[Group, ...]:
    """The later half first, then one by one, until nothing more can go."""
    for keep in range(len(groups)):
        if still(groups[:keep]):
            groups = groups[:keep]
            break
    changed = True
    while changed:
        changed = False
        for index in reversed(range(len(groups))):
            without = groups[:index] + groups[index + 1 :]
            if still(without):
                groups, changed = without, True
    return groups


def path_of(variant: Variant) -> Path:
    """Where it is kept."""
    return variant.kind.directory / f"{variant.name}.txt"


def write(variant: Variant, trace: Trace) -> None:
    """Keep it."""
    lines = [f"# {variant.what}", f"# {trace.violation}", f"seed {trace.seed}", f"seconds {trace.seconds}"]
    for group in trace.groups:
        lines += ["", *(f"{step.at_ms} {step.line}" for step in group)]
    path_of(variant).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> Trace:
    """What was kept."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line[2:] for line in lines if line.startswith("# ")]
    seed, seconds = (int(line.split()[1]) for line in lines[2:4])
    groups: list[list[Step]] = []
    for line in lines[4:]:
        if not line:
            groups.append([])
        else:
            at_ms, action = line.split(" ", 1)
            groups[-1].append(Step(int(at_ms), action))
    return Trace(seed, seconds, tuple(tuple(group) for group in groups), comments[1])
