"""The lines of mountinfo, as in proc_pid_mountinfo(5) and as kernels write them."""

from pathlib import Path

import pytest

from manager import mountinfo
from manager.model.errors import DefiniteFailure
from manager.mountinfo import Mount

OF_THE_PAGE = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
PLAIN = Mount(
    mount_id=36,
    parent_id=35,
    device="98:0",
    root="/mnt1",
    point="/mnt2",
    options=frozenset({"rw", "noatime"}),
    kind="ext3",
    source="/dev/root",
    super_options="rw,errors=continue",
)


@pytest.mark.parametrize(
    "optional", ["", " shared:7", " shared:7 master:1", " shared:7 master:1 propagate_from:2 unbindable"]
)
def test_any_number_of_optional_fields(optional: str) -> None:
    assert mountinfo.parse(OF_THE_PAGE.replace(" master:1", optional)) == [PLAIN]


def test_the_mounts_come_in_the_kernels_order() -> None:
    text = OF_THE_PAGE + OF_THE_PAGE.replace("36 35", "37 36") + OF_THE_PAGE.replace("36 35", "12 37")
    assert [(mount.mount_id, mount.parent_id) for mount in mountinfo.parse(text)] == [(36, 35), (37, 36), (12, 37)]


def test_a_process_that_has_nothing_mounted() -> None:
    assert mountinfo.parse("") == []


def test_what_the_kernel_writes_in_octal_digits() -> None:
    line = r"36 35 0:50 /a\040b /mnt/c\134d\011e\012f\043g rw - fuse.my\040kind no\040disk rw,lowerdir=/x\040y"
    (mount,) = mountinfo.parse(line)
    assert (mount.root, mount.point) == ("/a b", "/mnt/c\\d\te\nf#g")
    assert (mount.kind, mount.source, mount.super_options) == ("fuse.my kind", "no disk", "rw,lowerdir=/x y")


@pytest.mark.parametrize("point", ["/a\rb", "/a\x0bb", "/a\x0cb", "/a\x1cb", "/a\x85b", "/a\u2028b", "/a-b", "/-"])
def test_what_ends_a_line_elsewhere_is_part_of_a_name(tmp_path: Path, point: str) -> None:
    file = tmp_path / "mountinfo"
    file.write_bytes(OF_THE_PAGE.replace("/mnt2", point).encode())
    assert [mount.point for mount in mountinfo.read(file)] == [point]


def test_a_name_that_is_not_utf_8_is_that_of_the_files(tmp_path: Path) -> None:
    file = tmp_path / "mountinfo"
    file.write_bytes(OF_THE_PAGE.encode().replace(b"/mnt2", b"/mnt\xff"))
    assert [mount.point for mount in mountinfo.read(file)] == ["/mnt\udcff"]


def test_a_dash_is_a_field_of_the_source_too() -> None:
    (mount,) = mountinfo.parse("36 35 0:50 / /mnt rw shared:7 - tmpfs - rw")
    assert (mount.kind, mount.source, mount.super_options) == ("tmpfs", "-", "rw")


def test_a_source_of_no_letters() -> None:
    (mount,) = mountinfo.parse("36 35 0:50 / /mnt rw - tmpfs  rw")
    assert (mount.kind, mount.source, mount.super_options) == ("tmpfs", "", "rw")


def test_blanks_that_a_file_system_does_not_hide_in_its_options() -> None:
    (mount,) = mountinfo.parse("36 35 0:50 / /mnt/c rw - 9p C: rw,aname=drvfs;path=C:\\Program Files - x")
    assert (mount.source, mount.super_options) == ("C:", "rw,aname=drvfs;path=C:\\Program Files - x")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "1 of at least 6 fields"),
        ("no mount", "2 of at least 6 fields"),
        ("36 35 98:0 / /mnt", "5 of at least 6 fields"),
        ("36 35 98:0 / /mnt rw", "no dash"),
        ("36 35 98:0 / - rw shared:7 ext3 /dev/root rw", "no dash"),
        ("36 35 98:0 / /mnt rw -", "after the dash"),
        ("36 35 98:0 / /mnt rw - ext3", "after the dash"),
        ("36 35 98:0 / /mnt rw - ext3 /dev/root", "after the dash"),
        ("x 35 98:0 / /mnt rw - ext3 /dev/root rw", "no numbers"),
        ("36 -1 98:0 / /mnt rw - ext3 /dev/root rw", "no numbers"),
        ("36 35 98 / /mnt rw - ext3 /dev/root rw", "not major:minor"),
        ("36 35 98:0:1 / /mnt rw - ext3 /dev/root rw", "not major:minor"),
        ("36 35 : / /mnt rw - ext3 /dev/root rw", "not major:minor"),
    ],
)
def test_a_line_that_is_none_says_which_and_why(line: str, problem: str) -> None:
    with pytest.raises(DefiniteFailure) as caught:
        mountinfo.parse(f"{OF_THE_PAGE}{line}\n{OF_THE_PAGE}")
    assert str(caught.value).startswith("mountinfo: line 2: ") and problem in str(caught.value)
    assert repr(line) in str(caught.value)


def test_this_processs_own() -> None:
    mounts = mountinfo.read()
    assert "/proc" in {mount.point for mount in mounts if mount.kind == "proc"}
    assert len({mount.mount_id for mount in mounts}) == len(mounts)


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mountinfo.read(tmp_path / "mountinfo")
