"""The second comparer: whether two directory trees on disk are the same. Shares no code with ``verify``.

Only os, stat and hashlib. Compares names, types, modes, owners, mtimes, sizes, content, targets of symbolic links,
device numbers, extended attributes and which names are one file. ``.mirrorfarm`` in the root and the ids on the
inodes are each copy's own.
"""

import hashlib
import os
import stat
from collections import defaultdict

_PRIVATE = b".mirrorfarm"
_OWN_XATTRS = ("trusted.mirrorfarm", "trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT")
_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)

Facts = dict[str, object]


def differences(one: str | bytes | os.PathLike[str], other: str | bytes | os.PathLike[str]) -> list[str]:
    """Sentences, none when the trees are the same."""
    ours, theirs = facts_of(one), facts_of(other)
    found = [f"{path!r}: only in the first" for path in sorted(ours.keys() - theirs.keys())]
    found += [f"{path!r}: only in the second" for path in sorted(theirs.keys() - ours.keys())]
    for path in sorted(ours.keys() & theirs.keys()):
        here, there = ours[path], theirs[path]
        found += [
            f"{path!r}: {fact} is {here.get(fact)!r} and {there.get(fact)!r}"
            for fact in sorted(here.keys() | there.keys())
            if here.get(fact) != there.get(fact)
        ]
    return found


def facts_of(root: str | bytes | os.PathLike[str]) -> dict[bytes, Facts]:
    """What there is to know of each path below ``root``; the root itself is the empty path."""
    top = os.fsencode(root)
    found: dict[bytes, Facts] = {}
    groups: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        full = os.path.join(top, path) if path else top
        status = os.lstat(full)
        found[path] = _facts(full, status)
        if stat.S_ISDIR(status.st_mode):
            names = [name for name in os.listdir(full) if path or name != _PRIVATE]
            waiting += [os.path.join(path, name) for name in names]
        else:
            groups[status.st_dev, status.st_ino].append(path)
    for group in groups.values():
        for path in group:
            found[path]["names"] = sorted(group)
    return found


def _facts(full: bytes, status: os.stat_result) -> Facts:
    facts: Facts = {
        "type": stat.S_IFMT(status.st_mode),
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime_ns": status.st_mtime_ns,
        "xattrs": _xattrs(full),
    }
    if stat.S_ISREG(status.st_mode):
        facts["size"] = status.st_size
        facts["content"] = _content(full)
    elif stat.S_ISLNK(status.st_mode):
        facts["target"] = os.readlink(full)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        facts["device"] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return facts


def _xattrs(full: bytes) -> dict[str, bytes]:
    return {
        name: os.getxattr(full, name, follow_symlinks=False)
        for name in os.listxattr(full, follow_symlinks=False)
        if name not in _OWN_XATTRS
    }


def _content(full: bytes) -> str:
    digest, place = hashlib.blake2b(), 0
    with open(full, "rb") as file:
        while block := file.read(_BLOCK):
            if block != _ZEROS[: len(block)]:  # of files that are holes for the most part only the rest costs time
                digest.update(b"%d:" % place)
                digest.update(block)
            place += len(block)
    return digest.hexdigest()
