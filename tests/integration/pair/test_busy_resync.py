"""A node is brought in sync beside an application that never rests, on files that differ here and there: all of it.

Whoever resyncs takes small steps then, and several at once (``replicator.pacing``): what one of them reads may be
written to meanwhile, and is read again when others are over.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from replicator.disk.base import clear_base
from replicator.wire.copying import BLOCK
from tests.support.two_disks import KINDS, TwoDisks, is_soak, leave, two_disks

SEED = int(os.environ.get("MIRRORFARM_SEED", str(random.randrange(1 << 32)) if is_soak() else "5"))
ROUNDS = 40 if is_soak() else 3
TABLES = 24
TABLE_BLOCKS = 8
WORK = """
import os, random, sys, time
directory, seed = sys.argv[1:]
chance = random.Random(seed)
files = [os.open(os.path.join(directory, name), os.O_RDWR) for name in sorted(os.listdir(directory))]
print(flush=True)
while True:
    file = chance.choice(files)
    os.pwrite(file, chance.randbytes(512), chance.randrange(os.fstat(file).st_size // 4096) * 4096)
    if not chance.randrange(50):
        os.fdatasync(file)
"""
"""Overwrites records in place, as a database does its tables."""


@contextmanager
def at_work(directory: Path, seed: int) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", WORK, directory, str(seed)], stdout=subprocess.PIPE) as work:
        assert work.stdout is not None
        work.stdout.readline()
        try:
            yield
            assert work.poll() is None, "an operation has failed"
        finally:
            work.kill()


def make_tables(directory: Path, chance: random.Random) -> None:
    directory.mkdir()
    for number in range(TABLES):
        (directory / f"table{number}").write_bytes(chance.randbytes(TABLE_BLOCKS * BLOCK))


def nothing_is_known(both: TwoDisks, chance: random.Random) -> None:
    """The secondary's copy went its own way, and is of no base any more: everything is compared."""
    for table in (both.pair.b.data / "tables").iterdir():
        with open(table, "r+b") as file:
            for block in range(TABLE_BLOCKS):
                if chance.random() < 0.4:
                    file.seek(block * BLOCK + chance.randrange(BLOCK))
                    file.write(b"of another history")
    private = os.open(both.pair.b.data / ".mirrorfarm", os.O_RDONLY | os.O_DIRECTORY)
    try:
        clear_base([private])
    finally:
        os.close(private)


def something_is_tracked(_both: TwoDisks, chance: random.Random) -> None:
    """What the application did meanwhile is what the secondary lacks."""
    time.sleep(chance.uniform(0.1, 0.5))


@pytest.mark.timeout(1800 if is_soak() else 120)
@pytest.mark.parametrize("went", [nothing_is_known, something_is_tracked])
def test_nothing_is_left_out(tmp_path: Path, went: Callable[[TwoDisks, random.Random], None]) -> None:
    print(f"MIRRORFARM_SEED={SEED}")
    chance = random.Random(SEED)
    with two_disks(tmp_path, KINDS) as both:
        two = both.pair
        tables = two.a.data / "tables"
        make_tables(tables, chance)
        for _ in range(ROUNDS):
            with at_work(tables, chance.randrange(1 << 32)):
                leave(two)
                went(both, chance)
                two.b.start()
                two.join(seconds=60.0)
            both.assert_equal()
        both.rest()
