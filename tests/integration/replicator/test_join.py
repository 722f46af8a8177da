"""Real replicators: a peer is brought in sync while the application runs, whatever its tree was."""

import contextlib
import errno
import fcntl
import os
import random
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from manager.model.replicator_spec import SpecWindow
from replicator.pacing import BURST_BYTES
from replicator.wire.copying import BLOCK
from tests.support.compare_trees import differences
from tests.support.random_trees import RandomTree
from tests.support.replicators import Node, Options, Pair, nodes

EPOCH = 3
MIB = 1 << 20
REST_SECONDS = 6.0
"""Within which the mtime of what is not touched any more gets the same on both."""


@contextlib.contextmanager
def serving(base: Path, options: Options | None = None) -> Iterator[Pair]:
    """``a`` serves alone, ``b`` has been started."""
    with nodes(base, options=options) as (a, b):
        a.serve(EPOCH)
        yield Pair(a, b, EPOCH)


def data(base: Path, name: str) -> Path:
    """A node's directory, before the node is there."""
    directory = base / name / "data0"
    directory.mkdir(parents=True)
    return directory


def assert_same(pair: Pair, rest_seconds: float = 0.0) -> None:
    """Ends both when times have been shipped; then the trees are the same."""
    end = time.monotonic() + rest_seconds
    while time.monotonic() < end and differences(pair.a.data, pair.b.data):
        time.sleep(0.2)
    assert pair.a.quit() == 0
    assert pair.b.quit() == 0
    assert differences(pair.a.data, pair.b.data) == []
    left = set(os.listdir(pair.b.data / ".mirrorfarm")) - {"dirty"}  # what the other may lack, if it ended late enough
    assert left == {"base", "identity.json", "identity.json.new"}


class Churn(threading.Thread):
    """An application that changes a tree at random, through the mount, until it is stopped."""

    def __init__(self, root: Path, seed: int) -> None:
        super().__init__()
        self._tree = RandomTree(str(root), random.Random(seed))
        self._stopping = threading.Event()
        self.rounds = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._tree.change(1)
                self.rounds += 1
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_tree_is_joined_while_it_changes(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    RandomTree(str(data(tmp_path, "a")), rng).change(150)
    RandomTree(str(data(tmp_path, "b")), rng).change(100)
    with serving(tmp_path) as pair:
        churn = Churn(pair.a.data, seed)
        churn.start()
        try:
            pair.join()
        finally:
            churn.stop()
        assert churn.rounds > 0
        assert_same(pair, REST_SECONDS)


def test_a_join_that_breaks_off_again_and_again_comes_to_its_end(tmp_path: Path) -> None:
    rng = random.Random(5)
    here, there = data(tmp_path, "a"), data(tmp_path, "b")
    RandomTree(str(here), rng).change(200)
    for number in range(20):
        (here / f"large{number}").write_bytes(rng.randbytes(2 << 20))
    subprocess.run(["cp", "-a", f"{here}/.", there], check=True)
    RandomTree(str(there), rng).change(50)
    with serving(tmp_path) as pair:
        churn = Churn(pair.a.data, 5)
        churn.start()
        try:
            for attempt in range(4):
                hello = pair.b.connect()
                pair.b.follow("a", EPOCH)
                pair.a.tell(control.Peer("b", "127.0.0.1", hello.listen_port))
                pair.a.wait(control.PeerConnected)
                time.sleep(0.03 * attempt)
                pair.b.kill()
                pair.a.wait(control.PeerLost)
                pair.settle(())  # past its join point it was waited for: only a record without it ends that
                pair.b.clear()
                # A disk in the middle of a join vouches for nothing.
                vouched = pair.b.start().identity
                assert (vouched is None) or not (there / ".mirrorfarm/joining").exists()
            pair.join()
        finally:
            churn.stop()
        assert_same(pair, REST_SECONDS)


def begin_to_join(pair: Pair) -> None:
    """``b`` is being brought in sync."""
    hello = pair.b.connect()
    pair.b.follow("a", EPOCH)
    pair.a.tell(control.Peer("b", "127.0.0.1", hello.listen_port))
    pair.a.wait(control.PeerConnected)


def last_progress(pair: Pair) -> control.Progress:
    """Of the join that came to its end."""
    return pair.a.wait(control.Progress, lambda said: said.work == "join" and said.stage is control.Stage.SYNCING)


def blocks(directory: Path) -> list[bytes]:
    """Of the files that ``directory`` has, in the order of their names."""
    files = sorted(path for path in directory.iterdir() if path.is_file())
    contents = (path.read_bytes() for path in files)
    return [content[at : at + BLOCK] for content in contents for at in range(0, len(content), BLOCK)]


def test_a_first_sync_that_breaks_off_sends_the_rest_alone(tmp_path: Path) -> None:
    """The limit is there so that it breaks off on its way."""
    here, rng = data(tmp_path, "a"), random.Random(9)
    for number in range(8):
        (here / f"large{number}").write_bytes(rng.randbytes(2 * MIB))
    there = data(tmp_path, "b")
    with serving(tmp_path, Options(resync_bytes_s=8 * MIB)) as pair:
        begin_to_join(pair)
        end = time.monotonic() + 30
        while sum(path.stat().st_blocks for path in there.iterdir() if path.is_file()) * 512 < 4 * MIB:
            assert time.monotonic() < end
            time.sleep(0.02)
        pair.b.kill()
        pair.a.wait(control.PeerLost)
        pair.settle(())
        pair.b.clear()
        sent_before = len(set(blocks(there)) & set(blocks(here))) * BLOCK
        assert sent_before > 0
        pair.a.events.clear()
        pair.b.start()
        pair.join()
        assert last_progress(pair).bytes_sent <= 16 * MIB - sent_before
        assert_same(pair)


@pytest.mark.parametrize(
    "options",
    [Options(resync_bytes_s=MIB), Options(resync_windows=(SpecWindow(0, 24 * 60, MIB),))],
    ids=["bandwidth", "schedule"],
)
def test_no_more_is_sent_in_a_second_than_is_configured(tmp_path: Path, options: Options) -> None:
    (data(tmp_path, "a") / "large").write_bytes(random.Random(9).randbytes(3 * MIB))
    with serving(tmp_path, options) as pair:
        pair.join()
        came = last_progress(pair)
        assert came.bytes_sent == 3 * MIB
        assert came.elapsed_ms >= 1000 * (3 * MIB - BURST_BYTES) // MIB - 100
        assert_same(pair)


def test_special_contents(tmp_path: Path) -> None:
    here, there = data(tmp_path, "a"), data(tmp_path, "b")
    for directory, size in ((here, 100 << 20), (there, 1 << 20)):
        with open(directory / "sparse", "wb") as file:
            file.truncate(size)
            file.seek(size // 2)
            file.write(b"in the middle")
    (here / "many").mkdir()
    for number in range(10_000):
        (here / "many" / f"name{number}").touch()
    deep = here
    for _ in range(60):
        deep = deep / "deeper"
        deep.mkdir()
    (deep / "file").write_bytes(b"at the bottom")
    (here / "capable").write_bytes(b"x" * 100_000)
    (there / "capable").write_bytes(b"y" * 100_000)
    os.setxattr(here / "capable", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))
    for name, seconds in (("of 2300", 10_413_792_000), ("of 1902", -2_145_916_800)):
        (here / name).write_bytes(b"t")
        os.utime(here / name, (seconds, seconds))
    (here / "unreadable").write_bytes(b"z" * 70_000)
    os.chmod(here / "unreadable", 0)
    (there / "immutable").write_bytes(b"old")
    (here / "immutable").write_bytes(b"new")
    _set_immutable(there / "immutable")
    (there / "kept away").mkdir()
    (there / "kept away" / "immutable").write_bytes(b"old")
    _set_immutable(there / "kept away" / "immutable")
    with serving(tmp_path) as pair:
        pair.join()
        progress = last_progress(pair)
        assert progress.peer == "b"
        assert progress.bytes_sent < MIB, "holes are not sent"
        assert (there / "sparse").stat().st_blocks < 4096
        assert_same(pair)


def _set_immutable(path: Path) -> None:
    with open(path, "rb") as file:
        fcntl.ioctl(file, 0x40086602, struct.pack("=II", 0x10, 0))


def test_a_copy_seeded_from_a_backup_costs_its_differences(tmp_path: Path) -> None:
    here, there = data(tmp_path, "a"), data(tmp_path, "b")
    rng = random.Random(7)
    for number in range(10):
        (here / f"file{number}").write_bytes(rng.randbytes(1 << 20))
    subprocess.run(["cp", "-a", f"{here}/.", there], check=True)
    with open(there / "file3", "r+b") as file:
        file.seek(500_000)
        file.write(b"another byte")
    with serving(tmp_path) as pair:
        pair.join()
        progress = last_progress(pair)
        assert progress.bytes_done >= 10 << 20
        assert progress.bytes_sent == BLOCK
        assert_same(pair)


def test_a_full_disk_of_the_secondary_ends_the_join_visibly_and_the_primary_goes_on(tmp_path: Path) -> None:
    here, there = data(tmp_path, "a"), data(tmp_path, "b")
    (here / "large").write_bytes(os.urandom(8 << 20))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", there], check=True)
    try:
        with serving(tmp_path) as pair:
            hello = pair.b.connect()
            pair.b.follow("a", EPOCH)
            pair.a.tell(control.Peer("b", "127.0.0.1", hello.listen_port))
            lost = pair.a.wait(control.PeerLost)
            assert os.strerror(errno.ENOSPC) in lost.reason
            (pair.a.data / "goes on").write_bytes(b"x")
            assert (there / ".mirrorfarm/joining").exists()
            assert isinstance(pair.b, Node)
    finally:
        subprocess.run(["umount", "-l", there], check=True)
