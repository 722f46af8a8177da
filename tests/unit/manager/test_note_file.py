"""Notes for the next process."""

import os
from pathlib import Path

import pytest

from manager.note_file import write_note


@pytest.mark.parametrize("synced", [False, True])
def test_a_note_is_replaced_as_a_whole(tmp_path: Path, synced: bool) -> None:
    path = tmp_path / "note"
    write_note(str(path), "a long one\n", 0o600, synced=synced)
    with open(path, encoding="utf-8") as former:
        write_note(str(path), "short\n", 0o600, synced=synced)
        assert former.read() == "a long one\n", "whoever has it open reads what was there"
    assert path.read_text() == "short\n"
    assert os.listdir(tmp_path) == ["note"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_there_stays_where_there_is_no_room(tmp_path: Path) -> None:
    path = tmp_path / "note"
    write_note(str(path), "kept\n")
    os.symlink("/dev/full", f"{path}.new")
    with pytest.raises(OSError, match="No space left"):
        write_note(str(path), "lost\n")
    assert path.read_text() == "kept\n"
