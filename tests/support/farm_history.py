"""What a farm's clients saw while nodes came and went, and what of it is wrong. Pure.

It knows when which node lost its connections, and when nothing was on its way; it does not know slots. All moments are
of one clock (``tests.support.common_clock``).
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.support.farm_client import Seen

SECOND_NS = 1_000_000_000
BACK_NS = 2 * SECOND_NS
"""What a dead node had is served by others within this."""
_LOOKED_AT_NS = 12 * SECOND_NS
"""After a death: longer than a connection that is not answered lasts."""
_SHOWN = 12


class How(enum.Enum):
    """What ends the connections of a node."""

    DIED = "died"
    """At one moment: what comes for it is lost until somebody has noticed."""
    STOPPED = "stopped"
    """By an operator: what begins goes to the others before."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A node lost its connections."""

    node: str
    how: How
    at_ns: int
    over_ns: int
    """What began later than this is not excused by it."""


@dataclass(frozen=True, slots=True)
class Calm:
    """Nothing was on its way."""

    begin_ns: int
    end_ns: int
    weights: Mapping[str, int]
    """Of the nodes that served."""


def violations(seen: Iterable[Seen], losses: Sequence[Loss]) -> list[str]:
    """What went wrong that none of ``losses`` excuses, in sentences."""
    seen = list(seen)
    stalls = [one for one in seen if one.kind == "stall"]
    wrong = [
        f"{one.kind} connection of {one.source}: {words}"
        for one in seen
        if (words := _wrong(one, losses)) and not _was_asleep(one, stalls)
    ]
    return wrong if len(wrong) <= _SHOWN else [*wrong[:_SHOWN], f"and {len(wrong) - _SHOWN} more"]


def _wrong(one: Seen, losses: Sequence[Loss]) -> str:
    if not one.how:
        return ""
    if not one.answered_ns:
        away = (loss for loss in losses if loss.how is How.DIED)
        excused = any(one.began_ns <= loss.at_ns + BACK_NS and one.ended_ns >= loss.at_ns for loss in away)
        return "" if excused else f"never answered, but {one.how}, {_when(one, losses)}"
    if not any(_lost_with(one, loss) for loss in losses):
        return f"served by {one.node}, and {one.how}, {_when(one, losses)}"
    return "" if one.how in ("reset", "refused") else f"served by {one.node}, which it lost, and {one.how}"


def _was_asleep(one: Seen, stalls: Iterable[Seen]) -> bool:
    """Its program was not run while it waited for its first answer: what became of that is not known."""
    is_six = ":" in one.source
    near = (stall for stall in stalls if (":" in stall.source) == is_six)
    return not one.answered_ns and any(s.began_ns <= one.ended_ns and s.ended_ns >= one.began_ns for s in near)


def _lost_with(one: Seen, loss: Loss) -> bool:
    return one.node == loss.node and one.began_ns <= loss.over_ns and one.ended_ns >= loss.at_ns


def _when(one: Seen, losses: Sequence[Loss]) -> str:
    before = [loss for loss in losses if loss.at_ns <= one.ended_ns]
    if not before:
        return "before anything had happened"
    last = max(before, key=lambda loss: loss.at_ns)
    begun_s, over_s = ((moment_ns - last.at_ns) / SECOND_NS for moment_ns in (one.began_ns, one.ended_ns))
    return f"begun {begun_s:.2f} s and over {over_s:.2f} s after {last.node} {last.how.value}"


def away_ns(seen: Iterable[Seen], loss: Loss) -> int:
    """From a death until the last short connection was begun whose first segment was lost, or that was not served."""
    until_ns = loss.at_ns + _LOOKED_AT_NS
    near = (one for one in seen if one.kind == "short" and loss.at_ns <= one.began_ns < until_ns)
    waited = (one.began_ns for one in near if one.how or one.again)
    return max(waited, default=loss.at_ns) - loss.at_ns


def answered(seen: Iterable[Seen], calms: Sequence[Calm]) -> dict[str, tuple[int, float]]:
    """By node, the connections that it answered of those begun in calms, and how many it was to by its weight."""
    found: dict[str, tuple[int, float]] = {}
    of_some = [one for one in seen if one.node]
    for calm in calms:
        nodes = [one.node for one in of_some if calm.begin_ns <= one.began_ns < calm.end_ns]
        total = sum(calm.weights.values())
        for node in {*nodes, *calm.weights}:
            did, due = found.get(node, (0, 0.0))
            due += len(nodes) * calm.weights.get(node, 0) / total
            found[node] = did + nodes.count(node), due
    return found
