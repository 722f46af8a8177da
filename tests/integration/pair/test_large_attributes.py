"""Extended attributes as large and as many as xfs takes: what a pair has, a peer that returns can be told of."""

import errno
import itertools
import os
from pathlib import Path

from replicator.wire.copying import MAX_XATTRS
from tests.support.two_disks import leave_and_return, two_disks


def fill(path: Path) -> int:
    """How many of the largest ones ``path`` takes."""
    for count in itertools.count():
        try:
            os.setxattr(path, f"user.{count}", os.urandom(1 << 16))
        except OSError as error:
            assert error.errno == errno.ENOSPC
            return count
    raise AssertionError("there is no end to it")


def test_no_inode_has_more_than_a_peer_can_be_told_of(tmp_path: Path) -> None:
    with two_disks(tmp_path, ("xfs", "xfs")) as both:
        directory = both.pair.a.data / "directory"
        directory.mkdir()
        (directory / "file").write_bytes(b"x")
        for path in (both.pair.a.data, directory, directory / "file"):
            assert fill(path) == MAX_XATTRS // (1 << 16) - 1, "beside their names"
        os.setxattr(directory / "file", "user.0", b"less", os.XATTR_REPLACE)
        leave_and_return(both.pair)
        both.assert_equal()
