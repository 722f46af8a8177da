"""How each operation changes the files below: the same code on the primary and on the secondary.

A name must stand for the inode that the operation says, else the copies differ (:class:`DivergenceError`). Every
function returns the number that the caller's system call returns, and raises OSError as the file system does.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import Any, Final

from replicator.core.filesystem import RENAME_EXCHANGE
from replicator.core.operations import (
    Attribute,
    Bind,
    Create,
    Fallocate,
    Fsync,
    Kind,
    Link,
    RemoveXattr,
    Rename,
    Rmdir,
    SetAttr,
    SetXattr,
    Unbind,
    Unlink,
    Write,
)
from replicator.disk import linux
from replicator.disk.inode_ids import read_id, write_id
from replicator.disk.inodes import DivergenceError, Inode, InodeTable

_SPECIAL: Final = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_CREATE_FLAGS: Final = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME
_PATH_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ACCESS_ACL: Final = b"system.posix_acl_access"


def any_fd(table: InodeTable, inode: Inode) -> int:
    """A descriptor of any sort: good for fstat."""
    return inode.data_fd if inode.data_fd >= 0 else table.path_fd(inode)


def target_of(table: InodeTable, inode: Inode) -> str | int:
    """What calls that Python gives for paths and descriptors, but not O_PATH ones, are to be given."""
    if inode.data_fd >= 0:
        inode.used = True
        return inode.data_fd
    return f"/proc/self/fd/{table.path_fd(inode)}"


def write(table: InodeTable, operation: Write) -> int:
    """Writes all of the data, or raises with an unknown part of it written."""
    inode = table[operation.inode]
    file = inode.data_fd if inode.writable and inode.data_fd >= 0 else table.data_fd(inode, True)
    inode.used = True
    data = operation.data
    length = len(data)
    done = os.pwrite(file, data, operation.offset)
    while done < length:
        done += os.pwrite(file, memoryview(data)[done:], operation.offset + done)
    return length


def _create(table: InodeTable, operation: Create) -> int:
    parent = table[operation.parent]
    directory = table.path_fd(parent)
    file_type = stat.S_IFMT(operation.mode)
    name = operation.name
    # The umask is the process's, and only this thread creates files.
    previous = os.umask(operation.umask)
    try:
        file = _make(directory, operation, file_type)
    finally:
        os.umask(previous)
    try:
        regular = file_type == stat.S_IFREG
        if not regular:
            file = os.open(name, _PATH_FLAGS, dir_fd=directory)
        status = os.fstat(file)
        target = file if regular else f"/proc/self/fd/{file}"
        if (status.st_uid, status.st_gid) != (operation.uid, operation.gid):
            os.chown(target, operation.uid, operation.gid)
            status = os.fstat(file)
        special = operation.mode & _SPECIAL
        if status.st_mode & _SPECIAL != special and file_type != stat.S_IFLNK:
            os.chmod(target, status.st_mode & 0o777 | special)
        write_id(target, operation.inode, status.st_ino)
        inode = Inode(operation.inode, status.st_ino, file_type, protected=False)
        table.add(inode, -1 if regular else file)
    except BaseException:
        if file >= 0:
            os.close(file)
        (os.rmdir if file_type == stat.S_IFDIR else os.unlink)(name, dir_fd=directory)
        raise
    if regular:
        table.adopt_data(inode, file, True)
    inode.references = 1
    table.add_name(inode, parent, name)
    return 0


def _make(directory: int, operation: Create, file_type: int) -> int:
    """Makes the entry; the descriptor of a regular file, else -1."""
    mode = stat.S_IMODE(operation.mode)
    if file_type == stat.S_IFREG:
        return os.open(operation.name, _CREATE_FLAGS, mode, dir_fd=directory)
    if file_type == stat.S_IFDIR:
        os.mkdir(operation.name, mode, dir_fd=directory)
    elif file_type == stat.S_IFLNK:
        os.symlink(operation.target, operation.name, dir_fd=directory)
    else:
        os.mknod(operation.name, operation.mode, operation.rdev, dir_fd=directory)
    return -1


def _expect(table: InodeTable, directory: int, name: bytes, expected: int) -> tuple[Inode, os.stat_result]:
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        raise DivergenceError(f"{os.fsdecode(name)!r} is missing, inode {expected:x} was expected") from None
    inode = table.at(status.st_ino)
    if inode is None or inode.id != expected:
        found = "an inode that is not live" if inode is None else f"inode {inode.id:x}"
        raise DivergenceError(f"{os.fsdecode(name)!r} stands for {found}, {expected:x} was expected")
    return inode, status


def _lose_name(table: InodeTable, inode: Inode, parent: Inode, name: bytes, last: bool) -> None:
    table.remove_name(inode, parent, name)
    if last:
        inode.unlinked = True


def _unlink(table: InodeTable, operation: Unlink) -> int:
    parent = table[operation.parent]
    directory = table.path_fd(parent)
    inode, status = _expect(table, directory, operation.name, operation.inode)
    last = status.st_nlink == 1
    if last or len(inode.names) <= 1:
        table.path_fd(inode)  # after this no name opens it, or none that is known
    os.unlink(operation.name, dir_fd=directory)
    _lose_name(table, inode, parent, operation.name, last)
    return 0


def _rmdir(table: InodeTable, operation: Rmdir) -> int:
    parent = table[operation.parent]
    directory = table.path_fd(parent)
    inode, _ = _expect(table, directory, operation.name, operation.inode)
    table.path_fd(inode)
    os.rmdir(operation.name, dir_fd=directory)
    _lose_name(table, inode, parent, operation.name, True)
    return 0


def _rename(table: InodeTable, operation: Rename) -> int:
    parent, new_parent = table[operation.parent], table[operation.new_parent]
    directory, new_directory = table.path_fd(parent), table.path_fd(new_parent)
    name, new_name = operation.name, operation.new_name
    inode, _ = _expect(table, directory, name, operation.inode)
    replaced, last = None, False
    if operation.replaced:
        replaced, status = _expect(table, new_directory, new_name, operation.replaced)
        last = replaced.is_directory or status.st_nlink == 1
        table.path_fd(replaced)
    elif _exists(new_directory, new_name):
        raise DivergenceError(f"{os.fsdecode(new_name)!r} is there, and was expected not to be")
    exchanged = [each for each in (inode, replaced) if each is not None and operation.flags & RENAME_EXCHANGE]
    times = _times_of(table, exchanged)
    linux.rename(directory, name, new_directory, new_name, operation.flags)
    if replaced is inode:
        return 0
    if operation.flags & RENAME_EXCHANGE:
        if replaced is not None:
            table.remove_name(replaced, new_parent, new_name)
            table.add_name(replaced, parent, name)
    elif replaced is not None:
        _lose_name(table, replaced, new_parent, new_name, last)
    table.remove_name(inode, parent, name)
    table.add_name(inode, new_parent, new_name)
    # Once the names are noted, which have changed whatever comes of this.
    for file, mtime_ns in times:
        if os.fstat(file).st_mtime_ns != mtime_ns:
            linux.set_times(file, None, mtime_ns)
    return 0


def _times_of(table: InodeTable, exchanged: Sequence[Inode]) -> list[tuple[int, int]]:
    """Of the directories among them a descriptor and mtime: where xfs exchanges one, it sets that to now."""
    files = [table.path_fd(inode) for inode in exchanged if inode.is_directory]
    return [(file, os.fstat(file).st_mtime_ns) for file in files]


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _link(table: InodeTable, operation: Link) -> int:
    parent, inode = table[operation.parent], table[operation.inode]
    directory = table.path_fd(parent)
    os.link(f"/proc/self/fd/{table.path_fd(inode)}", operation.name, dst_dir_fd=directory, follow_symlinks=True)
    table.add_name(inode, parent, operation.name)
    return 0


def _set_attributes(table: InodeTable, operation: SetAttr) -> int:
    inode = table[operation.inode]
    valid = operation.valid
    if valid & Attribute.SIZE:
        _truncate(table, inode, operation)
    if valid & (Attribute.UID | Attribute.GID):
        uid = operation.uid if valid & Attribute.UID else -1
        gid = operation.gid if valid & Attribute.GID else -1
        os.chown(target_of(table, inode), uid, gid)
    if valid & Attribute.MODE:
        os.chmod(target_of(table, inode), stat.S_IMODE(operation.mode))
        inode.privileged = None
    if valid & (Attribute.ATIME | Attribute.MTIME):
        _set_times(table, inode, operation)
    return 0


def _truncate(table: InodeTable, inode: Inode, operation: SetAttr) -> None:
    file = table.data_fd(inode, True)
    # truncate(2) to the size that a file has leaves mtime alone, ftruncate(2) does not: then the kernel names mtime.
    if operation.valid & Attribute.MTIME or os.fstat(file).st_size != operation.size:
        os.ftruncate(file, operation.size)


def _set_times(table: InodeTable, inode: Inode, operation: SetAttr) -> None:
    file = any_fd(table, inode)
    atime_ns = operation.atime_ns if operation.valid & Attribute.ATIME else None
    mtime_ns = operation.mtime_ns if operation.valid & Attribute.MTIME else None
    if atime_ns is None and operation.valid == Attribute.MTIME and os.fstat(file).st_mtime_ns == mtime_ns:
        return  # it is the one that this side had: its ctime must not move without reason
    linux.set_times(file, atime_ns, mtime_ns)


def _set_xattr(table: InodeTable, operation: SetXattr) -> int:
    inode = table[operation.inode]
    target = target_of(table, inode)
    os.setxattr(target, operation.name, operation.value, operation.flags)
    inode.privileged = None
    if operation.kill_sgid and operation.name == _ACCESS_ACL:
        mode = stat.S_IMODE(os.fstat(any_fd(table, inode)).st_mode)
        if mode & stat.S_ISGID:
            os.chmod(target, mode & ~stat.S_ISGID)
    return 0


def _remove_xattr(table: InodeTable, operation: RemoveXattr) -> int:
    os.removexattr(target_of(table, table[operation.inode]), operation.name)
    return 0


def _fallocate(table: InodeTable, operation: Fallocate) -> int:
    file = table.data_fd(table[operation.inode], True)
    linux.fallocate(file, operation.mode, operation.offset, operation.length)
    return 0


def _fsync(table: InodeTable, operation: Fsync) -> int:
    sync_and_close(open_for_sync(table, table[operation.inode]), operation.data_only)
    return 0


def open_for_sync(table: InodeTable, inode: Inode) -> int:
    """A descriptor for fsync that is the caller's to close. Raises OSError, EINVAL for what cannot be synced alone."""
    if inode.is_regular:
        return os.dup(table.data_fd(inode, False))
    if inode.is_directory:
        return os.open(f"/proc/self/fd/{table.path_fd(inode)}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    raise OSError(errno.EINVAL, "neither a file nor a directory")


def sync_and_close(file: int, data_only: bool) -> None:
    """fsync(2) or fdatasync(2), then close. It blocks; any thread. Raises OSError, with the file closed."""
    try:
        (os.fdatasync if data_only else os.fsync)(file)
    finally:
        os.close(file)


def _bind(table: InodeTable, operation: Bind) -> int:
    parent = table[operation.parent]
    name = operation.name
    try:
        descriptor = os.open(name, _PATH_FLAGS, dir_fd=table.path_fd(parent))
    except FileNotFoundError:
        raise DivergenceError(f"{os.fsdecode(name)!r} is missing, inode {operation.inode:x} was expected") from None
    status = os.fstat(descriptor)
    inode = table.at(status.st_ino)
    known = table.get(operation.inode)
    if inode is not known:
        os.close(descriptor)
        raise DivergenceError(f"{os.fsdecode(name)!r} is not inode {operation.inode:x}, which is live elsewhere")
    if inode is None:
        target = f"/proc/self/fd/{descriptor}"
        try:
            protected = linux.extended(descriptor).protected
            if not protected and read_id(target, status.st_ino) != operation.inode:
                write_id(target, operation.inode, status.st_ino)
        except OSError:
            os.close(descriptor)
            raise
        inode = Inode(operation.inode, status.st_ino, stat.S_IFMT(status.st_mode), protected)
        table.add(inode, descriptor)
    else:
        table.adopt_path(inode, descriptor)
    inode.references = 1
    table.add_name(inode, parent, name)
    return 0


def _unbind(table: InodeTable, operation: Unbind) -> int:
    inode = table.get(operation.inode)
    if inode is not None:
        table.release(inode, inode.references)
    return 0


APPLY: Final[dict[Kind, Callable[[InodeTable, Any], int]]] = {
    Kind.WRITE: write,
    Kind.CREATE: _create,
    Kind.UNLINK: _unlink,
    Kind.RMDIR: _rmdir,
    Kind.RENAME: _rename,
    Kind.LINK: _link,
    Kind.SETATTR: _set_attributes,
    Kind.SETXATTR: _set_xattr,
    Kind.REMOVEXATTR: _remove_xattr,
    Kind.FALLOCATE: _fallocate,
    Kind.FSYNC: _fsync,
    Kind.BIND: _bind,
    Kind.UNBIND: _unbind,
}
