"""Real replicators: what verify found to differ is the primary's again after a join that brings just that.

The secondary's copy is changed below its cover in every way while an application writes. In the end both are equal to
a comparer that shares no code with the replicator.
"""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manager.model import control
from tests.support import compare_trees
from tests.support.damages import DAMAGES, fill, repair
from tests.support.replicators import Pair, pair

SETTLE_S = 10.0
BLOCK = 1 << 20
ZONE = 8 << 20


class Story:
    """A pair, and its directories as they are below the mounts."""

    def __init__(self, two: Pair, here: Path, there: Path) -> None:
        self.pair = two
        self.here = here
        self.there = there

    def verify(self, *, repair: bool = False) -> control.VerifyReport:
        self.pair.a.tell(control.Verify("request", 100, repair))
        report = self.pair.a.wait(control.VerifyReport)
        assert report.error == ""
        return report

    def lacked(self) -> list[str]:
        """How the streams to the secondary began, the last ones first."""
        lines = [line for line in self.pair.a.log.read_text().splitlines() if '"peer.connected"' in line]
        return [json.loads(line)["lacks"] for line in reversed(lines)]

    def assert_equal(self) -> None:
        end = time.monotonic() + SETTLE_S
        while found := compare_trees.differences(f"{self.here}/.", f"{self.there}/."):
            assert time.monotonic() < end, "\n".join(found[:20])
            time.sleep(0.1)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    base = tmp_path_factory.mktemp("repair")
    with contextlib.ExitStack() as opened:
        places = []
        for name in ("a", "b"):
            directory = base / name / "data0"
            directory.mkdir(parents=True)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            opened.callback(os.close, descriptor)
            places.append(Path(f"/proc/self/fd/{descriptor}"))
        two = opened.enter_context(pair(base))
        fill(two.a.data)
        (two.a.data / "work/inner").mkdir(parents=True)
        os.chmod(places[1] / "sparse", 0o604)
        repair(two)  # What was made until now is on both disks: a join looks only at what is found from here on.
        yield Story(two, *places)


@contextlib.contextmanager
def at_work(root: Path) -> Iterator[None]:
    """An application that goes on writing, beside what is damaged."""
    over = threading.Event()
    failures: list[OSError] = []

    def work() -> None:
        try:
            with open(root / "work/busy", "wb", buffering=0) as file:
                while not over.wait(0.002):
                    file.write(os.urandom(3000))
                    (root / "work/new").write_bytes(b"x")
                    (root / "work/new").rename(root / "work/inner/new")
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert failures == []


def _remove(root: Path) -> None:
    (root / "dir/inner/other").unlink()


def _add(root: Path) -> None:
    (root / "dir/extra").write_bytes(b"extra")
    (root / "extra directory").mkdir()
    (root / "extra directory/file").write_bytes(bytes(10_000))


def _move_tree(root: Path) -> None:
    """What is in it is not where it is compared, and comes back with it."""
    (root / "dir/inner").rename(root / "elsewhere")
    (root / "elsewhere/extra").write_bytes(b"extra")
    (root / "elsewhere/other").write_bytes(b"TEXT")


def _replace_directory(root: Path) -> None:
    (root / "dir").rename(root / "former")
    (root / "dir").mkdir()
    (root / "dir/strange").write_bytes(b"strange")


def _leave_a_copy(root: Path) -> None:
    """What is compared is equal, and is not what comes back: that was moved, and changed."""
    shutil.copytree(root / "dir", root / "copy", symlinks=True)
    (root / "dir").rename(root / "moved")
    (root / "copy").rename(root / "dir")
    _write_over(root / "moved/inner/other", b"TEXT")
    (root / "moved/inner/extra").write_bytes(b"extra")


def _write_over(path: Path, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.write(data)


def _swap_names(root: Path) -> None:
    (root / "dir/file").rename(root / "dir/third")
    (root / "dir/inner/other").rename(root / "dir/file")
    (root / "dir/third").rename(root / "dir/inner/other")
    _write_over(root / "dir/file", b"TEXT")
    _write_over(root / "dir/inner/other", os.urandom(1000))


def _lose_all(root: Path) -> None:
    for directory, _, files in os.walk(root):
        if ".mirrorfarm" not in directory:
            for name in files:
                (Path(directory) / name).write_bytes(b"lost")


MORE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "missing": ("missing", _remove),
    "extra": ("extra", _add),
    "a tree that was moved": ("missing", _move_tree),
    "a copy in place of what was moved": ("identity", _leave_a_copy),
    "a directory replaced": ("identity", _replace_directory),
    "names swapped": ("identity", _swap_names),
    "all content": ("content", _lose_all),
}
AT_ONCE = {
    "inodes": (
        "a byte", "a byte in a hole", "mode", "mode of a directory", "mode of the root", "owner", "time",
        "an attribute changed",
    ),
    "one inode": ("size", "an attribute removed"),
    "one directory": ("a link broken", "replaced by an equal copy"),
    "names": ("a symbolic link's target", "missing", "extra"),
}  # fmt: skip
"""What does not hide something else: the rest is done one by one."""
ONE_BY_ONE = sorted((DAMAGES | MORE).keys() - {name for names in AT_ONCE.values() for name in names})


@pytest.mark.parametrize("damage", [*AT_ONCE, *ONE_BY_ONE])
def test_whatever_differs_at_the_secondary_is_the_primarys_again(story: Story, damage: str) -> None:
    damages = [(DAMAGES | MORE)[name] for name in AT_ONCE.get(damage, (damage,))]
    with at_work(story.pair.a.data):
        for _, make in damages:
            make(story.there)
        found = {difference.what for difference in repair(story.pair).differences}
        assert found >= {what for what, _ in damages}
        assert story.verify().differences == ()
    story.assert_equal()
    assert story.lacked()[0] == "what is tracked"


def test_only_what_differs_is_brought(story: Story) -> None:
    root = story.pair.a.data
    with open(root / "large", "wb") as file:
        for _ in range(40):
            file.write(os.urandom(BLOCK))
    (root / "many").mkdir()
    for number in range(200):
        (root / f"many/{number}").write_bytes(b"x" * 1000)
    for _ in range(2):  # What was made just now is on both disks after the first join.
        with open(story.there / "large", "r+b") as file:
            file.seek(2 * ZONE + 5)
            file.write(b"damage")
        os.chmod(story.there / "many/7", 0o700)
        story.pair.a.events.clear()
        repair(story.pair)
    story.assert_equal()
    assert story.lacked()[0] == "what is tracked"
    said = [event for event in story.pair.a.events if isinstance(event, control.Progress) and event.work == "join"]
    # What is compared at once is as long as pacing lets it be, and lies in two zones where it lies across their border.
    assert said[-1].bytes_done <= 2 * ZONE + BLOCK and said[-1].entries_done < 50, said[-1]


def test_equal_copies_are_left_alone(story: Story) -> None:
    before = story.lacked()
    assert not story.verify(repair=True).repairing
    assert story.lacked() == before and story.pair.a.status().peers == {"b": "complete"}
