"""What is for mirrors is refused of a farm, clearly, before anything is asked of anybody."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from agent.adapters.calls import Handler
from agent.adapters.log_files import LogFiles
from agent.adapters.snapshot_program import SnapshotProgram
from agent.runtime.handlers import handlers
from agent.runtime.handlers_check import CheckHandlers, Looks
from agent.runtime.handlers_log_levels import LogLevelHandlers
from agent.runtime.handlers_snapshot import SnapshotHandlers
from agent.runtime.replicator_levels import ReplicatorLevels
from manager.model.api import ErrorKind
from manager.model.api_asides import AsideClearArguments, AsideGiveUpArguments, AsideListArguments, AsideShowArguments
from manager.model.api_log_files import LogsArguments
from manager.model.api_modules import Switch, SwitchArguments
from manager.model.api_requests import Action, HistoryArguments, RequestArguments, StakesArguments
from manager.model.api_verify import DiffArguments, VerifyArguments
from manager.model.records import ModuleConfigRecord
from manager.model.states import Setting
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, refusal
from tests.unit.agent.runtime.test_handlers_farm import TOML

FOR_MIRRORS: tuple[tuple[str, Any], ...] = (
    ("request", RequestArguments("web", Action.PRIM, "a")),
    ("request", RequestArguments("web", Action.SWAP)),
    ("switch", SwitchArguments("web", Switch.FAILOVER, Setting.OFF)),
    ("verify", VerifyArguments("web")),
    ("diff", DiffArguments("web")),
    ("history", HistoryArguments("web")),
    ("stakes", StakesArguments("web")),
    ("aside.list", AsideListArguments("web")),
    ("aside.show", AsideShowArguments("web", 1)),
    ("aside.clear", AsideClearArguments("web", 1)),
    ("aside.give_up", AsideGiveUpArguments("web", "a")),
)


def all_handlers(bench: Bench) -> Mapping[str, Handler]:
    def on_fatal(what: str, error: BaseException) -> None:
        raise AssertionError(what) from error

    check = CheckHandlers(bench.seat, Looks(lambda module: None), "10.0.0.1")
    snapshot = SnapshotHandlers(bench.seat, SnapshotProgram(("/nowhere",)))
    log = LogLevelHandlers(bench.seat, ReplicatorLevels(bench.seat.levels))
    return handlers(bench.seat, LogFiles("/nowhere"), on_fatal, check, snapshot, log)


def played(bench: Bench, ask: Callable[[], Awaitable[Any]]) -> Any:
    told: list[Any] = []

    async def story() -> None:
        await bench.until(lambda: KEYS.module("web").config in bench.view.kvs)
        told.append(await ask())

    bench.run(story)
    return told[0]


def of_a_farm() -> Bench:
    bench = Bench("a", "b", "c")
    bench.put(KEYS.module("web").config, ModuleConfigRecord("m", 1, TOML, {}, "", ""))
    return bench


@pytest.mark.parametrize(("call", "arguments"), FOR_MIRRORS, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_for_mirrors_is_refused_of_a_farm(call: str, arguments: Any) -> None:
    bench = of_a_farm()
    before = bench.etcd.revision
    error = played(bench, lambda: refusal(all_handlers(bench)[call](arguments, ROOT, bench.report)))
    assert error.kind is ErrorKind.REFUSED
    assert error.message.startswith("web is a farm: it has neither a primary nor copies, and ")
    assert error.meaning == "Nothing was changed." and "mirrorfarm farm drain web NODE" in error.remedy
    assert bench.etcd.revision == before


def test_a_farm_has_the_logs_of_its_scripts_alone() -> None:
    bench = of_a_farm()
    error = played(bench, lambda: refusal(all_handlers(bench)["logs"](LogsArguments("web"), ROOT, bench.report)))
    assert error.kind is ErrorKind.NOT_FOUND and "logs of its scripts alone (--script)" in error.message


def test_a_farm_is_held_at_boot_like_a_mirror() -> None:
    bench = of_a_farm()
    arguments = SwitchArguments("web", Switch.BOOT, Setting.OFF, ("b",))
    assert played(bench, lambda: all_handlers(bench)["switch"](arguments, ROOT, bench.report)).nodes == ("b",)
