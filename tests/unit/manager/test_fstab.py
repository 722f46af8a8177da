"""Which file systems of fstab(5) are lacking at a directory."""

from pathlib import Path

import pytest

from manager.fstab import read, unmounted

_TEXT = """\
# /srv/other was on /dev/sdz
UUID=1 /            ext4  errors=remount-ro 0 1
UUID=2 none         swap  sw 0 0
UUID=3 /srv/        xfs   defaults,nofail 0 2
UUID=4 /srv/db      ext4  noatime 0 2
UUID=5 /my\\040data ext4  _netdev 0 2
UUID=6 /by/hand     ext4  noauto,user 0 0
/dev/sr0 /media
"""


@pytest.mark.parametrize(
    ("directory", "mounted", "found"),
    [
        ("/srv/db", ["/", "/srv", "/srv/db"], ""),
        ("/srv/db", ["/", "/srv"], "/srv/db"),
        ("/srv/db/deep", ["/", "/srv"], "/srv/db"),
        ("/srv/dbase", ["/", "/srv"], ""),
        ("/srv/dbase", ["/"], "/srv"),
        ("/my data/files", ["/"], "/my data"),
        ("/by/hand", ["/"], ""),
        ("/media", ["/"], ""),
        ("/opt/app", ["/"], ""),
    ],
)
def test_what_is_at_the_directory_or_above_it_is_found(directory: str, mounted: list[str], found: str) -> None:
    assert unmounted(_TEXT, mounted, directory) == found


def test_a_machine_may_have_none(tmp_path: Path) -> None:
    assert unmounted(read(str(tmp_path / "fstab")), [], "/srv") == ""
