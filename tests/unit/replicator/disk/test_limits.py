import os
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.core.filesystem import Limits
from replicator.disk import linux
from replicator.disk.limits import UnfitDirectory, probe

_LIMITS = Limits(1 << 40, 4095, 65000, 4000, (0, 1, 3), True)


def test_common_is_what_both_can() -> None:
    other = replace(_LIMITS, largest_file=1 << 43, symlink_target=1023, fallocate_modes=(0, 3, 16), exchange=False)
    expected = Limits(1 << 40, 1023, 65000, 4000, (0, 3), False)
    assert _LIMITS.common(other) == other.common(_LIMITS) == expected
    assert _LIMITS.common(_LIMITS) == _LIMITS


def test_probing_finds_what_the_file_system_takes_and_leaves_nothing(tmp_path: Path) -> None:
    private = os.open(tmp_path, os.O_RDONLY)
    limits = probe(private)
    os.close(private)
    assert os.listdir(tmp_path) == []
    os.symlink("x" * limits.symlink_target, tmp_path / "link")
    with pytest.raises(OSError):
        os.symlink("x" * (limits.symlink_target + 1), tmp_path / "longer")
    assert 0 in limits.fallocate_modes and limits.exchange and limits.xattr_bytes >= 1024


def test_a_file_system_without_trusted_attributes_is_refused() -> None:
    private = os.open("/proc", os.O_RDONLY)
    with pytest.raises((UnfitDirectory, OSError)):
        probe(private)
    os.close(private)


def test_mount_points_are_read_with_their_escapes() -> None:
    line = r"36 35 98:0 /a\040b /mnt/c\134d rw,noatime master:1 - ext4 /dev/root rw"
    point = linux._mount_point(line)
    assert point == linux.MountPoint("/mnt/c\\d", "98:0", "ext4", "/a b", frozenset({"rw", "noatime"}))
