"""What every store must do: the same tests for the fake and for a real etcd.

A test module subclasses :class:`StoreContract` and gives it a ``ground`` fixture.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from manager.store.api import (
    Changes,
    CreateRevisionIs,
    Delete,
    DeletePrefix,
    Event,
    Get,
    Guard,
    KeyAbsent,
    LeaseExpired,
    ModRevisionIs,
    Put,
    Range,
    Snapshot,
    Store,
    StoreRefused,
    StoreUnreachable,
    Txn,
    ValueIs,
    Watch,
)

PATIENCE_S = 10.0


class Ground(Protocol):
    """Where a store is put to the test."""

    prefix: str
    """No other test uses keys below it."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """The kind of event loop to play on."""

    def connect(self) -> Store:
        """A new client of the same cluster."""

    async def passes(self, seconds: float) -> None:
        """Let that much of the cluster's time go by."""

    async def compact(self) -> None:
        """Make the cluster forget its history."""


Scenario = Callable[[Store], Awaitable[None]]


def run(ground: Ground, scenario: Scenario) -> None:
    """Play ``scenario`` with a store that is closed afterwards."""

    async def play() -> None:
        store = ground.connect()
        try:
            async with asyncio.timeout(3 * PATIENCE_S):
                await scenario(store)
        finally:
            await store.close()

    with asyncio.Runner(loop_factory=ground.new_loop) as runner:
        runner.run(play())


async def soon(watch: Watch) -> Snapshot | Changes:
    """The next item, which must come soon."""
    async with asyncio.timeout(PATIENCE_S):
        return await anext(watch)


async def changes(watch: Watch) -> Changes:
    """The next item, which must be of one revision."""
    item = await soon(watch)
    assert isinstance(item, Changes)
    return item


async def put(store: Store, key: str, value: str = "v", lease: int = 0) -> int:
    """Put one key, whatever it held; the revision."""
    result = await store.commit(Txn(then=(Put(key, value, lease),)))
    assert result.succeeded
    return result.revision


class StoreContract:
    """The tests."""

    # --- reading ------------------------------------------------------------------------------------------

    def test_an_absent_key_is_none(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            assert await store.get(ground.prefix + "none") is None

        run(ground, scenario)

    def test_a_key_says_where_it_stands_in_history(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            key = ground.prefix + "k"
            made = await put(store, key, "one")
            changed = await put(store, key, "zwei, δύο")
            found = await store.get(key)
            assert found is not None
            assert (found.value, found.version, found.lease) == ("zwei, δύο", 2, 0)
            assert (found.create_revision, found.mod_revision) == (made, changed)

        run(ground, scenario)

    def test_a_range_is_what_begins_with_the_prefix(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            inside = [ground.prefix + "a/", ground.prefix + "a/x", ground.prefix + "a/é"]
            for key in [*inside, ground.prefix + "a", ground.prefix + "a0", ground.prefix + "b"]:
                revision = await put(store, key)
            snapshot = await store.range(ground.prefix + "a/")
            assert set(snapshot.kvs) == set(inside)
            assert snapshot.revision == revision

        run(ground, scenario)

    # --- transactions -------------------------------------------------------------------------------------

    def test_guards(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            key, none = ground.prefix + "k", ground.prefix + "none"
            made = await put(store, key, "first")
            changed = await put(store, key, "x")
            holding: list[Guard] = [
                KeyAbsent(none),
                CreateRevisionIs(key, made),
                ModRevisionIs(key, changed),
                ValueIs(key, "x"),
            ]
            failing: list[Guard] = [
                KeyAbsent(key),
                CreateRevisionIs(key, changed),
                CreateRevisionIs(none, made),
                ModRevisionIs(key, made),
                ModRevisionIs(none, made),
                ValueIs(key, "y"),
                ValueIs(none, ""),
            ]
            for guard in holding:
                assert (await store.commit(Txn((guard,)))).succeeded, guard
            for guard in failing:
                assert not (await store.commit(Txn((guard,)))).succeeded, guard
                assert not (await store.commit(Txn((*holding, guard)))).succeeded, guard
            assert (await store.commit(Txn(tuple(holding)))).succeeded

        run(ground, scenario)

    def test_a_transaction_changes_all_or_nothing_at_one_revision(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            a, b, c = (ground.prefix + name for name in "abc")
            await put(store, c)
            result = await store.commit(Txn((KeyAbsent(a),), (Put(a, "1"), Put(b, "2"), Delete(c)), (Get(a),)))
            assert result.succeeded and result.found == {}
            snapshot = await store.range(ground.prefix)
            assert {key: kv.value for key, kv in snapshot.kvs.items()} == {a: "1", b: "2"}
            assert {kv.mod_revision for kv in snapshot.kvs.values()} == {result.revision}
            again = await store.commit(Txn((KeyAbsent(a),), (Put(b, "3"),), (Get(a), Get(c), Range(b))))
            assert not again.succeeded
            assert again.revision == result.revision
            assert again.found == snapshot.kvs

        run(ground, scenario)

    def test_what_changes_nothing_makes_no_revision(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            before = await put(store, ground.prefix + "k")
            result = await store.commit(Txn(then=(Delete(ground.prefix + "none"), DeletePrefix(ground.prefix + "n"))))
            assert result.succeeded
            assert result.revision == before

        run(ground, scenario)

    def test_a_prefix_is_deleted_at_once(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            for name in ("a/1", "a/2", "b"):
                await put(store, ground.prefix + name)
            await store.commit(Txn(then=(DeletePrefix(ground.prefix + "a/"), Put(ground.prefix + "c", "v"))))
            assert set((await store.range(ground.prefix)).kvs) == {ground.prefix + "b", ground.prefix + "c"}

        run(ground, scenario)

    def test_a_key_that_was_deleted_begins_anew(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            key = ground.prefix + "k"
            await put(store, key)
            await store.commit(Txn(then=(Delete(key),)))
            made = await put(store, key)
            found = await store.get(key)
            assert found is not None
            assert (found.create_revision, found.version) == (made, 1)

        run(ground, scenario)

    def test_what_is_malformed_is_refused_and_does_nothing(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            key = ground.prefix + "k"
            refused = [
                Txn(then=(Put(key, "1"), Put(key, "2"))),
                Txn(then=(Put(key, "1"), Delete(key))),
                Txn(then=(DeletePrefix(ground.prefix), Put(key, "1"))),
                Txn(then=(Put("", "1"),)),
                Txn((KeyAbsent(""),), (Put(key, "1"),)),
                Txn((ModRevisionIs(key, 0),), (Put(key, "1"),)),
                Txn((CreateRevisionIs(key, 0),), (Put(key, "1"),)),
                Txn(then=tuple(Put(f"{key}{number}", "1") for number in range(129))),
                Txn(then=(Put(key, "x" * 1_600_000),)),
                Txn(then=(Put(key, "x" * 3_000_000),)),
            ]
            for txn in refused:
                with pytest.raises(StoreRefused):
                    await store.commit(txn)
            assert (await store.range(ground.prefix)).kvs == {}

        run(ground, scenario)

    def test_a_module_of_the_largest_size_is_taken(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            key, value = ground.prefix + "config", "x" * 512 * 1024
            await put(store, key, value)
            found = await store.get(key)
            assert found is not None and found.value == value

        run(ground, scenario)

    # --- leases -------------------------------------------------------------------------------------------

    def test_a_lease_that_is_renewed_lives_and_one_that_is_not_ends(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            key = ground.prefix + "k"
            # Of four seconds a busy machine may take three.
            lease = await store.grant(4)
            await put(store, key, lease=lease)
            for _ in range(5):
                await ground.passes(1)
                assert await store.keep_alive(lease) >= 4
            found = await store.get(key)
            assert found is not None and found.lease == lease
            await ground.passes(4)
            for _ in range(10):
                if await store.get(key) is None:
                    break
                await ground.passes(0.5)
            assert await store.get(key) is None
            with pytest.raises(LeaseExpired):
                await store.keep_alive(lease)
            with pytest.raises(LeaseExpired):
                await store.commit(Txn(then=(Put(ground.prefix + "other", "v"), Put(key, "v", lease))))
            assert (await store.range(ground.prefix)).kvs == {}

        run(ground, scenario)

    def test_a_lease_that_never_was_is_gone(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            with pytest.raises(LeaseExpired):
                await store.keep_alive(77)
            await store.revoke(77)
            # The guards come first: what is not done needs no lease.
            result = await store.commit(Txn((ValueIs(ground.prefix, "x"),), (Put(ground.prefix + "k", "v", 77),)))
            assert not result.succeeded

        run(ground, scenario)

    def test_revoking_removes_what_hung_on_it(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            lease = await store.grant(60)
            for name in ("tied", "untied", "moved"):
                await put(store, ground.prefix + name, lease=lease)
            await put(store, ground.prefix + "untied")
            await put(store, ground.prefix + "moved", lease=await store.grant(60))
            await store.revoke(lease)
            await store.revoke(lease)
            assert set((await store.range(ground.prefix)).kvs) == {ground.prefix + "untied", ground.prefix + "moved"}
            with pytest.raises(LeaseExpired):
                await store.keep_alive(lease)

        run(ground, scenario)

    def test_leases_are_different(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            assert len({await store.grant(60) for _ in range(5)}) == 5

        run(ground, scenario)

    # --- watching -----------------------------------------------------------------------------------------

    def test_every_snapshot_names_the_cluster_that_it_is_of(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            listed = await store.range(ground.prefix)
            assert listed.store_id and int(listed.store_id, 16) == (await store.status()).cluster_id
            await put(store, ground.prefix + "k")
            async with store.watch(ground.prefix) as watch:
                first = await soon(watch)
                assert isinstance(first, Snapshot) and first.store_id == listed.store_id

        run(ground, scenario)

    def test_a_watch_begins_with_what_is_there_and_tells_each_revision(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            a, b = ground.prefix + "a", ground.prefix + "b"
            await put(store, a, "old")
            async with store.watch(ground.prefix) as watch:
                first = await soon(watch)
                assert isinstance(first, Snapshot)
                assert {key: kv.value for key, kv in first.kvs.items()} == {a: "old"}
                both = (await store.commit(Txn(then=(Put(b, "1"), Put(a, "2"))))).revision
                gone = (await store.commit(Txn(then=(Delete(a), Put(b, "3"))))).revision
                seen = await changes(watch)
                assert seen.revision == both
                assert [(event.key, event.kv and event.kv.value) for event in seen.events] == [(b, "1"), (a, "2")]
                assert {event.kv.mod_revision for event in seen.events if event.kv} == {both}
                seen = await changes(watch)
                assert seen.revision == gone
                assert [(event.key, event.kv and event.kv.value) for event in seen.events] == [(a, None), (b, "3")]
                assert watch.problem is None

        run(ground, scenario)

    def test_a_watch_leaves_nothing_out(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            async with store.watch(ground.prefix) as watch:
                await soon(watch)
                revisions = [await put(store, f"{ground.prefix}{number % 7}", str(number)) for number in range(100)]
                seen = [await changes(watch) for _ in revisions]
                assert [item.revision for item in seen] == revisions
                values = [event.kv.value for item in seen for event in item.events if event.kv]
                assert values == [str(number) for number in range(100)]

        run(ground, scenario)

    def test_a_watch_tells_nothing_of_other_prefixes(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            async with store.watch(ground.prefix + "a/") as watch:
                await soon(watch)
                await put(store, ground.prefix + "b")
                await store.commit(Txn(then=(Put(ground.prefix + "c", "v"), Put(ground.prefix + "a/k", "v"))))
                assert [event.key for event in (await changes(watch)).events] == [ground.prefix + "a/k"]

        run(ground, scenario)

    def test_the_end_of_a_lease_is_one_revision(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            lease = await store.grant(60)
            keys = [ground.prefix + name for name in ("b", "a", "c")]
            for key in keys:
                await put(store, key, lease=lease)
            async with store.watch(ground.prefix) as watch:
                await soon(watch)
                await store.revoke(lease)
                assert (await changes(watch)).events == tuple(Event(key, None) for key in sorted(keys))

        run(ground, scenario)

    def test_two_watches_of_two_clients_see_the_same(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            other = ground.connect()
            try:
                watches = [store.watch(ground.prefix), store.watch(ground.prefix), other.watch(ground.prefix)]
                for watch in watches:
                    await soon(watch)
                await put(other, ground.prefix + "k")
                first, second, third = [await changes(watch) for watch in watches]
                assert first == second == third
            finally:
                await other.close()

        run(ground, scenario)

    def test_waiting_may_be_cancelled_without_losing_anything(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            async with store.watch(ground.prefix) as watch:
                await soon(watch)
                for number in range(5):
                    waiting = asyncio.ensure_future(anext(watch))
                    await asyncio.sleep(0)
                    waiting.cancel()
                    await asyncio.wait([waiting])
                    revision = await put(store, ground.prefix + "k", str(number))
                    assert (await changes(watch)).revision == revision

        run(ground, scenario)

    def test_a_watch_survives_a_compaction(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            async with store.watch(ground.prefix) as watch:
                await soon(watch)
                await put(store, ground.prefix + "k", "1")
                await ground.compact()
                await put(store, ground.prefix + "k", "2")
                last = None
                while last != "2":
                    item = await soon(watch)
                    kvs = item.kvs.values() if isinstance(item, Snapshot) else [event.kv for event in item.events]
                    last = next((kv.value for kv in kvs if kv is not None), None)

        run(ground, scenario)

    # --- the end ------------------------------------------------------------------------------------------

    def test_a_closed_watch_ends_and_may_be_closed_again(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            watch = store.watch(ground.prefix)
            await soon(watch)
            waiting = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            await watch.close()
            with pytest.raises(StopAsyncIteration):
                await waiting
            assert [item async for item in watch] == []
            assert watch.problem is not None
            await watch.close()

        run(ground, scenario)

    def test_a_closed_store_ends_its_watches_and_takes_nothing(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            watch = store.watch(ground.prefix)
            await soon(watch)
            await store.close()
            assert [item async for item in watch] == []
            with pytest.raises(StoreUnreachable):
                await store.get(ground.prefix)
            with pytest.raises(StoreUnreachable):
                await store.commit(Txn(then=(Put(ground.prefix + "k", "v"),)))
            await store.close()
            other = ground.connect()
            assert await other.get(ground.prefix + "k") is None
            await other.close()

        run(ground, scenario)

    def test_status_tells_endpoints_and_members(self, ground: Ground) -> None:
        async def scenario(store: Store) -> None:
            status = await store.status()
            (endpoint,) = status.endpoints
            assert endpoint.problem is None
            assert endpoint.leads
            assert endpoint.version.startswith("3.")
            (member,) = status.members
            assert member.votes
            assert member.member_id == endpoint.member_id
            assert status.cluster_id != 0

        run(ground, scenario)
