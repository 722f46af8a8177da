"""What is found out about a directory: on real files, and on lists of mounts as the kernel writes them."""

import errno
import os
import subprocess
import time
from pathlib import Path

import pytest

from agent.adapters import directory_look
from agent.adapters.directory_look import (
    FSYNCS,
    PRIVATE,
    Place,
    fsync_times_us,
    has_attribute,
    look,
    name_of,
    opened_by,
    owners_here,
    owners_in,
    place_of,
)
from manager import mountinfo
from manager.model.api_check import DirectoryFacts, Owner, OwnerHere, OwnerKind

ROOT = "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
SRV = "31 21 8:2 / /srv rw,relatime - xfs /dev/sdb rw\n"
OWN = "32 21 8:3 / /srv/db rw,relatime - btrfs /dev/sdc rw\n"
FUSE = "40 {below} 0:50 / /srv/db rw,nosuid - fuse.mirrorfarm db rw\n"
COVER = "41 31 8:2 /db /srv/db ro,relatime - xfs /dev/sdb rw\n"


@pytest.mark.parametrize(
    ("mounts", "place"),
    [
        (ROOT, Place("/srv/db", "ext4", False)),
        (ROOT + SRV, Place("/srv/db", "xfs", False)),
        (ROOT + SRV.replace("/srv", "/srv/d"), Place("/srv/db", "ext4", False)),
        (ROOT + SRV + SRV.replace("xfs", "ext3").replace("31 21", "33 31"), Place("/srv/db", "ext3", False)),
        (ROOT + OWN, Place("/srv/db", "btrfs", False)),
        (ROOT + SRV + FUSE.format(below=31), Place("/srv", "xfs", True)),
        (ROOT + OWN + FUSE.format(below=32), Place("", "btrfs", True)),
        (ROOT + SRV + COVER, Place("/srv", "xfs", True)),
        (ROOT + SRV + COVER + FUSE.format(below=41), Place("/srv", "xfs", True)),
    ],
)
def test_a_directory_in_use_is_asked_beside_it_if_that_is_the_same_file_system(mounts: str, place: Place) -> None:
    assert place_of("/srv/db", mountinfo.parse(mounts)) == place


def facts(path: Path) -> DirectoryFacts:
    return DirectoryFacts("db", str(path), ("a", "b"))


def looked(*paths: Path) -> list[DirectoryFacts]:
    told: list[DirectoryFacts] = []
    look([facts(path) for path in paths], told.append, lambda module: None)
    return told


def test_all_that_there_is_to_say_of_a_directory_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = os.stat(tmp_path).st_mtime_ns, sorted(os.listdir(tmp_path))
    first, last = looked(tmp_path)
    assert (first.module, first.path, first.nodes, first.problem) == ("db", str(tmp_path), ("a", "b"), "")
    assert first.fsync_us is None and last.fsync_us is not None and last.fsync_us > 0 and 0 < last.fsyncs <= FSYNCS
    space = os.statvfs(tmp_path)
    assert last.total_bytes == space.f_blocks * space.f_frsize and 0 < (last.free_bytes or 0) <= last.total_bytes
    assert last.file_system and last.trusted_attributes is True and last.access_lists in (True, False)
    assert {(o.kind, o.number) for o in last.owners or ()} >= {(OwnerKind.USER, os.geteuid())}
    assert (os.stat(tmp_path).st_mtime_ns, sorted(os.listdir(tmp_path))) == before


def test_below_what_is_in_front_of_it_a_directory_is_asked_by_who_has_it_open(tmp_path: Path) -> None:
    device = os.stat(tmp_path).st_dev
    mount = f"31 21 {{}} / {tmp_path} rw - fuse.mirrorfarm db rw\n"
    others, itself = (mountinfo.parse(mount.format(f"{os.major(device) + n}:{os.minor(device)}")) for n in (1, 0))
    assert opened_by(os.getpid(), str(tmp_path), others) == ""
    opened = os.open(tmp_path, os.O_PATH)
    try:
        found = opened_by(os.getpid(), str(tmp_path), others)
        assert os.path.samestat(os.stat(found), os.fstat(opened)) and fsync_times_us(found, 60.0)
        assert opened_by(os.getpid(), str(tmp_path), itself) == "", "it is what is in front"
        assert opened_by(os.getpid(), str(tmp_path.parent), others) == ""
    finally:
        os.close(opened)


def test_a_process_that_has_ended_has_nothing_open(tmp_path: Path) -> None:
    ended = subprocess.Popen(("true",))
    ended.wait(20)
    assert opened_by(ended.pid, str(tmp_path), []) == ""


def test_one_that_is_missing_says_so_and_the_others_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    told = {one.path: one for one in looked(tmp_path / "none", tmp_path / "there")}
    missing, there = told[str(tmp_path / "none")], told[str(tmp_path / "there")]
    assert missing.problem == os.strerror(errno.ENOENT).lower() and missing.owners is None
    assert there.fsync_us is not None


def test_two_of_one_disk_are_timed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[str] = []

    def timed(path: str, seconds: float) -> list[int]:
        times.append(path)
        return [700, 900, 100]

    monkeypatch.setattr(directory_look, "fsync_times_us", timed)
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    told = looked(tmp_path / "x", tmp_path / "y")
    assert times == [str(tmp_path / "x")]
    assert [(one.fsync_us, one.fsyncs, one.problem) for one in told[2:]] == [(700, 3, "")] * 2


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_look, "LEAST_FREE_BYTES", 1 << 62)
    last = looked(tmp_path)[-1]
    assert last.fsync_us is None and last.problem == "its disk was not timed: no space left on device"
    assert last.total_bytes is not None


def test_timing_ends_with_its_time(tmp_path: Path) -> None:
    assert fsync_times_us(str(tmp_path), -1.0) == []
    begun = time.monotonic()
    assert len(fsync_times_us(str(tmp_path), 60.0)) == FSYNCS
    assert time.monotonic() - begun < 60


def test_where_no_time_is_left_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_look, "ALL_FSYNCS_S", -1.0)
    last = looked(tmp_path)[-1]
    assert last.fsync_us is None and "others took the time" in last.problem


def test_a_file_system_without_an_attribute_has_none() -> None:
    assert has_attribute("/proc/self", "trusted.mirrorfarm") is False
    with pytest.raises(FileNotFoundError):
        has_attribute("/nowhere", "trusted.mirrorfarm")


def test_owners_are_those_of_the_directory_and_of_what_is_in_it_but_not_of_our_own(tmp_path: Path) -> None:
    for name, number in (("one", 1), ("two", 987_654), (PRIVATE, 987_655)):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, number, 0)
    (tmp_path / "link").symlink_to("/nowhere")
    os.lchown(tmp_path / "link", 987_656, -1)
    users = [o for o in owners_in(str(tmp_path)) if o.kind is OwnerKind.USER]
    assert [o.number for o in users] == [0, 1, 987_654, 987_656]
    assert [o.name for o in users] == ["root", name_of(OwnerKind.USER, 1), "", ""]


def test_owners_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_look, "MOST_OWNERS", 3)
    for number in range(9):
        (tmp_path / str(number)).touch()
        os.chown(tmp_path / str(number), 987_000 + number, 0)
    assert len(owners_in(str(tmp_path))) == 3
    monkeypatch.setattr(directory_look, "MOST_NAMES", 1)
    assert {o.number for o in owners_in(str(tmp_path))} == {0}


def test_another_nodes_owners_are_looked_up_by_name_and_by_number() -> None:
    root, wrong = Owner(OwnerKind.USER, 0, "root"), Owner(OwnerKind.GROUP, 0, "no-such-group")
    nameless, odd = Owner(OwnerKind.USER, 987_654, ""), Owner(OwnerKind.USER, 1 << 40, "a\0b")
    assert owners_here((root, wrong, nameless, odd)) == (
        OwnerHere(root, 0, "root"),
        OwnerHere(wrong, None, "root"),
        OwnerHere(nameless, None, ""),
        OwnerHere(odd, None, ""),
    )
