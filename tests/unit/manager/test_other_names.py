"""The names that processes have for a directory, from mountinfo as the kernel writes it."""

import os
from pathlib import Path

import pytest

from manager.other_names import OtherNames

DEVICE = os.makedev(8, 1)
MINE = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"


def process(root: Path, number: str, namespace: int, mounts: str) -> Path:
    directory = root / "proc" / number
    (directory / "ns").mkdir(parents=True)
    (directory / "ns/mnt").symlink_to(f"mnt:[{namespace}]")
    (directory / "mountinfo").write_text(mounts)
    return directory


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("90 80 8:1 /srv/db /data rw - ext4 /dev/sda1 rw", ("/data/",)),
        ("90 80 8:1 /srv/db /data ro - ext4 /dev/sda1 rw", ()),
        ("90 80 8:1 /srv/db/one /data rw - ext4 /dev/sda1 rw", ("/data/",)),
        ("90 80 8:1 /srv /data rw - ext4 /dev/sda1 rw", ("/data/db/",)),
        ("90 80 8:1 / /host rw - ext4 /dev/sda1 rw", ("/host/srv/db/",)),
        ("90 80 8:1 /srv/db2 /data rw - ext4 /dev/sda1 rw", ()),
        ("90 80 8:2 /srv/db /data rw - ext4 /dev/sda2 rw", ()),
        ("90 80 0:50 / /data rw - fuse.mirrorfarm mirrorfarm:db rw", ()),
        (r"90 80 8:1 /srv/db /with\040space rw - ext4 /dev/sda1 rw", ("/with space/",)),
    ],
)
def test_a_volume_of_a_container(tmp_path: Path, line: str, names: tuple[str, ...]) -> None:
    process(tmp_path, "self", 1, MINE)
    others = OtherNames(tmp_path, "/srv/db", DEVICE)
    assert others.of(process(tmp_path, "7", 2, f"80 1 0:40 / / rw - overlay overlay rw\n{line}\n")) == names


def test_a_directory_that_is_a_disk_of_its_own(tmp_path: Path) -> None:
    disk, part = "30 22 8:2 / /srv/db rw - xfs /dev/sda2 rw\n", "31 22 8:2 /one /mnt rw - xfs /dev/sda2 rw\n"
    mine = process(tmp_path, "self", 1, MINE + disk + part)
    others = OtherNames(tmp_path, "/srv/db", os.makedev(8, 2))
    assert others.of(mine) == ("/mnt/",)
    assert others.of(process(tmp_path, "7", 2, "80 1 8:2 / / rw - xfs /dev/sda2 rw\n")) == ("/",)


def test_where_the_device_is_not_known_so_there_are_none(tmp_path: Path) -> None:
    mine = process(tmp_path, "self", 1, MINE)
    assert OtherNames(tmp_path, "/srv/db", os.makedev(0, 99)).of(mine) == ()


def test_a_process_that_has_ended_has_none(tmp_path: Path) -> None:
    process(tmp_path, "self", 1, MINE)
    assert OtherNames(tmp_path, "/srv/db", DEVICE).of(tmp_path / "proc" / "8") == ()
