"""Which of a node's modules are made, in which order: what serves does not wait for what does not."""

import asyncio
import dataclasses
import os
from pathlib import Path
from typing import Any, cast

import pytest

from agent.adapters.replicator_process import PidRecord
from agent.runtime.modules import Modules
from agent.runtime.running_config import RunningConfig
from agent.runtime.startup import clean_up
from manager.model.codec import encode
from manager.model.records import BOOT, DesiredRecord
from manager.model.states import Readiness, Run
from manager.store.fake_store import Link
from tests.unit.agent.runtime.bench import KEYS, Bench, toml
from tests.unit.agent.runtime.test_agent import Told
from tests.unit.agent.runtime.test_farm_modules import FARM, around, record


def test_what_a_former_agent_left_is_taken_over_before_another_module_is_looked_at(tmp_path: Path) -> None:
    """That may take as long as etcd, or a file system that hangs: the one that serves would be at its end meanwhile."""
    bench = Bench("a", "b")
    here, of = around(bench, tmp_path), record(FARM)
    os.makedirs(here.config.paths.run)
    modules = Modules(here)
    for name, wish in (("first", DesiredRecord(Run.STOPPED, {BOOT: "on"})), ("web", DesiredRecord(Run.STARTED))):
        bench.put(KEYS.module(name).config, of)
        bench.put(KEYS.module(name).desired("a"), wish)
    modules._former["web"] = of
    modules._runtime_of = lambda *_, **__: cast(Any, Told())  # type: ignore[method-assign]

    async def story() -> None:
        await bench.until(lambda: KEYS.module("web").desired("a") in bench.view.kvs)
        bench.store.set_link(
            Link.FROZEN
        )  # What starts with the machine is written first of all, and that takes its time.
        managing = asyncio.ensure_future(modules.manage())
        modules.look()
        await bench.until(lambda: modules.get("web") is not None)
        assert modules.get("first") is None
        bench.store.set_link(Link.UP)
        managing.cancel()
        await asyncio.wait([managing])

    bench.run(story)


GONE = 1 << 30
"""No process has that number."""


class Quiet:
    """A kernel that has nothing of ours."""

    async def addresses(self) -> list[Any]:
        return []

    async def call(self, what: str, work: Any) -> tuple[()]:
        return ()


@pytest.mark.parametrize("lives", [True, False])
def test_what_serves_does_not_wait_for_what_is_left_of_another_module(tmp_path: Path, lives: bool) -> None:
    """One whose application hangs in the kernel takes seconds, of which what serves may have none."""
    bench = Bench("a", "b")
    here = dataclasses.replace(around(bench, tmp_path), netlink=cast(Any, Quiet()))
    RunningConfig(here.places.run("db")).write(record(toml()))
    pid = PidRecord(GONE, 1, str(tmp_path / "cgroup" / "replicator"))
    Path(here.places.run("db"), "replicator.pid").write_text(encode(pid))
    hangs = Path(here.cgroup_base, "mirrorfarm", "db", "app")
    hangs.mkdir(parents=True)
    (hangs / "cgroup.events").write_text("populated 1\n")
    if lives:
        RunningConfig(here.places.run("web")).write(record(FARM))

    async def story() -> None:
        cleaning = asyncio.ensure_future(clean_up(here))
        done, _ = await asyncio.wait([cleaning], timeout=1.0)
        assert bool(done) is lives
        if lives:
            modules = Modules(here)
            modules.expect(cleaning.result())
            assert set(cleaning.result().living) == {"web"}
            shown = modules.local_state("db").member
            assert shown is not None and shown.readiness is Readiness.TRANSIENT, "it is said to be stopping"
            assert modules._ends
            await modules._tasks.cancel()
        cleaning.cancel()
        await asyncio.wait([cleaning])

    bench.run(story)
