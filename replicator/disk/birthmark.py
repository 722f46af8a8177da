"""Which directory on which disk this is: what is noted in it about its disk is worth nothing in a copy of it.

A backup that was played back, or a tree that was copied to another node, brings its ``.mirrorfarm`` along; inode
number and time of birth do not come with it. (An image of a whole disk is the same directory, and cannot be told,
but for that of another node: ``identity``.)
"""

import os
import struct
from typing import Final

import xxhash

from replicator.disk import linux

_LAYOUT: Final = struct.Struct("<Qq")


def birthmark(directory: int) -> int:
    """A number for what is open on ``directory``. Raises OSError."""
    born_ns = linux.extended(directory).birth_ns or 0
    return xxhash.xxh3_64_intdigest(_LAYOUT.pack(os.fstat(directory).st_ino, born_ns))
