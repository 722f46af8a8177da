"""The note of an agent's lease where the run directory is full: the next agent needs that of the last one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.runtime.lease_keeper import LeaseFile, LeaseNote
from manager.model.errors import DefiniteFailure

PAGE = 4096


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A directory in a file system of two pages, of which one is taken."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={2 * PAGE}", "none", tmp_path], check=True)
    (tmp_path / "more").write_bytes(bytes(PAGE))
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_the_note_is_replaced_in_its_place_where_there_is_room_for_one_only(full: Path) -> None:
    file = LeaseFile(str(full / "lease.json"))
    for note in (LeaseNote(0x1234567890, "a-long-instance"), LeaseNote(7, "b"), LeaseNote(0x99, "another-instance")):
        file.write(note)
        assert file.read() == note


def test_without_a_former_one_there_is_no_room(full: Path) -> None:
    (full / "still_more").write_bytes(bytes(PAGE))
    file = LeaseFile(str(full / "lease.json"))
    with pytest.raises(DefiniteFailure, match="No space left"):
        file.write(LeaseNote(7, "b"))
    assert file.read() is None
