"""Whether init starts the agent, as its links and the note beside them say."""

from pathlib import Path

import pytest

from manager.cli.starting import NOTE, SERVICE, Starting, read
from manager.model.states import Setting

ETC = Path(__file__).parents[4] / "etc"
SYSV = f"etc/rc2.d/S01{SERVICE}"
SYSTEMD = f"etc/systemd/system/multi-user.target.wants/{SERVICE}.service"


def machine(root: Path, *links: str, note: str | None = None) -> Path:
    for link in links:
        (root / link).parent.mkdir(parents=True)
        (root / link).symlink_to("/where/it/is")
    if note is not None:
        (root / NOTE).parent.mkdir(parents=True)
        (root / NOTE).write_text(note)
    return root


@pytest.mark.parametrize("links", [(), (SYSV.replace("S01", "K01"),)])
@pytest.mark.parametrize("note", [None, "started\n", "stopped\n"])
def test_without_a_link_it_is_off_whatever_was_noted(tmp_path: Path, links: tuple[str, ...], note: str | None) -> None:
    assert read(machine(tmp_path, *links, note=note)) == Starting(Setting.OFF)


@pytest.mark.parametrize("links", [(SYSV,), (SYSTEMD,), (SYSV, SYSTEMD)])
def test_with_one_it_is_on_or_as_it_was(tmp_path: Path, links: tuple[str, ...]) -> None:
    assert read(machine(tmp_path, *links)) == Starting(Setting.ON)


@pytest.mark.parametrize(("note", "stopped"), [("started\n", False), ("stopped\n", True), ("", False)])
def test_as_it_was_is_what_was_noted(tmp_path: Path, note: str, stopped: bool) -> None:
    """A note that a loss of power has emptied keeps no agent from starting."""
    assert read(machine(tmp_path, SYSV, note=note)) == Starting(Setting.PREV, stopped=stopped)


@pytest.mark.parametrize("file", ["init.d/mirrorfarm-agent", "systemd/mirrorfarm-agent.service"])
def test_both_inits_keep_the_same_note(file: str) -> None:
    assert f"/{NOTE}" in (ETC / file).read_text()
