"""What is known of the cluster: the watch folded together, and how old that is."""

import asyncio

from agent.runtime.cluster_view import Changed, ClusterView
from manager.store.api import Changes, Event, KeyValue, Snapshot
from manager.store.fake_store import Link
from tests.unit.agent.runtime.bench import KEYS, Bench


def kv(value: str, revision: int) -> KeyValue:
    return KeyValue(value, revision, revision, 1)


def heard(view: ClusterView) -> list[Changed]:
    told: list[Changed] = []
    view.listen(told.append)
    return told


def test_a_snapshot_replaces_and_tells_only_what_differs() -> None:
    view = ClusterView(KEYS, 1000)
    told = heard(view)
    view.take(Snapshot(5, {"x": kv("1", 3), "y": kv("1", 4)}))
    view.take(Snapshot(9, {"x": kv("1", 3), "z": kv("1", 8)}))
    assert told == [Changed(frozenset({"x", "y"}), 5), Changed(frozenset({"y", "z"}), 9)]
    assert set(view.kvs) == {"x", "z"} and view.revision == 9


def test_changes_put_and_remove() -> None:
    view = ClusterView(KEYS, 1000)
    view.take(Snapshot(5, {"x": kv("1", 3)}))
    view.take(Changes(6, (Event("x", None), Event("y", kv("2", 6)), Event("never", None))))
    assert view.keys.values == {"y": "2"}


def test_another_store_is_told_whatever_its_revision() -> None:
    view = ClusterView(KEYS, 1000)
    told = heard(view)
    view.take(Snapshot(5, {}, "1a"))
    view.take(Snapshot(5, {}, "1a"))
    view.take(Snapshot(9, {}, "2b"))
    assert [c.replaced for c in told] == [False, False, True]
    assert view.store_id == "2b"


def test_a_store_that_went_back_is_told_with_its_revision() -> None:
    view = ClusterView(KEYS, 1000)
    told = heard(view)
    view.take(Snapshot(9, {"x": kv("1", 3)}))
    view.take(Snapshot(4, {}))
    assert told[-1] == Changed(frozenset({"x"}), 4) and view.revision == 4


def test_silence_makes_it_unreachable_and_old() -> None:
    bench = Bench("a")

    async def story() -> None:
        assert bench.view.reachable and bench.view.age_ms == 0
        bench.etcd.advance(10.1)
        assert not bench.view.reachable and bench.view.age_ms == 10_100
        bench.put(KEYS.node("b"), bench.view.keys.nodes()[0])
        await bench.until(lambda: bench.view.reachable)
        bench.store.set_link(Link.DOWN)
        assert not bench.view.reachable

    bench.run(story)


def test_waiting_for_a_revision_ends_when_it_is_seen_or_in_time() -> None:
    bench = Bench("a")

    async def story() -> None:
        wanted = bench.view.revision + 2
        waiting = asyncio.ensure_future(bench.view.reach(wanted, 5))
        bench.put("/mirrorfarm/c/modules/x/config", 1)
        bench.put("/mirrorfarm/c/modules/x/config", 2)
        assert await waiting
        assert not await bench.view.reach(wanted + 1, 0)

    bench.run(story)


def test_what_is_news_to_whom() -> None:
    def concerns(key: str, *modules: str, replaced: bool = False) -> bool:
        return Changed(frozenset({key}), 5, replaced).concerns(KEYS, modules)

    assert concerns(KEYS.module("db").primary, "web", "db")
    assert not concerns(KEYS.module("db").primary, "web")
    assert not concerns(KEYS.module("db2").primary, "db"), "another module whose name begins alike"
    for shared in (KEYS.identity, KEYS.node("c"), KEYS.known("c")):
        assert concerns(shared, "web")
    assert concerns(KEYS.module("db").primary, "web", replaced=True)
