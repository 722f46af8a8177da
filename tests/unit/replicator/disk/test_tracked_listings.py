"""Whatever changed while a copy was away: listing what may differ makes it the same, in any order, and after breaks.

What may differ is found by comparing the tree with what it was, and is no more than a tracker would have marked.
"""

import os
import random
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from replicator.core.operations import Bind
from replicator.disk.attributes import equalise_live
from replicator.disk.inode_ids import read_id
from replicator.disk.survey import attributes, target_at, xattrs_of
from tests.support.compare_trees import differences
from tests.support.random_trees import RandomTree
from tests.unit.replicator.disk.copies import Copies, NamePath

SEEDS = st.integers(0, 2**48)
Name = tuple[int, bytes]
"""A directory and a name in it."""


class Snapshot:
    """A tree by the ids of its inodes; what has none yet has a negative number instead."""

    def __init__(self, copies: Copies) -> None:
        self.entries: dict[int, dict[bytes, int]] = {}
        self.names: dict[int, set[Name]] = {}
        self.facts: dict[int, tuple[object, ...]] = {}
        self.paths: dict[int, NamePath] = {}
        self._add(copies, (), 1)

    def _add(self, copies: Copies, top: NamePath, inode: int) -> None:
        self.paths[inode] = top
        self.facts[inode] = _facts(copies.path(*top))
        found = self.entries[inode] = {}
        for name in os.listdir(copies.path(*top)):
            if not top and name == b".mirrorfarm":
                continue
            path = copies.path(*top, name)
            status = os.lstat(path)
            known = read_id(path, status.st_ino, follow=False)
            child = -status.st_ino if known is None else known
            found[name] = child
            self.names.setdefault(child, set()).add((inode, name))
            if stat.S_ISDIR(status.st_mode):
                self._add(copies, (*top, name), child)
            else:
                self.paths[child] = (*top, name)
                self.facts[child] = _facts(path)


def _facts(path: bytes) -> tuple[object, ...]:
    """Content first."""
    status = os.lstat(path)
    content = b""
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            content = file.read()
    xattrs = xattrs_of(path, follow=False)
    return content, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, xattrs


class Resync:
    """A copy that comes back, at random."""

    def __init__(self, copies: Copies, rng: random.Random, before: Snapshot) -> None:
        self.copies = copies
        self.rng = rng
        self.before = before
        self.everything = False
        """Each directory is listed, since something was not found."""
        self.marked: set[int] = set()
        """Directories whose names have been others, ever since."""
        self.changed: set[int] = set()
        """Inodes that have been others, ever since."""
        self._see()

    def _see(self) -> None:
        """What differs from what was, by now."""
        before, now = self.before, Snapshot(self.copies)
        self.now = now
        facts = before.facts
        self.changed |= {each for each in now.facts if each in facts and now.facts[each] != facts[each]}
        # Whoever gives an inode a further name knows it by one that it had: its directory is marked too.
        for inode, names in now.names.items():
            had = before.names.get(inode, set())
            if names - had and had and not any(parent in self.marked for parent, _ in had):
                self.marked |= {parent for parent, _ in self.rng.sample(sorted(had), self.rng.randint(1, len(had)))}
        self.marked |= {inode for inode, entries in now.entries.items() if before.entries.get(inode) != entries}
        self.dirty = self.marked & now.entries.keys()

    def run(self) -> None:
        """Joins until one comes to its end."""
        breaks = self.rng.choice([0, 0, 1, 3])
        while not self._join(breaks > 0):
            breaks -= 1
            if self.rng.random() < 0.4:
                RandomTree(self.copies.here.path, self.rng).change(self.rng.choice([1, 5]))
            if self.rng.random() < 0.3:
                self.everything = False  # a primary that began anew does not remember it
            self._see()

    def _join(self, breaks: bool) -> bool:
        copies, rng = self.copies, self.rng
        copies.begin()
        wanted = set(self.now.entries) if self.everything else set(self.dirty)
        if rng.random() < 0.3:
            wanted |= set(rng.sample(sorted(self.now.entries), 1))  # on demand, which does no harm
        listed: set[int] = set()
        whole: list[NamePath] = []
        while wanted - listed:
            if breaks and rng.random() < 0.1:
                copies.cut()
                return False
            inode = self._topmost(rng.choice(sorted(wanted - listed)), wanted - listed)
            path = self.now.paths[inode]
            anew, unfindable = copies.list(*path, tracked=not self.everything)
            listed.add(inode)
            if unfindable:
                copies.cut()
                self.everything = True
                return False
            for name in anew:
                child = self.now.entries[inode][name]
                if child in self.now.entries:
                    wanted.add(child)
                else:
                    whole.append((*path, name))
                    if rng.random() < 0.5:
                        self._copy((*path, name))
        if breaks and rng.random() < 0.2:
            copies.cut()
            return False
        for path in whole:
            self._copy(path)
        self._equalise()
        copies.finish()
        return True

    def _topmost(self, inode: int, wanted: set[int]) -> int:
        """It, or the topmost directory above it that is to be listed as well."""
        path = self.now.paths[inode]
        for depth in range(len(path)):
            above = next(each for each in self.now.entries if self.now.paths[each] == path[:depth])
            if above in wanted:
                return above
        return inode

    def _copy(self, path: NamePath) -> None:
        if stat.S_ISREG(os.lstat(self.copies.path(*path)).st_mode):
            self.copies.copy(*path)

    def _equalise(self) -> None:
        """Content and attributes of what was there before and is, or has been, another."""
        for inode in self.now.facts:
            if inode in self.changed:
                path = self.now.paths[inode]
                self._bind(path)
                self._copy(path)
                directory = os.open(self.copies.path(*path[:-1]), os.O_RDONLY)
                try:
                    name = path[-1] if path else b"."
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    wish = attributes(inode, status, target_at(directory, name))
                finally:
                    os.close(directory)
                equalise_live(self.copies.there, wish)

    def _bind(self, path: NamePath) -> None:
        parent = 1
        for depth, name in enumerate(path, 1):
            there = self.copies.path(*path[:depth])
            inode = read_id(there, os.lstat(there).st_ino, follow=False)
            assert inode is not None
            self.copies.there.apply(Bind(0, inode, parent, name))
            parent = inode


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A file system that is quick and keeps extended attributes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


def run(ground: Path, seed: int) -> None:
    rng = random.Random(seed)
    base = Path(tempfile.mkdtemp(dir=ground))
    copies = Copies(base)
    try:
        RandomTree(copies.here.path, rng).change(rng.choice([5, 20, 60]))
        copies.join()
        for _ in range(2):
            before = Snapshot(copies)
            RandomTree(copies.here.path, rng).change(rng.choice([1, 5, 20]))
            Resync(copies, rng, before).run()
            found = differences(copies.here.path, copies.there.path)
            assert not found, found[:5]
            _check_ids(copies)
    finally:
        copies.close()
        shutil.rmtree(base)


def _check_ids(copies: Copies) -> None:
    for inode, path in Snapshot(copies).paths.items():
        if inode > 1:
            kept = copies.kept(*path)
            assert kept is not None
            assert kept.inode == inode


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEEDS)
def test_listing_what_may_differ_makes_the_copies_the_same(ground: Path, seed: int) -> None:
    note(f"run(ground, {seed})")
    run(ground, seed)
