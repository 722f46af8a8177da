"""The faults that a fake store can be ordered to have, and its watches under them."""

import asyncio
from collections.abc import Coroutine

import pytest

from manager.model.errors import IndefiniteFailure
from manager.store.api import Changes, Put, Snapshot, StoreUnreachable, Txn
from manager.store.fake import FakeEtcd
from manager.store.fake_store import RELIST_S, Execution, FakeStore, Link

PUT = Txn(then=(Put("/k", "v"),))


def run(scenario: Coroutine[object, object, None]) -> None:
    asyncio.run(scenario)


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("execution", "at_once", "at_last"),
    [(Execution.DONE, True, True), (Execution.LATER, False, True), (Execution.NEVER, False, False)],
)
def test_a_lost_reply_says_nothing_of_the_outcome(execution: Execution, at_once: bool, at_last: bool) -> None:
    async def scenario() -> None:
        store = FakeStore()
        store.lose_reply(execution)
        with pytest.raises(IndefiniteFailure):
            await store.commit(PUT)
        assert (store.etcd.get_now("/k") is not None) is at_once
        store.deliver_late()
        assert (store.etcd.get_now("/k") is not None) is at_last
        await store.commit(PUT)

    run(scenario())


def test_a_late_request_that_is_refused_disturbs_nobody() -> None:
    async def scenario() -> None:
        store = FakeStore()
        store.lose_reply(Execution.LATER)
        with pytest.raises(IndefiniteFailure):
            await store.commit(Txn(then=(Put("/k", "v", lease=99),)))
        assert store.deliver_late() == 1
        assert store.etcd.get_now("/k") is None

    run(scenario())


def test_nothing_is_executed_while_the_link_is_down() -> None:
    async def scenario() -> None:
        store = FakeStore()
        store.set_link(Link.DOWN)
        with pytest.raises(StoreUnreachable):
            await store.commit(PUT)
        with pytest.raises(StoreUnreachable):
            await store.get("/k")
        store.set_link(Link.UP)
        assert await store.get("/k") is None

    run(scenario())


def test_a_frozen_store_answers_late_or_executes_later() -> None:
    async def scenario() -> None:
        store = FakeStore(call_timeout_s=1.0)
        store.set_link(Link.FROZEN)
        gave_up = asyncio.create_task(store.commit(PUT))
        await settle()
        store.etcd.advance(1.0)
        with pytest.raises(IndefiniteFailure):
            await gave_up
        patient = asyncio.create_task(store.get("/k"))
        await settle()
        store.etcd.advance(0.5)
        assert store.etcd.get_now("/k") is None
        store.set_link(Link.UP)
        found = await patient
        assert found is not None and found.value == "v"

    run(scenario())


def test_a_read_from_a_frozen_store_is_merely_unreachable() -> None:
    async def scenario() -> None:
        store = FakeStore(call_timeout_s=1.0)
        store.set_link(Link.FROZEN)
        reading = asyncio.create_task(store.range("/"))
        await settle()
        store.etcd.advance(1.0)
        with pytest.raises(StoreUnreachable):
            await reading

    run(scenario())


def test_a_watch_begins_anew_when_the_link_is_up_again() -> None:
    async def scenario() -> None:
        etcd = FakeEtcd()
        store, other = FakeStore(etcd), FakeStore(etcd)
        watch = store.watch("/")
        assert isinstance(await anext(watch), Snapshot)
        store.set_link(Link.DOWN)
        assert watch.problem is not None
        await other.commit(PUT)
        waiting = asyncio.ensure_future(anext(watch))
        await settle()
        assert not waiting.done()
        store.set_link(Link.UP)
        again = await waiting
        assert isinstance(again, Snapshot) and set(again.kvs) == {"/k"}
        assert watch.problem is None

    run(scenario())


def test_a_watch_takes_a_snapshot_every_minute_until_it_is_closed() -> None:
    async def scenario() -> None:
        store = FakeStore()
        watch = store.watch("/")
        await store.commit(PUT)
        store.etcd.advance(2 * RELIST_S)
        kinds = [type(await anext(watch)) for _ in range(4)]
        assert kinds == [Snapshot, Changes, Snapshot, Snapshot]
        await watch.close()
        with pytest.raises(StopAsyncIteration):
            await anext(watch)
        assert store.etcd.next_event_ns() is None

    run(scenario())


def test_closing_the_store_ends_what_waits() -> None:
    async def scenario() -> None:
        store = FakeStore()
        watch = store.watch("/")
        await anext(watch)
        next_item = asyncio.ensure_future(anext(watch))
        store.set_link(Link.FROZEN)
        commit = asyncio.create_task(store.commit(PUT))
        await settle()
        await store.close()
        with pytest.raises(IndefiniteFailure):
            await commit
        with pytest.raises(StopAsyncIteration):
            await next_item
        with pytest.raises(StoreUnreachable):
            await store.get("/k")

    run(scenario())
