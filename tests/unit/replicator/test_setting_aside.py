"""What a diverged copy keeps of its own: whatever the primary does not have, however that changes meanwhile."""

import contextlib
import errno
import hashlib
import os
import random
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model.asides import AsideItem, Kept
from manager.model.errors import PeerProtocolError
from replicator.disk.aside import AsideTree
from replicator.disk.aside_shelf import read_asides, read_items
from replicator.disk.divergence import Divergence, mark_diverged, unmark_diverged
from replicator.disk.duplicating import Pause, duplicate
from replicator.disk.limbo import is_joining
from replicator.wire.frames import FrameKind
from tests.support.random_trees import RandomTree
from tests.support.trees import snapshot
from tests.unit.replicator.aside_world import AsideWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AsideWorld]:
    made = AsideWorld(tmp_path)
    yield made
    made.close()


def both(world: AsideWorld, name: str, content: bytes) -> None:
    for directory in (world.here, world.there):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
        os.utime(directory / name, ns=(0, 5_000_000_000))
        os.utime((directory / name).parent, ns=(0, 5_000_000_000))


def items(world: AsideWorld) -> dict[str, tuple[tuple[str, ...], Kept]]:
    return {item.path: (item.what, item.kept) for item in read_items(world.private, 3)}


def test_nothing_is_kept_where_nothing_differs(world: AsideWorld) -> None:
    both(world, "dir/file", b"x" * 100_000)
    world.run(random.Random(1))
    assert (world.done, world.refused, world.diverged) == (1, [], False)
    assert [(kept.number, kept.items, kept.bytes) for kept in world.kept] == [(0, 0, 0)]
    assert read_asides(world.private) == []
    assert is_joining(world.private), "it goes on to vouch for nothing"
    assert world.receiver.is_over


def test_what_was_kept_says_where_it_came_from(world: AsideWorld) -> None:
    (world.there / "own").write_bytes(b"own")
    world.run(random.Random(1))
    (found,) = read_asides(world.private)
    assert (found.number, found.node_epoch, found.primary, found.epoch, found.items) == (3, 7, "b", 8, 1)
    assert world.kept == [found]
    assert (world.tree / "own").read_bytes() == b"own"


def test_only_what_differs_is_kept_and_how_it_differs_is_told(world: AsideWorld) -> None:
    for name in ("same", "content", "size", "attributes", "type", "dir/file"):
        both(world, name, b"x" * 40_000)
    both(world, "gone/inside", b"x")
    shutil.rmtree(world.here / "gone")
    (world.there / "content").write_bytes(b"x" * 39_999 + b"y")
    os.utime(world.there / "content", ns=(0, 5_000_000_000))
    (world.there / "size").write_bytes(b"x" * 39_999)
    os.chmod(world.there / "attributes", 0o600)
    os.setxattr(world.there / "attributes", b"user.\xff", b"value")
    (world.there / "type").unlink()
    (world.there / "type").mkdir()
    (world.there / "type/inside").write_bytes(b"inside")
    os.chmod(world.there / "dir", 0o711)
    os.utime(world.there / "dir", ns=(0, 5_000_000_000))
    (world.here / "only here").write_bytes(b"new")
    world.run(random.Random(1))
    found = items(world)
    assert found == {
        "content": (("content",), Kept.WHOLE),
        "size": (("size", "mtime"), Kept.WHOLE),
        "attributes": (("mode", "xattr"), Kept.ATTRIBUTES),
        "type": (("type",), Kept.DIRECTORY),
        "type/inside": (("type",), Kept.WHOLE),
        "gone": (("extra",), Kept.DIRECTORY),
        "gone/inside": (("extra",), Kept.WHOLE),
        "dir": (("mode",), Kept.DIRECTORY),
    }
    names = {path.relative_to(world.tree).as_posix() for path in world.tree.rglob("*")}
    assert names == {"content", "size", "type", "type/inside", "gone", "gone/inside", "dir"}
    status = os.stat(world.tree / "dir")
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o711, 5_000_000_000)
    line = next(line for line in (world.tree.parent / "list.jsonl").read_text().splitlines() if "xattr" in line)
    assert r'"user.\\xff": "76616c7565"' in line


def test_names_of_one_file_are_names_of_one_file(world: AsideWorld) -> None:
    (world.there / "dir").mkdir()
    (world.there / "dir/one").write_bytes(b"x" * 50_000)
    os.link(world.there / "dir/one", world.there / "two")
    world.run(random.Random(1))
    assert os.path.samefile(world.tree / "dir/one", world.tree / "two")
    sizes = sorted(item.bytes for item in read_items(world.private, 3))
    assert sizes[:2] == [4096, 4096] and sizes[2] > 50_000


def test_a_file_that_two_names_are_here_and_one_there_differs(world: AsideWorld) -> None:
    both(world, "one", b"x")
    both(world, "two", b"x")
    (world.there / "two").unlink()
    os.link(world.there / "one", world.there / "two")
    world.run(random.Random(1))
    assert (("link",), Kept.WHOLE) in items(world).values()


def test_it_is_as_deep_as_it_likes(world: AsideWorld) -> None:
    depth = 300
    with contextlib.chdir(world.there):
        for _ in range(depth):
            os.mkdir("d" * 20)
            os.chdir("d" * 20)
        Path("file").write_bytes(b"deep")
    world.run(random.Random(1))
    assert (world.done, world.kept[0].items) == (1, depth + 1)


def test_holes_stay_holes(world: AsideWorld) -> None:
    with open(world.there / "sparse", "wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"x")
    world.run(random.Random(1))
    kept = (world.tree / "sparse").stat()
    assert (kept.st_size, kept.st_blocks * 512 < 1 << 20) == (1 << 30, True)
    with open(world.tree / "sparse", "rb") as file:
        file.seek((1 << 29) - 1)
        assert file.read(3) == b"\0x\0"


def test_a_protected_file_is_kept(world: AsideWorld) -> None:
    (world.there / "own").write_bytes(b"own")
    if os.system(f"chattr +i {world.there}/own") != 0:
        pytest.skip("this file system has no chattr +i")
    try:
        world.run(random.Random(1))
        assert (world.tree / "own").read_bytes() == b"own"
    finally:
        os.system(f"chattr -i {world.there}/own")


# What the application does meanwhile


def test_a_directory_that_is_moved_away_before_it_is_visited_is_kept_whole(world: AsideWorld) -> None:
    both(world, "one/inner/file", b"same")
    both(world, "two/other", b"same")

    def move() -> None:
        if FrameKind.VERIFY_LISTING in world.stream.sent and (world.here / "one").exists():
            (world.here / "one").rename(world.here / "two/one")

    world.run(random.Random(1), move)
    assert (world.tree / "one/inner/file").read_bytes() == b"same"
    assert FrameKind.KEEP in world.stream.sent


@pytest.mark.parametrize("becomes", [None, "directory", "file"])
def test_a_file_that_is_no_more_when_its_turn_comes_is_kept(world: AsideWorld, becomes: str | None) -> None:
    both(world, "file", b"same")

    def remove() -> None:
        if FrameKind.VERIFY_LISTING in world.stream.sent and not removed:
            removed.append(True)
            (world.here / "file").unlink()
            if becomes == "directory":
                (world.here / "file").mkdir()
            elif becomes == "file":
                (world.here / "file").write_bytes(b"SAME")

    removed: list[bool] = []
    world.run(random.Random(1), remove)
    assert (world.tree / "file").read_bytes() == b"same"


def test_a_file_that_changes_its_length_while_it_is_compared_is_kept(world: AsideWorld) -> None:
    both(world, "file", b"x" * 5_000_000)

    def grow() -> None:
        if FrameKind.VERIFY_COMPARE in world.stream.sent and (world.here / "file").stat().st_size == 5_000_000:
            with open(world.here / "file", "ab") as file:
                file.write(b"more")

    world.run(random.Random(1), grow)
    assert (world.tree / "file").stat().st_size == 5_000_000


SEEDS = range(30)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_primary_never_had_is_kept_as_it_was(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = AsideWorld(tmp_path)
    RandomTree(str(world.here), chance).change(60)
    shutil.rmtree(world.there)
    shutil.copytree(world.here, world.there, symlinks=True, ignore=_special)
    world.volumes[1].close()
    world = _again(world, tmp_path)
    RandomTree(str(world.there), chance).change(40)
    was = snapshot(str(world.there), exact_times=True)
    had: set[tuple[str, object]] = set()
    _note(world.here, had)

    def change() -> None:
        if chance.random() < 0.05:
            RandomTree(str(world.here), chance).change(1)
            _note(world.here, had)

    world.run(chance, change)
    assert (world.done, world.refused, world.stream.dropped) == (1, [], "")
    assert snapshot(str(world.there), exact_times=True) == was, "nothing of the copy was changed"
    kept = snapshot(str(world.tree), exact_times=True) if world.tree.exists() else {}
    for path, entry in was.items():
        if path not in ("links", ".") and (path, _data(world.there / path)) not in had:
            assert path in kept, path
            assert (*kept[path][:3], *kept[path][4:]) == (*entry[:3], *entry[4:]), path
    world.close()


def _special(directory: str, names: list[str]) -> list[str]:
    modes = {name: os.lstat(os.path.join(directory, name)).st_mode for name in names}
    return [n for n, mode in modes.items() if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)] + [".mirrorfarm"]


def _again(world: AsideWorld, path: Path) -> AsideWorld:
    """The same directories, opened anew."""
    world.volumes[0].close()
    here, there = path / "kept-here", path / "kept-there"
    world.here.rename(here)
    world.there.rename(there)
    made = AsideWorld(path)
    for old, new in ((here, made.here), (there, made.there)):
        for entry in old.iterdir():
            if entry.name != ".mirrorfarm":
                entry.rename(new / entry.name)
    return made


def _note(root: Path, had: set[tuple[str, object]]) -> None:
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory) / name
            had.add((f"./{path.relative_to(root)}", _data(path)))


def _data(path: Path) -> object:
    status = path.lstat()
    if stat.S_ISREG(status.st_mode):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    return stat.S_IFMT(status.st_mode), status.st_rdev


# What breaks off


@pytest.mark.parametrize("count", range(0, 24, 2))
def test_what_broke_off_is_begun_anew(world: AsideWorld, count: int) -> None:
    for number in range(200):
        (world.there / f"{number}").write_bytes(b"x" * number)
    world.asking.start()
    while count and (steps := world.steps()):
        steps[0]()
        count -= 1
    world.cut()
    world.rest()
    if world.diverged:
        assert world.kept == []
        # As where power was lost when it was whole in one of two directories.
        (world.there / ".mirrorfarm/aside/3/tree/none").mkdir(parents=True, exist_ok=True)
        world.begin()
        world.run(random.Random(1))
    assert [kept.items for kept in world.kept] == [200]
    assert (os.listdir(world.tree.parent.parent), len(os.listdir(world.tree))) == (["3"], 200)


def test_a_stream_that_ends_while_a_large_file_is_copied_ends_that(
    world: AsideWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.there / "large").write_bytes(b"x" * 100_000)

    def cut(source: int, name: bytes, target: int, new: bytes, pause: Pause) -> None:
        world.cut()
        duplicate(source, name, target, new, pause)

    monkeypatch.setattr("replicator.disk.aside.duplicate", cut)
    world.asking.start()
    while steps := world.steps():
        steps[0]()
    assert (world.kept, world.refused, world.link.answers, world.diverged) == (
        [],
        [],
        type(world.link.answers)(),
        True,
    )


def test_where_there_is_no_room_it_is_refused_and_the_mark_stays(tmp_path: Path) -> None:
    world = AsideWorld(tmp_path, limit_bytes=100_000)
    (world.there / "small").write_bytes(b"x")
    (world.there / "large").write_bytes(b"x" * 100_000)
    world.run(random.Random(1))
    (refused,) = world.refused
    assert (refused.full, refused.needed_bytes > 100_000, world.done) == (True, True, 0)
    assert 0 < refused.room_bytes < 100_000
    assert (world.diverged, os.listdir(world.there / ".mirrorfarm/aside")) == (True, [])
    world.close()


@pytest.mark.parametrize(("code", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_a_full_disk_is_no_broken_one(
    world: AsideWorld, monkeypatch: pytest.MonkeyPatch, code: int, full: bool
) -> None:
    (world.there / "own").write_bytes(b"own")

    def fail(source: int, name: bytes, target: int, new: bytes, pause: Pause) -> None:
        duplicate(source, name, target, new, pause)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("replicator.disk.aside.duplicate", fail)
    world.run(random.Random(1))
    assert ([refused.full for refused in world.refused], world.done, world.diverged) == ([full], 0, True)
    assert os.strerror(code) in world.refused[0].detail
    assert os.listdir(world.there / ".mirrorfarm/aside") == []


def test_what_the_full_disk_does_not_even_let_be_listed_leaves_nothing_behind(
    world: AsideWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.there / "own").write_bytes(b"own")

    def fail(tree: AsideTree, item: AsideItem, more: object = None) -> None:
        tree._list.close()
        tree._list = open("/dev/full", "w")  # noqa: SIM115
        tree._list.write("a line that is not written yet")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(AsideTree, "_note", fail)
    world.run(random.Random(1))
    (refused,) = world.refused
    assert refused.full and "is left" not in refused.detail
    assert os.listdir(world.there / ".mirrorfarm/aside") == []
    world.cut()  # Nothing is closed twice.
    world.rest()


def test_what_is_whole_stays_where_the_mark_is_gone_and_the_disk_does_not_say_so(
    world: AsideWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy may be changed then, by whatever process comes next: nothing of it would be left."""
    (world.there / "own").write_bytes(b"own")

    def fail(private: int) -> None:
        unmark_diverged(private)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("replicator.disk.keeping.unmark_diverged", fail)
    world.run(random.Random(1))
    assert ([refused.full for refused in world.refused], world.done, world.diverged) == ([False], 0, False)
    assert (world.tree / "own").read_bytes() == b"own"
    assert [aside.items for aside in read_asides(world.private)] == [1]


@pytest.mark.parametrize("code", [errno.EMLINK, errno.EXDEV])
def test_a_name_that_cannot_be_a_link_is_kept_once_more(
    world: AsideWorld, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (world.there / "one").write_bytes(b"x")
    os.link(world.there / "one", world.there / "two")

    def fail(*_arguments: object, **_more: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("replicator.disk.aside.os.link", fail)
    world.run(random.Random(1))
    assert sorted(os.listdir(world.tree)) == ["one", "two"]
    assert not os.path.samefile(world.tree / "one", world.tree / "two")


def test_where_nothing_may_be_kept_equal_copies_still_join(tmp_path: Path) -> None:
    world = AsideWorld(tmp_path, limit_bytes=0)
    both(world, "file", b"x")
    world.run(random.Random(1))
    assert (world.done, world.diverged) == (1, False)
    world.close()


def test_other_asides_take_of_the_room(tmp_path: Path) -> None:
    world = AsideWorld(tmp_path)
    (world.there / "own").write_bytes(b"x" * 60_000)
    world.run(random.Random(1))
    world.cut()
    world.rest()
    mark_diverged(world.private, Divergence(8, 4))
    world.limit_bytes, world.done = 100_000, 0
    world.begin()
    world.run(random.Random(1))
    assert [refused.full for refused in world.refused] == [True]
    world.close()


def test_what_was_not_asked_is_not_answered(world: AsideWorld) -> None:
    with pytest.raises(PeerProtocolError):
        world.asking.answered(1, memoryview(b""))


def test_nothing_is_asked_after_the_end(world: AsideWorld) -> None:
    world.receiver.on_frame(FrameKind.SET_ASIDE, 1, memoryview(b""))
    with pytest.raises(PeerProtocolError):
        world.receiver.on_frame(FrameKind.SET_ASIDE, 2, memoryview(b""))
