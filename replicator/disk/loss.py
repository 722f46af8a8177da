"""Which errors of a disk mean that what was only in memory may be gone (S8).

An fsync or syncfs that fails has lost something, whatever it says: the kernel takes the pages for clean from then on,
and ENOSPC from it means that room which had been promised was not there. Of other calls only those count that say that
the file system or what is below it is broken.
"""

import errno
from typing import Final

_BROKEN: Final = frozenset({errno.EIO, errno.EROFS, errno.EUCLEAN, errno.EREMOTEIO})
"""EROFS: a file system that has turned read-only after an error of its journal. EUCLEAN: its structure is damaged.

ENODEV and ENXIO are not among them: they may be said of /dev/fuse, and a disk that was pulled out answers EIO.
"""


def is_broken(error: OSError) -> bool:
    """Whether a failed read or change of files says so."""
    return error.errno in _BROKEN
