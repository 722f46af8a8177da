"""Random operations on files, as hypothesis draws them: all that the design says a mirror does like a local disk.

Names and sizes are few, so that operations meet one another.
"""

import fcntl
import os
import stat
import struct

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.support.file_actor import LONG_AGO, SLOTS, Operation

USERS = (0, 1001, 1002)
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16

_names = st.sampled_from(("a", "b", "c", "ü" * 100, "x" * 256))
_few_names = st.sampled_from(("a", "b", "c"))
_paths = st.one_of(
    _few_names,
    _few_names,
    st.builds(os.path.join, _few_names, _few_names),
    st.builds(os.path.join, _few_names, _few_names, _few_names),
    _names,
    st.just("."),
)
_slots = st.integers(0, SLOTS - 1)
_modes = st.sampled_from((0o644, 0o755, 0o600, 0o777, 0o4755, 0o2755, 0o6711, 0o2644, 0o1777, 0o444, 0))
_users = st.sampled_from(USERS)
_owners = st.sampled_from((*USERS, -1))
_seeds = st.integers(0, 250)
_offsets = st.sampled_from((0, 1, 100, 4095, 4096, 5000, 8192, 65536, 100_000))
_lengths = st.sampled_from((0, 1, 10, 4096, 5000, 20_000, 135_000))
_some_lengths = st.sampled_from((1, 10, 4096, 5000, 20_000))
_sizes = st.sampled_from((0, 1, 100, 4096, 6000, 100_000, 1 << 20))
_times = st.integers(1, LONG_AGO * 10**9 - 1)
TARGETS = ("a", "b/c", "../b/a", "/nonexistent/a", "x" * 600, "x" * 1100)
"""Of symbolic links: none leads out of the directory of one thread, to what others use or make."""
_flags = st.builds(
    lambda mode, more: mode | sum(more),
    st.sampled_from((os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR, os.O_RDWR)),
    st.sets(
        st.sampled_from(
            (
                os.O_CREAT,
                os.O_CREAT,
                os.O_EXCL,
                os.O_TRUNC,
                os.O_APPEND,
                os.O_DSYNC,
                os.O_SYNC & ~os.O_DSYNC,
                os.O_DIRECT,
                os.O_NOFOLLOW,
            )
        ),
        max_size=3,
    ),
)
_opens = st.one_of(_flags, st.just(os.O_RDONLY | os.O_DIRECTORY), st.just(os.O_RDWR | os.O_CREAT))

_ACL_ENTRY = struct.Struct("<HHI")
_NO_ID = 0xFFFFFFFF


def acl(user: int, group: int, other: int, named: dict[int, int], mask: int | None = None) -> bytes:
    """The extended attribute of a POSIX ACL (linux/posix_acl_xattr.h): permissions as in a mode, ``named`` by uid."""
    entries = [(0x01, user, _NO_ID)]
    entries += [(0x02, permissions, uid) for uid, permissions in sorted(named.items())]
    entries.append((0x04, group, _NO_ID))
    if mask is not None or named:
        entries.append((0x10, mask if mask is not None else 7, _NO_ID))
    entries.append((0x20, other, _NO_ID))
    return struct.pack("<I", 2) + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)


_acls = st.sampled_from(
    (
        acl(7, 5, 5, {}),
        acl(6, 4, 0, {1001: 7}),
        acl(7, 0, 0, {1001: 6, 1002: 4}, mask=4),
        acl(7, 7, 7, {1002: 0}),
        b"\2\0\0\0",
        b"garbage",
    )
)
_xattrs = st.one_of(
    st.tuples(st.sampled_from(("user.one", "user.two", "trusted.three")), st.binary(max_size=60)),
    st.tuples(st.just("user.large"), st.sampled_from((900, 70_000)).map(lambda size: b"y" * size)),
    st.tuples(st.sampled_from(("system.posix_acl_access", "system.posix_acl_default")), _acls),
    st.just(("unknown.name", b"z")),
)
_xattr_names = st.sampled_from(
    (
        "user.one",
        "user.two",
        "user.large",
        "trusted.three",
        "trusted.mirrorfarm",
        "system.posix_acl_access",
        "system.posix_acl_default",
        "security.capability",
    )
)
_kinds_of_node = st.sampled_from(
    (
        (stat.S_IFIFO | 0o644, 0),
        (stat.S_IFSOCK | 0o600, 0),
        (stat.S_IFCHR | 0o666, os.makedev(1, 3)),
        (stat.S_IFBLK | 0o600, os.makedev(7, 200)),
        (stat.S_IFREG | 0o4711, 0),
    )
)
_modes_of_fallocate = st.sampled_from(
    (0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE, PUNCH_HOLE)
)


def _make(kind: str, *arguments: SearchStrategy) -> SearchStrategy[tuple[str, tuple]]:  # type: ignore[type-arg]
    return st.tuples(st.just(kind), st.tuples(*arguments))


_opening = _make("open", _slots, _paths, _opens, _modes)
_of_names = [
    _make("mkdir", _paths, _modes),
    _make("symlink", st.sampled_from(TARGETS), _paths),
    _make("link", _paths, _paths),
    _make("unlink", _paths),
    _make("rmdir", _paths),
    _make("rename", _paths, _paths, st.sampled_from((0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, 3, 8))),
    _make("readlink", _paths),
    _make("listdir", _paths),
    _make("stat", _paths),
    _make("access", _paths, st.integers(0, 7)),
    _make("fifo", _paths, _seeds),
    st.tuples(st.just("mknod"), st.builds(lambda path, node: (path, *node), _paths, _kinds_of_node)),
]
_of_attributes = [
    _make("chmod", _paths, _modes),
    _make("chown", _paths, _owners, _users),
    _make("truncate", _paths, _sizes),
    _make("utime", _paths, _times),
    _make("touch", _paths),
    st.tuples(
        st.just("setxattr"), st.builds(lambda p, x, f: (p, *x, f), _paths, _xattrs, st.sampled_from((0, 0, 1, 2)))
    ),
    _make("getxattr", _paths, _xattr_names),
    _make("listxattr", _paths),
    _make("removexattr", _paths, _xattr_names),
]
_of_data = [
    _make("close", _slots),
    _make("fstat", _slots),
    _make("pwrite", _slots, _offsets, _lengths, _seeds),
    _make("pwrite", _slots, _offsets, _lengths, _seeds),
    _make("write", _slots, _lengths, _seeds),
    _make("pread", _slots, _offsets, _lengths),
    _make("read_all", _paths),
    _make("lseek", _slots, _offsets, st.sampled_from((os.SEEK_SET, os.SEEK_CUR, os.SEEK_END))),
    _make("seek_hole", _slots, _offsets, st.sampled_from((os.SEEK_DATA, os.SEEK_HOLE))),
    _make("ftruncate", _slots, _sizes),
    _make("fallocate", _slots, _modes_of_fallocate, _offsets, _lengths),
    _make("fsync", _slots),
    _make("fdatasync", _slots),
    _make("copy", _slots, _slots, _offsets, _offsets, _lengths),
    _make("map_store", _slots, _offsets, _some_lengths, _seeds),
    _make("map_load", _slots, _offsets, _some_lengths),
]
_of_open_files = [
    _make("fchmod", _slots, _modes),
    _make("fchown", _slots, _owners, _users),
    _make("futime", _slots, _times),
    st.tuples(st.just("fsetxattr"), st.builds(lambda s, x: (s, *x), _slots, _xattrs)),
    _make("flock", _slots, st.sampled_from((fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN))),
    _make(
        "range_lock",
        _slots,
        st.sampled_from((fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK)),
        st.sampled_from((0, 10)),
        st.sampled_from((0, 5)),
    ),
]
_shared = [
    _make("common_write", _seeds),
    _make("common_read"),
    _make("common_name", st.sampled_from(("n", "m")), _seeds),
]

operations = st.builds(
    lambda made, user: Operation(made[0], made[1], user),
    st.one_of([_opening, *_of_names, *_of_attributes, *_of_data, *_of_data, *_of_open_files, *_shared]),
    st.sampled_from((0, 0, 0, 1001, 1002)),
)
"""One operation of one thread."""
batches = st.lists(operations, min_size=6, max_size=10)
"""What one thread does while the other does its own."""
