"""A file that is as long as one can be, and nearly all of it holes: anyone who may make a file can make one."""

import os
from pathlib import Path

from manager.model import control
from tests.support.two_disks import leave, two_disks

LARGEST = (1 << 63) - 1
"""Bytes; of xfs."""
WRITTEN = {0: b"begin", 1 << 62: b"middle", LARGEST - 3: b"end"}


def test_it_is_compared_and_brought_as_any(tmp_path: Path) -> None:
    with two_disks(tmp_path, ("xfs", "xfs")) as both:
        two = both.pair
        with open(two.a.data / "file", "wb") as file:
            file.truncate(LARGEST)
            for offset, content in WRITTEN.items():
                os.pwrite(file.fileno(), content, offset)
        leave(two)
        with open(two.b.data / "file", "r+b") as file:
            os.pwrite(file.fileno(), b"garbage", 1 << 40)
        two.b.boot_id += "+1"  # it has lost something: everything is compared as it is on the disk
        two.b.start()
        two.join()
        two.a.tell(control.Verify("request"))
        report = two.a.wait(control.VerifyReport)
        assert (report.error, report.differences_total) == ("", 0)
        with open(two.b.data / "file", "rb") as file:
            assert os.fstat(file.fileno()).st_size == LARGEST
            assert os.pread(file.fileno(), 7, 1 << 40) == bytes(7)
            for offset, content in WRITTEN.items():
                assert os.pread(file.fileno(), len(content), offset) == content
