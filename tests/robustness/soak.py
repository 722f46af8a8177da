"""Random schedules of faults, one seed each, on one lab after the other: the command that repeats what a test found.

``python -m tests.robustness.soak --seed 7 --schedules 1`` repeats one; ``--minutes 60`` goes on for an hour; ``--mix``
has them befall two farms and three mirrors on three nodes (``tests.robustness.mix``). As root.
Everything is in the directory of ``--report``: ``reports.jsonl``, ``summary.txt``, and the logs of what went wrong, or
took long.
"""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from manager.lab.errors import LabError
from manager.lab.lab import Lab
from tests.robustness.campaign import Campaign
from tests.robustness.mix import MIRRORS, NODES, Mix
from tests.robustness.reports import Report, summary
from tests.robustness.schedules import Schedule, make_schedule, without_operators
from tests.robustness.sufferer import Sufferer
from tests.support.lab import lab_directory, make_lab
from tests.support.recorded_cluster import RecordedCluster
from tests.support.told_program import ROOT

DIRECTORY = ROOT / "build" / "robustness"
_COMMAND = ".venv/bin/python -m tests.robustness.soak --schedules 1"
_LONG_MS = 45_000
"""An outage of so long may be right, as where etcd was away; its logs say whether it was."""
_LAB_S = 6 * 3600.0
"""A lab that is left by a killed run is gone after this."""


class Soak:
    """Runs schedules, keeps their reports, and makes a new lab after one that went wrong, and every few hours."""

    def __init__(self, directory: Path, *, wall_clock: bool, short: bool, mix: bool = False) -> None:
        self.reports: list[Report] = []
        self._directory = directory
        self._wall_clock = wall_clock
        self._short = short
        self._mix = mix
        self._repeat = _COMMAND + " --mix" * mix + " --wall-clock" * wall_clock + " --short" * short
        directory.mkdir(parents=True, exist_ok=True)

    def run(self, first_seed: int, schedules: int | None, minutes: float | None = None) -> None:
        """So many schedules, or for so long, whichever ends first."""
        end = time.monotonic() + 60 * minutes if minutes is not None else None
        done = 0
        try:
            while not self._over(done, schedules, end):
                with _mix() if self._mix else _cluster() as cluster:
                    good, last = True, time.monotonic() + _LAB_S / 2
                    while good and time.monotonic() < last and not self._over(done, schedules, end):
                        good = self._one(cluster, first_seed + done)
                        done += 1
        finally:
            (self._directory / "summary.txt").write_text(summary(self.reports))

    def _over(self, done: int, schedules: int | None, end: float | None) -> bool:
        return (schedules is not None and done >= schedules) or (end is not None and time.monotonic() >= end)

    def _one(self, cluster: Sufferer, seed: int) -> bool:
        """Whether nothing was wrong."""
        schedule = self._schedule(seed)
        report = Campaign(cluster, self._repeat).run(schedule)
        self.reports.append(report)
        with (self._directory / "reports.jsonl").open("a") as file:
            file.write(json.dumps(report.plain()) + "\n")
        print(report.line(), flush=True)
        if report.violations or report.longest_outage_ms >= _LONG_MS:
            self._tell(cluster, schedule, report)
        if report.violations:
            return False
        cluster.forget()
        return True

    def _schedule(self, seed: int) -> Schedule:
        if not self._mix:
            return make_schedule(seed, wall_clock=self._wall_clock, short=self._short)
        modules = tuple(module.name for module in MIRRORS)
        made = make_schedule(seed, wall_clock=self._wall_clock, short=self._short, nodes=NODES, modules=modules)
        return without_operators(made, NODES)

    def _tell(self, cluster: Sufferer, schedule: Schedule, report: Report) -> None:
        kept = self._directory / f"seed-{schedule.seed}"
        cluster.keep(kept)
        lines = [report.repeat, "", *schedule.lines(), "", *report.violations]
        (kept / "schedule.txt").write_text("\n".join(lines) + "\n")
        print("\n".join([*lines, f"The logs of the lab: {kept}"]), flush=True)


@contextlib.contextmanager
def _cluster() -> Iterator[Sufferer]:
    """Open, and its module stopped."""
    with _lab(("a", "b")) as lab:
        cluster = RecordedCluster(lab)
        cluster.open()
        cluster.stop()
        cluster.forget()
        yield cluster


@contextlib.contextmanager
def _mix() -> Iterator[Sufferer]:
    """Open, and its mirrors stopped."""
    with _lab(NODES) as lab:
        mix = Mix(lab)
        try:
            mix.open()
        except LabError:
            mix.keep(DIRECTORY / "not-opened")
            raise
        mix.stop()
        mix.forget()
        yield mix


@contextlib.contextmanager
def _lab(nodes: tuple[str, ...]) -> Iterator[Lab]:
    with tempfile.TemporaryDirectory() as otherwise:
        lab = make_lab(lab_directory(Path(otherwise)), nodes, ttl_s=_LAB_S)
        try:
            yield lab
        finally:
            lab.down()


def main() -> int:
    """Exit code 1: something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of the first schedule")
    parser.add_argument("--schedules", type=int, help="how many (default: as many as --minutes allows, else 200)")
    parser.add_argument("--minutes", type=float, help="for how long")
    parser.add_argument("--short", action="store_true", help="short schedules, as the tests run them every time")
    parser.add_argument("--mix", action="store_true", help="two farms and three mirrors on three nodes")
    parser.add_argument("--wall-clock", action="store_true", help="let this machine's wall clock jump by up to 2 s")
    parser.add_argument("--report", type=Path, default=DIRECTORY, metavar="DIR", help=f"default: {DIRECTORY}")
    args = parser.parse_args()
    # The lab goes with whoever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    schedules = args.schedules if args.schedules or args.minutes else 200
    soak = Soak(args.report, wall_clock=args.wall_clock, short=args.short, mix=args.mix)
    soak.run(args.seed, schedules, args.minutes)
    print(summary(soak.reports))
    return 1 if any(report.violations for report in soak.reports) else 0


if __name__ == "__main__":
    sys.exit(main())
