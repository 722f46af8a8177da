"""How long a first sync and a full compare take, beside what a plain program needs for the same trees on the same disk.

A first sync: ``b`` is empty, ``a`` has a tree that no replicator has seen; beside it ``rsync -a`` into an empty
directory, and what it takes to have that on the disk too, which a join always has at its end. A full compare: both
trees are the same, and nothing is known of the copy; beside it two readers that read each one of the trees at once.
"""

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench import joins, trees
from bench.outcome import MIB, Bar, Outcome, in_turn, median_ratio, spread
from manager.model.control import Scope
from replicator.core.filesystem import PRIVATE_DIRECTORY

MOST_OF_RSYNC: Final = 1.5
MOST_OF_READING: Final = 1.4
_PRIVATE_AT_ROOT: Final = f"/{PRIVATE_DIRECTORY}"


class Speeds:
    """Of one tree, which :meth:`make` makes."""

    def __init__(self, work: Path, size: int, rounds: int, warm: bool, content: trees.Content) -> None:
        self._work = work
        self._size = size
        self._rounds = rounds
        self._warm = warm
        self._content = content
        self._a, self._b = joins.node("a", work), joins.node("b", work)
        self._files = 0
        self._is_synced = False
        """``b`` has what ``a`` has."""

    def make(self) -> None:
        """The tree, on ``a`` alone."""
        self._files = trees.make_mix(self._a.data, self._size, self._content)

    @property
    def _what(self) -> str:
        cached = "in the page cache" if self._warm else "not in the page cache"
        return f"{self._size / MIB:,.0f} MiB in {self._files:,} files, {cached} at the start"

    # A first sync

    def first_sync(self) -> Outcome:
        """Beside ``rsync -a``."""
        copied: dict[str, list[float]] = {"rsync": [], "join": []}
        on_disk: dict[str, list[float]] = {"rsync": [], "join": []}
        ways: Mapping[str, Callable[[], tuple[float, float]]] = {"rsync": self._by_rsync, "join": self._by_join}
        for number in range(self._rounds):
            for name in in_turn(list(ways), number):
                found = ways[name]()
                copied[name].append(found[0])
                on_disk[name].append(found[1])
            print(f"first sync, round {number + 1} of {self._rounds}", file=sys.stderr)
        ratios = [median_ratio(of["join"], of["rsync"]) for of in (copied, on_disk)]
        rows = [(name, spread(copied[name]), spread(on_disk[name]), self._rate(on_disk[name])) for name in ways]
        return Outcome(
            f"first sync of {self._what}",
            ("", "s until it is copied", "s until it is on the disk", "MiB/s"),
            (*rows, ("ratio", *(f"x {ratio:.2f}" for ratio in ratios), "")),
            (
                Bar("the time of a first sync until all is copied, of rsync's", ratios[0], MOST_OF_RSYNC),
                Bar("the time of a first sync until all is on the disk, of rsync's", ratios[1], MOST_OF_RSYNC),
            ),
        )

    def _by_rsync(self) -> tuple[float, float]:
        target = self._work / "rsync"
        target.mkdir(exist_ok=True)
        trees.prepare_cache(self._a.data, self._warm)
        began_s = time.perf_counter()
        source = (f"--exclude={_PRIVATE_AT_ROOT}", f"{self._a.data}/")
        ran = subprocess.run(["rsync", "-a", *source, f"{target}/"], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(f"rsync: {ran.stderr}")
        copied_s = time.perf_counter() - began_s
        trees.bring_to_disk(target)
        on_disk_s = time.perf_counter() - began_s
        trees.make_empty(target)
        return copied_s, on_disk_s

    def _by_join(self) -> tuple[float, float]:
        trees.make_empty(self._b.data)
        trees.make_plain(self._a.data)
        joined = self._join()
        if joined.at_the_end.bytes_sent != joined.at_the_end.bytes_total:
            raise SystemExit(f"a first sync that did not send everything: {joined.at_the_end}")
        self._is_synced = True
        return joined.copied_s, joined.on_disk_s

    # A full compare

    def full_compare(self) -> Outcome:
        """Beside two readers."""
        if not self._is_synced:
            self._by_join()
        took: dict[str, list[float]] = {"reading both": [], "compare": []}
        ways: Mapping[str, Callable[[], float]] = {"reading both": self._by_reading, "compare": self._by_comparing}
        for number in range(self._rounds):
            for name in in_turn(list(ways), number):
                took[name].append(ways[name]())
            print(f"full compare, round {number + 1} of {self._rounds}", file=sys.stderr)
        ratio = median_ratio(took["compare"], took["reading both"])
        rows = [(name, spread(took[name]), self._rate(took[name])) for name in ways]
        return Outcome(
            f"full compare of twice {self._what}",
            ("", "s until it is known to be equal", "MiB/s of each copy"),
            (*rows, ("ratio", f"x {ratio:.2f}", "")),
            (Bar("the time of a full compare, of that of reading both trees at once", ratio, MOST_OF_READING),),
        )

    def _by_reading(self) -> float:
        self._prepare()
        return trees.read_both(self._a.data, self._b.data)

    def _by_comparing(self) -> float:
        shutil.rmtree(self._b.data / PRIVATE_DIRECTORY)  # nothing is known of this copy
        joined = self._join()
        if joined.at_the_end.scope is not Scope.EVERYTHING or joined.at_the_end.bytes_sent:
            raise SystemExit(f"no compare of everything that is the same: {joined.at_the_end}")
        return joined.on_disk_s

    def _join(self) -> joins.Joined:
        self._prepare()
        with joins.serving(self._a, self._b) as pair:
            return joins.join(pair)

    def _prepare(self) -> None:
        for root in (self._a.data, self._b.data):
            trees.prepare_cache(root, self._warm)

    def _rate(self, took: list[float]) -> str:
        return f"{self._size / MIB / statistics.median(took):,.0f}"
