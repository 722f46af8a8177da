"""A node that went on alone comes back to one that was forced: what it alone has is kept, then it is brought in sync.

What is kept is judged by a snapshot of its copy from before, which shares no code with the replicator: whatever differs
from the primary's is in the aside as it was, and both copies are equal in the end.
"""

import contextlib
import json
import os
import random
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from manager.model import asides, control
from tests.support.replicators import Node, Options, Pair, changed
from tests.support.trees import snapshot
from tests.support.two_disks import TwoDisks, is_soak, two_disks

SEED = random.randrange(1 << 32) if is_soak() else 5
JOIN_S = 60.0
DIRECTORIES = 60
MIB = 1 << 20


class Divergence:
    """``a`` went on without ``b``, which was then forced: ``pair`` is ``b`` and ``a`` from then on."""

    def __init__(self, both: TwoDisks) -> None:
        self.both = both
        self.before: list[dict[str, Any]] = []
        """Its directories as they were when it came back."""
        self.theirs: list[dict[str, Any]] = []
        """The primary's at that time."""

    @property
    def pair(self) -> Pair:
        return self.both.pair

    @property
    def lost(self) -> Node:
        """The one that went on alone."""
        return self.both.pair.b

    def part(self, alone: Callable[[Path], None], forced: Callable[[Path], None]) -> None:
        """``alone`` changes each directory of the one without the other, ``forced`` of the other as it is forced."""
        two = self.pair
        two.a.collect(0.0)
        two.a.events.clear()
        two.b.kill()
        two.b.clear()
        two.a.wait(control.PeerLost)
        two.settle(())
        two.a.tell(control.Forget(two.b.name))
        for directory in two.a.directories:
            alone(directory)
        two.a.kill()
        two.a.clear()
        two.b.start()
        self.both.pair = new = Pair(two.b, two.a, two.epoch + 1)
        new.a.serve(new.epoch)
        for directory in new.a.directories:
            forced(directory)
        subprocess.run(["sync", "--file-system", *self.both.disks.values()], check=True)
        self.before = [snapshot(str(directory), exact_times=True) for directory in new.b.directories]
        self.theirs = [snapshot(str(directory), exact_times=True) for directory in new.a.directories]

    def come_back(self) -> asides.SetAside:
        """The one that was alone follows; what was kept, when it is in sync."""
        self.pair.b.start()
        self.pair.join(JOIN_S, diverged=True)
        return self.pair.b.wait(asides.SetAside)

    def begin_to_come_back(self) -> control.Hello:
        """It follows, and has begun to keep what differs."""
        two = self.pair
        lives = two.b.process is not None and two.b.process.poll() is None
        hello = two.b.connect() if lives else two.b.start()
        two.b.follow(two.a.name, two.epoch, diverged=True)
        two.a.tell(control.Peer(two.b.name, "127.0.0.1", hello.listen_port))
        two.b.wait(asides.SettingAside)
        return hello

    def assert_kept(self, number: int) -> None:
        """Whatever differed is in the aside, as it was."""
        for directory, before, theirs in zip(self.pair.b.directories, self.before, self.theirs, strict=True):
            tree = directory / ".mirrorfarm" / "aside" / str(number) / "tree"
            kept = snapshot(str(tree), exact_times=True) if tree.exists() else {}
            listed = {item["path"]: item for item in _list(tree.parent)}
            for path, was in before.items():
                if path in ("links", "."):
                    continue
                name = os.path.normpath(path)
                if _data(was) != _data(theirs.get(path)):
                    assert path in kept, f"seed {SEED}: {path} is not kept: {was} / {theirs.get(path)}"
                    assert _without_links(kept[path]) == _without_links(was), f"seed {SEED}: {path}"
                elif _without_links(was) != _without_links(theirs.get(path)) and was[0][0] == "-":
                    assert path in kept or name in listed, f"seed {SEED}: attributes of {path}: {was}"

    def lacks(self) -> str:
        """How the last stream began, as the primary logs it."""
        lines = [line for line in self.pair.a.log.read_text().splitlines() if '"peer.connected"' in line]
        return str(json.loads(lines[-1])["lacks"])

    def report(self, command: asides.Command) -> asides.AsideReport:
        """The answer of the node that was alone."""
        self.lost.tell(command)
        return self.lost.wait(asides.AsideReport, lambda report: report.request_id == command.request_id, 30.0)


def _list(aside: Path) -> list[dict[str, Any]]:
    file = aside / "list.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _data(entry: tuple[Any, ...] | None) -> object:
    """Type, size, device, target and content of what is no directory."""
    if entry is None:
        return None
    if entry[0][0] == "d":
        return "d"
    return entry[0][0], entry[4], entry[5], entry[7], entry[8]


def _without_links(entry: tuple[Any, ...] | None) -> object:
    """And without the times of a directory."""
    if entry is None:
        return None
    time_ns = None if entry[0][0] == "d" else entry[6]
    return (*entry[:3], *entry[4:6], time_ns, *entry[7:])


@contextlib.contextmanager
def diverging(
    base: Path, kinds: tuple[str, str] = ("ext4", "xfs"), options: Options | None = None
) -> Iterator[Divergence]:
    with two_disks(base, kinds, options or Options(directories=2)) as both:
        yield Divergence(both)


def holding(hold: Path, steps: int) -> Options:
    """Of replicators that are in the middle of setting aside, after so many steps, while ``hold`` is there.

    A stream that is lost ends that, as ever.
    """
    code = f"""
import os, time
from replicator.aside_receiver import AsideReceiver
go_on, taken = AsideReceiver._pause, {{}}
def pause(self):
    taken[self] = taken.get(self, 0) + 1
    while taken[self] > {steps} and os.path.exists({str(hold)!r}) and not self._closing.is_set():
        time.sleep(0.01)
    go_on(self)
AsideReceiver._pause = pause
"""
    return Options(directories=2, command=changed(code))


def fill(directory: Path) -> None:
    """What both have."""
    (directory / "same").write_bytes(b"same everywhere")
    (directory / "changed").write_bytes(b"x" * 300_000)
    (directory / "deep/er").mkdir(parents=True)
    (directory / "deep/er/file").write_bytes(b"deep")
    (directory / "becomes a directory").write_bytes(b"file")
    (directory / "becomes a file").mkdir()
    (directory / "becomes a file/inside").write_bytes(b"inside")
    (directory / "only attributes").write_bytes(b"z" * 100_000)
    (directory / "one").write_bytes(b"linked")
    os.link(directory / "one", directory / "two")
    (directory / "symlink").symlink_to("same")
    (directory / "removed there").write_bytes(b"removed by the one that was forced")
    (directory / "moved").mkdir()
    (directory / "moved/file").write_bytes(b"moved with its directory")


def alone(directory: Path) -> None:
    """What the one that is alone makes of it: something of everything."""
    with open(directory / "changed", "r+b") as file:
        file.seek(200_000)
        file.write(b"alone")
    (directory / "deep/er/file").write_bytes(b"deeper")
    (directory / "becomes a directory").unlink()
    (directory / "becomes a directory").mkdir()
    (directory / "becomes a directory/inside").write_bytes(b"inside")
    shutil.rmtree(directory / "becomes a file")
    (directory / "becomes a file").write_bytes(b"file")
    os.chmod(directory / "only attributes", 0o640)
    os.setxattr(directory / "only attributes", "user.colour", b"green")
    (directory / "one").write_bytes(b"still linked")
    (directory / "symlink").unlink()
    (directory / "symlink").symlink_to("changed")
    odd = os.fsencode(directory) + b"/not \xff utf-8 \\ \n"
    with open(odd, "wb") as odd_file:
        odd_file.write(b"odd")
    new = directory / "new"
    (new / "tree/of/some/depth").mkdir(parents=True)
    os.chmod(new / "tree", 0o2711)
    os.chown(new / "tree/of", 33, 34)
    os.setxattr(new / "tree/of", "user.note", b"a directory's own")
    (new / "tree/of/first").write_bytes(b"hard links " * 1000)
    os.link(new / "tree/of/first", new / "tree/of/some/second")
    os.link(new / "tree/of/first", directory / "third")
    with open(new / "sparse", "wb") as sparse:
        sparse.seek(400 * MIB)
        sparse.write(b"at the end")
    os.mkfifo(new / "fifo", 0o612)
    os.mknod(new / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (new / "script").write_bytes(b"#!/bin/sh\n")
    os.chmod(new / "script", 0o4755)
    subprocess.run(["setfacl", "-m", "u:33:r,m::rw", new / "script"], check=True)
    os.utime(new / "script", ns=(1_000_000_007, 2_000_000_009))


def forced(directory: Path) -> None:
    """What the other one makes of it."""
    (directory / "made by the other").write_bytes(b"y" * 50_000)
    (directory / "removed there").unlink()
    (directory / "moved").rename(directory / "moved away")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kinds", [("ext4", "xfs"), ("xfs", "ext4")], ids="-".join)
def test_whatever_differs_is_kept_and_the_copies_are_equal(tmp_path: Path, kinds: tuple[str, str]) -> None:
    with diverging(tmp_path, kinds) as story:
        for directory in story.pair.a.directories:
            fill(directory)
        story.part(alone, forced)
        found = story.come_back()
        assert (found.number, story.lacks()) == (1, "everything"), "what it did alone is on no list"
        story.both.assert_equal()
        story.assert_kept(1)
        report = story.report(asides.AsideList("list"))
        (aside,) = report.asides
        assert (report.error, report.diverged, aside.node_epoch, aside.primary, aside.epoch) == ("", False, 1, "b", 2)
        assert (aside.items, aside.bytes) == (found.items, found.bytes)
        sizes = [_allocated(d / ".mirrorfarm/aside") for d in story.lost.directories]
        assert sum(sizes) <= aside.bytes + (64 << 10), "the sparse file is still sparse, and what it takes is told"
        story.both.rest()


@pytest.mark.timeout(120)
def test_what_is_kept_can_be_looked_at_restored_and_cleared(tmp_path: Path) -> None:
    with diverging(tmp_path, options=Options(directories=1)) as story:
        fill(story.pair.a.data)
        story.part(alone, forced)
        story.come_back()
        data = story.lost.data
        was = story.before[0]
        target = story.both.disks["a"] / "restored"

        def restore(path: str, to: Path = target) -> asides.AsideReport:
            return story.report(asides.AsideRestore(f"{path} {to}", 1, path, str(to)))

        shown = story.report(asides.AsideShow("all", 1))
        items = {item.path: item for item in shown.items}
        assert shown.items_total == len(shown.items) == shown.asides[0].items
        assert items[f"{data}/changed"].what == ("content",)
        assert items[f"{data}/only attributes"].kept is asides.Kept.ATTRIBUTES
        assert "0o640" in items[f"{data}/only attributes"].detail
        assert items[f"{data}/new/sparse"].size > 400 * MIB > items[f"{data}/new/sparse"].bytes
        odd = rf"{data}/not \xff utf-8 \\ \x0a"
        assert items[odd].what == ("extra",)
        below = story.report(asides.AsideShow("below", 1, f"{data}/new/tree", skip=1, limit=2))
        assert (len(below.items), below.items_total) == (2, 6)

        assert restore(odd).error == ""
        assert target.read_bytes() == b"odd"
        assert "is there already" in restore(odd).error
        assert "replicated" in restore(odd, data / "inside").error
        assert "nothing of that path" in restore(f"{data}/same", target.with_name("no")).error
        assert "nothing of that path" in restore(f"{data}/only attributes", target.with_name("no")).error
        assert "in none of" in restore("/etc/passwd", target.with_name("no")).error
        tree = target.with_name("restored tree")
        subprocess.run(["setfacl", "-d", "-m", "u:34:rwx", tree.parent], check=True)  # not for what is restored
        restored = restore(f"{data}/new", tree)
        assert (restored.error, restored.items_total) == ("", 11)
        found = snapshot(str(tree), exact_times=True)
        for path, entry in found.items():
            if path != "links":
                old = was["./" + os.path.normpath(f"new/{path}")]
                assert _without_links((*entry[:3], None, *entry[4:])) == _without_links(old), path
        assert found["links"] == [["./tree/of/first", "./tree/of/some/second"]]
        assert sorted(os.listdir(tree.parent)) == ["data0", "lost+found", "restored", "restored tree"]

        assert "no aside 7" in story.report(asides.AsideClear("other", 7)).error
        assert story.report(asides.AsideClear("it", 1)).asides == ()
        assert os.listdir(data.parent / "data0/.mirrorfarm/aside") == []
        assert "no aside 1" in story.report(asides.AsideShow("gone", 1)).error
        story.both.rest()


@pytest.mark.timeout(120)
def test_where_one_of_its_disks_was_replaced_what_the_other_one_has_is_kept(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    with diverging(tmp_path, options=holding(hold, 10)) as story:
        for directory in story.pair.a.directories:
            fill(directory)
        story.part(alone, forced)
        hold.touch()
        for entry in story.lost.directories[1].iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        story.before[1] = {}
        hello = story.begin_to_come_back()
        assert (hello.identity, hello.seen_epoch, hello.diverged) == (None, 1, False)
        again = story.lost.connect()
        assert (again.identity, again.diverged) == (None, False), "no whole copy, that could be forced in its turn"
        hold.unlink()
        story.pair.a.wait(control.PeerComplete, seconds=JOIN_S)
        story.pair.settle(("a",))
        story.both.assert_equal()
        story.assert_kept(1)
        story.both.rest()


@pytest.mark.timeout(120)
def test_where_nothing_may_be_kept_nothing_is_changed_until_it_is_given_up(tmp_path: Path) -> None:
    with diverging(tmp_path, options=Options(directories=1, set_aside_bytes=0)) as story:
        fill(story.pair.a.data)
        story.part(alone, forced)
        hello = story.begin_to_come_back()
        refused = story.lost.wait(asides.NotSetAside)
        assert (refused.full, refused.room_bytes) == (True, 0)
        story.lost.wait(control.StreamLost)
        again = story.lost.connect()
        assert (again.identity, again.diverged, again.instance) == (None, True, hello.instance)
        assert snapshot(str(story.lost.data), exact_times=True) == story.before[0]
        story.lost.lease()
        story.lost.tell(control.Serve(9, 900))
        assert "set aside" in story.lost.wait(control.Refused).reason
        given_up = story.report(asides.AsideGiveUp("yes"))
        assert (given_up.error, given_up.diverged, given_up.asides) == ("", False, ())
        story.pair.a.wait(control.PeerComplete, seconds=JOIN_S)
        story.pair.settle(("a",))
        story.both.assert_equal()
        assert story.lacks() == "everything"
        assert "nothing is to be set aside" in story.report(asides.AsideGiveUp("again")).error
        story.both.rest()


@pytest.mark.timeout(120)
def test_a_full_disk_blocks_it_until_there_is_room(tmp_path: Path) -> None:
    with diverging(tmp_path, options=Options(directories=1)) as story:
        fill(story.pair.a.data)
        story.part(alone, forced)
        filler = story.both.disks["a"] / "filler"
        free = os.statvfs(filler.parent)
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, (free.f_bavail - free.f_blocks // 20) * free.f_frsize)
        story.begin_to_come_back()
        refused = story.lost.wait(asides.NotSetAside)
        assert (refused.full, "5 %" in refused.detail) == (True, True)
        filler.unlink()
        story.pair.a.wait(control.PeerComplete, seconds=JOIN_S)  # it is tried again by itself
        story.pair.settle(("a",))
        story.both.assert_equal()
        story.assert_kept(story.lost.wait(asides.SetAside).number)
        story.both.rest()


def a_is_killed(story: Divergence) -> None:
    story.pair.b.kill()
    story.pair.b.clear()


def a_loses_power(story: Divergence) -> None:
    a_is_killed(story)
    story.both.lose_power(story.pair.b)


def a_loses_power_as_it_joins(story: Divergence) -> None:
    story.lost.wait(asides.SetAside)
    a_loses_power(story)


def b_is_killed(story: Divergence) -> None:
    """And serves again, in a new epoch."""
    two = story.pair
    two.a.kill()
    two.a.clear()
    two.a.start()
    story.both.pair = new = Pair(two.a, two.b, two.epoch + 1)
    new.a.serve(new.epoch)


def the_stream_is_cut(story: Divergence) -> None:
    two = story.pair
    two.a.tell(control.Forget(two.b.name))
    two.b.wait(control.StreamLost)


BREAKS = [a_is_killed, a_loses_power, a_loses_power_as_it_joins, b_is_killed, the_stream_is_cut]


def grow(directory: Path) -> None:
    """So that it takes its time."""
    alone(directory)
    for number in range(40):
        inner = directory / "many" / f"{number}"
        inner.mkdir(parents=True)
        for name in range(10):
            (inner / f"{name}").write_bytes(os.urandom(20_000))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("what", BREAKS, ids=lambda what: what.__name__)
def test_what_breaks_off_is_begun_anew(tmp_path: Path, what: Callable[[Divergence], None]) -> None:
    chance, hold = random.Random(SEED), tmp_path / "hold"
    with diverging(tmp_path, options=holding(hold, chance.randrange(100))) as story:
        for directory in story.pair.a.directories:
            fill(directory)
        story.part(grow, forced)
        for longest_s in (0.05, 0.5):
            if longest_s < 0.1 and what is not a_loses_power_as_it_joins:
                hold.touch()
            story.begin_to_come_back()
            time.sleep(chance.uniform(0.0, longest_s))
            what(story)
            if what is a_loses_power_as_it_joins:
                break
            if hold.exists():
                assert os.path.lexists(story.lost.data / ".mirrorfarm/diverged"), "it was not in the middle of it"
                hold.unlink()
        story.pair.settle(())  # it may have come to its end
        if story.lost.process is None or story.lost.process.poll() is not None:
            story.lost.start()
        story.pair.join(JOIN_S, diverged=False)  # it knows by itself
        story.both.assert_equal()
        story.assert_kept(1)
        story.both.rest()


@pytest.mark.timeout(240)
def test_what_was_begun_to_be_set_aside_is_whole_and_can_be_forced_in_turn(tmp_path: Path) -> None:
    """The one that was forced is lost for good: the other copy vouches for nothing, and is as it was."""
    hold = tmp_path / "hold"
    with diverging(tmp_path, options=holding(hold, 50)) as story:
        for directory in story.pair.a.directories:
            fill(directory)
        story.part(grow, forced)
        hold.touch()
        story.begin_to_come_back()
        story.pair.a.kill()
        story.pair.a.clear()
        lost = story.lost
        lost.kill()
        lost.clear()
        hold.unlink()
        hello = lost.start()
        assert (hello.identity, hello.diverged) == (None, True)
        story.both.pair = new = Pair(lost, story.pair.a, story.pair.epoch + 1)
        new.a.serve(new.epoch)
        for directory, before in zip(new.a.directories, story.before, strict=True):
            assert snapshot(str(directory), exact_times=True) == before
            assert not os.path.lexists(directory / ".mirrorfarm/diverged")
        new.b.start()
        new.join(JOIN_S, diverged=True)
        assert story.lacks() == "everything"
        assert new.b.wait(asides.SetAside).items > 0
        story.both.assert_equal()
        story.both.rest()


def scatter(directory: Path) -> None:
    """Directories that can be moved about, each with files of one size."""
    for number in range(DIRECTORIES):
        inner = directory / ("left", "right")[number % 2] / f"{number}" / "inner"
        inner.mkdir(parents=True)
        for name in range(6):
            (inner / f"{name}").write_bytes(_unique("both", inner, name))


def rewrite(directory: Path) -> None:
    """Nothing of what is in a file from then on was ever anywhere else."""
    for file in directory.glob("*/*/inner/*"):
        file.write_bytes(_unique("alone", file.parent, int(file.name)))


def _unique(who: str, directory: Path, number: int) -> bytes:
    return f"{who} {directory.parent.name} {number} ".encode() * 3000


def shuffle(directory: Path, chance: random.Random, stop: threading.Event) -> None:
    """Moves directories to and fro, and changes and moves files in them, all the time."""
    while not stop.is_set():
        found = [path for side in ("left", "right") for path in (directory / side).iterdir()]
        moved = chance.choice(found)
        other = "right" if moved.parent.name == "left" else "left"
        moved.rename(directory / other / moved.name)
        files = list((directory / other / moved.name / "inner").iterdir())
        if files:
            file = chance.choice(files)
            file.rename(file.with_name(f"{chance.randrange(100)}"))


@pytest.mark.timeout(120)
def test_nothing_is_missed_while_the_application_moves_everything_about(tmp_path: Path) -> None:
    chance, stop = random.Random(SEED), threading.Event()
    with diverging(tmp_path, options=Options(directories=1)) as story:
        scatter(story.pair.a.data)
        story.part(rewrite, lambda _directory: None)
        mine = {path: entry for path, entry in story.before[0].items() if path != "links" and entry[0][0] == "-"}
        assert len(mine) == 6 * DIRECTORIES
        application = threading.Thread(target=shuffle, args=(story.pair.a.data, chance, stop), daemon=True)
        application.start()
        try:
            number = story.come_back().number
        finally:
            stop.set()
            application.join(30.0)
        kept = snapshot(str(story.lost.data / f".mirrorfarm/aside/{number}/tree"), exact_times=True)
        missed = [path for path, entry in mine.items() if kept.get(path) != entry]
        assert not missed, f"seed {SEED}: {missed[:5]} of {len(missed)}"
        story.both.assert_equal()
        story.both.rest()


@pytest.mark.timeout(180)
def test_a_second_time_is_kept_beside_the_first(tmp_path: Path) -> None:
    with diverging(tmp_path, options=Options(directories=1, acknowledge_disk=True)) as story:
        fill(story.pair.a.data)
        for number in (1, 2):
            text = f"a alone {number}"
            story.part(partial(write, text), forced_again)
            assert story.come_back().number == number
            story.assert_kept(number)
            story.part(lambda _directory: None, lambda _directory: None)
            assert story.come_back().number == 0, "nothing differed"
        story.both.rest()
        (first, second) = (story.pair.a.data / f".mirrorfarm/aside/{number}/tree/changed" for number in (1, 2))
        assert (first.read_text(), second.read_text()) == ("a alone 1", "a alone 2")


def write(text: str, directory: Path) -> None:
    (directory / "changed").write_text(text)


def forced_again(directory: Path) -> None:
    (directory / "made by the other").write_bytes(os.urandom(1000))


def _allocated(directory: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*") if path.lstat().st_nlink == 1)
