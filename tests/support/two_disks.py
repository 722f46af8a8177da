"""A pair of real replicators, each on a loop-mounted disk of its own: ext4 beside xfs, as two servers may have them."""

import array
import contextlib
import fcntl
import multiprocessing
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from manager.model import control
from tests.support import compare_trees
from tests.support.grounds import loop_mounted
from tests.support.replicators import Node, Options, Pair, pair_of
from tests.support.unmounting import unmount_everywhere

SIZE_MIB = {"ext4": 1024, "xfs": 1024}
"""Sparse: only what is written takes room."""
SETTLE_SECONDS = 10.0
KINDS = ("ext4", "xfs")
_FS_IOC_SHUTDOWN = 0x8004587D
"""linux/fs.h and xfs_fs.h: _IOR('X', 125, __u32)."""
_NO_LOG_FLUSH = 2
_processes = multiprocessing.get_context("fork")


@dataclass
class TwoDisks:
    """``pair`` and where its disks are mounted; everyone may search the way to the replicated directories."""

    pair: Pair
    disks: dict[str, Path]
    """By node; what is beside the replicated directories is plain."""

    def assert_equal(self) -> None:
        """Both mounted copies are the same to the second comparer, times included, soon after the last write."""
        end = time.monotonic() + SETTLE_SECONDS
        for one, other in zip(self.pair.a.directories, self.pair.b.directories, strict=True):
            while found := compare_trees.differences(one, other):
                assert time.monotonic() < end, "\n".join(found[:20])
                time.sleep(0.2)

    def lose_power(self, node: Node) -> None:
        """What its disk has not been brought is gone; its replicator is dead, and nobody works in its directories."""
        disk = self.disks[node.name]
        file = os.open(disk, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(file, _FS_IOC_SHUTDOWN, array.array("I", [_NO_LOG_FLUSH]))
        finally:
            os.close(file)
        image = disk.with_name("image")
        unmount_everywhere(disk, image)
        subprocess.run(["mount", "-o", "loop", image, disk], check=True)

    def take_image(self, node: Node) -> None:
        """Of its disk as it is at this moment, while all goes on, as a snapshot does."""
        disk = self.disks[node.name]
        image = disk.with_name("image")
        subprocess.run(["fsfreeze", "--freeze", disk], check=True)
        try:
            subprocess.run(["cp", "--sparse=always", image, image.with_suffix(".old")], check=True)
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", disk], check=True)

    def put_image_back(self, node: Node) -> None:
        """In the place of its disk; its replicator is dead."""
        disk = self.disks[node.name]
        image = disk.with_name("image")
        unmount_everywhere(disk, image)
        image.with_suffix(".old").rename(image)
        subprocess.run(["mount", "-o", "loop", image, disk], check=True)

    def rest(self) -> None:
        """Ends both replicators, if they live, and compares what is on the disks."""
        for node in (self.pair.a, self.pair.b):
            if node.process is not None and node.process.poll() is None:
                assert node.quit() == 0, node.said()
        for one, other in zip(self.pair.a.directories, self.pair.b.directories, strict=True):
            found = compare_trees.differences(one, other)
            assert not found, "\n".join(found[:20])


@contextlib.contextmanager
def two_disks(
    base: Path, kinds: Sequence[str] = KINDS, options: Options | None = None, names: Sequence[str] = ("a", "b")
) -> Iterator[TwoDisks]:
    """The first of ``names`` serves from a disk of the first of ``kinds``, the second is in sync and listed."""
    options = options or Options()
    with ExitStack() as stack:
        disks = {}
        made = []
        for name, kind in zip(names, kinds, strict=True):
            disks[name] = disk = Path(stack.enter_context(loop_mounted(kind, SIZE_MIB[kind])))
            made.append(Node(name, base, options, [disk / f"data{i}" for i in range(options.directories)]))
        yield TwoDisks(stack.enter_context(pair_of(made[0], made[1])), disks)


def leave_and_return(two: Pair) -> None:
    """The secondary is killed and dropped from the record, then it is back and brought in sync."""
    leave(two)
    two.b.start()
    two.join(seconds=60.0)


def leave(two: Pair) -> None:
    """The secondary is killed and dropped from the record."""
    two.a.collect(0.0)
    two.a.events = [event for event in two.a.events if not isinstance(event, control.PeerLost)]
    two.b.kill()
    two.a.wait(control.PeerLost)
    two.settle(())
    two.a.tell(control.Forget(two.b.name))
    two.b.clear()


def make_much(directory: Path, count: int = 60) -> None:
    """Directories and files, so that a join takes its time."""
    for number in range(count):
        deep = directory / "much" / f"{number % 8}" / f"{number}"
        deep.mkdir(parents=True)
        for name in ("one", "two", "three"):
            (deep / name).write_bytes(name.encode() * number * 300)


def damage(directory: Path, chance: random.Random, count: int = 20) -> None:
    """Changes names, content and attributes at random, as on a copy that went its own way."""
    for _ in range(count):
        paths = [path for path in directory.glob("[!.]*/**/*")]
        if len(paths) < 2:
            return
        one, other = chance.sample(paths, 2)
        with contextlib.suppress(OSError):  # not everything can be done to everything, such as a directory into itself
            chance.choice(_DAMAGES)(one, other)


def _remove(one: Path, _other: Path) -> None:
    if one.is_dir() and not one.is_symlink():
        shutil.rmtree(one)
    else:
        one.unlink()


def _overwrite(one: Path, _other: Path) -> None:
    if stat.S_ISREG(one.lstat().st_mode):
        with open(one, "r+b") as file:
            file.seek(one.lstat().st_size // 2)
            file.write(b"of another history")


def _remake(one: Path, other: Path) -> None:
    """Another type, and no id."""
    _remove(one, other)
    if other.is_dir():
        one.write_bytes(b"was something else")
    else:
        one.mkdir()
        (one / "extra").write_bytes(b"more")


def _rename(one: Path, other: Path) -> None:
    one.rename(other.with_name(f"{other.name[:50]}-renamed"))


def _exchange(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def _link(one: Path, other: Path) -> None:
    os.link(one, other.with_name(f"{other.name[:50]}-linked"), follow_symlinks=False)


def _change(one: Path, _other: Path) -> None:
    os.chown(one, 1234, 1234, follow_symlinks=False)
    os.setxattr(one, "trusted.note", b"changed", follow_symlinks=False)
    os.utime(one, ns=(1, 1), follow_symlinks=False)


_DAMAGES: tuple[Callable[[Path, Path], None], ...] = (
    *(_remove, _overwrite, _overwrite, _remake, _rename, _exchange, _link, _change),
)


class Comings:
    """Has the secondary killed and brought back in sync at random moments until it is stopped.

    In a process of its own: an application of the test may hold the interpreter's lock (msync) in an operation that
    waits for just this.
    """

    def __init__(self, two: Pair, seed: int, pause_s: float = 0.4, damaged: bool = False) -> None:
        """``damaged``: every second time it comes back with a copy that went its own way."""
        self.together = _processes.Lock()
        """Held while the secondary is away."""
        self.count = 0
        """How often it came back; at the end."""
        self._two = two
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._damaged = damaged
        self._stop = _processes.Event()
        self._news, self._tell = _processes.Pipe(duplex=False)
        self._process = _processes.Process(target=self._run, daemon=True)

    def __enter__(self) -> "Comings":
        leave(self._two)
        self.together.acquire()
        self._process.start()
        self._tell.close()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        try:
            assert self._news.poll(120.0), "the secondary does not come back"
            failed, self.count, self._two.number = self._news.recv()
            assert not failed, failed
        finally:
            self._process.terminate()
            self._process.join()
        self._two.a.connect()
        self._two.b.start()
        self._two.join(seconds=60.0)

    def _run(self) -> None:
        """In the other process: from when the secondary has left to when it has left again."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        failed = ""
        try:
            while True:
                self._two.b.start()
                self._two.join(seconds=60.0)
                self.count += 1
                self.together.release()
                stopped = self._stop.wait(self._random.random() * 2 * self._pause_s)
                self.together.acquire()
                leave(self._two)
                if stopped:
                    break
                if self._damaged and self.count % 2:
                    for directory in self._two.b.directories:
                        # As one that came from elsewhere: with its base it would be taken for what it was.
                        (directory / ".mirrorfarm" / "base").unlink(missing_ok=True)
                        damage(directory, self._random)
        except Exception:
            failed = traceback.format_exc()
            print(failed, file=sys.stderr)  # the test may hang now, in an operation that waits for the secondary
        finally:
            self._two.b.put_away()
        self._tell.send((failed, self.count, self._two.number))


def is_soak() -> bool:
    """Whether this run is at full counts."""
    return os.environ.get("MIRRORFARM_SOAK") == "1"
