"""An application with real scripts in a real control group: started, stopped, out of time, killed; nothing is left."""

import asyncio
import os
import subprocess
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agent.adapters.application import Application, Outcome, Places
from agent.adapters.cgroups import module_cgroup
from agent.adapters.scripts import Context, executes
from agent.adapters.services import SysvServices
from manager.model.config import ApplicationConfig, ScriptsConfig, application_of, parse_module
from manager.model.errors import ConfigError, DefiniteFailure

T = TypeVar("T")
CONTEXT = Context("WAIT", "ALONE", "start", 3)
FARM = """name = "web"
kind = "farm"
nodes = ["a", "b"]
[[address]]
ip = "10.77.0.100/24"
[[rule]]
protocol = "tcp"
ports = "80"
"""
DAEMON = "#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\necho up\n"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


class House:
    def __init__(self, directory: Path, base: str) -> None:
        self.directory = directory
        self.base = base
        self.logs = directory / "logs"

    def application(self, scripts: dict[str, str], limits: ScriptsConfig | None = None) -> Application:
        config = replace(self._config(scripts), limits=limits or ScriptsConfig())
        return Application(config, "a", module_cgroup("db", "app", self.base), self.places)

    @property
    def places(self) -> Places:
        return Places(str(self.directory / "scripts"), str(self.logs))

    def _config(self, scripts: dict[str, str]) -> ApplicationConfig:
        text = 'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/db"]\n'
        return application_of(parse_module(text, scripts))


@pytest.fixture
def house(tmp_path: Path, cgroup_base: str) -> House:
    return House(tmp_path, cgroup_base)


def test_scripts_run_in_the_cgroup_with_their_environment_and_a_log_each(house: House) -> None:
    app = house.application({"prestart": '#!/bin/sh\necho "pre $MODULE $NODE"\n', "start_prim": DAEMON})

    async def story() -> None:
        await app.prepare()
        pre = await app.prestart(CONTEXT)
        assert pre.succeeded and "pre db a" in Path(pre.log).read_text()
        start = await app.start(CONTEXT)
        assert start.succeeded and start.exit_code == 0 and start.log == str(house.logs / "start_prim.1.log")
        assert "EPOCH=3" in Path(start.log).read_text()
        assert len(app.processes()) == 1
        await app.kill()
        assert app.processes() == []

    run(story())


def test_scripts_that_could_not_be_executed_where_they_are_are_refused_with_the_reason(house: House) -> None:
    app = house.application({"start_prim": DAEMON})
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "none", house.directory], check=True)
    try:
        assert not executes(str(house.directory))
        with pytest.raises(DefiniteFailure, match=r"noexec.*paths\.state"):
            run(app.prepare())
    finally:
        subprocess.run(["umount", house.directory], check=True)
    assert executes(str(house.directory))
    run(app.prepare())
    app.remove()


def test_a_stop_script_that_does_it_is_a_clean_stop(house: House) -> None:
    pid = house.directory / "pid"
    app = house.application(
        {
            "start_prim": f"#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\necho $! >{pid}\n",
            "stop_prim": f"#!/bin/sh\nkill $(cat {pid})\n",
        }
    )

    async def story() -> None:
        await app.prepare()
        await app.start(CONTEXT)
        stopped = await app.stop(CONTEXT)
        assert stopped.clean and len(stopped.runs) == 1
        app.remove()

    run(story())
    assert not os.path.exists(house.places.scripts) and not os.path.exists(app.cgroup)


@pytest.mark.usefixtures("adopted")
def test_a_stop_script_that_waits_until_its_process_is_gone_is_not_kept_waiting(house: House) -> None:
    """As ``start-stop-daemon --retry`` does: a process that nobody has waited for is still there."""
    pid = house.directory / "pid"
    scripts = {
        "start_prim": f"#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\necho $! >{pid}\n",
        "stop_prim": f"#!/bin/sh\nkill $(cat {pid})\nwhile kill -0 $(cat {pid}); do sleep 0.05; done 2>/dev/null\n",
    }
    app = house.application(scripts, ScriptsConfig(stop_timeout_ms=15_000))

    async def story() -> None:
        await app.prepare()
        await app.start(CONTEXT)
        stopped = await app.stop(CONTEXT)
        assert stopped.clean, stopped
        app.remove()

    run(story())


def test_what_a_stop_script_leaves_is_forced_and_then_killed(house: House) -> None:
    app = house.application({"start_prim": DAEMON, "stop_prim": '#!/bin/sh\necho "force=$FORCE arg=$1"\nexit 3\n'})

    async def story() -> None:
        await app.prepare()
        await app.start(CONTEXT)
        stopped = await app.stop(CONTEXT)
        assert not stopped.clean
        assert [r.outcome for r in stopped.runs] == [Outcome.FAILED, Outcome.FAILED]
        assert [p.name for p in stopped.killed] == ["sleep"]
        assert "force=1 arg=force" in Path(stopped.runs[1].log).read_text()
        assert app.processes() == []

    run(story())


def test_without_a_stop_script_sigterm_takes_its_place(house: House) -> None:
    app = house.application({"start_prim": DAEMON})

    async def story() -> None:
        await app.prepare()
        await app.start(CONTEXT)
        stopped = await app.stop(CONTEXT)
        assert stopped.killed == () and stopped.runs[0].outcome is Outcome.ABSENT

    run(story())


def test_a_farms_application_has_scripts_of_its_own_and_no_directories(house: House) -> None:
    pid = house.directory / "pid"
    scripts = {
        "start_both": f'#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\necho $! >{pid}\necho "of:$DIRECTORIES:"\n',
        "stop_both": f"#!/bin/sh\nkill $(cat {pid})\n",
    }
    app = Application(
        application_of(parse_module(FARM, scripts)), "a", module_cgroup("web", "app", house.base), house.places
    )

    async def story() -> None:
        await app.prepare()
        start = await app.start(Context("WAIT", "UP", "start", 0))
        assert start.succeeded and start.script == "start_both" and len(app.processes()) == 1
        told = Path(start.log).read_text()
        assert "of::" in told and "MODULE=web NODE=a STATE=WAIT NEXT_STATE=UP" in told
        stopped = await app.stop(Context("UP", "WAIT", "stop", 0))
        assert stopped.clean and [run.script for run in stopped.runs] == ["stop_both"]
        app.remove()

    run(story())


def test_a_script_that_runs_out_of_time_is_ended_and_failed_with_its_last_words(house: House) -> None:
    scripts = {"start_prim": "#!/bin/sh\necho looking for the disk\nsleep 600\n"}
    # On a busy machine it may be a while until it has said anything.
    app = house.application(scripts, ScriptsConfig(start_timeout_ms=3_000))

    async def story() -> None:
        await app.prepare()
        begun = time.monotonic()
        start = await app.start(CONTEXT)
        assert time.monotonic() - begun < 60
        assert start.outcome is Outcome.TIMED_OUT and start.exit_code is None
        assert start.detail == "looking for the disk"

    run(story())


def test_a_kill_ends_the_script_that_runs(house: House) -> None:
    app = house.application({"start_prim": "#!/bin/sh\nsleep 600\n"})

    async def story() -> None:
        await app.prepare()
        starting = asyncio.ensure_future(app.start(CONTEXT))
        while not app.processes():
            await asyncio.sleep(0.01)
        await app.kill()
        start = await starting
        assert not start.succeeded and app.processes() == []

    run(story())


def test_a_script_that_cannot_be_run_is_a_failed_run(house: House) -> None:
    app = house.application({"start_prim": "#!/no/such/interpreter\n"})

    async def story() -> None:
        await app.prepare()
        start = await app.start(CONTEXT)
        assert start.outcome is Outcome.FAILED and "start_prim: not found" in start.detail

    run(story())


def test_services_are_started_in_order_and_stopped_in_reverse(house: House, tmp_path: Path) -> None:
    told = tmp_path / "told"
    app = Services(house, told).application()

    async def story() -> None:
        start = await app.start(CONTEXT)
        stopped = await app.stop(CONTEXT)
        assert start.succeeded and stopped.runs[0].succeeded

    os.makedirs(app.cgroup)
    run(story())
    assert told.read_text().split() == ["start", "one", "start", "two", "stop", "two", "stop", "one"]


def test_a_service_that_is_not_there_is_refused(tmp_path: Path) -> None:
    services = SysvServices(str(tmp_path))
    with pytest.raises(ConfigError, match="found nothing"):
        run(services.prepare(["nothing"]))
    with pytest.raises(ConfigError):
        run(services.prepare(["../x"]))


class Services(SysvServices):
    """Init scripts of a directory of the test's own: each notes its name and what it was told."""

    def __init__(self, house: House, told: Path) -> None:
        super().__init__(str(house.directory))
        self._house = house
        self._told = told

    def command(self, name: str, action: str) -> tuple[str, ...]:
        return ("/bin/sh", "-c", f"echo {action} {name} >>{self._told}")

    def application(self) -> Application:
        text = (
            'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/db"]\nservices = ["one", "two"]\n'
        )
        config = application_of(parse_module(text, {}))
        cgroup = module_cgroup("db", "app", self._house.base)
        return Application(config, "a", cgroup, self._house.places, self)
