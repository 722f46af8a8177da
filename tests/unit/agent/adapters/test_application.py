"""What becomes of a script whose log finds no room. What is started how: integration."""

import asyncio
from pathlib import Path
from typing import BinaryIO

import pytest

from agent.adapters import run_logs
from agent.adapters.application import Application, Outcome, Places
from agent.adapters.cgroups import Cgroup
from agent.adapters.scripts import Context
from manager.model.config import application_of, parse_module

TALKS = "#!/bin/sh\nset -e\necho it begins\n"
MODULE = 'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/db"]\n'


class Here(Cgroup):
    """None: what is run is run in the test's own."""

    def entering(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        return argv


def test_a_script_that_says_something_is_run_to_its_end_where_its_log_finds_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own word would fail, and it with it: a full disk of logs is no reason not to take over."""

    def no_room(directory: str, script: str) -> tuple[BinaryIO, str]:
        return open("/dev/full", "wb", buffering=0), f"{directory}/{script}.1.log"

    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "start_prim").write_text(TALKS)
    (scripts / "start_prim").chmod(0o700)
    config = application_of(parse_module(MODULE, {"start_prim": TALKS}))
    application = Application(config, "a", Here(str(tmp_path)), Places(str(scripts), str(tmp_path / "logs")))
    context = Context("WAIT", "ALONE", "start", 3)

    ran = asyncio.run(application.start(context))
    assert ran.outcome is Outcome.DONE and "it begins" in Path(ran.log).read_text()
    monkeypatch.setattr(run_logs, "open_log", no_room)
    ran = asyncio.run(application.start(context))
    assert (ran.outcome, ran.exit_code, ran.log) == (Outcome.DONE, 0, "")
