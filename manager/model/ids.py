"""Names and numbers that identify things, and their limits."""

import re
from typing import NewType

NodeName = NewType("NodeName", str)
ModuleName = NewType("ModuleName", str)
Epoch = NewType("Epoch", int)

NAME_RULE = "a letter, then up to 31 letters, digits, '-' or '_'"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}\Z")

ROOT_INODE = 1
"""The id of a replicated directory's own inode (FUSE_ROOT_ID, linux/fuse.h)."""

INODE_COUNTER_BITS = 40
MAX_EPOCH = (1 << (64 - INODE_COUNTER_BITS - 1)) - 1


def is_name(text: str) -> bool:
    """Whether ``text`` can name a cluster, a node or a module."""
    return _NAME.match(text) is not None


def first_inode(epoch: int) -> int:
    """The first inode id of an epoch: a primary numbers its new inodes from here.

    An epoch has one primary process, so its ids are its own and no counter needs to be kept.
    """
    if not 0 < epoch <= MAX_EPOCH:
        raise ValueError(f"epoch {epoch} is not in 1..{MAX_EPOCH}")
    return epoch << INODE_COUNTER_BITS
