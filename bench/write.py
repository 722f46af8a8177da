"""How fast writes are: a plain directory, the floor, the mirror and, when asked, GlusterFS, side by side in one run.

Usage: ``python -m bench.write [--rounds 7] [--seconds 2] [--tls] [--gluster] [--dir D]``, as root.

Each round measures every candidate once for every workload, in an order that changes from round to round, so that
what the machine does beside falls on all alike. The figures are the medians; the ratios are medians of each round's
own ratio. A figure of one run says little: the machine's speed drifts, the ratio does not.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import candidates
from bench.workload import WORKLOADS

Opened = Callable[[Path], AbstractContextManager[Path]]
Figures = Mapping[tuple[str, str], Sequence[float]]
"""(candidate, workload) to the figure of each round."""

ALWAYS: Mapping[str, Opened] = {"plain": candidates.plain, "floor": candidates.floor, "mirror": candidates.mirror}
WHEN_ASKED: Mapping[str, Opened] = {
    "gluster, write-behind off": candidates.gluster_safe,
    "gluster, default": candidates.gluster_default,
}
TLS: Mapping[str, Opened] = {"floor, TLS": candidates.floor_tls, "mirror, TLS": candidates.mirror_tls}
BAR = 0.75
"""What the mirror is to reach of the floor; with TLS, of the floor with TLS."""
TLS_BAR = 0.65
"""What the mirror with TLS is to reach of the one without, for writes of 4 KiB."""
TLS_BARRED = ("random-4k-1", "random-4k-4")
BARRED = ("random-4k-1", "random-4k-4", "fsync-4k-1", "sequential-1m")
"""The workloads to which that applies."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when the mirror is below the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each single measurement")
    parser.add_argument("--tls", action="store_true", help="floor and mirror with the stream inside TLS, too")
    parser.add_argument("--gluster", action="store_true", help="GlusterFS too, in runs of their own beside the others")
    parser.add_argument("--dir", type=Path, help="where the copies lie (default: a temporary directory)")
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="only this one; may be repeated")
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    workloads = args.workload or list(WORKLOADS)
    runs: list[Mapping[str, Opened]] = [{**ALWAYS, **TLS} if args.tls else ALWAYS]
    if args.gluster:
        # One glusterd, so one volume at a time; the floor and the mirror are measured beside each again.
        runs += [{**ALWAYS, name: opened} for name, opened in WHEN_ASKED.items()]
    below: list[str] = []
    for opened in runs:
        with tempfile.TemporaryDirectory(prefix="mirrorfarm-bench-", dir=args.dir) as work:
            figures = measure(Path(work), opened, workloads, args.rounds, args.seconds)
        report(figures, workloads)
        below += below_bars(figures, workloads)
    for words in below:
        print(words, file=sys.stderr)
    return 1 if below else 0


def below_bars(figures: Figures, workloads: Sequence[str]) -> list[str]:
    """What is less than it is to be, in words."""
    bars: list[tuple[str, str, float, Sequence[str]]] = [("mirror", "floor", BAR, BARRED)]
    if ("mirror, TLS", workloads[0]) in figures:
        bars += [("mirror, TLS", "floor, TLS", BAR, TLS_BARRED), ("mirror, TLS", "mirror", TLS_BAR, TLS_BARRED)]
    return [
        f"{name} is below {bar} of {base}: {WORKLOADS[workload][0]}"
        for name, base, bar, barred in bars
        for workload in workloads
        if workload in barred and ratio(figures, name, base, workload) < bar
    ]


def measure(
    work: Path, opened: Mapping[str, Opened], workloads: Sequence[str], rounds: int, seconds: float
) -> dict[tuple[str, str], list[float]]:
    """All candidates are open at once, and idle while another is measured."""
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    with _all_open(work, opened) as directories:
        names = list(directories)
        for number in range(rounds):
            for workload in workloads:
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    figures[name, workload].append(_one(directories[name], workload, seconds))
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return figures


@contextlib.contextmanager
def _all_open(work: Path, opened: Mapping[str, Opened]) -> Iterator[dict[str, Path]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(open_one(work)) for name, open_one in opened.items()}


def _one(directory: Path, workload: str, seconds: float) -> float:
    command = [sys.executable, "-m", "bench.workload", str(directory), workload, str(seconds)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 120)
    if ran.returncode:
        raise SystemExit(f"{workload} in {directory}: {ran.stderr}")
    return float(ran.stdout)


def ratio(figures: Figures, name: str, base: str, workload: str) -> float:
    """The median of the ratios of the rounds."""
    pairs = zip(figures[name, workload], figures[base, workload], strict=True)
    return statistics.median(a / b for a, b in pairs)


def report(figures: Figures, workloads: Sequence[str]) -> None:
    """A row a workload: each candidate's median with its range, and its ratio to the floor."""
    names = list(dict.fromkeys(name for name, _ in figures))
    table = Table(title=f"medians (least to most), and the ratio to the floor; {os.cpu_count()} processors")
    for heading in ("workload", *names):
        table.add_column(heading)
    for workload in workloads:
        words, unit = WORKLOADS[workload]
        cells = []
        for name in names:
            values = figures[name, workload]
            cell = f"{statistics.median(values):,.0f} {unit} ({min(values):,.0f} to {max(values):,.0f})"
            cells.append(f"{cell}\nx {ratio(figures, name, 'floor', workload):.2f}")
        table.add_row(words, *cells)
    Console(width=60 + 40 * len(names)).print(table)


if __name__ == "__main__":
    sys.exit(main())
