"""SQLite in WAL mode by two processes, git and tar on a pair of an ext4 and an xfs, unmodified."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from tests.support import compare_trees, sqlite_client
from tests.support.two_disks import TwoDisks, two_disks

AUTHOR = ("-c", "user.name=t", "-c", "user.email=t@example.org")
TAR = ("--xattrs", "--xattrs-include=*", "--xattrs-exclude=trusted.SGI*", "--acls", "--sparse", "--format=posix")
COMMITS = 100


@pytest.fixture
def both(tmp_path: Path) -> Iterator[TwoDisks]:
    with two_disks(tmp_path) as made:
        yield made


def run(*command: str, cwd: Path) -> str:
    environment = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": str(cwd)}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Client:
    """A process that commits numbers to the database, and what it was told is committed."""

    def __init__(self, database: Path, name: str) -> None:
        self.name = name
        self.numbers: list[int] = []
        self._process = subprocess.Popen(
            (sys.executable, "-m", "tests.support.sqlite_client", str(database), name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self, commits: int) -> None:
        """Returns after so many."""
        assert self._process.stdout is not None
        self.numbers += [int(self._process.stdout.readline()) for _ in range(commits)]

    def end(self) -> None:
        """Lets it end."""
        out, _ = self._process.communicate(timeout=60.0)
        self._take(out, "ended")

    def fail(self) -> None:
        """Returns when a commit has failed; until then it is not told to end."""
        assert self._process.stdout is not None
        self._take(self._process.stdout.read(), "failed")

    def _take(self, said: str, last_word: str) -> None:
        *numbers, word = said.splitlines()
        assert word == last_word
        self.numbers += [int(number) for number in numbers]

    def put_away(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def clients(database: Path) -> Iterator[tuple[Client, Client]]:
    """Two at work on a new database."""
    sqlite_client.create(str(database))
    with contextlib.ExitStack() as stack:
        one, two = (Client(database, name) for name in ("one", "two"))
        for made in (one, two):
            stack.callback(made.put_away)
        for made in (one, two):
            made.wait(COMMITS)
        yield one, two


def check(database: Path, *clients: Client) -> None:
    """The database is sound and has every number that was acknowledged."""
    with contextlib.closing(sqlite3.connect(database)) as opened:
        assert opened.execute("pragma integrity_check").fetchall() == [("ok",)]
        for client in clients:
            rows = opened.execute("select number from numbers where client = ?", (client.name,)).fetchall()
            assert set(client.numbers) - {number for (number,) in rows} == set()


def test_sqlite_in_wal_mode_by_two_processes(both: TwoDisks) -> None:
    with clients(both.pair.a.data / "database") as (one, two):
        for client in (one, two):
            client.wait(COMMITS)
            client.end()
    check(both.pair.a.data / "database", one, two)
    both.assert_equal()
    both.rest()
    for node in (both.pair.a, both.pair.b):
        check(node.data / "database", one, two)


def test_what_sqlite_committed_is_on_the_secondary_when_the_primary_is_killed(both: TwoDisks) -> None:
    pair = both.pair
    with clients(pair.a.data / "database") as (one, two):
        pair.a.kill()
        for client in (one, two):
            client.fail()
    pair.b.tell(control.CloseStream())
    pair.b.wait(control.StreamClosed)
    pair.a.clear()
    pair.b.serve(2)
    check(pair.b.data / "database", one, two)


def test_git(both: TwoDisks) -> None:
    work = both.pair.a.data / "first"
    run("git", "init", "-q", "-b", "main", str(work), cwd=both.pair.a.data)
    for commit in range(6):
        for number in range(8):
            (work / f"file{number}").write_text(f"{commit} {number}\n" * 500)
        run("git", "add", ".", cwd=work)
        run("git", *AUTHOR, "commit", "-q", "-m", f"{commit}", cwd=work)
    run("git", "mv", "file1", "moved", cwd=work)
    run("git", *AUTHOR, "commit", "-q", "-a", "-m", "moved", cwd=work)
    run("git", "clone", "-q", "first", "second", cwd=both.pair.a.data)
    run("git", "gc", "-q", cwd=work)
    assert run("git", "fsck", "--strict", cwd=work) == ""
    both.assert_equal()
    both.rest()
    for node in (both.pair.a, both.pair.b):
        assert run("git", "fsck", "--strict", cwd=node.data / "first") == ""
        assert run("git", "status", "--porcelain", cwd=node.data / "second") == ""
        assert run("git", "rev-list", "--count", "HEAD", cwd=node.data / "second") == "7\n"


def make_tree(source: Path) -> None:
    """Files of each sort, with all that tar knows of them."""
    (source / "directory" / "deep").mkdir(parents=True)
    file = source / "directory" / "file"
    file.write_bytes(b"abc" * 10_000)
    os.truncate(file, 3 << 20)
    with open(file, "r+b") as opened:
        opened.seek(2 << 20)
        opened.write(b"after a hole")
    for number in range(100):
        (source / "directory" / "deep" / f"small{number}").write_bytes(b"%d" % number * number)
    os.link(file, source / "link")
    os.symlink("directory/file", source / "symbolic")
    os.mkfifo(source / "fifo")
    os.mknod(source / "null", 0o600 | 0o020000, os.makedev(1, 3))
    os.chown(file, 1001, 1002)
    file.chmod(0o4751)
    os.setxattr(file, "user.note", b"kept")
    os.setxattr(file, "trusted.note", b"kept too")
    os.setxattr(file, "security.capability", bytes.fromhex("0000000200200000000000000000000000000000"))
    os.setxattr(source / "symbolic", "trusted.note", b"of a link", follow_symlinks=False)
    run("setfacl", "-m", "u:1001:rwx,d:u:1002:r", str(source / "directory"), cwd=source)
    run("setfacl", "-m", "g:1002:r", str(source / "directory" / "deep" / "small7"), cwd=source)
    for path in (file, source / "directory" / "deep", source / "directory", source):
        os.utime(path, ns=(10**18, 10**18 + 123_456_789))


def test_tar_with_extended_attributes_and_acls_in_and_out(both: TwoDisks) -> None:
    plain = both.disks["a"]
    source, back, target = plain / "source", plain / "back", both.pair.a.data / "target"
    make_tree(source)
    for directory in (back, target):
        directory.mkdir()
    run("tar", "-cf", str(plain / "in.tar"), *TAR, "--numeric-owner", ".", cwd=source)
    run("tar", "-xpf", str(plain / "in.tar"), *TAR, "--numeric-owner", "--same-owner", cwd=target)
    assert compare_trees.differences(source, target) == []
    run("tar", "-cf", str(plain / "out.tar"), *TAR, "--numeric-owner", ".", cwd=target)
    run("tar", "-xpf", str(plain / "out.tar"), *TAR, "--numeric-owner", "--same-owner", cwd=back)
    assert compare_trees.differences(source, back) == []
    both.assert_equal()
    both.rest()
    assert compare_trees.differences(source, both.pair.b.data / "target") == []
