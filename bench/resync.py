"""What a resync costs, in time, to the application and in bytes, with real replicators: five parts, each with a bar.

Usage: ``python -m bench.resync [--full] [--part P] [--rounds N] [--bytes N] [--seconds S] [--warm] [--compressible]
[--dir D]``, as root. A quick look without ``--full``; with it the sizes that count, which need 41 GiB on the disk, and
a machine that does nothing else.

``first``: a first sync of a tree, beside ``rsync -a`` (Debian's rsync). ``compare``: a full compare of a tree that is
the same on both nodes, beside two readers that read both at once. ``foreground``: the writes of an application with and
without a resync. ``large``: some writes to a large file while the peer is away. ``many``: few changes in many files.

Both nodes are on this machine and on the same disk, as are the plain programs. The content of the trees is not in the
page cache when a first sync, a compare, rsync or the readers begin (``--warm``: all of what is read is); their names
are. What is compared takes turns in one run, in an order that changes from round to round; the figures are medians, the
ratios medians of each round's own ratio.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import costs, latencies
from bench.outcome import MIB, Outcome
from bench.speeds import Speeds
from bench.trees import Content

PARTS = ("first", "compare", "foreground", "large", "many")
GIB = 1 << 30
_BESIDE = GIB
"""That is to be free beside the trees."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    tree_bytes: int
    rounds: int
    seconds: float
    large_bytes: int
    writes: int
    few: int
    many: int


QUICK = Sizes(256 * MIB, rounds=3, seconds=2.0, large_bytes=128 * MIB, writes=10, few=400, many=4_000)
FULL = Sizes(5 * GIB, rounds=5, seconds=5.0, large_bytes=20 * GIB, writes=100, few=20_000, many=200_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when something is over its bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="the sizes that count")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    parser.add_argument("--bytes", type=int, help="of the tree that is synced, compared, and joins as somebody writes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each single measurement of the foreground, 2 at the least")
    parser.add_argument("--warm", action="store_true", help="what is read is in the page cache")
    parser.add_argument("--compressible", action="store_true", help="files of words, not of random bytes")
    parser.add_argument("--dir", type=Path, help="where the copies lie (default: a temporary directory)")
    args = parser.parse_args(argv)
    base = FULL if args.full else QUICK
    sizes = Sizes(
        args.bytes or base.tree_bytes,
        args.rounds or base.rounds,
        args.seconds or base.seconds,
        base.large_bytes,
        base.writes,
        base.few,
        base.many,
    )
    if sizes.rounds < 1 or sizes.seconds < 2 or sizes.tree_bytes < 16 * MIB:
        parser.error("--rounds must be positive, --seconds at least 2, --bytes at least 16 MiB")
    parts = args.part or PARTS
    if "first" in parts and shutil.which("rsync") is None:
        raise SystemExit("rsync is not installed: apt-get install --no-install-recommends rsync")
    content = Content(args.compressible)
    missed = []
    for outcome in _measure(sizes, parts, args.warm, content, args.dir):
        _show(outcome)
        missed += [bar for bar in outcome.bars if bar.is_missed]
    for bar in missed:
        print(f"{bar.words}: {bar.value:,.2f} is more than {bar.most:,.2f}", file=sys.stderr)
    return 1 if missed else 0


def _measure(
    sizes: Sizes, parts: Sequence[str], warm: bool, content: Content, directory: Path | None
) -> Iterator[Outcome]:
    """Each part in a directory of its own, which is gone before the next one begins."""
    if "first" in parts or "compare" in parts:
        with _room(directory, 3 * sizes.tree_bytes) as work:
            speeds = Speeds(work, sizes.tree_bytes, sizes.rounds, warm, content)
            speeds.make()
            if "first" in parts:
                yield speeds.first_sync()
            if "compare" in parts:
                yield speeds.full_compare()
    if "foreground" in parts:
        with _room(directory, 3 * sizes.tree_bytes) as work:
            yield latencies.measure(work, sizes.tree_bytes, sizes.rounds, sizes.seconds, warm, content)
    if "large" in parts:
        with _room(directory, 2 * sizes.large_bytes) as work:
            yield costs.large_file(work, sizes.large_bytes, sizes.writes, content)
    if "many" in parts:
        with _room(directory, 4 * sizes.many * costs.ON_DISK_BYTES) as work:
            yield costs.many_files(work, sizes.few, sizes.many, content)


@contextmanager
def _room(directory: Path | None, size: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mirrorfarm-bench-", dir=directory) as work:
        free = shutil.disk_usage(work).free
        if free < size + _BESIDE:
            raise SystemExit(f"{work}: {free / GIB:.1f} GiB are free, {(size + _BESIDE) / GIB:.1f} are needed: --dir")
        yield Path(work)


def _show(outcome: Outcome) -> None:
    table = Table(title=f"{outcome.title}; {os.cpu_count()} processors")
    for heading in outcome.headings:
        table.add_column(heading)
    for row in outcome.rows:
        table.add_row(*row)
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
