"""One workload on one directory, timed: what every candidate of ``bench/write.py`` is measured with.

Usage: ``python -m bench.workload DIRECTORY WORKLOAD SECONDS``; prints operations (or MiB) a second.
The files are ``file0`` to ``file3`` (the floor has no others), 64 MiB each, written once before the clock starts.
"""

import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier

FILE_BYTES = 64 << 20
BLOCK = 4096
MIB = 1 << 20

WORKLOADS = {
    "random-4k-1": ("4 KiB random, 1 writer", "op/s"),
    "random-4k-4": ("4 KiB random, 4 writers", "op/s"),
    "fsync-4k-1": ("4 KiB random, fsync after each", "op/s"),
    "sequential-1m": ("1 MiB sequential", "MiB/s"),
}
"""Name to what it is and its unit."""


def _prepare(path: str) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    if os.fstat(file).st_size < FILE_BYTES:
        for offset in range(0, FILE_BYTES, MIB):
            os.pwrite(file, bytes(MIB), offset)
    os.fsync(file)
    return file


def _write_blocks(file: int, seconds: float, after_each: Callable[[int], None]) -> float:
    data = os.urandom(BLOCK)
    rng = random.Random(1)
    blocks = FILE_BYTES // BLOCK
    done = 0
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        for _ in range(8):
            os.pwrite(file, data, rng.randrange(blocks) * BLOCK)
            after_each(file)
        done += 8
    return done / elapsed


def _write_stream(file: int, seconds: float) -> float:
    data = os.urandom(MIB)
    done = 0
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        os.pwrite(file, data, done * MIB % FILE_BYTES)
        done += 1
    return done / elapsed


def _writer(path: str, seconds: float, ready: Barrier, rates: "multiprocessing.Queue[float]") -> None:
    file = _prepare(path)
    ready.wait()
    rates.put(_write_blocks(file, seconds, lambda _: None))


def run(directory: str, workload: str, seconds: float) -> float:
    """Operations a second, or MiB a second for ``sequential-1m``."""
    first = os.path.join(directory, "file0")
    if workload == "random-4k-4":
        rates: multiprocessing.Queue[float] = multiprocessing.Queue()
        ready = multiprocessing.Barrier(4)
        paths = [os.path.join(directory, f"file{i}") for i in range(4)]
        writers = [multiprocessing.Process(target=_writer, args=(p, seconds, ready, rates)) for p in paths]
        for writer in writers:
            writer.start()
        total = sum(rates.get(timeout=seconds + 60) for _ in writers)
        for writer in writers:
            writer.join()
        return total
    file = _prepare(first)
    if workload == "random-4k-1":
        return _write_blocks(file, seconds, lambda _: None)
    if workload == "fsync-4k-1":
        return _write_blocks(file, seconds, os.fsync)
    if workload == "sequential-1m":
        return _write_stream(file, seconds)
    raise SystemExit(f"workload {workload!r}: one of {', '.join(WORKLOADS)} is expected")


if __name__ == "__main__":
    print(run(sys.argv[1], sys.argv[2], float(sys.argv[3])))
