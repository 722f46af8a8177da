"""The cluster's identity is made once, whoever comes first."""

import asyncio
from pathlib import Path

from agent.runtime.identity import IdentityFile, ensure_identity, identity_of, keep_identity
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


def test_an_etcd_that_was_rebuilt_under_a_running_agent_gets_another_one_and_the_next_agent_knows(
    tmp_path: Path,
) -> None:
    bench = Bench()
    file = IdentityFile(str(tmp_path / "cluster.json"))
    assert file.read() == ""

    async def story() -> None:
        keeping = asyncio.ensure_future(keep_identity(bench.view, bench.store, file))
        await bench.until(lambda: identity_of(bench.view) == "cid" == file.read())
        bench.etcd.commit_now(Txn((), (Delete(KEYS.identity),)))
        await bench.until(lambda: identity_of(bench.view) not in ("", "cid"))
        await bench.until(lambda: file.read() == identity_of(bench.view))
        keeping.cancel()
        await asyncio.wait([keeping])

    bench.run(story)


def test_a_note_of_it_that_is_not_whole_is_none(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    path.write_text('{"cluster_id": "ci')
    assert IdentityFile(str(path)).read() == ""
