"""The agent's last steps: nobody waits for its lease because somebody waits for an answer."""

import asyncio
from pathlib import Path

import pytest

from agent.runtime import departing
from agent.runtime.departing import depart
from tests.unit.agent.runtime.test_lease_keeper import Bench


def test_the_lease_ends_before_the_calls_under_way_do(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        assert await bench.attempt() and bench.registered() is not None
        seen = []

        async def close_doors() -> None:
            seen.append((bench.registered(), bench.etcd.leases))

        await depart(bench.keeper, close_doors)
        assert seen == [(None, frozenset())]

    asyncio.run(story())


def test_a_call_that_does_not_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departing, "CLOSE_S", 0.01)

    async def story() -> None:
        bench = Bench(tmp_path)
        assert await bench.attempt()
        never = asyncio.Event()

        async def close_doors() -> None:
            await never.wait()

        async with asyncio.timeout(20):
            await depart(bench.keeper, close_doors)
        assert bench.registered() is None

    asyncio.run(story())


def test_doors_are_closed_though_etcd_does_not_take_the_lease_back(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        assert await bench.attempt()
        await bench.store.close()
        closed = asyncio.Event()

        async def close_doors() -> None:
            closed.set()

        await depart(bench.keeper, close_doors)
        assert closed.is_set() and bench.etcd.leases

    asyncio.run(story())
