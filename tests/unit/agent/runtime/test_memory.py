"""A loss of memory is known to the next agent, and over with the next boot."""

from pathlib import Path

import pytest

from agent.runtime.memory import Memory
from manager.model.errors import DefiniteFailure


def test_what_was_kept_is_read_by_the_next_agent_until_the_next_boot(tmp_path: Path) -> None:
    run = tmp_path / "run" / "db"
    assert Memory(str(run), "k").boot_id() == "k"
    Memory(str(run), "k").keep("k+1")
    assert Memory(str(run), "k").boot_id() == "k+1"
    Memory(str(run), "k").keep("k+2")
    assert Memory(str(run), "k").boot_id() == "k+2"
    assert Memory(str(run), "j").boot_id() == "j"


def test_what_cannot_be_read_is_not_taken_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "boot_id").mkdir()
    with pytest.raises(DefiniteFailure, match="reading"):
        Memory(str(tmp_path), "k").boot_id()
    with pytest.raises(DefiniteFailure, match="writing"):
        Memory(str(tmp_path), "k").keep("k+1")
