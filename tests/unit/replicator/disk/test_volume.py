"""Operations on real files: names, hard links, ids and descriptors stay right, and what differs is noticed."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manager.model.ids import ROOT_INODE, first_inode
from replicator.core.filesystem import ID_XATTR, RENAME_EXCHANGE
from replicator.core.operations import (
    Attribute,
    Bind,
    Create,
    Fallocate,
    Fsync,
    Link,
    RemoveXattr,
    Rename,
    Rmdir,
    SetAttr,
    SetXattr,
    Unbind,
    Unlink,
    Write,
)
from replicator.disk import linux
from replicator.disk.inode_ids import InodeIds
from replicator.disk.limits import UnfitDirectory
from replicator.disk.loss import is_broken
from replicator.disk.volume import DivergenceError, Volume
from tests.support.deep_trees import DEPTH, deep_tree_in

_MS_RDONLY, _MS_REMOUNT = 1, 32
FILE, DIRECTORY, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    volume = Volume.open(str(tmp_path))
    volume.number_from(InodeIds(1))
    yield volume
    volume.close()


def make(volume: Volume, name: bytes, mode: int = FILE, parent: int = ROOT_INODE, target: bytes = b"") -> int:
    inode = volume.new_id()
    volume.apply(Create(0, inode, parent, name, mode, 0o022, 0, 0, 0, target))
    return inode


def test_ids_are_kept_on_the_inode_and_found_again(volume: Volume, tmp_path: Path) -> None:
    inode = make(volume, b"file")
    assert inode == first_inode(1)
    assert volume.release(volume.inode(inode)) == [inode]
    with pytest.raises(OSError) as caught:
        volume.inode(inode)
    assert caught.value.errno == errno.ESTALE
    found, _ = volume.lookup(volume.inode(ROOT_INODE), b"file")
    assert found.id == inode


def test_a_copied_id_is_recognised_and_replaced(volume: Volume, tmp_path: Path) -> None:
    inode = make(volume, b"file")
    (tmp_path / "copy").touch()
    os.setxattr(tmp_path / "copy", ID_XATTR, os.getxattr(tmp_path / "file", ID_XATTR))
    copy, _ = volume.lookup(volume.inode(ROOT_INODE), b"copy")
    assert copy.id != inode
    assert os.getxattr(tmp_path / "copy", ID_XATTR) != os.getxattr(tmp_path / "file", ID_XATTR)


def test_a_new_id_for_what_was_there_is_told_of_and_no_other(volume: Volume, tmp_path: Path) -> None:
    told: list[tuple[int, int, bytes]] = []
    volume.on_adopted = lambda *adopted: told.append(adopted)
    root = volume.inode(ROOT_INODE)
    volume.release(volume.inode(make(volume, b"known")))
    volume.lookup(root, b"known")
    inner = volume.inode(make(volume, b"inner", DIRECTORY))
    assert told == []
    for path in (tmp_path / "new", tmp_path / "inner" / "copied"):
        path.touch()
    os.setxattr(tmp_path / "inner" / "copied", ID_XATTR, os.getxattr(tmp_path / "known", ID_XATTR))
    new, _ = volume.lookup(root, b"new")
    assert told == [(new.id, ROOT_INODE, b"new")]
    os.link(tmp_path / "new", tmp_path / "inner" / "link")
    assert volume.lookup(inner, b"link")[0] is new
    copied = volume.entry_id(inner, b"copied", (tmp_path / "inner" / "copied").stat().st_ino)
    assert told[1:] == [(copied, inner.id, b"copied")]
    volume.release(new)
    volume.lookup(root, b"new")
    assert volume.entry_id(inner, b"copied", (tmp_path / "inner" / "copied").stat().st_ino) == copied
    assert len(told) == 2


def test_an_id_that_cannot_be_kept_is_told_of_each_time(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int, bytes]] = []
    volume.on_adopted = lambda *adopted: told.append(adopted)
    (tmp_path / "fixed").touch()
    monkeypatch.setattr(linux, "extended", lambda _file: linux.Extended(protected=True, birth_ns=None))
    ids = []
    for _ in range(2):
        ids.append(volume.lookup(volume.inode(ROOT_INODE), b"fixed")[0].id)
        volume.release(volume.inode(ids[-1]))
    assert ids[0] != ids[1]
    assert told == [(inode, ROOT_INODE, b"fixed") for inode in ids]


def test_an_id_that_could_not_be_written_is_not_told_of(volume: Volume, tmp_path: Path) -> None:
    told: list[tuple[int, int, bytes]] = []
    volume.on_adopted = lambda *adopted: told.append(adopted)
    volume.number_from(None)
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        volume.lookup(volume.inode(ROOT_INODE), b"file")
    assert told == []


def test_a_secondary_gives_no_ids(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    volume = Volume.open(str(tmp_path))
    with pytest.raises(OSError) as caught:
        volume.lookup(volume.inode(ROOT_INODE), b"file")
    volume.close()
    assert caught.value.errno == errno.EROFS


def test_writing_and_attributes(volume: Volume, tmp_path: Path) -> None:
    inode = make(volume, b"file")
    assert volume.apply(Write(0, inode, 3, memoryview(b"abc"))) == 3
    attributes = Attribute.MODE | Attribute.UID | Attribute.GID | Attribute.MTIME
    volume.apply(SetAttr(0, inode, attributes, mode=0o4711, uid=3, gid=4, mtime_ns=-5))
    volume.apply(SetXattr(0, inode, b"user.a", b"1", 0, False))
    volume.apply(SetXattr(0, inode, b"user.b", b"2", 0, False))
    volume.apply(RemoveXattr(0, inode, b"user.a"))
    status = os.stat(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"\0\0\0abc"
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4711, 3, 4)
    assert status.st_mtime_ns == -5
    assert volume.listxattr(volume.inode(inode)) == [b"user.b"]
    volume.apply(SetAttr(0, inode, Attribute.SIZE | Attribute.MTIME, size=4, mtime_ns=7))
    assert ((tmp_path / "file").read_bytes(), os.stat(tmp_path / "file").st_mtime_ns) == (b"\0\0\0a", 7)
    volume.apply(Fallocate(0, inode, 0, 0, 8192))
    assert os.stat(tmp_path / "file").st_size == 8192
    volume.apply(Fsync(0, inode, False))


def test_modification_times_travel_and_change_times_do_not(volume: Volume, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Volume.open(str(tmp_path / "other"))
    inode = volume.new_id()
    for side in (volume, other):
        side.apply(Create(0, inode, ROOT_INODE, b"file", FILE, 0, 0, 0, 0, b""))
        side.apply(Write(0, inode, 0, b"data"))
    mtime_ns = volume.status(volume.inode(inode)).st_mtime_ns
    changed_ns = volume.status(volume.inode(inode)).st_ctime_ns
    for side in (volume, other):
        side.apply(SetAttr(0, inode, Attribute.MTIME, mtime_ns=mtime_ns))
    here, there = volume.status(volume.inode(inode)), other.status(other.inode(inode))
    assert here.st_mtime_ns == there.st_mtime_ns == mtime_ns
    assert here.st_ctime_ns == changed_ns, "where it was equal already, nothing was done"
    assert there.st_ctime_ns != changed_ns
    assert other.birth_ns(other.inode(inode)) != volume.birth_ns(volume.inode(inode))
    other.close()


def test_owner_and_mode_of_what_is_made(volume: Volume, tmp_path: Path) -> None:
    volume.apply(Create(0, volume.new_id(), ROOT_INODE, b"file", stat.S_IFREG | 0o6777, 0o027, 10, 20, 0, b""))
    volume.apply(Create(0, volume.new_id(), ROOT_INODE, b"link", LINK, 0, 11, 21, 0, b"target"))
    volume.apply(Create(0, volume.new_id(), ROOT_INODE, b"null", stat.S_IFCHR | 0o600, 0, 0, 0, os.makedev(1, 3), b""))
    status = os.stat(tmp_path / "file")
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o6750, 10, 20)
    status = os.lstat(tmp_path / "link")
    assert (os.readlink(tmp_path / "link"), status.st_uid, status.st_gid) == ("target", 11, 21)
    assert os.stat(tmp_path / "null").st_rdev == os.makedev(1, 3)


def test_names_follow_renames_and_exchanges(volume: Volume, tmp_path: Path) -> None:
    directory, file, other = make(volume, b"d", DIRECTORY), make(volume, b"f"), make(volume, b"o")
    volume.apply(Rename(0, file, ROOT_INODE, b"f", directory, b"g", 0, 0))
    assert volume.ancestry(volume.inode(file)) == [
        Bind(0, directory, ROOT_INODE, b"d"),
        Bind(0, file, directory, b"g"),
    ]
    volume.apply(Rename(0, other, ROOT_INODE, b"o", directory, b"g", 2, file))
    assert volume.name_of(volume.inode(file)) == (volume.inode(ROOT_INODE), b"o")
    volume.apply(Rename(0, file, ROOT_INODE, b"o", directory, b"g", 0, other))
    assert volume.inode(other).unlinked and volume.name_of(volume.inode(other)) is None
    volume.apply(Write(0, other, 0, b"still there"))
    assert os.listdir(tmp_path / "d") == ["g"]


def test_hard_links_and_the_last_name(volume: Volume, tmp_path: Path) -> None:
    file = make(volume, b"one")
    volume.apply(Link(0, file, ROOT_INODE, b"two"))
    volume.apply(Unlink(0, file, ROOT_INODE, b"one"))
    assert not volume.inode(file).unlinked
    assert volume.name_of(volume.inode(file)) == (volume.inode(ROOT_INODE), b"two")
    volume.apply(Unlink(0, file, ROOT_INODE, b"two"))
    assert volume.inode(file).unlinked
    with pytest.raises(OSError, match="no name"):
        volume.ancestry(volume.inode(file))


def test_a_search_keeps_the_directories_that_it_is_in(volume: Volume, tmp_path: Path) -> None:
    file, above = make(volume, b"one"), make(volume, b"d", DIRECTORY)
    for name in (b"a", b"b", b"c"):
        volume.release(volume.inode(make(volume, name, DIRECTORY, above)))
    last = [entry.name for entry in volume.entries(volume.inode(above))][-1]
    os.link(tmp_path / "one", tmp_path / "d" / os.fsdecode(last) / "two")
    volume.release(volume.inode(above))
    volume.apply(Unlink(0, file, ROOT_INODE, b"one"))
    found = volume.name_of(volume.inode(file))
    assert found is not None and found[1] == b"two"


def test_a_name_that_is_not_known_is_searched(volume: Volume, tmp_path: Path) -> None:
    file, directory = make(volume, b"one"), make(volume, b"d", DIRECTORY)
    os.link(tmp_path / "one", tmp_path / "d" / "two")
    volume.apply(Unlink(0, file, ROOT_INODE, b"one"))
    assert volume.name_of(volume.inode(file)) == (volume.inode(directory), b"two")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.unlink(path / "file"),
        lambda path: os.replace(path / "other", path / "file"),
    ],
)
def test_what_was_changed_below_is_a_divergence(volume: Volume, tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = make(volume, b"file")
    (tmp_path / "other").touch()
    change(tmp_path)
    with pytest.raises(DivergenceError):
        volume.apply(Unlink(0, file, ROOT_INODE, b"file"))
    with pytest.raises(DivergenceError):
        volume.apply(Rename(0, file, ROOT_INODE, b"file", ROOT_INODE, b"new", 0, 0))


def test_binding_on_the_other_side(volume: Volume, tmp_path: Path) -> None:
    directory = make(volume, b"d", DIRECTORY)
    file = make(volume, b"f", parent=directory)
    binds = volume.ancestry(volume.inode(file))
    secondary = Volume.open(str(tmp_path))
    for bind in binds:
        secondary.apply(bind)
    secondary.apply(Write(0, file, 0, b"bound"))
    assert (tmp_path / "d" / "f").read_bytes() == b"bound"
    secondary.apply(Unbind(0, file))
    with pytest.raises(OSError, match="not live"):
        secondary.apply(Write(0, file, 0, b"x"))
    with pytest.raises(DivergenceError, match="missing"):
        secondary.apply(Bind(0, 99, directory, b"nothing"))
    secondary.close()


def test_removing_a_directory(volume: Volume, tmp_path: Path) -> None:
    directory = make(volume, b"d", DIRECTORY)
    inner = make(volume, b"x", parent=directory)
    with pytest.raises(OSError) as caught:
        volume.apply(Rmdir(0, directory, ROOT_INODE, b"d"))
    assert caught.value.errno == errno.ENOTEMPTY
    volume.apply(Unlink(0, inner, directory, b"x"))
    volume.apply(Rmdir(0, directory, ROOT_INODE, b"d"))
    assert not (tmp_path / "d").exists() and volume.inode(directory).unlinked


def test_descriptors_are_bounded_and_opened_again(tmp_path: Path) -> None:
    volume = Volume.open(str(tmp_path), max_open=8)
    volume.number_from(InodeIds(1))
    before = len(os.listdir("/proc/self/fd"))
    inodes = [make(volume, f"file{i}".encode()) for i in range(100)]
    for number, inode in enumerate(inodes):
        volume.apply(Write(0, inode, 0, str(number).encode()))
    assert len(os.listdir("/proc/self/fd")) - before <= 2 * 8 + 4
    for number, inode in enumerate(inodes):
        volume.apply(Rename(0, inode, ROOT_INODE, f"file{number}".encode(), ROOT_INODE, f"new{number}".encode(), 0, 0))
        volume.apply(Write(0, inode, 0, str(number).encode()))
    assert [(tmp_path / f"new{i}").read_text() for i in range(100)] == [str(i) for i in range(100)]
    volume.close()


def make_deep(volume: Volume) -> list[int]:
    """Directories below each other: each one's id."""
    made = [make(volume, b"d", DIRECTORY)]
    while len(made) < DEPTH:
        made.append(make(volume, b"d", DIRECTORY, made[-1]))
    return made


def test_what_lies_deep_is_opened_again_by_the_names_above(tmp_path: Path) -> None:
    with deep_tree_in(tmp_path), contextlib.closing(Volume.open(str(tmp_path), max_open=1)) as volume:
        volume.number_from(InodeIds(1))
        directories = make_deep(volume)
        root = volume.inode(ROOT_INODE)
        for _ in range(len(directories)):
            volume.status(volume.lookup(root, b"d")[0])
        assert {volume.inode(each).path_fd for each in directories[1:]} == {-1}, "else this shows nothing"
        assert stat.S_ISDIR(volume.status(volume.inode(directories[-1])).st_mode)


def test_a_name_that_lies_deep_is_searched(volume: Volume, tmp_path: Path) -> None:
    with deep_tree_in(tmp_path):
        directories = make_deep(volume)
        file = make(volume, b"one")
        above = volume.inode(directories[-1])
        os.link("one", "two", src_dir_fd=volume.root_fd, dst_dir_fd=volume.table.path_fd(above))
        volume.apply(Unlink(0, file, ROOT_INODE, b"one"))
        assert volume.name_of(volume.inode(file)) == (above, b"two")
        assert len(volume.ancestry(volume.inode(file))) == len(directories) + 1


def test_the_private_directory_is_not_there(volume: Volume, tmp_path: Path) -> None:
    root = volume.inode(ROOT_INODE)
    assert (tmp_path / ".mirrorfarm").is_dir()
    assert volume.is_empty(root)
    with pytest.raises(FileNotFoundError):
        volume.lookup(root, b".mirrorfarm")


def test_what_cannot_be_replicated_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in (("/", "root of the system"), (str(tmp_path / "file"), "not a directory"), ("/sys", "mount")):
        with pytest.raises(UnfitDirectory, match=reason):
            Volume.open(path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / ".mirrorfarm").touch()
    with pytest.raises(UnfitDirectory, match="reserved"):
        Volume.open(str(tmp_path / "taken"))


def test_an_inode_that_loses_its_only_known_name_can_still_be_reached(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    os.link(tmp_path / "file", tmp_path / "other")
    for number in range(3):
        (tmp_path / f"filler{number}").write_bytes(b"")
    volume = Volume.open(str(tmp_path), max_open=1)
    volume.number_from(InodeIds(1))
    root = volume.inode(ROOT_INODE)
    inode, _ = volume.lookup(root, b"file")
    volume.hold(inode)
    for _ in range(3):
        for number in range(3):
            volume.lookup(root, b"filler%d" % number)
    assert inode.path_fd == -1, "its descriptor is to be closed, else this shows nothing"
    volume.apply(Unlink(0, inode.id, ROOT_INODE, b"file"))
    assert volume.status(inode).st_nlink == 1
    volume.close()


def test_directories_that_change_their_places_keep_their_times(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On xfs each would have its own at each node: it sets mtime to now."""
    for name in ("above", "above/one", "two"):
        (tmp_path / name).mkdir()
    for name in ("above/one", "two"):
        os.utime(tmp_path / name, ns=(0, 7))
    root = volume.inode(ROOT_INODE)
    above, _ = volume.lookup(root, b"above")
    one, two = volume.lookup(above, b"one")[0], volume.lookup(root, b"two")[0]

    def rename(source_dir: int, source: bytes, target_dir: int, target: bytes, flags: int) -> None:
        exchange(source_dir, source, target_dir, target, flags)
        os.utime(source, dir_fd=source_dir)
        os.utime(target, dir_fd=target_dir)

    exchange = linux.rename
    monkeypatch.setattr(linux, "rename", rename)
    volume.apply(Rename(0, one.id, above.id, b"one", ROOT_INODE, b"two", RENAME_EXCHANGE, two.id))
    assert [volume.status(inode).st_mtime_ns for inode in (one, two)] == [7, 7]
    assert volume.name_of(one) == (root, b"two") and volume.name_of(two) == (above, b"one")


def test_a_file_system_that_has_turned_read_only_is_not_taken_for_one_that_has_all(tmp_path: Path) -> None:
    """As file systems do after an error: syncfs(2) leaves everything where it is then, and says that all is well."""
    linux.mount("none", str(tmp_path), "tmpfs", 0, "size=1m")
    try:
        with contextlib.closing(Volume.open(str(tmp_path))) as volume, contextlib.closing(volume.watch()) as watch:
            for sync in (volume.syncfs, watch.check, volume.losses.check):
                sync()
            linux.mount("none", str(tmp_path), "none", _MS_REMOUNT | _MS_RDONLY)
            for sync in (volume.syncfs, watch.check, volume.losses.check):
                with pytest.raises(OSError) as caught:
                    sync()
                assert is_broken(caught.value)
    finally:
        linux.unmount(str(tmp_path), linux.MNT_DETACH)
