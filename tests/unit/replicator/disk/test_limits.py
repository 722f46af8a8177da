import os
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.core.filesystem import Limits
from replicator.disk import linux
from replicator.disk.limits import UnfitDirectory, check_fit, open_private, probe

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


def test_a_mount_point_that_lacks_its_file_system_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """Else the other node's data would be copied to the system's disk, as to a new one."""
    data, fstab = tmp_path / "data", tmp_path / "fstab"
    data.mkdir()
    fstab.write_text(f"UUID=1 {tmp_path} ext4 nofail 0 2\n")
    with pytest.raises(UnfitDirectory, match=rf"{tmp_path} is not mounted, which {fstab} has mounted there"):
        check_fit(str(data), str(fstab))
    assert os.listdir(data) == []
    linux.mount(str(tmp_path), str(tmp_path), "none", linux.MS_BIND)
    try:
        check_fit(str(data), str(fstab))
    finally:
        linux.unmount(str(tmp_path), linux.MNT_DETACH)


def test_a_file_system_that_does_not_tell_upper_from_lower_case_is_refused(tmp_path: Path) -> None:
    """As it looks there: both names lead to the one directory."""
    root = os.open(tmp_path, os.O_RDONLY)
    os.close(open_private(root))
    other = tmp_path / ".MIRRORFARM"
    other.mkdir()
    os.close(open_private(root))
    linux.mount(str(tmp_path / ".mirrorfarm"), str(other), "none", linux.MS_BIND)
    try:
        with pytest.raises(UnfitDirectory, match="upper and lower case"):
            open_private(root)
    finally:
        linux.unmount(str(other), linux.MNT_DETACH)
        os.close(root)
