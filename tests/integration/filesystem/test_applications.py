"""Applications run on the mount unmodified: SQLite in WAL mode, git, tar with extended attributes and ACLs."""

import errno
import os
import sqlite3
import subprocess
from collections.abc import Callable

import pytest

from tests.support.grounds import Grounds
from tests.support.trees import assert_equal_trees, snapshot


def run(*command: str, cwd: str) -> str:
    environment = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": cwd}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def error_of(call: Callable[..., object], *arguments: object) -> int | None:
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return caught.value.errno


def test_sqlite_in_wal_mode(grounds: Grounds) -> None:
    directory = os.path.join(grounds.mounted, "sqlite")
    os.mkdir(directory)
    path = os.path.join(directory, "db")
    writer, reader = sqlite3.connect(path), sqlite3.connect(path)
    assert writer.execute("pragma journal_mode = wal").fetchone() == ("wal",)
    writer.execute("create table numbers (n integer primary key, text text)")
    for start in range(0, 500, 50):
        with writer:
            writer.executemany("insert into numbers values (?, ?)", [(start + i, "x" * i) for i in range(50)])
        assert reader.execute("select count(*) from numbers").fetchone() == (start + 50,)
    assert reader.execute("pragma integrity_check").fetchone() == ("ok",)
    writer.close()
    reader.close()
    grounds.check_copy("sqlite")


def test_git(grounds: Grounds) -> None:
    work = os.path.join(grounds.mounted, "git")
    os.mkdir(work)
    run("git", "init", "-q", "-b", "main", "first", cwd=work)
    first = os.path.join(work, "first")
    for number in range(20):
        with open(os.path.join(first, f"file{number}"), "w", encoding="ascii") as file:
            file.write(f"{number}\n" * 1000)
    author = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    run("git", "add", ".", cwd=first)
    run("git", *author, "commit", "-q", "-m", "one", cwd=first)
    run("git", "mv", "file1", "moved", cwd=first)
    run("git", *author, "commit", "-q", "-a", "-m", "two", cwd=first)
    run("git", "clone", "-q", "first", "second", cwd=work)
    run("git", "gc", "-q", cwd=first)
    assert run("git", "fsck", "--strict", cwd=first) == ""
    assert run("git", "status", "--porcelain", cwd=os.path.join(work, "second")) == ""
    grounds.check_copy("git")


def test_tar_with_extended_attributes_and_acls(grounds: Grounds) -> None:
    source = os.path.join(grounds.plain, "tar")
    os.makedirs(os.path.join(source, "d"))
    with open(os.path.join(source, "d", "file"), "wb") as file:
        file.write(b"abc" * 10_000)
        file.truncate(1 << 20)
    os.link(file.name, os.path.join(source, "link"))
    os.symlink("d/file", os.path.join(source, "symbolic"))
    os.mkfifo(os.path.join(source, "fifo"))
    os.setxattr(file.name, "user.note", b"kept")
    os.setxattr(file.name, "trusted.note", b"kept too")
    run("setfacl", "-m", "u:1001:rwx,d:u:1002:r", os.path.join(source, "d"), cwd=source)
    os.chown(file.name, 1001, 1002)
    archive = os.path.join(grounds.plain, "archive.tar")
    options = ("--xattrs", "--xattrs-include=*", "--acls", "--sparse", "--numeric-owner")
    run("tar", "-cf", archive, *options, ".", cwd=source)
    target = os.path.join(grounds.mounted, "tar")
    os.mkdir(target)
    run("tar", "-xpf", archive, *options, cwd=target)
    assert_equal_trees(snapshot(target, exact_times=True), snapshot(source, exact_times=True))
    grounds.check_copy("tar", exact_times=True)


def test_acls_have_no_second_name(grounds: Grounds) -> None:
    path = os.path.join(grounds.mounted, "second")
    with open(path, "wb"):
        pass
    run("setfacl", "-m", "u:1001:rw", path, cwd=grounds.mounted)
    assert os.listxattr(path) == ["system.posix_acl_access"], "and on xfs the one below has two"
    for name in ("trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"):
        assert error_of(os.setxattr, path, name, b"x") == errno.EPERM
        assert error_of(os.getxattr, path, name) == errno.ENODATA
        assert error_of(os.removexattr, path, name) == errno.ENODATA
    assert "user:1001:rw-" in run("getfacl", "-n", path, cwd=grounds.mounted)
    grounds.check_copy(".")
