"""What a tree of files holds, read by plain system calls and nothing of the project: to compare two copies."""

import hashlib
import os
import stat
from collections import defaultdict
from typing import Any

from tests.support.file_actor import LONG_AGO

_HIDDEN = ".mirrorfarm"
_OWN_XATTRS = ("trusted.mirrorfarm", "trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT")
"""The ids, and how xfs shows an ACL a second time."""


def snapshot(root: str, exact_times: bool = False) -> dict[str, Any]:
    """Path to what is there: type, mode, owner, links, size, target, content, times, extended attributes.

    Without ``exact_times`` a time that the clock set is "now". ``.mirrorfarm`` and the ids are left out.
    """
    found: dict[str, Any] = {}
    names: dict[tuple[int, int], list[str]] = defaultdict(list)
    waiting = ["."]
    while waiting:
        path = waiting.pop()
        full = os.path.join(root, path)
        status = os.lstat(full) if path != "." else os.stat(full)
        found[path] = _describe(full, status, exact_times, path == ".")
        if stat.S_ISDIR(status.st_mode):
            entries = [name for name in os.listdir(full) if not (path == "." and name == _HIDDEN)]
            waiting += [os.path.join(path, name) for name in entries]
        elif status.st_nlink > 1:
            names[status.st_dev, status.st_ino].append(path)
    found["links"] = sorted(sorted(paths) for paths in names.values())
    return found


def _describe(full: str, status: os.stat_result, exact_times: bool, root: bool) -> tuple[Any, ...]:
    directory = stat.S_ISDIR(status.st_mode)
    target = digest = None
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(full)
    elif stat.S_ISREG(status.st_mode):
        with open(full, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
    xattrs = {
        name: os.getxattr(full, name, follow_symlinks=root)
        for name in sorted(os.listxattr(full, follow_symlinks=root))
        if name not in _OWN_XATTRS
    }
    return (
        stat.filemode(status.st_mode),
        status.st_uid,
        status.st_gid,
        None if root else status.st_nlink,
        None if directory else status.st_size,
        status.st_rdev,
        status.st_mtime_ns if exact_times or status.st_mtime < LONG_AGO else "now",
        target,
        digest,
        xattrs,
    )


def assert_equal_trees(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Fails with a line for each path that is not the same."""
    found = [
        f"{path}: {left.get(path)} / {right.get(path)}"
        for path in sorted(left.keys() | right.keys())
        if left.get(path) != right.get(path)
    ]
    assert not found, "\n".join(found)
