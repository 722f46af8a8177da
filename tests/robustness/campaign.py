"""Runs schedules on a cluster: load, faults in their time, repair, convergence, and the checks; a report of each.

It decides when what is done, not what (``schedules``) nor what is right (``tests.support``).
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from manager.lab.errors import LabError
from tests.robustness.reports import Report, Suffered, label
from tests.robustness.schedules import Schedule
from tests.robustness.sufferer import Sufferer
from tests.robustness.suffering import Made, suffer_all
from tests.robustness.watch import Watch
from tests.support import client_history
from tests.support.client_history import Call, Outcome
from tests.support.common_clock import now_ns
from tests.support.moments import Moments

CONVERGED_S = 90.0
"""A cluster that was repaired has two copies again within this time, and serves: a node that flapped is listed a minute
after its last loss at the latest (S10)."""
CLIENTS = 2
_SERVED_S = 40.0
_ANSWERED_S = 20.0
"""Where it took nearly all of that time, on a machine so busy that each question took seconds, clients have this."""
_NEAR_NS = 6_000_000_000
_REPAIRS = 3


@dataclass(frozen=True, slots=True)
class _Rest:
    """What was found once all was stopped."""

    wrong: tuple[str, ...]
    lost: int | None


class Watching(Protocol):
    """What somebody has seen who looked on."""

    moments: Moments
    wrong: list[str]

    @property
    def longest_ns(self) -> int:
        """For how long nobody served a mirror although one could."""


Looks = Callable[[Sufferer], contextlib.AbstractContextManager[Watching]]


class NotConverged(Exception):
    """A repaired cluster has not two copies, or does not serve, in time."""


class Campaign:
    """On one cluster, whose modules are open and stopped between schedules."""

    def __init__(self, cluster: Sufferer, repeat: str, watch: Looks = Watch) -> None:
        """``repeat``: the command that repeats a schedule, without its seed; ``watch``: who looks on."""
        self._cluster = cluster
        self._repeat = repeat
        self._watch = watch

    def run(self, schedule: Schedule) -> Report:
        """Suffers it. What is wrong is in the report; after it this cluster is of no more use.

        Raises:
            LabError: not even the beginning came about.
        """
        cluster = self._cluster
        begun_ns = now_ns()
        cluster.start()
        cluster.start_clients(CLIENTS)
        self._wait_for_answers(_SERVED_S)
        first_ns = now_ns()
        converged_ms, whole, wrong = None, True, list[str]()
        with self._watch(cluster) as watch:
            made = suffer_all(cluster, schedule, first_ns)
            repaired_ns = now_ns()
            try:
                converged_ms = self._converge()
                wrong += self._verify()
            except NotConverged as error:
                whole = False
                wrong.append(str(error))
        rest = self._rest(watch.moments, whole=whole)
        calls = cluster.calls()
        outcomes = [call.outcome for call in calls]
        end_ns = repaired_ns + 1_000_000 * (converged_ms or 0)
        return Report(
            seed=schedule.seed,
            repeat=f"{self._repeat} --seed {schedule.seed}",
            faults=_judged(made, calls, cluster.serving_at, first_ns, end_ns),
            completed=outcomes.count(Outcome.OK),
            failed=outcomes.count(Outcome.FAILED),
            unknown=outcomes.count(Outcome.UNKNOWN),
            operations=cluster.operations(),
            lost=rest.lost,
            power_lost=cluster.power_losses,
            longest_outage_ms=client_history.longest_gap_ms(calls, first_ns, end_ns),
            converged_ms=converged_ms,
            took_ms=(now_ns() - begun_ns) // 1_000_000,
            violations=(*watch.wrong, *wrong, *rest.wrong),
            stuck_ms=watch.longest_ns // 1_000_000,
        )

    def _converge(self) -> int:
        """Repairs; how long it then took until there were two copies, in milliseconds."""
        for left in reversed(range(_REPAIRS)):
            try:
                self._cluster.repair()
                break
            except LabError as error:
                if not left:
                    raise NotConverged(f"not repaired: {error}") from None
        begun = time.monotonic()
        try:
            self._cluster.recover(CONVERGED_S)
        except LabError as error:
            raise NotConverged(f"not as it is to be after the repair: {error}") from None
        converged_ms = round((time.monotonic() - begun) * 1000)
        self._wait_for_answers(max(_ANSWERED_S, CONVERGED_S - converged_ms / 1000))
        return converged_ms

    def _wait_for_answers(self, seconds: float) -> None:
        try:
            self._cluster.wait_for_answers(seconds=seconds)
        except AssertionError as error:
            raise NotConverged(str(error)) from None

    def _verify(self) -> list[str]:
        try:
            return self._cluster.verify()
        except LabError as error:
            raise NotConverged(f"verify: {error}") from None

    def _rest(self, moments: Moments, *, whole: bool) -> _Rest:
        """All is stopped, and looked at; as far as it comes to that, where it was not ``whole``."""
        cluster, wrong = self._cluster, list[str]()
        try:
            cluster.end_clients()
            if whole:
                # Where this machine is short of cores, a node may have taken over since: it is alone then, rightly, and
                # what it writes the other lacks until it has joined.
                cluster.recover(CONVERGED_S)
            cluster.stop()
            wrong += cluster.violations(moments, whole=whole)
            return _Rest(tuple(wrong), cluster.lost())
        except (LabError, AssertionError) as error:
            return _Rest((*wrong, f"at rest: {error}"), None)


def _judged(
    made: Sequence[Made], calls: Sequence[Call], serving_at: Callable[[int], str], first_ns: int, end_ns: int
) -> tuple[Suffered, ...]:
    judged = []
    begins_ns = sorted(one.begun_ns for one in made)
    for one in made:
        next_ns = next((at_ns for at_ns in begins_ns if at_ns > one.begun_ns), end_ns)
        near = [
            other for other in made
            if other is not one and other.begun_ns < next_ns and other.ended_ns + _NEAR_NS > one.begun_ns
        ]  # fmt: skip
        alone = not near and next_ns >= one.ended_ns
        judged.append(
            Suffered(
                name=one.fault.name,
                label=label(one.fault, serving_at(one.begun_ns)),
                at_ms=(one.begun_ns - first_ns) // 1_000_000,
                lasted_ms=(one.ended_ns - one.begun_ns) // 1_000_000,
                not_possible=one.not_possible,
                not_undone=one.not_undone,
                alone=alone,
                outage_ms=client_history.longest_gap_ms(calls, one.begun_ns, next_ns, end_ns),
            )
        )
    return tuple(judged)
