"""A module's folder on disk: read whole or refused, written so that it can be read again."""

import os
from pathlib import Path

import pytest

from manager.config_files import load_agent_config, load_module_folder, write_module_folder
from manager.model.config import InvalidConfig

TOML = 'name = "db"\n'
SCRIPTS = {"start_prim": "#!/bin/sh\necho ü\n", "poststop": "#!/bin/sh\r\n"}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_module_folder(tmp_path / "db", TOML, SCRIPTS)
    assert load_module_folder(tmp_path / "db") == (TOML, SCRIPTS)
    assert os.access(tmp_path / "db" / "scripts" / "start_prim", os.X_OK)


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with pytest.raises(FileExistsError):
        write_module_folder(tmp_path / "db", TOML, SCRIPTS)
    assert list((tmp_path / "db").iterdir()) == []


def test_a_script_cannot_be_written_outside_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="does not run"):
        write_module_folder(tmp_path / "db", TOML, {"../../evil": "#!/bin/sh\n"})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_module_folder(tmp_path / "db", TOML, SCRIPTS)
    return tmp_path / "db"


def refused(folder: Path) -> str:
    with pytest.raises(InvalidConfig) as raised:
        load_module_folder(folder)
    return str(raised.value)


def test_no_folder(tmp_path: Path) -> None:
    assert "module.toml: found no such file" in refused(tmp_path / "none")


def test_a_symbolic_link_is_refused(folder: Path) -> None:
    (folder / "scripts" / "stop_prim").symlink_to("/etc/shadow")
    assert "scripts/stop_prim: found a symbolic link" in refused(folder)


def test_a_fifo_is_refused_and_does_not_hang(folder: Path) -> None:
    os.mkfifo(folder / "scripts" / "stop_prim")
    assert "it is not a regular file" in refused(folder)


def test_bytes_that_are_no_text_are_refused_with_their_line(folder: Path) -> None:
    (folder / "scripts" / "stop_prim").write_bytes(b"#!/bin/sh\n\xff\n")
    assert "scripts/stop_prim: found bytes that are not UTF-8, in line 2" in refused(folder)


def test_a_file_that_is_too_large_is_refused(folder: Path) -> None:
    (folder / "scripts" / "stop_prim").write_bytes(b"x" * (513 << 10))
    assert "scripts/stop_prim: found a larger file; allowed: at most 512 KiB" in refused(folder)


def test_what_editors_leave_behind_is_no_script(folder: Path) -> None:
    for name in ("start_prim~", ".start_prim.swp", "start_prim.orig"):
        (folder / "scripts" / name).write_text("x")
    assert load_module_folder(folder) == (TOML, SCRIPTS)


def test_an_unknown_script_is_refused(folder: Path) -> None:
    (folder / "scripts" / "strat_prim").write_text("#!/bin/sh\n")
    assert "scripts/strat_prim: found a script that this release does not run" in refused(folder)


def test_no_agent_configuration_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"agent\.toml: found no such file"):
        load_agent_config(tmp_path / "agent.toml")
