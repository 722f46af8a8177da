"""One agent a node, however the former one ended."""

import os
from pathlib import Path

import pytest

from agent.runtime.pid_file import PidFile
from manager.model.errors import ConfigError


def test_the_second_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.pid"
    first = PidFile(str(path))
    first.take()
    assert path.read_text() == f"{os.getpid()}\n"
    with pytest.raises(ConfigError, match=f"process {os.getpid()}"):
        PidFile(str(path)).take()
    first.release()
    assert not path.exists()
    second = PidFile(str(path))
    second.take()
    second.release()


def test_what_a_killed_agent_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "agent.pid"
    path.write_text("999999999999\n")
    mine = PidFile(str(path))
    mine.take()
    assert path.read_text() == f"{os.getpid()}\n"
    mine.release()


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found"):
        PidFile(str(tmp_path / "none" / "agent.pid")).take()
