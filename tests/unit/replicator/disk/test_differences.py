"""How a directory differs from a listing of it: which names are one file, and who it is, while files come and go."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.disk.differences import Inspector
from replicator.disk.inode_ids import write_id
from replicator.disk.survey import attributes
from replicator.disk.volume import Volume
from replicator.wire.copying import Entry, EntryFlag, Listing, Part
from replicator.wire.verifying import What

FORMER, LATER = 0x10000000001, 0x10000000002
NO_FLAGS = EntryFlag(0)


class Copy:
    """The peer's, with directories in which each file has two names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.volume = Volume.open(str(path))
        self.inspector = Inspector(self.volume)

    def make(self, directory: str, kept: int) -> None:
        """A file of this id, by two names."""
        os.mkdir(self.path / directory)
        (self.path / directory / "one").write_bytes(b"x")
        os.link(self.path / directory / "one", self.path / directory / "other")
        self.keep(directory, kept)

    def keep(self, directory: str, kept: int) -> None:
        path = self.path / directory / "one"
        write_id(os.fspath(path), kept, path.stat().st_ino)

    def compared(self, directory: str, *ids: int, flags: EntryFlag = NO_FLAGS) -> list[What]:
        """What differs where the primary has files of these ids by these names."""
        entries = []
        for name, inode in zip(("one", "other"), ids, strict=True):
            path = os.fsencode(self.path / directory / name)
            entries.append(Entry(os.fsencode(name), attributes(inode, os.lstat(path), path, flags)))
        path = os.fsencode(self.path / directory)
        own = attributes(7, os.lstat(path), path)
        whole = Listing(0, Part.FIRST | Part.LAST, (os.fsencode(directory),), own, tuple(entries))
        return [each.what for each in self.inspector.compare(whole)]


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    made = Copy(tmp_path)
    yield made
    made.volume.close()


def test_the_names_of_one_file_are_those_of_one_file(copy: Copy) -> None:
    copy.make("a", FORMER)
    assert copy.compared("a", FORMER, FORMER) == []


@pytest.mark.parametrize("kept", [FORMER, LATER])
def test_two_files_that_are_one_there_differ_whichever_of_them_it_is(copy: Copy, kept: int) -> None:
    copy.make("a", kept)
    assert copy.compared("a", FORMER, LATER) != []


def test_a_file_that_has_the_number_of_one_that_was_removed_is_another_one(copy: Copy) -> None:
    """The file system gives a number that is free to the next file, as long as the comparison may be on its way."""
    copy.make("a", FORMER)
    assert copy.compared("a", FORMER, FORMER) == []
    os.rename(copy.path / "a", copy.path / "b")
    copy.keep("b", LATER)
    assert copy.compared("b", LATER, LATER) == []


def test_of_what_cannot_keep_its_id_on_the_primary_it_says_nothing(copy: Copy) -> None:
    """It has another one each time that it is looked up."""
    copy.make("a", FORMER)
    assert copy.compared("a", LATER, LATER) == [What.IDENTITY] * 2
    assert copy.compared("a", LATER, LATER, flags=EntryFlag.PROTECTED) == []
    assert copy.compared("a", LATER + 1, LATER + 1, flags=EntryFlag.PROTECTED) == []
