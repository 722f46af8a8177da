"""What an application feels of a resync: the median and the 99th percentile of its 4 KiB writes, one writer.

Four states in turn: ``a`` serves alone; a pair of its own is in sync; ``b`` is empty and gets everything; ``b`` was
seeded, and everything is compared. Each measurement of the last two is of a join of its own, which has to last longer
than that; it breaks off after it. The bar is of what the application has in sync, which is how it is used to run: from
the resync's beginning on every write is sent to the other node, and a primary alone has not even that to do. What
became of the figures of one alone is shown too.

All is on one disk and one machine: what the other node reads and writes in a resync takes from the application's here,
and would not elsewhere.
"""

import contextlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import joins, trees
from bench.outcome import MIB, Bar, Outcome, in_turn, median_ratio
from replicator.core.filesystem import PRIVATE_DIRECTORY
from tests.support.replicators import Node, Pair
from tests.support.two_disks import leave

MOST_OF_WITHOUT: Final = 2.0
ALONE, IN_SYNC, COPYING, COMPARING = "alone", "in sync", "copying", "comparing"
_STATES: Final = (ALONE, IN_SYNC, COPYING, COMPARING)
_LOADS: Final = {"4 KiB writes": False, "4 KiB writes, fsync after each": True}
"""Whether each is synced."""


@dataclass
class _Figures:
    """Of one state and one load, a figure a round."""

    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    rate_s: list[float] = field(default_factory=list)
    resync_mib_s: list[float] = field(default_factory=list)

    def note(self, found: dict[str, float]) -> None:
        """What the writer said."""
        self.p50_us.append(found["p50_us"])
        self.p99_us.append(found["p99_us"])
        self.rate_s.append(found["rate_s"])


Found = dict[tuple[str, str], _Figures]
"""By load and state."""


def measure(work: Path, size: int, rounds: int, seconds: float, warm: bool, content: trees.Content) -> Outcome:
    """``seconds`` of each single measurement; ``size`` of the tree that is brought in sync meanwhile."""
    a, empty, seeded = joins.node("a", work), joins.node("b", work / "empty"), joins.node("b", work / "seeded")
    for node in (a, seeded):
        trees.make_mix(node.data, size, content)
    found: Found = defaultdict(_Figures)
    with _below(a.data) as tree, _in_sync(work / "in-sync") as in_sync, joins.serving(a, empty) as pair:

        def meanwhile(state: str, figures: _Figures) -> contextlib.AbstractContextManager[None]:
            """What goes on while it is written."""
            if state == COPYING:
                trees.make_empty(empty.data)
                trees.prepare_cache(tree, warm)
                return _resync(pair, empty, figures)
            if state == COMPARING:
                # Nothing is known of this copy.
                shutil.rmtree(seeded.data / PRIVATE_DIRECTORY, ignore_errors=True)
                for root in (tree, seeded.data):
                    trees.prepare_cache(root, warm)
                return _resync(pair, seeded, figures)
            return contextlib.nullcontext()

        for number in range(rounds):
            for (load, fsync), state in itertools.product(_LOADS.items(), in_turn(_STATES, number)):
                figures = found[load, state]
                with meanwhile(state, figures):
                    figures.note(_write(in_sync if state == IN_SYNC else a.data, seconds, fsync))
            print(f"foreground, round {number + 1} of {rounds}", file=sys.stderr)
    return _outcome(found)


@contextlib.contextmanager
def _in_sync(work: Path) -> Iterator[Path]:
    with joins.serving(joins.node("a", work), joins.node("b", work)) as pair:
        joins.join(pair)
        yield pair.a.data


@contextlib.contextmanager
def _below(directory: Path) -> Iterator[Path]:
    """A path to what is in a directory, also when something is mounted over it."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/{os.getpid()}/fd/{file}")
    finally:
        os.close(file)


@contextlib.contextmanager
def _resync(pair: Pair, joining: Node, figures: _Figures) -> Iterator[None]:
    """``joining`` is brought in sync meanwhile, and is gone after that."""
    pair.b = joining
    joins.begin(pair)
    yield
    if joins.has_ended(pair):
        raise SystemExit("the resync ended before the writer did: give more --bytes, or fewer --seconds")
    last = joins.progress(pair)[-1]
    figures.resync_mib_s.append(last.bytes_done / MIB / (last.elapsed_ms / 1000))
    leave(pair)


def _write(directory: Path, seconds: float, fsync: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.writer", str(directory), str(seconds), *(["--fsync"] if fsync else [])]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 120)
    if ran.returncode:
        raise SystemExit(f"the writer in {directory}: {ran.stderr}")
    found: dict[str, float] = json.loads(ran.stdout)
    return found | {"rate_s": found["count"] / seconds}


def _outcome(found: Found) -> Outcome:
    rows = []
    bars = []
    for load in _LOADS:
        for state in _STATES:
            figures = found[load, state]
            ratios = []
            for base in (ALONE, IN_SYNC):
                p50 = median_ratio(figures.p50_us, found[load, base].p50_us)
                p99 = median_ratio(figures.p99_us, found[load, base].p99_us)
                ratios.append(f"x {p50:.2f}, x {p99:.2f}")
                if base == IN_SYNC and state in (COPYING, COMPARING):
                    bars += [
                        Bar(f"the {name} of {load} while {state}, of that {base}", ratio, MOST_OF_WITHOUT)
                        for name, ratio in (("p50", p50), ("p99", p99))
                    ]
            rows.append(
                (
                    load,
                    state,
                    _middle(figures.p50_us),
                    _middle(figures.p99_us),
                    *ratios,
                    _middle(figures.rate_s),
                    _middle(figures.resync_mib_s),
                )
            )
    return Outcome(
        "one writer, with and without a resync",
        ("", "", "p50 us", "p99 us", "p50, p99 of alone", "p50, p99 of in sync", "a second", "resync MiB/s"),
        tuple(rows),
        tuple(bars),
    )


def _middle(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f}" if values else ""
