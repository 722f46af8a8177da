"""A disk that fills up behind the back of what was measured: the primary's, then the secondary's."""

import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from manager.model import control
from tests.support.grounds import loop_mounted
from tests.support.replicators import Node, Options, Pair, changed, pair_of
from tests.support.two_disks import leave

MIB = 1 << 20
SELDOM_MEASURED = """
from replicator import secondary
from replicator.fuse.context import Context
Context.rest = lambda self: None
secondary.FREE_TICKS = sys.maxsize
"""
"""What is free is not measured each second, but when the stream begins, and where little was left."""


@pytest.fixture(params=["a", "b"])
def small(request: pytest.FixtureRequest) -> str:
    """The node whose disk is the small one."""
    return str(request.param)


@pytest.fixture(params=["ext4", "xfs"])
def two(request: pytest.FixtureRequest, tmp_path: Path, small: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        disk = Path(stack.enter_context(loop_mounted(request.param, 330)))
        (disk / "data").mkdir()
        places = {small: (disk / "data",)}
        options = Options(command=changed(SELDOM_MEASURED))
        a, b = (Node(name, tmp_path, options, places.get(name, ())) for name in ("a", "b"))
        yield stack.enter_context(pair_of(a, b))


def fill(node: Node) -> Path:
    """Takes all that is free on the node's disk, outside of what is replicated; the file that has it."""
    filler = node.data.parent / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT)
    size = 64 * MIB
    offset = 0
    while size >= 4096:
        try:
            os.posix_fallocate(file, offset, size)
            offset += size
        except OSError:
            size //= 4
    os.close(file)
    return filler


def free_bytes(directory: Path) -> int:
    free = os.statvfs(directory)
    return free.f_bavail * free.f_frsize


def wait_for_room(directory: Path, size: int) -> None:
    """Until the file system of ``directory`` has so much free."""
    end = time.monotonic() + 15.0
    while free_bytes(directory) < size:
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_for_room_of_both(two: Pair) -> None:
    """Until the primary tells what is free on the secondary's disk, which is the smaller one."""
    smaller, of_its_own = free_bytes(two.b.data.parent), free_bytes(two.a.data.parent)
    assert smaller < 330 * MIB < of_its_own
    end = time.monotonic() + 5.0
    while (told := free_bytes(two.a.data)) > smaller:
        assert time.monotonic() < end, told
        time.sleep(0.02)
    assert told > smaller // 2


def write_until_full(file: int, block: bytes) -> OSError:
    """Appends until it is refused; the error."""
    for _ in range(64):
        try:
            written = os.write(file, block)
        except OSError as error:
            return error
        assert written > 0
    raise AssertionError("the disk does not get full")


@pytest.mark.parametrize("small", ["a"], indirect=True)
def test_a_write_that_finds_the_primarys_disk_full_is_undone_on_the_peer(two: Pair) -> None:
    file = os.open(two.a.data / "file", os.O_RDWR | os.O_CREAT)
    os.write(file, b"B" * MIB)
    filler = fill(two.a)
    error = write_until_full(file, b"C" * MIB)
    assert error.errno == errno.ENOSPC
    size = os.fstat(file).st_size
    assert size < 4 * MIB
    with pytest.raises(OSError, match="No space"):
        os.posix_fallocate(file, 0, 200 * MIB)
    os.pwrite(file, b"D" * 4096, 4096)
    os.close(file)
    assert (two.a.data / "file").read_bytes() == (two.b.data / "file").read_bytes()
    assert two.a.status().peers == {"b": "complete"}
    assert two.a.status().counters["repairs"] >= 1
    filler.unlink()
    wait_for_room(two.a.data, 100 * MIB)  # xfs gives it back a little later
    (two.a.data / "file").write_bytes(b"E" * 8 * MIB)
    assert (two.b.data / "file").read_bytes() == b"E" * 8 * MIB


@pytest.mark.parametrize("small", ["b"], indirect=True)
def test_a_secondary_whose_disk_is_full_is_dropped_visibly(two: Pair) -> None:
    file = os.open(two.a.data / "file", os.O_RDWR | os.O_CREAT)
    os.write(file, b"B" * MIB)
    wait_for_room_of_both(two)
    fill(two.b)
    with ExitStack() as stack:
        stack.callback(os.close, file)
        child = os.fork()
        if child == 0:
            try:
                write_until_full(file, b"C" * MIB)
            finally:
                os._exit(0)
        lost = two.a.wait(control.PeerLost)
        assert "space" in lost.reason
        two.settle(())
        os.waitpid(child, 0)
    assert (two.a.data / "file").read_bytes()[MIB : 2 * MIB] == b"C" * MIB


@pytest.mark.timeout(60)
def test_directories_on_one_full_disk_of_the_secondary_are_refused_what_finds_no_room_there(tmp_path: Path) -> None:
    """Written to at once, between two of its reports: each write alone would have found room."""
    with loop_mounted("ext4", 256) as disk:
        a = Node("a", tmp_path, Options(directories=2))
        b = Node("b", tmp_path, Options(), tuple(Path(disk) / name for name in ("one", "two")))
        with pair_of(a, b) as two, ExitStack() as stack:
            filler = os.open(Path(disk) / "filler", os.O_WRONLY | os.O_CREAT)
            os.posix_fallocate(filler, 0, free_bytes(Path(disk)) - 24 * MIB)
            os.close(filler)
            left = free_bytes(Path(disk))
            end = time.monotonic() + 5.0
            while any(free_bytes(directory) > left for directory in a.directories):
                assert time.monotonic() < end
                time.sleep(0.02)
            files = [os.open(directory / "file", os.O_WRONLY | os.O_CREAT) for directory in a.directories]
            for file in files:
                stack.callback(os.close, file)
            with ThreadPoolExecutor(2) as threads:
                errors = list(threads.map(partial(write_until_full, block=b"C" * MIB), files))
            assert {error.errno for error in errors} == {errno.ENOSPC}
            assert two.a.status().peers == {"b": "complete"}
            for here, there in zip(a.directories, b.directories, strict=True):
                assert (here / "file").read_bytes() == (there / "file").read_bytes()


def test_a_secondary_whose_disk_has_no_room_for_what_went_beside_what_came_is_brought_in_sync(tmp_path: Path) -> None:
    """More than half of the disk is other files by the time it returns: nothing that went is deleted before the end."""
    with loop_mounted("ext4", 64) as disk:
        a, b = Node("a", tmp_path, Options()), Node("b", tmp_path, Options(), (Path(disk) / "data",))
        with pair_of(a, b) as two:
            names = [f"old {number}" for number in range(16)]
            for name in names:
                (a.data / name).write_bytes(os.urandom(2 * MIB))
            leave(two)
            for name in names:
                (a.data / name).unlink()
                (a.data / f"not {name}").write_bytes(os.urandom(2 * MIB))
            b.start()
            b.follow(a.name, two.epoch)
            port = b.connect().listen_port
            a.tell(control.Peer(b.name, "127.0.0.1", port))
            assert "space" in a.wait(control.PeerLost).reason
            assert b.quit() == 0
            b.start()  # as its agent does, which has heard that it failed
            two.join()
            for name in names:
                assert (a.data / f"not {name}").read_bytes() == (b.data / f"not {name}").read_bytes()
            assert not (b.data / names[0]).exists()
