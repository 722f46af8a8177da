"""One writer on one directory, each of its writes timed: the application of ``bench/latencies.py``.

Usage: ``python -m bench.writer DIRECTORY SECONDS [--fsync]``; prints how many, and the median and the 99th percentile
in microseconds. 4 KiB at random places of ``file0``, 64 MiB, which is written once before the clock starts.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Final

FILE_BYTES: Final = 64 << 20
BLOCK: Final = 4096
_MIB: Final = 1 << 20


def prepare(directory: Path) -> int:
    """The file, whole and on the disk; open."""
    file = os.open(directory / "file0", os.O_RDWR | os.O_CREAT, 0o644)
    for offset in range(os.fstat(file).st_size, FILE_BYTES, _MIB):
        os.pwrite(file, os.urandom(_MIB), offset)
    os.fsync(file)
    return file


def write_for(file: int, seconds: float, fsync: bool) -> list[int]:
    """Nanoseconds of each write, its fsync included where there is one."""
    data = os.urandom(BLOCK)
    chance = random.Random(1)
    blocks = FILE_BYTES // BLOCK
    took_ns = []
    now_ns = time.perf_counter_ns()
    end_ns = now_ns + int(seconds * 1e9)
    while now_ns < end_ns:
        offset = chance.randrange(blocks) * BLOCK
        began_ns = time.perf_counter_ns()
        os.pwrite(file, data, offset)
        if fsync:
            os.fsync(file)
        now_ns = time.perf_counter_ns()
        took_ns.append(now_ns - began_ns)
    return took_ns


def main() -> int:
    """Writes, and prints what it found as one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--fsync", action="store_true", help="after each write")
    args = parser.parse_args()
    took_ns = write_for(prepare(args.directory), args.seconds, args.fsync)
    percentiles = statistics.quantiles(took_ns, n=100, method="inclusive")
    print(json.dumps({"count": len(took_ns), "p50_us": percentiles[49] / 1000, "p99_us": percentiles[98] / 1000}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
