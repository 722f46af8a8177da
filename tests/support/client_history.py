"""The calls of clients on a virtual address with their outcomes, and what they prove. Pure.

It does not know how calls are made (``tests.support.recorded_client``), nor what happened to the nodes, but for the
instants at which what was not synced may have gone.
"""

import enum
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Outcome(enum.StrEnum):
    """Of a call, as its client knows it."""

    OK = "ok"
    FAILED = "failed"
    """It was refused, or nothing was sent: it has no effect."""
    UNKNOWN = "unknown"
    """No answer came: it may have an effect, at once or later."""


@dataclass(frozen=True, slots=True)
class Call:
    """One. Times are of the clock that all machines of a lab share (``tests.support.common_clock``)."""

    number: int
    do: str
    """``write``, ``sync`` (a write that is synced) or ``read``."""
    begun_ns: int
    ended_ns: int
    outcome: Outcome
    value: int = 0
    """What was written, or the largest number that a read found."""
    node: str = ""
    run: int = 0
    """Which start of the application has answered."""

    @property
    def wrote(self) -> bool:
        """Its client was told that the number is in place."""
        return self.outcome is Outcome.OK and self.do != "read"


def parse(lines: Iterable[str]) -> tuple[Call, ...]:
    """From a client's output, a JSON list a line."""
    calls = []
    for line in lines:
        number, do, begun_ns, ended_ns, outcome, *rest = json.loads(line)
        calls.append(Call(number, do, begun_ns, ended_ns, Outcome(outcome), *rest))
    return tuple(calls)


def promised(calls: Sequence[Call], power_lost_ns: Sequence[int]) -> list[int]:
    """The numbers that one client was told are written and that have to be in place at the end.

    Args:
        calls: in their order.
        power_lost_ns: when all that held the data lost their power: what was not synced before may be gone.
    """
    end_ns, losses = max((call.ended_ns for call in calls), default=0) + 1, _losses(calls, power_lost_ns)
    return [call.number for call in calls if call.wrote and not _excused(call, end_ns, losses)]


def violations(calls: Sequence[Call], served: Sequence[int], power_lost_ns: Sequence[int]) -> list[str]:
    """What is wrong with one client's history, in sentences: of its file (:func:`misplaced`), and of what it read."""
    return misplaced(calls, served, power_lost_ns) + read_back(calls, power_lost_ns)


def misplaced(calls: Sequence[Call], served: Sequence[int], power_lost_ns: Sequence[int]) -> list[str]:
    """What is wrong with one client's file.

    Args:
        calls: its calls, in their order.
        served: what its file has in the end.
        power_lost_ns: as of :func:`promised`.
    """
    there = set(served)
    wrong = [f"{number} was completed, and is lost" for number in promised(calls, power_lost_ns) if number not in there]
    wrong += [f"{number} is there twice" for number in sorted(there) if served.count(number) > 1]
    outcomes = {call.number: call.outcome for call in calls if call.do != "read"}
    for number in served:
        if number not in outcomes:
            wrong.append(f"{number} is there, and was never sent")
        elif outcomes[number] is Outcome.FAILED:
            wrong.append(f"{number} is there, and was refused or never sent")
    done = [number for number in served if outcomes.get(number) is Outcome.OK]
    return wrong + [f"{later} stands before {number}" for later, number in itertools.pairwise(done) if later > number]


def two_primaries(calls: Iterable[Call]) -> list[str]:
    """Writes that one node completed though they began after a later start on another node had answered (P3)."""
    written = [call for call in calls if call.wrote]
    first_ns: dict[tuple[str, int], int] = {}
    for call in written:
        key = call.node, call.run
        first_ns[key] = min(call.ended_ns, first_ns.get(key, call.ended_ns))
    wrong = []
    for call in written:
        for (node, run), at_ns in first_ns.items():
            if node != call.node and run > call.run and at_ns < call.begun_ns:
                wrong.append(f"{call.number}: {call.node} completed it after {node} had served")
                break
    return wrong


def longest_gap_ms(calls: Iterable[Call], begin_ns: int, end_ns: int, last_ns: int | None = None) -> int:
    """The longest time in which no write came to its end, of those that began between ``begin_ns`` and ``end_ns``.

    One that had no end counts until ``last_ns``, which is ``end_ns`` when it is left out.
    """
    times_ns = [begin_ns, *sorted(call.ended_ns for call in calls if call.wrote and call.ended_ns > begin_ns)]
    times_ns.append(max(times_ns[-1], end_ns if last_ns is None else last_ns))
    gaps_ns = [after - before for before, after in itertools.pairwise(times_ns) if before < end_ns]
    return max(gaps_ns, default=0) // 1_000_000


def serving_at(calls: Iterable[Call], at_ns: int) -> str:
    """The node that answered last before then; empty: none had."""
    before = [call for call in calls if call.outcome is Outcome.OK and call.ended_ns <= at_ns]
    return max(before, key=lambda call: call.ended_ns).node if before else ""


def _losses(calls: Sequence[Call], power_lost_ns: Sequence[int]) -> list[tuple[int, int]]:
    """Each loss of all power, and the largest number that was synced before it."""
    synced = [call for call in calls if call.do == "sync" and call.wrote]
    return [
        (at_ns, max((call.number for call in synced if call.ended_ns <= at_ns), default=0)) for at_ns in power_lost_ns
    ]


def _excused(call: Call, until_ns: int, losses: Iterable[tuple[int, int]]) -> bool:
    """Whether what ``call`` wrote may be gone at ``until_ns``: no sync came between it and a loss of all power."""
    return any(call.begun_ns <= at_ns <= until_ns and call.number > synced for at_ns, synced in losses)


def read_back(calls: Sequence[Call], power_lost_ns: Sequence[int]) -> list[str]:
    """Reads that do not know what their client had been told, or had read, before."""
    wrong = []
    known: list[Call] = []
    losses = _losses(calls, power_lost_ns)
    sent = {call.number for call in calls if call.do != "read"}
    for call in calls:
        if call.outcome is not Outcome.OK:
            continue
        if call.do == "read":
            if call.value and call.value not in sent:
                wrong.append(f"a read on {call.node} found {call.value}, which was never sent")
            # From the largest down: the first that may not be gone decides.
            for former in reversed(known):
                if former.value <= call.value:
                    break
                if not _excused(former, call.begun_ns, losses):
                    wrong.append(f"a read on {call.node} found {call.value} after {former.value} was {former.do}")
                    break
        known = [former for former in known if former.value <= call.value]
        known.append(call)
    return wrong
