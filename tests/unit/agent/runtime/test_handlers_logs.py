"""diff: what the agent adds to what its replicator answers."""

import asyncio
from dataclasses import replace

import pytest

from agent.runtime.handlers_logs import LogHandlers
from manager.model.api_verify import DiffArguments
from manager.model.control import DiffReport, Scope
from manager.model.records import InsyncRecord, ModuleConfigRecord
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, NoModules, toml

FOUND = DiffReport("r", Scope.EVERYTHING, False, True, False, 0, 5, 0, 1, 9, 0, 0, 0)


class Modules(NoModules):
    """A replicator that answers."""

    async def diff(self, module: str) -> DiffReport:
        await asyncio.sleep(0)
        return FOUND


@pytest.mark.parametrize("record", [None, InsyncRecord(6, 1, "a", ()), InsyncRecord(7, 2, "a", (), decided=6)])
def test_which_epoch_an_operator_has_decided_upon_is_told_with_a_diff(record: InsyncRecord | None) -> None:
    bench = Bench("a", "b")
    bench.put(KEYS.module("db").config, ModuleConfigRecord("m", 1, toml(), {}, "", ""))
    if record is not None:
        bench.put(KEYS.module("db").insync, record)

    async def story() -> None:
        handlers = LogHandlers(replace(bench.seat, modules=Modules()), None)  # type: ignore[arg-type]
        found = await handlers.diff(DiffArguments("db"), ROOT, bench.report)
        assert found == replace(FOUND, decided=0 if record is None else record.decided)

    bench.run(story)
