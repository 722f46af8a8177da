"""Whatever the two trees are, and whatever the application does meanwhile: after the join the trees are the same."""

import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from replicator.core.dirty import ZONE_BYTES
from replicator.wire.copying import BLOCK
from tests.support.compare_trees import differences
from tests.support.random_trees import MANY_NAMES, NAMES, RandomTree
from tests.unit.replicator.join_application import Application, private_names
from tests.unit.replicator.join_world import Nature, World

WHO = ("application", "loop", "thread", "last thread", "apply", "moment", "frame", "answer", "time")
SEEDS = st.integers(0, 2**48)


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A file system that is quick and keeps extended attributes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


class Pair:
    """Two directories, as the seed says."""

    def __init__(self, ground: Path, rng: random.Random) -> None:
        self.base = Path(tempfile.mkdtemp(dir=ground))
        self.here, self.there = str(self.base / "here"), str(self.base / "there")
        self.names = rng.choice([NAMES, MANY_NAMES])
        os.mkdir(self.here)
        RandomTree(self.here, rng, self.names).change(rng.choice([0, 10, 40, 80]))
        self.kind = rng.choice(["empty", "unrelated", "copied", "joined", "joined"])
        if self.kind == "copied":
            subprocess.run(["cp", "-a", self.here, self.there], check=True)
            RandomTree(self.there, rng, self.names).change(rng.choice([0, 5, 20]))
        else:
            os.mkdir(self.there)
        if self.kind == "unrelated":
            RandomTree(self.there, rng, self.names).change(40)
        if self.kind == "joined":
            join(self, World(self.here, self.there, epoch=1), rng, 0, 0)
            for root in (self.here, self.there):
                RandomTree(root, rng, self.names).change(rng.choice([0, 5, 20]))


def join(
    pair: "Pair | Files", world: World, rng: random.Random, operations: int, cuts: int, data: bool = False
) -> None:
    """A join, interleaved at random, to its end; then the trees are to be the same."""
    world.take(Nature.drawn(rng))
    try:
        application = Application(world, rng, pair.names)
        if data:
            application.open_all()
        world.connect()
        tempo = tempo_of(rng)
        if data:
            tempo["application"] = rng.choice([1, 1, max(tempo.values())])
        steps = 0
        while application.issued < operations and steps < 60 * operations:
            steps += 1
            act = application.act_on_data if data else application.act
            possible = {"application": act, **world.steps(), **world.passing_time()}
            if cuts and world.stream is not None and rng.random() < 0.003:
                cuts -= 1
                world.cut()
                world.connect()
            else:
                who = rng.choices(list(possible), [tempo[who] for who in possible])[0]
                possible[who]()
        application.close_all()
        world.settle()
        agree(world, pair.here, pair.there)
        world.cut()
    finally:
        world.close()


def tempo_of(rng: random.Random) -> dict[str, int]:
    """How often each has its turn."""
    return {who: rng.choice([1, 1, 4, 16]) for who in WHO}


def agree(world: World, here: str, there: str) -> None:
    """After a join that has come to its end, and at rest."""
    found = differences(here, there)
    assert not found, found[:5]
    assert private_names(there) == []
    assert world.held() == []
    assert world.stream is not None
    assert world.stream.bound <= world.here.table._by_id.keys(), "nobody will have them unbound"
    assert world.joiner._courtesy._under_way == 0, "it would wait for that for ever"


def resync(ground: Path, seed: int, rounds: int, operations: int) -> None:
    """Joins whose only guide is what was marked, after changes while the peer was away, beside others, with cuts."""
    rng = random.Random(seed)
    base = Path(tempfile.mkdtemp(dir=ground))
    here, there = str(base / "here"), str(base / "there")
    os.mkdir(here)
    os.mkdir(there)
    names = rng.choice([NAMES, MANY_NAMES])
    RandomTree(here, rng, names).change(rng.choice([10, 40, 80]))
    world = World(here, there, epoch=1)
    world.connect()
    world.settle()
    for epoch in range(2, 2 + rounds):
        world.cut()
        change_alone(world, rng, rng.choice([0, 3, 10, operations]), names)
        if rng.random() < 0.5:  # begun anew
            world.close()
            world = World(here, there, epoch, world.tracking)
        join_again(world, rng, rng.choice([0, 0, 10, operations]), rng.choice([0, 0, 1, 3]), names)
        agree(world, here, there)
    world.close()
    subprocess.run(["rm", "-rf", base], check=True)


def swap(ground: Path, seed: int, rounds: int, operations: int) -> None:
    """The secondary takes over in the middle of the work, goes on alone, and the former primary comes back to it."""
    rng = random.Random(seed)
    base = Path(tempfile.mkdtemp(dir=ground))
    here, there = str(base / "one"), str(base / "other")
    os.mkdir(here)
    os.mkdir(there)
    RandomTree(here, rng).change(rng.choice([10, 40, 80]))
    world = World(here, there, epoch=1)
    world.connect()
    world.settle()
    for epoch in range(2, 2 + rounds):
        work_together(world, rng, operations)
        world.cut()
        taken_over = world.tracking_there
        world.close()
        here, there = there, here
        world = World(here, there, epoch, taken_over)
        change_alone(world, rng, rng.choice([0, 3, 10]), NAMES)
        join_again(world, rng, rng.choice([0, 10]), rng.choice([0, 0, 1]), NAMES)
        agree(world, here, there)
    world.close()
    subprocess.run(["rm", "-rf", base], check=True)


def work_together(world: World, rng: random.Random, operations: int) -> None:
    """What is applied here the peer has."""
    application = Application(world, rng)
    for _ in range(10 * operations):
        assert world.stream is not None
        possible = {"application": application.act, **world.steps()}
        if application.issued >= operations:
            del possible["application"]
        if world.stream.frames:
            possible.pop("apply", None)
        if possible:
            possible[rng.choice(list(possible))]()


def change_alone(world: World, rng: random.Random, operations: int, names: Sequence[bytes], extent: int = 0) -> None:
    """``extent``: as the application's, which is at what is in files then."""
    application, act = _application(world, rng, names, extent)
    for _ in range(60 * operations):
        if application.issued >= operations:
            break
        possible = {"application": act, **world.steps()}
        possible[rng.choice(list(possible))]()
    application.close_all()
    world.rest_alone()


def _application(
    world: World, rng: random.Random, names: Sequence[bytes], extent: int
) -> tuple[Application, Callable[[], None]]:
    if not extent:
        application = Application(world, rng, names)
        return application, application.act
    application = Application(world, rng, names, extent)
    application.open_all()
    return application, application.act_on_data


def join_again(
    world: World, rng: random.Random, operations: int, cuts: int, names: Sequence[bytes], extent: int = 0
) -> None:
    world.take(Nature.drawn(rng))
    application, act = _application(world, rng, names, extent)
    world.connect()
    tempo = tempo_of(rng)
    for _ in range(60 * operations + 200):
        possible = {"application": act, **world.steps(), **world.passing_time()}
        if application.issued >= operations:
            del possible["application"]
        if cuts and world.stream is not None and rng.random() < 0.02:
            cuts -= 1
            world.cut()
            if rng.random() < 0.5:
                change_alone(world, rng, 5, names, extent)
            world.connect()
        elif possible:
            who = rng.choices(list(possible), [tempo[who] for who in possible])[0]
            possible[who]()
    application.close_all()
    world.settle()


class Files:
    """A few files that differ in all that is in them, or in some blocks, or are missing; written to all the time."""

    def __init__(self, ground: Path, rng: random.Random) -> None:
        self.base = Path(tempfile.mkdtemp(dir=ground))
        self.here, self.there = str(self.base / "here"), str(self.base / "there")
        self.names = NAMES
        count, size = rng.choice([*[(16, 150_000)] * 4, (2, 1_300_000), (60, 40_000)])
        few, missing = rng.random() < 0.8, rng.random() < 0.3
        os.mkdir(self.here)
        os.mkdir(self.there)
        for number in range(count):
            content = rng.randbytes(size)
            Path(self.here, f"file{number}").write_bytes(content)
            if missing and rng.random() < 0.5:
                continue
            other = _other_here_and_there(content, rng) if few else rng.randbytes(size)
            Path(self.there, f"file{number}").write_bytes(other)


def _other_here_and_there(content: bytes, rng: random.Random) -> bytes:
    """Blocks of it differ that are not next to each other."""
    other = bytearray(content)
    for begin in range(0, len(other), BLOCK):
        if rng.random() < 0.5:
            other[begin] ^= 1
    return bytes(other)


def run_on_data(ground: Path, seed: int, operations: int) -> None:
    rng = random.Random(seed)
    files = Files(ground, rng)
    join(files, World(files.here, files.there, epoch=2), rng, operations, rng.choice([0, 0, 1]), data=True)
    subprocess.run(["rm", "-rf", files.base], check=True)


class Large:
    """Files of several zones, holes for the most part, that differ here and there as is known."""

    def __init__(self, ground: Path, rng: random.Random) -> None:
        self.base = Path(tempfile.mkdtemp(dir=ground))
        self.here, self.there = str(self.base / "here"), str(self.base / "there")
        os.mkdir(self.here)
        os.mkdir(self.there)
        for number in range(3):
            with open(Path(self.here, f"file{number}"), "wb") as file:
                size = rng.choice([ZONE_BYTES, ZONE_BYTES + 1, 2 * ZONE_BYTES + 70_000, 3 * ZONE_BYTES])
                for _ in range(rng.randrange(8)):
                    file.seek(rng.randrange(size))
                    file.write(rng.randbytes(rng.choice([1, 40_000, 300_000])))
                file.truncate(size)


def resync_on_data(ground: Path, seed: int, rounds: int, operations: int) -> None:
    """As :func:`resync`, of what is in a few large files."""
    rng = random.Random(seed)
    files = Large(ground, rng)
    world = World(files.here, files.there, epoch=1)
    world.connect()
    world.settle()
    for epoch in range(2, 2 + rounds):
        world.cut()
        change_alone(world, rng, rng.choice([3, 10, operations]), NAMES, 3 * ZONE_BYTES)
        if rng.random() < 0.5:  # begun anew
            world.close()
            world = World(files.here, files.there, epoch, world.tracking)
        join_again(world, rng, rng.choice([0, 10, operations]), rng.choice([0, 0, 1, 3]), NAMES, 3 * ZONE_BYTES)
        agree(world, files.here, files.there)
    world.close()
    subprocess.run(["rm", "-rf", files.base], check=True)


def run(ground: Path, seed: int, operations: int) -> None:
    rng = random.Random(seed)
    pair = Pair(ground, rng)
    join(pair, World(pair.here, pair.there, epoch=2), rng, operations, rng.choice([0, 0, 1, 3]))
    subprocess.run(["rm", "-rf", pair.base], check=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEEDS)
def test_a_join_beside_random_operations_makes_the_trees_the_same(ground: Path, seed: int) -> None:
    note(f"run(ground, {seed}, 120)")
    run(ground, seed, 120)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEEDS)
def test_a_join_that_looks_only_at_what_was_marked_makes_the_trees_the_same(ground: Path, seed: int) -> None:
    note(f"resync(ground, {seed}, 4, 40)")
    resync(ground, seed, 4, 40)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEEDS)
def test_who_took_over_brings_the_former_primary_back_by_what_it_has_marked(ground: Path, seed: int) -> None:
    note(f"swap(ground, {seed}, 3, 40)")
    swap(ground, seed, 3, 40)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEEDS)
def test_files_that_are_written_to_while_they_are_compared_are_the_same(ground: Path, seed: int) -> None:
    note(f"run_on_data(ground, {seed}, 150)")
    run_on_data(ground, seed, 150)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEEDS)
def test_of_large_files_the_zones_that_were_written_to_are_the_same(ground: Path, seed: int) -> None:
    note(f"resync_on_data(ground, {seed}, 3, 60)")
    resync_on_data(ground, seed, 3, 60)
