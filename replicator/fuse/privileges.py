"""Which mode bits a change by one without CAP_FSETID takes away: set-user, and set-group where it means something.

The kernel leaves this to the file system (FUSE_HANDLE_KILLPRIV_V2) and says when the caller lacks the capability. The
rules are those of the kernel's setattr_should_drop_suidgid, so that a mirror does what a local file system does.
"""

import stat
from typing import NamedTuple


class Caller(NamedTuple):
    """Who asks, as in a request's header."""

    gid: int
    pid: int


def may_lose(mode: int) -> bool:
    """Whether there are bits that a change may take away."""
    return bool(mode & (stat.S_ISUID | stat.S_ISGID)) and not stat.S_ISDIR(mode)


def mode_after_change(mode: int, gid: int, caller: Caller | None) -> int | None:
    """The permission bits that an inode with this ``mode`` and group has afterwards; ``None``: the same.

    Without a ``caller`` it is one with CAP_FSETID: a change of owner takes bits away even then.
    """
    if not may_lose(mode):
        return None
    left = mode & ~stat.S_ISUID
    if mode & stat.S_ISGID and (mode & stat.S_IXGRP or (caller is not None and not _is_member(caller, gid))):
        left &= ~stat.S_ISGID
    return stat.S_IMODE(left) if left != mode else None


def _is_member(caller: Caller, gid: int) -> bool:
    return caller.gid == gid or gid in _supplementary_groups(caller.pid)


def _supplementary_groups(pid: int) -> list[int]:
    """Of a process that waits for its answer; none when it is of another pid namespace."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Groups:"):
                    return [int(group) for group in line.split()[1:]]
    except OSError:
        pass
    return []
