"""A comparison by real ends: the command's client, this node's agent, the agents' channel, the other node's agent."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.calls import Caller, Report
from agent.adapters.channel_client import ChannelClient
from agent.runtime.handlers_check import CheckHandlers, Looks
from manager.cli.checks.finding import Finding, Level
from manager.cli.checks.pair_probe import pairs
from manager.cli.client import AgentClient
from manager.model.api import ApiError
from manager.model.codec import encode
from manager.model.records import ModuleConfigRecord
from manager.store.api import KeyValue, Snapshot
from tests.unit.agent.adapters.channel_ends import HERE, Server, greeting_of
from tests.unit.agent.runtime.bench import KEYS, Bench, toml
from tests.unit.agent.test_local_api import Agent


def handlers(node: str, directory: Path) -> CheckHandlers:
    """Of an agent that has heard of one module, with its data in ``directory``."""
    bench = Bench()
    record = ModuleConfigRecord("m", 1, toml("db", str(directory)), {}, "", "")
    bench.view.take(Snapshot(7, {KEYS.module("db").config: KeyValue(encode(record), 7, 7, 1)}))
    return CheckHandlers(replace(bench.seat, node=node), Looks(lambda module: None), HERE)


class Nodes:
    """a, which is asked, and b, which a asks."""

    def __init__(self, directory: Path) -> None:
        self.port = 0
        self.path = str(directory / "a.sock")
        data = directory / "data"
        data.mkdir()
        self.b = Server({"check.facts": handlers("b", data).facts}, None)
        self.a = Agent(self.path, {"check.facts": handlers("a", data).facts}, self._forward)
        self._opened = contextlib.AsyncExitStack()
        self.a.run(self._open())

    async def _open(self) -> None:
        await self._opened.enter_async_context(self.b.opened())
        self.port = self.b.port

    async def _forward(self, node: str, arguments: Any, caller: Caller, report: Report) -> Any:
        client = ChannelClient(greeting_of("a"), None, self.port)
        return await client.ask(node, (HERE,), arguments, caller.name, report)

    def found(self, registered: dict[str, ApiError | None]) -> dict[str, Finding]:
        client = AgentClient(self.path)
        try:
            return {f.subject: f for f in pairs(client, "a", registered, self.port)}
        finally:
            client.close()

    def close_b(self) -> None:
        self.a.run(self._opened.aclose())

    def close(self) -> None:
        self.close_b()
        self.a.close()
        assert not self.a.failures


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path)
    yield nodes
    nodes.close()


def test_what_each_says_comes_through_and_is_compared(nodes: Nodes, tmp_path: Path) -> None:
    os.chown(tmp_path / "data", 0, 987_654)
    found = nodes.found({"b": None})
    path = str(tmp_path / "data")
    assert set(found) == {
        f"disk of a: {path}", f"disk of b: {path}", "owners on b", f"db: {path} on b", "way to b", "clock of b",
        "kernel of b", "versions on b",
    }  # fmt: skip
    assert {f.level for f in found.values()} <= {Level.OK, Level.WARNING}, "a warning: the machine is busy"
    assert found["owners on b"].level is Level.OK and "root" in found["owners on b"].says
    assert [call for _, call in nodes.b.asked] == ["check.facts"]


def test_an_agent_that_has_gone_is_unknown_also_where_it_is_not_registered(nodes: Nodes) -> None:
    nodes.close_b()
    found = nodes.found({})
    assert found["pair with b"].level is Level.UNKNOWN
    assert "connection refused" in found["pair with b"].says
