"""What a node that was away for some changes costs: a large file of which little changed, and many files of which few.

Both nodes begin with the same tree, as a copy that was seeded, and with all of it on the disk: what a replicator notes
there first would wait for gigabytes else, and it would be taken for hung. The figures are the join's own counters.
"""

import random
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench import joins, trees
from bench.outcome import MIB, Bar, Outcome
from manager.model.control import Scope
from replicator.core.dirty import ZONE_BYTES
from tests.support.replicators import Pair
from tests.support.two_disks import leave

CHANGED: Final = 20
"""Of the many files."""
FILE_BYTES: Final = 2048
"""Each of them."""
ON_DISK_BYTES: Final = 4096
"""What each of them takes."""
MOST_OF_CHANGED: Final = 1.2
MOST_SENT_A_WRITE: Final = (5 << 20) // 100
_BLOCK: Final = 4096


def large_file(work: Path, size: int, writes: int, content: trees.Content) -> Outcome:
    """``writes`` of 4 KiB at random places of one file, full, while the peer is away."""
    a, b = joins.node("a", work), joins.node("b", work)
    for node in (a, b):
        content.write(node.data / "large", size, 0)
    trees.bring_to_disk(work)
    _tell(f"both files of {size / MIB:,.0f} MiB are made")
    chance = random.Random(5)
    with joins.serving(a, b) as pair:
        seeded = joins.join(pair)
        _tell("they are known to be equal")
        leave(pair)
        with open(a.data / "large", "r+b", buffering=0) as file:
            for _ in range(writes):
                file.seek(chance.randrange(size // _BLOCK) * _BLOCK)
                file.write(chance.randbytes(_BLOCK))
        came = _come_back(pair)
    _must_be_equal(a.data / "large", b.data / "large")
    last = came.at_the_end
    zones = -(-last.bytes_done // ZONE_BYTES)
    return Outcome(
        f"one file of {size / MIB:,.0f} MiB, {writes} random writes of 4 KiB while the peer is away",
        ("s until in sync", "zones read", "MiB read", "MiB sent", "s of the full compare before"),
        (
            (
                f"{came.on_disk_s:.2f}",
                f"{zones}",
                f"{last.bytes_done / MIB:.1f}",
                f"{last.bytes_sent / MIB:.2f}",
                f"{seeded.on_disk_s:.1f}",
            ),
        ),
        (
            Bar("zones read of the large file", zones, writes),
            Bar("bytes sent of the large file", last.bytes_sent, MOST_SENT_A_WRITE * writes),
        ),
    )


def many_files(work: Path, few: int, many: int, content: trees.Content) -> Outcome:
    """20 changed of ``few`` files, and of ``many``: the counters have to be the same."""
    came = {count: _of_many(work / f"{count}", count, content) for count in (few, many)}
    rows = []
    for count, joined in came.items():
        last = joined.at_the_end
        figures = (last.entries_done, last.files_done, last.bytes_done, last.bytes_sent)
        rows.append((f"{count:,}", f"{joined.on_disk_s:.2f}", *(f"{figure:,}" for figure in figures)))
    less, more = came[few].at_the_end, came[many].at_the_end
    return Outcome(
        f"{CHANGED} files changed, of {FILE_BYTES} bytes each",
        ("files", "s until in sync", "entries examined", "files examined", "bytes examined", "bytes sent"),
        tuple(rows),
        (
            Bar("entries examined of many files, to those of few", more.entries_done, less.entries_done),
            Bar("files examined of many, to those of few", more.files_done, less.files_done),
            Bar("bytes examined of many files, to those of few", more.bytes_done, less.bytes_done),
            Bar("bytes sent of many files, to those of few", more.bytes_sent, less.bytes_sent),
            Bar("bytes sent, to those of the changed files", more.bytes_sent, MOST_OF_CHANGED * CHANGED * FILE_BYTES),
        ),
    )


def _of_many(work: Path, count: int, content: trees.Content) -> joins.Joined:
    a, b = joins.node("a", work), joins.node("b", work)
    for node in (a, b):
        trees.make_many(node.data, count, FILE_BYTES, content)
    trees.bring_to_disk(work)
    _tell(f"twice {count:,} files are made")
    with joins.serving(a, b) as pair:
        joins.join(pair)
        _tell("they are known to be equal")
        leave(pair)
        trees.change_some(a.data, count, CHANGED)
        return _come_back(pair)


def _come_back(pair: Pair) -> joins.Joined:
    came = joins.join(pair)
    if came.at_the_end.scope is not Scope.CHANGES:
        raise SystemExit(f"more was looked at than what changed: {came.at_the_end}")
    return came


def _tell(words: str) -> None:
    """How far it is: with the sizes that count each step takes a minute or more."""
    print(words, file=sys.stderr)


def _must_be_equal(one: Path, other: Path) -> None:
    if subprocess.run(["cmp", "--", str(one), str(other)], check=False).returncode:
        raise SystemExit("the copies are not equal after the resync")
