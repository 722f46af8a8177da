"""What ends a mount, with a pipe in the place of the kernel's control file."""

import os

from replicator.fuse.mounting import Mount


def test_one_that_is_closed_ends_nothing_of_others() -> None:
    """The warden may come to it when the role has just ended by itself."""
    control, abort = os.pipe()
    mount = Mount("/nowhere", -1, abort, "0:0")
    mount.abort()
    assert os.read(control, 9) == b"1"
    mount.close()
    other = os.memfd_create("other")
    os.dup2(other, abort)
    mount.abort()
    assert os.fstat(abort).st_size == 0
    for descriptor in {control, other, abort}:
        os.close(descriptor)
