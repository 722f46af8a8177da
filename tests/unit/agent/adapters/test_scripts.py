"""What scripts are given, and that their folder holds what was applied and nothing else."""

from pathlib import Path

import pytest

from agent.adapters.scripts import PATH, Context, environment, write
from manager.model.config import SCRIPT_NAMES
from manager.model.config.parse_application import RESERVED_ENV
from manager.model.errors import ConfigError

CONTEXT = Context("WAIT", "ALONE", "start", 7)


def given(
    own: dict[str, str] | None = None, *, forced: bool = False, inherited: dict[str, str] | None = None
) -> dict[str, str]:
    return environment("db", "a", ("/srv/db", "/srv/x"), own or {}, CONTEXT, forced=forced, inherited=inherited or {})


def test_a_script_is_told_why_it_runs() -> None:
    env = given()
    assert env["MODULE"] == "db" and env["NODE"] == "a"
    assert (env["STATE"], env["NEXT_STATE"], env["ACTION"], env["EPOCH"]) == ("WAIT", "ALONE", "start", "7")
    assert env["DIRECTORIES"] == "/srv/db:/srv/x"
    assert env["PATH"] == PATH


def test_force_is_there_in_a_forced_stop_only() -> None:
    assert "FORCE" not in given()
    assert given(forced=True)["FORCE"] == "1"


def test_ours_goes_before_the_modules_and_that_before_the_systems() -> None:
    env = given({"NODE": "liar", "LANG": "de_DE.UTF-8", "PGPORT": "5433"}, inherited={"LANG": "C", "TZ": "UTC"})
    assert (env["NODE"], env["LANG"], env["PGPORT"], env["TZ"]) == ("a", "de_DE.UTF-8", "5433", "UTC")


def test_a_script_is_told_where_it_finds_what_its_module_depends_on() -> None:
    depends = {"db": ("10.0.0.9", "fd00::9"), "queue-1": ()}
    own = {"DEPENDS_DB_ADDRESS": "10.0.0.66"}
    env = environment("web", "a", (), own, CONTEXT, depends=depends, inherited={})
    assert env["DEPENDS_DB_ADDRESS"] == "10.0.0.9 fd00::9" and env["DEPENDS_QUEUE_1_ADDRESS"] == ""


def test_nothing_of_the_agents_own_environment_leaks() -> None:
    env = given(inherited={"PYTHONPATH": "/x", "NOTIFY_SOCKET": "/run/s", "PATH": "/evil"})
    assert set(env) == {"PATH", "HOME", "SHELL", "USER", "LOGNAME", *RESERVED_ENV} - {"FORCE", "FENCE_NODE"}
    assert env["PATH"] == PATH


def test_the_folder_holds_exactly_what_was_applied(tmp_path: Path) -> None:
    folder = tmp_path / "scripts"
    write(str(folder), {"start_prim": "#!/bin/sh\n", "stop_prim": "#!/bin/sh\n"})
    write(str(folder), {"start_prim": "#!/bin/sh\necho schön\n"})
    assert [p.name for p in folder.iterdir()] == ["start_prim"]
    script = folder / "start_prim"
    assert script.read_text(encoding="utf-8").endswith("schön\n")
    assert script.stat().st_mode & 0o777 == 0o700
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scripts"]


@pytest.mark.parametrize("name", ["../x", "/x", "", "a/../../x", "a\0b", ".."])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="scripts: found"):
        write(str(tmp_path / "scripts"), {name: "x"})
    assert list(tmp_path.iterdir()) == []


def test_every_script_name_of_this_release_is_accepted(tmp_path: Path) -> None:
    write(str(tmp_path / "scripts"), dict.fromkeys(SCRIPT_NAMES, "#!/bin/sh\n"))
