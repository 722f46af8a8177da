"""How much content is below a directory, by a look at every name: what a full compare will have to examine, about.

Nothing is opened but directories, and nothing is held. What is moved meanwhile may count twice or not at all, and a
directory that cannot be read, or is gone when its turn comes, counts nothing: it is an estimate. Any thread may do it.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Final

from replicator.core.filesystem import PRIVATE_NAME

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME


def sizes_below(root: int) -> Iterator[int]:
    """The content of each regular file below an open directory, holes included; 0 for everything else. Blocks.

    What has several names counts its part at each. Other file systems, and ``.mirrorfarm/``, are left out.
    """
    device = os.fstat(root).st_dev
    directories = [b"."]
    while directories:
        above = directories.pop()
        for name, status in _entries(root, above):
            if status.st_dev != device or (above == b"." and name == PRIVATE_NAME):
                continue
            if stat.S_ISDIR(status.st_mode):
                directories.append(above + b"/" + name)
            yield status.st_size // max(1, status.st_nlink) if stat.S_ISREG(status.st_mode) else 0


def _entries(root: int, path: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    try:
        directory = os.open(path, _FLAGS, dir_fd=root)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError), os.scandir(directory) as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    yield os.fsencode(entry.name), os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
    finally:
        os.close(directory)
