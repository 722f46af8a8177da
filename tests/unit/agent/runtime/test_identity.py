"""The cluster's identity is made once, whoever comes first."""

import asyncio

from agent.runtime.identity import ensure_identity, identity_of, keep_identity
from manager.store.api import Delete, Txn
from manager.store.fake_store import Execution, FakeStore
from tests.unit.agent.runtime.bench import KEYS, Bench


def test_two_agents_at_once_make_one() -> None:
    bench = Bench()
    bench.etcd.commit_now(Txn((), (Delete(KEYS.identity),)))

    async def story() -> None:
        other = FakeStore(bench.etcd)
        await asyncio.gather(ensure_identity(bench.view, bench.store), ensure_identity(bench.view, other))
        kv = bench.etcd.get_now(KEYS.identity)
        assert kv is not None and kv.version == 1
        assert len(identity_of(bench.view)) == 32

    bench.run(story)


def test_one_that_is_there_stays() -> None:
    bench = Bench()

    async def story() -> None:
        bench.store.lose_reply(Execution.NEVER)
        await ensure_identity(bench.view, bench.store)
        assert identity_of(bench.view) == "cid"

    bench.run(story)


def test_an_etcd_that_was_rebuilt_under_a_running_agent_gets_another_one() -> None:
    bench = Bench()

    async def story() -> None:
        keeping = asyncio.ensure_future(keep_identity(bench.view, bench.store))
        await bench.until(lambda: identity_of(bench.view) == "cid")
        bench.etcd.commit_now(Txn((), (Delete(KEYS.identity),)))
        await bench.until(lambda: identity_of(bench.view) not in ("", "cid"))
        keeping.cancel()
        await asyncio.wait([keeping])

    bench.run(story)
