"""Copies what an aside has of a path to somewhere else, with all below it and all attributes. The aside stays as it is.

It is made beside the target, under another name, and gets the target's name when it is whole and on the disk. Any
thread; it may take long.
"""

import os
import secrets
import stat
from collections.abc import Callable

from replicator.core.filesystem import RENAME_NOREPLACE
from replicator.disk import linux
from replicator.disk.aside_shelf import SHELF, TREE
from replicator.disk.duplicating import copy_attributes, duplicate
from replicator.disk.limbo import remove_tree
from replicator.disk.survey import open_path

Path = tuple[bytes, ...]


def has_path(private: int, number: int, path: Path) -> bool:
    """Whether something can be restored of it. Raises OSError."""
    try:
        directory = open_path(private, _place(number, path)[:-1])
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        os.stat(_place(number, path)[-1], dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    finally:
        os.close(directory)
    return True


def restore(private: int, number: int, path: Path, target: str) -> int:
    """Makes ``target`` of what is kept of ``path``; how many names that are. Raises OSError: nothing is left then."""
    place = _place(number, path)
    source = open_path(private, place[:-1])
    try:
        parent = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            made = b".restoring-" + secrets.token_hex(8).encode()
            try:
                count = _copy(source, place[-1], parent, made)
                linux.syncfs(parent)
                linux.rename(parent, made, parent, os.fsencode(os.path.basename(target)), RENAME_NOREPLACE)
                os.fsync(parent)
            except BaseException:
                _remove(parent, made)
                raise
            return count
        finally:
            os.close(parent)
    finally:
        os.close(source)


def _place(number: int, path: Path) -> Path:
    return (SHELF, b"%d" % number, TREE, *path)


def _copy(source: int, name: bytes, parent: int, made: bytes) -> int:
    duplicate(source, name, parent, made, _go_on)
    if not stat.S_ISDIR(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
        return 1
    tree, copy = open_path(source, (name,)), open_path(parent, (made,))
    try:
        count, directories = _copy_below(tree, copy)
        for path in reversed(directories):  # what is in one is there before it gets its own times
            _equalise(tree, copy, path)
        return count
    finally:
        os.close(tree)
        os.close(copy)


def _copy_below(tree: int, copy: int) -> tuple[int, list[Path]]:
    """How many names, and the directories among them, each after the one that it is in."""
    linked: dict[int, Path] = {}
    directories: list[Path] = [()]
    count, at = 1, 0
    while at < len(directories):
        path = directories[at]
        at += 1
        source, target = open_path(tree, path), open_path(copy, path)
        try:
            for entry in linux.each_entry(source):
                count += 1
                status = os.stat(entry.name, dir_fd=source, follow_symlinks=False)
                inner = (*path, entry.name)
                if not _link(linked, status, copy, target, inner):
                    duplicate(source, entry.name, target, entry.name, _go_on)
                if stat.S_ISDIR(status.st_mode):
                    directories.append(inner)
        finally:
            os.close(source)
            os.close(target)
    return count, directories


def _link(linked: dict[int, Path], status: os.stat_result, copy: int, target: int, path: Path) -> bool:
    """Whether it became a further name of what is copied already."""
    if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
        return False
    first = linked.setdefault(status.st_ino, path)
    if first is path:
        return False
    directory = open_path(copy, first[:-1])
    try:
        os.link(first[-1], path[-1], src_dir_fd=directory, dst_dir_fd=target, follow_symlinks=False)
    finally:
        os.close(directory)
    return True


def _equalise(tree: int, copy: int, path: Path) -> None:
    source, target = open_path(tree, path), open_path(copy, path)
    try:
        copy_attributes(source, target)
    finally:
        os.close(source)
        os.close(target)


def _remove(parent: int, made: bytes) -> None:
    try:
        status = os.stat(made, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        remove_tree(parent, made, _do)
    else:
        os.unlink(made, dir_fd=parent)


def _go_on() -> None:
    """Nothing ends it."""


def _do(change: Callable[[], None]) -> bool:
    change()
    return True
