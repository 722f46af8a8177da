"""A comparison beside an application finds all differences and no others, and is not in its way."""

import os
import random
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manager.model.control import Progress, Verify, VerifyReport
from manager.model.ids import ROOT_INODE
from replicator.core.dirty import Dirty
from replicator.core.operations import Attribute, Operation, Rename, SetAttr, Unlink, Write
from replicator.disk.volume import Inode
from replicator.pacing import Bandwidth
from replicator.verifying import Verifier
from replicator.wire.frames import FrameKind
from tests.support.random_trees import MANY_NAMES, NAMES, RandomTree
from tests.unit.replicator.join_application import Application
from tests.unit.replicator.join_world import Nature, World
from tests.unit.replicator.test_joining import agree, tempo_of


class Verified(World):
    """Two nodes that are in sync, and are compared."""

    verifier: Verifier

    def __init__(self, here: str, there: str) -> None:
        super().__init__(here, there, epoch=1)
        self.reports: list[VerifyReport] = []
        self.seen: list[Progress] = []
        self.repairs: list[Dirty] = []
        self.repairs_peer = False
        self.moments = 0
        """How often the application had to wait."""
        self.questions: list[FrameKind] = []
        self.connect()
        self.settle()

    def begin(self, repair: bool = False, place: str = "", bytes_s: int = 0) -> None:
        assert self.stream is not None
        send = self.stream.send

        def noting(kind: FrameKind, *parts: bytes | memoryview, acknowledged: Callable[[], None] | None = None) -> int:
            self.questions.append(kind)
            return send(kind, *parts, acknowledged=acknowledged)

        self.stream.send = noting  # type: ignore[method-assign]
        self.moments = 0
        self.verifier = Verifier(
            self.loop, self, self.stream, [self.here], self.threads, self,
            Verify("request", repair=repair, place=place, bytes_s=bytes_s), Bandwidth(bytes_s, ()), self.minute,
            self.reports.append, self.seen.append, self._repair_peer,
        )  # fmt: skip
        self.verifier.start()

    def _repair_peer(self, dirty: Dirty) -> None:
        self.repairs.append(dirty)
        if self.repairs_peer:
            assert self.tracking.tracker.add(dirty)
            self.cut()
            self.connect()

    def cut(self) -> None:
        super().cut()
        self.verifier.lost()

    def answered(self, kind: FrameKind, sequence: int, body: memoryview) -> None:
        if kind is FrameKind.VERIFY_ANSWER:
            self.verifier.answered(sequence, body)
        else:
            super().answered(kind, sequence, body)

    def when_quiet(self, callback: Callable[[], Iterator[None] | None]) -> None:
        self.moments = getattr(self, "moments", 0) + 1
        super().when_quiet(callback)

    def finish(self) -> VerifyReport:
        """Lets everything happen until it is over."""
        for _ in range(200_000):
            if self.reports:
                return self.reports[-1]
            possible = self.steps()
            next(iter(possible.values()))() if possible else self.loop.wait()
        raise AssertionError("it does not come to its end")


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A file system that is quick and keeps extended attributes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.fixture
def world(ground: Path) -> Iterator[Verified]:
    """20 directories of 20 small files, and a large one."""
    base = Path(tempfile.mkdtemp(dir=ground))
    for number in range(20):
        (base / "here" / f"d{number:02}").mkdir(parents=True)
        for file in range(20):
            (base / "here" / f"d{number:02}" / f"f{file:02}").write_bytes(b"%d" % file * 500)
    (base / "here" / "large").write_bytes(os.urandom(3 << 20))
    (base / "there").mkdir()
    world = Verified(str(base / "here"), str(base / "there"))
    yield world
    world.close()
    subprocess.run(["rm", "-rf", base], check=True)


def beside(world: Verified, name: bytes, what: Callable[[int], Operation]) -> VerifyReport:
    """Lets it come to its end while what somebody does in the root is always under way, but for moments."""
    inode, _ = world.here.lookup(world.here.table[ROOT_INODE], name)
    world.here.hold(inode)
    for _ in range(20_000):
        world.issue(what(inode.id), (inode,), lambda: world.touched.add(inode.id))
        while possible := {who: step for who, step in world.steps().items() if who != "apply"}:
            next(iter(possible.values()))()
        if world.reports:
            return world.reports[-1]
        while world.under_way:
            world.apply_next()
        world.loop.wait()
    raise AssertionError("it does not come to its end")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**48))
def test_beside_random_operations_no_difference_is_found_where_there_is_none(ground: Path, seed: int) -> None:
    run(ground, seed, operations=60)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**48))
def test_beside_random_operations_what_the_peer_has_lost_is_brought_again(ground: Path, seed: int) -> None:
    run_repair(ground, seed, operations=60)


def run(ground: Path, seed: int, operations: int) -> None:
    rng = random.Random(seed)
    base = Path(tempfile.mkdtemp(dir=ground))
    for name in ("here", "there"):
        (base / name).mkdir()
    names = rng.choice([NAMES, MANY_NAMES])
    RandomTree(str(base / "here"), rng, names).change(rng.choice([10, 40, 80]))
    world = Verified(str(base / "here"), str(base / "there"))
    application = Application(world, rng, names)
    data = rng.random() < 0.3
    if data:
        application.open_all()
    work_beside(world, application, data, rng, operations)
    report = world.finish()
    assert (report.error, report.differences, report.repairing) == ("", (), False)
    world.settle()
    agree(world, str(base / "here"), str(base / "there"))
    assert world.watchers == []
    assert world.verifier._throttle.courtesy._under_way == 0
    world.close()
    subprocess.run(["rm", "-rf", base], check=True)


def work_beside(world: Verified, application: Application, data: bool, rng: random.Random, operations: int) -> None:
    """A verification begins soon, and may come to its end."""
    world.take(replace(Nature.drawn(rng), unreadable=0.0))
    tempo = tempo_of(rng)
    begun, bytes_s = rng.randrange(20), rng.choice([0, 0, 1 << 20])
    for step in range(60 * operations):
        if step == begun:
            world.begin(repair=True, bytes_s=bytes_s)
        possible = {"application": application.act_on_data if data and application.open else application.act}
        possible |= {**world.steps(), **world.passing_time()}
        if application.issued >= operations:
            del possible["application"]
        if possible:
            who = rng.choices(list(possible), [tempo[each] for each in possible])[0]
            possible[who]()
    application.close_all()


def run_repair(ground: Path, seed: int, operations: int) -> None:
    """What the peer's disk has lost of files and attributes is found and brought, whatever the application does."""
    rng = random.Random(seed)
    base = Path(tempfile.mkdtemp(dir=ground))
    here, there = base / "here", base / "there"
    for root in (here, there):
        root.mkdir()
    for number in range(20):
        (here / f"file{number}").write_bytes(rng.randbytes(rng.choice([1, 1000, 40_000, 300_000])))
    world = Verified(str(here), str(there))
    world.repairs_peer = True
    spoilt = rng.sample(range(20), rng.randrange(6))
    for number in spoilt:
        _spoil(there / f"file{number}", rng)
    application = Application(world, rng)
    application.open_all()
    work_beside(world, application, True, rng, operations)
    report = world.finish()
    assert report.error == ""
    assert spoilt or not report.differences
    world.settle()
    agree(world, str(here), str(there))
    world.close()
    subprocess.run(["rm", "-rf", base], check=True)


def _spoil(path: Path, rng: random.Random) -> None:
    before = path.stat()
    if rng.random() < 0.2:
        path.chmod(0o640)
        return
    with open(path, "r+b") as file:
        file.seek(rng.randrange(before.st_size))
        file.write(b"?")
    os.utime(path, ns=(0, before.st_mtime_ns))


def test_an_application_that_works_elsewhere_is_never_made_to_wait(world: Verified) -> None:
    """Nor does it rest for a hundred times what it read: as many turns as there are small pieces do."""
    world.begin()
    before = world.loop.now
    report = beside(world, b"large", lambda inode: Write(0, inode, 0, memoryview(b"x")))
    assert (report.error, report.differences_total, report.entries) == ("", 0, 421)
    assert report.bytes_compared == sum(len(b"%d" % file) * 500 for file in range(20)) * 20 + (3 << 20)
    assert world.moments <= 2, "for the root, in which something always happens, and for the piece that is written to"
    assert world.loop.now - before < 60


def test_where_nobody_works_files_are_read_many_at_a_time(world: Verified) -> None:
    handed = 0
    run_in_thread = world.threads.run

    def counting(work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[OSError], None]) -> None:
        nonlocal handed
        handed += 1
        run_in_thread(work, done, failed)

    world.threads.run = counting  # type: ignore[method-assign]
    world.begin()
    assert world.finish().differences_total == 0
    assert world.moments == 0
    assert handed <= 20 + 3 + 10, "a directory's files at once, the pieces of the large one, and the estimate"


@pytest.mark.parametrize("name", [b"large", b"f00"])
def test_what_is_moved_while_it_is_read_is_not_asked_about_where_it_is_no_more(world: Verified, name: bytes) -> None:
    """The peer has done it, and this node has not."""
    world.begin(repair=True)
    root = world.here.table[ROOT_INODE]
    directory = root if name == b"large" else world.here.lookup(root, b"d00")[0]
    inode, _ = world.here.lookup(directory, name)
    while not any(file.inode is inode for file in world.verifier._walk.files) or not world.threads.jobs:
        next(iter(world.steps().values()))()
    while world.threads.jobs:
        world.threads.work_first()
    rename = Rename(0, inode.id, directory.id, name, directory.id, b"elsewhere", 0, 0)
    world.issue(rename, (inode, directory), lambda: world.touched.add(directory.id))
    while possible := {who: step for who, step in world.steps().items() if who != "apply"}:
        next(iter(possible.values()))()
    report = world.finish()
    assert (report.error, report.differences, report.repairing) == ("", (), False)


def test_what_is_changed_while_its_directory_is_listed_is_listed_anew(world: Verified) -> None:
    """The peer has done it, and this node has not."""
    world.begin()
    directory, _ = world.here.lookup(world.here.table[ROOT_INODE], b"d00")
    inode, _ = world.here.lookup(directory, b"f00")
    world.here.hold(inode)
    listing = world.verifier._listing
    while listing._directory is not directory or listing._steps is None:
        next(iter(world.steps().values()))()
    world.issue(SetAttr(0, inode.id, Attribute.MODE, mode=0o600), (inode,), lambda: None)
    while possible := {who: step for who, step in world.steps().items() if who != "apply"}:
        next(iter(possible.values()))()
    report = world.finish()
    assert (report.error, report.differences) == ("", ())


def test_what_differs_is_found(world: Verified) -> None:
    there = Path(world.there.path)
    (there / "d03" / "f05").write_bytes(b"5" * 499 + b"x")
    os.utime(there / "d03" / "f05", ns=(0, os.stat(Path(world.here.path, "d03", "f05")).st_mtime_ns))
    with open(there / "large", "r+b") as file:
        file.seek(2_500_000)
        file.write(b"other")
    os.utime(there / "large", ns=(0, os.stat(Path(world.here.path, "large")).st_mtime_ns))
    os.remove(there / "d07" / "f01")
    os.utime(there / "d07", ns=(0, os.stat(Path(world.here.path, "d07")).st_mtime_ns))
    world.begin(repair=True)
    report = world.finish()
    found = {(Path(each.path).relative_to(world.here.path).as_posix(), each.what) for each in report.differences}
    assert found == {("d03/f05", "content"), ("large", "content"), ("d07/f01", "missing")}
    assert report.repairing and len(world.repairs) == 1


def test_what_will_have_to_be_compared_is_estimated(world: Verified) -> None:
    world.begin(bytes_s=256 << 10)
    report = world.finish()
    told = [each for each in world.seen if each.bytes_expected]
    assert told
    assert {(each.bytes_expected, each.entries_expected) for each in told} == {(report.bytes_compared, 421)}
    assert all(each.bytes_about == report.bytes_compared for each in told)


def test_of_a_comparison_that_goes_on_somewhere_nothing_is_estimated(world: Verified) -> None:
    world.begin(bytes_s=256 << 10)
    while len(world.seen) < 5:
        possible = world.steps()
        next(iter(possible.values()))() if possible else world.loop.wait()
    world.verifier.stop("enough")
    place = world.finish().place
    world.reports.clear()
    world.seen.clear()
    world.begin(bytes_s=256 << 10, place=place)
    assert world.finish().error == ""
    assert world.seen
    assert not any(each.bytes_expected for each in world.seen)


@pytest.mark.parametrize("steps", range(0, 200, 13))
def test_whenever_it_ends_nothing_is_held_any_more(world: Verified, steps: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    world.begin()
    for _ in range(steps):
        possible = world.steps()
        next(iter(possible.values()))() if possible else world.loop.wait()
    world.verifier.end("enough")
    world.rest_alone()
    assert world.held() == []
    assert world.watchers == []
    assert len(os.listdir("/proc/self/fd")) <= before


def test_what_is_forgotten_while_its_directory_is_listed_is_told_when_that_breaks_off(world: Verified) -> None:
    """Else the peer has it bound for ever; and under another id, once this node gives it one anew."""
    assert world.stream is not None
    directory, _ = world.here.lookup(world.here.table[ROOT_INODE], b"d00")
    first = next(world.here.entries(directory)).name
    inode, _ = world.here.lookup(directory, first)
    world.here.hold(inode)
    world.issue(SetAttr(0, inode.id, Attribute.MODE, mode=0o600), (inode,), lambda: None)
    while possible := world.steps():
        next(iter(possible.values()))()
    assert inode.id in world.stream.bound
    world.begin()
    while inode.references == 1:
        possible = world.steps()
        next(iter(possible.values()))() if possible else world.loop.wait()
    assert world.verifier._listing._steps is not None
    world.release(0, inode)
    world.verifier.end("enough")
    world.rest_alone()
    assert world.here.table.get(inode.id) is None
    assert inode.id not in world.stream.bound


def test_a_directory_in_which_something_always_happens_is_listed_at_a_quiet_moment(world: Verified) -> None:
    world.begin()
    report = beside(world, b"d00", lambda inode: SetAttr(0, inode, Attribute.MODE, mode=0o700))
    assert (report.error, report.differences_total) == ("", 0)
    assert world.moments == 2, "the root's, and its own"


def test_one_that_is_stopped_when_all_was_asked_was_carried_through(world: Verified) -> None:
    """Else another one, which goes on where it was, would begin anew."""
    world.begin()
    while not world.verifier._walk.is_over or world.verifier._working:
        next(iter(world.steps().values()))()
    assert world.verifier._questions
    world.verifier.stop("enough")
    report = world.finish()
    assert (report.error, report.place, report.entries) == ("", "", 421)


def until_its_turn(world: Verified) -> Inode:
    """The large file, found and not looked at yet."""
    inode, _ = world.here.lookup(world.here.table[ROOT_INODE], b"large")
    world.begin()
    while not any(file.inode is inode for file in world.verifier._walk.files):
        next(iter(world.steps().values()))()
    return inode


def test_a_file_that_is_removed_just_before_its_turn_does_not_stop_it(world: Verified) -> None:
    inode, root = until_its_turn(world), world.here.table[ROOT_INODE]
    world.issue(Unlink(0, inode.id, root.id, b"large"), (inode, root), lambda: None)
    while world.under_way:
        world.apply_next()
    report = world.finish()
    assert (report.error, report.differences_total) == ("", 0)


def test_a_file_that_cannot_be_opened_ends_it_with_the_reason(world: Verified) -> None:
    until_its_turn(world)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        while not world.verifier._stopping:
            world.loop.round()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    report = world.finish()
    assert report.error.startswith("a file cannot be read: [Errno 24]")
