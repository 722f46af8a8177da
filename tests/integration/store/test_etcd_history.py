"""A watch over a real etcd whose history was compacted, whose data was replaced, or that is asked anew each minute;
a store that is full; and large answers."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

import pytest

from manager.cli.checks.etcd import Endpoint as Probed
from manager.cli.checks.probe import Probe
from manager.model.config import EtcdConfig
from manager.model.errors import IndefiniteFailure
from manager.store.api import Changes, Put, Snapshot, Txn
from manager.store.credentials import Credentials
from manager.store.endpoint import Endpoint
from manager.store.etcd import EtcdStore
from manager.store.rounds import Answer, Rounds
from manager.store.watch import EtcdWatch, WatchTiming
from tests.support.etcd import EtcdCluster

TIMEOUT_S = 1.0
Scenario = Callable[[EtcdStore], Awaitable[None]]


@pytest.fixture
def single() -> Iterator[EtcdCluster]:
    with EtcdCluster() as cluster:
        yield cluster


def run(cluster: EtcdCluster, scenario: Scenario, *, relist_s: float = 60.0, stays_behind_s: float = 5.0) -> None:
    async def play() -> None:
        endpoints = [Endpoint(name, Credentials()) for name in cluster.endpoints]
        store = EtcdStore(endpoints, WatchTiming(TIMEOUT_S, relist_s, stays_behind_s))
        try:
            async with asyncio.timeout(30):
                await scenario(store)
        finally:
            await store.close()

    asyncio.run(play())


async def put(store: EtcdStore, value: str) -> int:
    return (await store.commit(Txn(then=(Put("/k", value),)))).revision


def test_a_watch_lists_anew_again_and_again_and_misses_nothing(single: EtcdCluster) -> None:
    async def scenario(store: EtcdStore) -> None:
        revisions: set[int] = set()
        async with store.watch("/") as watch:
            snapshots, last = 0, 0
            for number in itertools.count():
                revisions.add(await put(store, str(number)))
                while last < max(revisions):
                    item = await anext(watch)
                    assert item.revision >= last
                    snapshots += isinstance(item, Snapshot)
                    last = item.revision
                if snapshots >= 4:
                    break
            assert watch.problem is None

    run(single, scenario, relist_s=0.2)


def test_a_watch_that_begins_before_a_compaction_lists_anew(single: EtcdCluster) -> None:
    async def scenario(store: EtcdStore) -> None:
        first = await put(store, "1")
        last = await put(store, "2")
        single.control("compact", str(last))
        stale = [Snapshot(first - 1, {})]
        listed: list[Snapshot] = []
        rounds = Rounds([Endpoint(single.endpoints[0], Credentials())])

        async def list_prefix(prefix: str) -> Answer[Snapshot]:
            """As slow as if the answer had been on its way during the compaction."""
            snapshot = stale.pop() if stale else await store.range(prefix)
            listed.append(snapshot)
            return Answer(rounds.endpoints[0], snapshot)

        watch = EtcdWatch(rounds, list_prefix, "/", WatchTiming(TIMEOUT_S))
        while (item := await anext(watch)).revision < last:
            pass
        assert isinstance(item, Snapshot) and item.kvs["/k"].value == "2"
        assert len(listed) == 2
        revision = await put(store, "3")
        assert (await anext(watch)).revision == revision
        await watch.close()
        rounds.close()

    run(single, scenario)


def test_a_store_that_was_replaced_is_shown_once_it_stays_behind(single: EtcdCluster) -> None:
    (member,) = single.members
    stays_behind_s = 1.0

    async def scenario(store: EtcdStore) -> None:
        async with store.watch("/") as watch:
            assert isinstance(await anext(watch), Snapshot)
            for number in range(5):
                shown = await put(store, str(number))
                assert (await anext(watch)).revision == shown
            member.kill()
            member.erase()
            member.start()
            single.wait_healthy()
            began = asyncio.get_running_loop().time()
            problems: set[str] = set()
            waiting = asyncio.ensure_future(anext(watch))
            while not waiting.done():
                problems.add(watch.problem or "")
                await asyncio.sleep(0.02)
            item = waiting.result()
            assert isinstance(item, Snapshot)
            assert item.revision < shown and item.kvs == {}
            assert asyncio.get_running_loop().time() - began >= stays_behind_s
            assert any(f"after {shown} was shown" in problem for problem in problems)
            revision = await put(store, "new")
            # Shown as a change, or folded into another snapshot.
            while (item := await anext(watch)).revision < revision:
                pass
            assert isinstance(item, Snapshot | Changes)

    run(single, scenario, stays_behind_s=stays_behind_s)


def test_a_consumer_that_does_not_take_items_costs_bounded_memory(
    single: EtcdCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manager.store.watch.MOST_ITEMS", 10)

    async def scenario(store: EtcdStore) -> None:
        async with store.watch("/") as watch:
            await anext(watch)
            for number in range(50):
                last = await put(store, str(number))
            await asyncio.sleep(0.2)
            items = [await anext(watch)]
            while items[-1].revision < last:
                items.append(await anext(watch))
            assert isinstance(items[0], Snapshot)
            assert len(items) <= 12

    run(single, scenario)


def test_a_full_store_leaves_the_outcome_unknown_and_says_so_until_it_is_mended() -> None:
    with EtcdCluster(arguments=("--quota-backend-bytes", str(2 * 1024 * 1024))) as cluster:

        def probed() -> Probed:
            [found] = Probe(EtcdConfig(endpoints=cluster.endpoints)).endpoints()
            return found

        async def scenario(store: EtcdStore) -> None:
            with pytest.raises(IndefiniteFailure, match="space exceeded"):
                for number in range(40):
                    await store.commit(Txn(then=(Put(f"/{number}", "x" * 512 * 1024),)))
                    await asyncio.sleep(0.02)  # etcd measures what it has written out, each 100 ms
            # It still answers, and says of itself what is the matter.
            assert probed().version and probed().unwell
            # Reading and letting go still work.
            assert (await store.range("/")).kvs
            await store.commit(Txn())
            # As docs/operations.md has it mended; here it is not the past that fills it.
            cluster.control("del", "--prefix", "/")
            cluster.control("compact", str((await store.range("/")).revision))
            cluster.control("defrag")
            cluster.control("alarm", "disarm")
            await put(store, "there is room again")
            assert probed().version and not probed().unwell

        run(cluster, scenario)


def test_answers_may_be_larger_than_grpc_takes_by_default(single: EtcdCluster) -> None:
    async def scenario(store: EtcdStore) -> None:
        for number in range(12):
            await store.commit(Txn(then=(Put(f"/{number}", "x" * 512 * 1024),)))
        assert len((await store.range("/")).kvs) == 12
        async with store.watch("/") as watch:
            snapshot = await anext(watch)
            assert isinstance(snapshot, Snapshot) and len(snapshot.kvs) == 12

    run(single, scenario)


def test_what_is_not_text_does_not_stop_a_watch(single: EtcdCluster) -> None:
    async def scenario(store: EtcdStore) -> None:
        async with store.watch("/") as watch:
            await anext(watch)
            single.control("put", "/k", b"\xff\xfe".decode("utf-8", "surrogateescape"))
            item = await anext(watch)
            assert isinstance(item, Changes) and item.events[0].kv is not None
            revision = await put(store, "text")
            assert (await anext(watch)).revision == revision

    run(single, scenario)


def test_a_learner_has_no_vote(single: EtcdCluster) -> None:
    single.control("member", "add", "learner", "--learner", "--peer-urls", "http://127.0.0.1:1")

    async def scenario(store: EtcdStore) -> None:
        assert sorted(member.votes for member in (await store.status()).members) == [False, True]

    run(single, scenario)
