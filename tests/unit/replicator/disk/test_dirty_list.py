"""The list on the disk: what was appended is there after a crash, and one that cannot be believed is none."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.core.dirty import Dirty
from replicator.core.dirty_codec import records
from replicator.disk.dirty_format import new_file
from replicator.disk.dirty_list import DirtyList

BASE, OTHER = "0123456789abcdef", "f" * 16


@pytest.fixture
def private(tmp_path: Path) -> Iterator[int]:
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield directory
    os.close(directory)


@pytest.fixture
def dirty_list(private: int) -> Iterator[DirtyList]:
    found = DirtyList(private)
    yield found
    found.close()


def facts(*inodes: int) -> list[bytes]:
    """Records that say of each inode that its attributes may differ."""
    return [record for inode in inodes for record in records(Dirty(attributes={(0, inode)}))]


def inodes(found: tuple[str, Dirty] | None, base: str = BASE) -> list[int]:
    """Those of a list relative to ``base``."""
    assert found is not None
    assert found[0] == base
    return sorted(inode for _, inode in found[1].attributes)


def load(private: int) -> tuple[tuple[str, Dirty] | None, str]:
    """What another process finds, and what it says of damage."""
    other = DirtyList(private)
    found = other.load()
    other.close()
    return found, other.damage


def test_without_a_list_there_is_none(dirty_list: DirtyList) -> None:
    assert dirty_list.load() is None
    assert dirty_list.damage == ""
    dirty_list.void()
    assert dirty_list.load() is None


def test_what_was_handed_over_is_there(dirty_list: DirtyList, private: int, tmp_path: Path) -> None:
    dirty_list.create(BASE, facts(2, 3))
    assert inodes(load(private)[0]) == [2, 3]
    dirty_list.append(facts(4))
    dirty_list.append(facts(5, 6))
    assert inodes(load(private)[0]) == [2, 3, 4, 5, 6]
    assert [path.name for path in tmp_path.iterdir()] == ["dirty"]
    assert stat.S_IMODE((tmp_path / "dirty").stat().st_mode) == 0o600


def test_a_list_of_nothing_is_one(dirty_list: DirtyList, private: int) -> None:
    dirty_list.create(BASE, [])
    assert inodes(load(private)[0]) == []
    dirty_list.append(facts(2))
    assert inodes(load(private)[0]) == [2]


def test_a_new_process_goes_on_with_it(dirty_list: DirtyList, private: int) -> None:
    dirty_list.create(BASE, facts(2))
    for inode in (3, 4, 5):
        other = DirtyList(private)
        assert inodes(other.load()) == list(range(2, inode))
        other.append(facts(inode))
        other.close()
    assert inodes(dirty_list.load()) == [2, 3, 4, 5]


def test_all_that_may_differ_comes_back(dirty_list: DirtyList) -> None:
    dirty = Dirty(names={(0, 1): None, (1, 7): None}, attributes={(1, 9)}, places={(1, 9): (7, b"\xff\n")}, new_from=77)
    dirty_list.create(BASE, records(dirty))
    assert dirty_list.load() == (BASE, dirty)


def test_a_list_takes_the_place_of_another(dirty_list: DirtyList, private: int) -> None:
    dirty_list.create(BASE, facts(*range(2, 100)))
    dirty_list.append(facts(100))
    dirty_list.create(OTHER, facts(3))
    assert inodes(load(private)[0], OTHER) == [3]
    dirty_list.append(facts(4))
    assert inodes(load(private)[0], OTHER) == [3, 4]


def test_a_new_one_that_did_not_come_to_its_name_does_not_count(
    dirty_list: DirtyList, private: int, tmp_path: Path
) -> None:
    dirty_list.create(BASE, facts(2))
    (tmp_path / "dirty.new").write_bytes(new_file(OTHER, b"01234567", facts(3))[0])
    assert inodes(load(private)[0]) == [2]
    dirty_list.create(OTHER, facts(4))
    assert inodes(load(private)[0], OTHER) == [4]
    (tmp_path / "dirty.new").write_bytes(b"")
    dirty_list.void()
    assert list(tmp_path.iterdir()) == []


def test_a_voided_list_takes_nothing_more(dirty_list: DirtyList, private: int) -> None:
    dirty_list.create(BASE, facts(2))
    dirty_list.void()
    assert load(private) == (None, "")
    with pytest.raises(OSError, match="no list is open"):
        dirty_list.append(facts(3))
    assert load(private) == (None, "")


def test_an_append_that_is_torn_at_any_byte_takes_nothing_with_it(
    dirty_list: DirtyList, private: int, tmp_path: Path
) -> None:
    path = tmp_path / "dirty"
    dirty_list.create(BASE, facts(2))
    dirty_list.append(facts(3))
    before = path.read_bytes()
    dirty_list.append(facts(4))
    whole = path.read_bytes()
    dirty_list.close()
    for at in range(len(before), len(whole)):
        for tail in (b"", bytes(len(whole) - at), b"\xff" * 5000):
            path.write_bytes(whole[:at] + tail)
            expected = [2, 3, 4] if path.read_bytes().startswith(whole) else [2, 3]
            assert inodes(dirty_list.load()) == expected
            assert dirty_list.damage == ""
            dirty_list.append(facts(5))
            assert inodes(load(private)[0]) == [*expected, 5]


def test_damage_anywhere_before_is_found(dirty_list: DirtyList, private: int, tmp_path: Path) -> None:
    path = tmp_path / "dirty"
    dirty_list.create(BASE, facts(2))
    dirty_list.append(facts(3))
    before = len(path.read_bytes())
    dirty_list.append(facts(4))
    whole = path.read_bytes()
    for at in range(before):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        found, damage = load(private)
        assert found is None
        assert damage
    path.write_bytes(whole)
    assert inodes(load(private)[0]) == [2, 3, 4]


def test_after_damage_nothing_is_added(dirty_list: DirtyList, private: int, tmp_path: Path) -> None:
    dirty_list.create(BASE, facts(2))
    (tmp_path / "dirty").write_bytes(b"something else")
    assert dirty_list.load() is None
    assert dirty_list.damage
    with pytest.raises(OSError, match="no list is open"):
        dirty_list.append(facts(3))
    dirty_list.create(BASE, facts(4))
    assert inodes(load(private)[0]) == [4]


def test_a_list_of_another_version_is_none(dirty_list: DirtyList, tmp_path: Path) -> None:
    dirty_list.create(BASE, facts(2))
    data = (tmp_path / "dirty").read_bytes()
    (tmp_path / "dirty").write_bytes(data[:8] + b"\7" + data[9:])
    assert dirty_list.load() is None
    assert "version 7" in dirty_list.damage


def test_a_record_that_says_nothing_known_is_damage(dirty_list: DirtyList) -> None:
    for record in (b"", b"\xff", facts(3)[0][:-1], facts(3)[0] + b"x"):
        dirty_list.create(BASE, [*facts(2), record])
        assert dirty_list.load() is None
        assert "a record is none" in dirty_list.damage


def test_what_is_no_file_cannot_be_read(dirty_list: DirtyList, tmp_path: Path) -> None:
    (tmp_path / "dirty").mkdir()
    assert dirty_list.load() is None
    assert "cannot be opened" in dirty_list.damage


def test_what_cannot_be_brought_to_the_disk_is_not_believed(
    dirty_list: DirtyList, private: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed has perhaps written it, and not waited for the disk."""
    dirty_list.create(BASE, facts(2))
    synced: list[bool] = []
    for fails in (None, False, True):

        def sync(file: int, fails: bool | None = fails) -> None:
            synced.append(file == private)
            if synced[-1] is fails:
                raise OSError(5, "broken")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", sync)
            found, damage = load(private)
        assert (found is None, damage) == ((True, "it cannot be used: broken") if fails is not None else (False, ""))
    assert synced == [False, True, False, False, True], "the file, then its name"
    assert inodes(load(private)[0]) == [2]


def test_a_sync_that_failed_ends_the_list(dirty_list: DirtyList, private: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_file: int) -> None:
        raise OSError(5, "broken")

    dirty_list.create(BASE, facts(2))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        with pytest.raises(OSError, match="broken"):
            dirty_list.append(facts(3))
    with pytest.raises(OSError, match="no list is open"):
        dirty_list.append(facts(4))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="broken"):
            dirty_list.create(BASE, facts(5))
        with pytest.raises(OSError, match="no list is open"):
            dirty_list.append(facts(6))
        with pytest.raises(OSError, match="broken"):
            dirty_list.void()
    dirty_list.void()
    assert load(private) == (None, "")
