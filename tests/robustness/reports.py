"""What came of a schedule, for programs (a JSON object a line) and for people. Pure."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.robustness.schedules import Fault, Kind


@dataclass(frozen=True, slots=True)
class Suffered:
    """A fault as it was made."""

    name: str
    """For people, with its nodes."""
    label: str
    """With the roles that the nodes had: what is compared with its like."""
    at_ms: int
    """After the schedule's beginning."""
    lasted_ms: int
    not_possible: str
    """Why it could not be made at its moment; empty: it was."""
    alone: bool
    """No other fault was near."""
    outage_ms: int
    """The longest time without a completed write, as the clients saw it, that began before the next fault did."""
    not_undone: str = ""
    """Why it could not be undone at its moment: it lasted until the repair; empty: it was."""


@dataclass(frozen=True, slots=True)
class Report:
    """Of one schedule."""

    seed: int
    repeat: str
    """The command."""
    faults: tuple[Suffered, ...]
    completed: int
    """Calls of clients that ended well."""
    failed: int
    unknown: int
    operations: int
    """Of the application itself."""
    lost: int | None
    """Of the completed writes; ``None``: not known, as it did not come to rest."""
    power_lost: int
    """How often all that held the data lost their power: from then on only what was synced is looked for."""
    longest_outage_ms: int
    converged_ms: int | None
    """From the last repair to two copies; ``None``: it did not come to that."""
    took_ms: int
    violations: tuple[str, ...]
    stuck_ms: int = 0
    """The longest time in which nobody served a mirror although a node could (``tests.robustness.watch``)."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def line(self) -> str:
        """For people."""
        converged = (
            "did not converge" if self.converged_ms is None else f"two copies in {self.converged_ms / 1000:.1f} s"
        )
        verdict = "nothing lost" if not self.violations else f"WRONG: {self.violations[0]}"
        return (
            f"seed {self.seed}: {'; '.join(f.label for f in self.faults)}: {self.completed} completed, longest outage "
            f"{self.longest_outage_ms / 1000:.1f} s, {converged}, {verdict}"
        )


def label(fault: Fault, serving: str) -> str:
    """The fault's name with roles for nodes, when ``serving`` is the primary."""
    if fault.kind in (Kind.ETCD_DEAD, Kind.ETCD_FROZEN):
        return f"{fault.kind} {len(fault.nodes)} of 3"
    roles = [_role(node, serving) for node in fault.nodes]
    if (fault.kind in (Kind.CUT, Kind.CUT_ETCD) and len(roles) == 2) or fault.kind is Kind.POWER_BOTH:
        return fault.kind if fault.kind is Kind.POWER_BOTH else f"{fault.kind} apart"
    if fault.kind is Kind.STOP and len(roles) == 2:
        return f"{fault.kind} both"
    return " ".join(word for word in (fault.kind, fault.part, *roles, "" if roles else fault.amount) if word)


def _role(node: str, serving: str) -> str:
    if node not in "ab" or not serving:
        return node
    return "primary" if node == serving else "secondary"


def summary(reports: Sequence[Report]) -> str:
    """Totals, and a table of outages: those of faults that came alone."""
    bad = [report for report in reports if report.violations]
    faults = [fault for report in reports for fault in report.faults]
    converged = [r.converged_ms for r in reports if r.converged_ms is not None]
    impossible, lasting = sum(bool(f.not_possible) for f in faults), sum(bool(f.not_undone) for f in faults)
    lines = [
        f"{len(reports)} schedules, {len(faults)} faults ({impossible} of them not possible at their moment, {lasting} "
        "not to be undone at theirs)",
        f"{sum(r.completed for r in reports)} calls completed, {sum(r.unknown for r in reports)} unknown; "
        f"{sum(r.operations for r in reports)} operations of the application",
        f"lost: {_lost(reports)}; schedules with something wrong: {len(bad)}",
        f"served in {max((r.stuck_ms for r in reports), default=0) / 1000:.1f} s at the latest, once a node could",
    ]
    if converged:
        lines.append(
            f"two copies again after {statistics.median(converged) / 1000:.1f} s (median), "
            f"{max(converged) / 1000:.1f} s (longest)"
        )
    lines += ["", *table(_by_label(faults))]
    for report in bad:
        lines += ["", f"seed {report.seed}: {report.repeat}", *(f"  {words}" for words in report.violations)]
    return "\n".join(lines) + "\n"


def _lost(reports: Sequence[Report]) -> str:
    known = [report.lost for report in reports if report.lost is not None]
    unknown = len(reports) - len(known)
    return f"{sum(known)}" + (f", and not known of {unknown} schedules" if unknown else "")


def _by_label(faults: Iterable[Suffered]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for fault in faults:
        if not fault.not_possible:
            found[fault.label if fault.alone else "several at once"].append(fault.outage_ms)
    return found


def table(outages_ms: dict[str, list[int]]) -> list[str]:
    """Lines: what, how often, and its outages."""
    width = max((len(name) for name in outages_ms), default=0)
    lines = [f"{'fault':{width}}  times  median ms     min ms     max ms"]
    for name, found in sorted(outages_ms.items()):
        median = statistics.median(found)
        lines.append(f"{name:{width}}  {len(found):5}  {median:9.0f}  {min(found):9}  {max(found):9}")
    return lines
