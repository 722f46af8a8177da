"""The adapter over a real etcd of three members that are frozen, killed, started again and left without a majority."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from manager.model.config.agent_config import EtcdConfig
from manager.model.errors import IndefiniteFailure, MirrorfarmError
from manager.store.api import Changes, Get, KeyAbsent, Put, Snapshot, Store, StoreUnreachable, Txn, Watch
from manager.store.connection import Rpc
from manager.store.credentials import Credentials
from manager.store.endpoint import Endpoint
from manager.store.etcd import EtcdStore, connect
from manager.store.translate import Message
from manager.store.watch import WatchTiming
from tests.support.etcd import EtcdCluster, Member
from tests.support.majority import hold_mostly

TIMEOUT_S = 1.0
LATE_S = 0.3
"""What a loaded machine may add to a call's time."""
SHARE_S = 1.0
"""What a member that is frozen takes of a call, a quarter of its time: far above what a busy machine does."""
BACK_S = 8.0
"""After a fault is over, everything works again within this."""
KEY = "/faults/k"
PUT = Txn(then=(Put(KEY, "v"),))

Scenario = Callable[[Store], Awaitable[None]]


@pytest.fixture(scope="module")
def three() -> Iterator[EtcdCluster]:
    with EtcdCluster(3) as cluster:
        yield cluster


@pytest.fixture
def cluster(three: EtcdCluster) -> Iterator[EtcdCluster]:
    """Three healthy members, and three healthy members afterwards."""
    three.wait_healthy()
    yield three
    for member in three.members:
        with contextlib.suppress(RuntimeError):
            member.thaw()
        if not member.running:
            member.start()
    three.wait_healthy()


@pytest.fixture
def single() -> Iterator[EtcdCluster]:
    with EtcdCluster(1) as cluster:
        yield cluster


def run(endpoints: tuple[str, ...], scenario: Scenario, timeout_s: float = TIMEOUT_S) -> None:
    async def play() -> None:
        store = connect(EtcdConfig(endpoints=endpoints, call_timeout_ms=round(1000 * timeout_s)))
        try:
            async with asyncio.timeout(30):
                await scenario(store)
        finally:
            await store.close()

    asyncio.run(play())


async def timed(call: Awaitable[object], at_most_s: float = TIMEOUT_S + LATE_S) -> object:
    """The result or error of ``call``, which must be there in time, but for what this process was not run meanwhile."""
    began_s, before_ns = time.monotonic(), _waited_for_a_core_ns()
    result: object
    try:
        result = await call
    except MirrorfarmError as error:
        result = error
    took_s, waited_ns = time.monotonic() - began_s, _waited_for_a_core_ns()
    not_run_s = sum(ns - before_ns.get(task, 0) for task, ns in waited_ns.items()) / 1e9
    assert took_s - not_run_s < at_most_s, f"{took_s:.2f} s, not run for {not_run_s:.2f} s: {result!r}"
    return result


def _waited_for_a_core_ns() -> dict[str, int]:
    """By the threads of this process: how long each was to be run and was not, as the kernel counts it.

    A loop that is held up by what runs in it waits for no core.
    """
    found: dict[str, int] = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            found[task.name] = int((task / "schedstat").read_text().split()[1])
    return found


async def until(works: Callable[[], Awaitable[object]], within_s: float = BACK_S) -> None:
    """Try until it does not raise."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            await works()
            return
        except MirrorfarmError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def value_seen(watch: Watch, value: str, within_s: float = BACK_S) -> None:
    """Take items until one shows that the key has ``value``."""
    async with asyncio.timeout(within_s):
        async for item in watch:
            if KEY in (shown := _shown(item)) and shown[KEY] == value:
                return


async def until_followed(watch: Watch) -> None:
    async with asyncio.timeout(BACK_S):
        while watch.problem is not None:
            await asyncio.sleep(0.02)


def _shown(item: Snapshot | Changes) -> dict[str, str | None]:
    if isinstance(item, Snapshot):
        return {key: kv.value for key, kv in item.kvs.items()}
    return {event.key: event.kv.value if event.kv else None for event in item.events}


def order(cluster: EtcdCluster, first: Member) -> tuple[str, ...]:
    """All endpoints, the one of ``first`` before the others."""
    return (first.endpoint, *(member.endpoint for member in cluster.members if member is not first))


def follower(cluster: EtcdCluster) -> Member:
    leader = cluster.leader()
    return next(member for member in cluster.members if member is not leader)


# --- one member of three ----------------------------------------------------------------------------------


def test_a_frozen_member_costs_a_share_of_one_call_only(cluster: EtcdCluster) -> None:
    frozen = follower(cluster)

    async def scenario(store: Store) -> None:
        lease = await store.grant(30)
        frozen.freeze()
        assert await timed(store.keep_alive(lease), 4 * SHARE_S) == 30
        for _ in range(5):
            assert await timed(store.keep_alive(lease), SHARE_S) == 30
            assert not isinstance(await timed(store.commit(PUT), SHARE_S), MirrorfarmError)
            assert not isinstance(await timed(store.get(KEY), SHARE_S), MirrorfarmError)

    run(order(cluster, frozen), scenario, timeout_s=4 * SHARE_S)


def test_every_kind_of_call_goes_round_a_frozen_member(cluster: EtcdCluster) -> None:
    frozen = follower(cluster)
    frozen.freeze()
    calls: list[Callable[[Store], Awaitable[object]]] = [
        lambda store: store.get(KEY),
        lambda store: store.range("/"),
        lambda store: store.commit(PUT),
        lambda store: store.grant(30),
        lambda store: store.revoke(1),
    ]
    for call in calls:

        async def scenario(store: Store, call: Callable[[Store], Awaitable[object]] = call) -> None:
            assert not isinstance(await timed(call(store)), MirrorfarmError)

        run(order(cluster, frozen), scenario)


def test_a_killed_member_is_gone_round_at_once(cluster: EtcdCluster) -> None:
    killed = follower(cluster)

    async def scenario(store: Store) -> None:
        await store.commit(PUT)
        killed.kill()
        for _ in range(5):
            assert not isinstance(await timed(store.commit(PUT), TIMEOUT_S / 2), MirrorfarmError)

    run(order(cluster, killed), scenario)


def test_status_says_which_endpoint_does_not_answer(cluster: EtcdCluster) -> None:
    killed = follower(cluster)
    killed.kill()

    async def scenario(store: Store) -> None:
        status = await store.status()
        problems = {endpoint.endpoint: endpoint.problem for endpoint in status.endpoints}
        assert problems[killed.endpoint] is not None
        assert sum(problem is None for problem in problems.values()) == 2
        assert sum(endpoint.leads for endpoint in status.endpoints) == 1
        assert sorted(member.name for member in status.members) == ["m0", "m1", "m2"]

    run(cluster.endpoints, scenario)


@pytest.mark.parametrize("end", [Member.kill, Member.freeze], ids=["killed", "frozen"])
def test_the_leader_is_lost(cluster: EtcdCluster, end: Callable[[Member], None]) -> None:
    leader = cluster.leader()

    async def scenario(store: Store) -> None:
        lease = await store.grant(30)
        async with store.watch("/faults/") as watch:
            await store.commit(PUT)
            await value_seen(watch, "v")
            end(leader)
            await until(lambda: store.keep_alive(lease), 4.0)
            await until(lambda: store.commit(Txn(then=(Put(KEY, "after", lease),))), 4.0)
            await value_seen(watch, "after")
            await until_followed(watch)

    run(order(cluster, leader), scenario)


def test_a_watch_moves_away_from_a_frozen_member(cluster: EtcdCluster) -> None:
    frozen = follower(cluster)

    async def scenario(store: Store) -> None:
        async with store.watch("/faults/") as watch:
            await store.commit(PUT)
            await value_seen(watch, "v")
            frozen.freeze()
            # Any other call that notices it moves the watch.
            await store.commit(Txn(then=(Put(KEY, "moved"),)))
            await value_seen(watch, "moved", 3.0)

    run(order(cluster, frozen), scenario)


# --- no majority ------------------------------------------------------------------------------------------


def test_a_watch_on_a_frozen_member_is_taken_up_elsewhere_though_no_call_asks_that_one(cluster: EtcdCluster) -> None:
    """Its connection stands, and would for 13 s; a member whose disk hangs answers what keeps that alive for ever."""
    frozen = follower(cluster)
    others = EtcdConfig(endpoints=tuple(m.endpoint for m in cluster.members if m is not frozen))

    async def scenario() -> None:
        watching, writing = connect(EtcdConfig(endpoints=order(cluster, frozen)), silence_s=1.0), connect(others)
        try:
            async with watching.watch("/faults/") as watch:
                await until_followed(watch)
                frozen.freeze()
                await until(lambda: writing.commit(Txn(then=(Put(KEY, "unseen"),))))
                await value_seen(watch, "unseen", within_s=4.0)
                frozen.thaw()
        finally:
            await watching.close()
            await writing.close()

    asyncio.run(scenario())


def test_without_a_majority_nothing_is_sent_and_watches_say_so(cluster: EtcdCluster) -> None:
    left, *others = cluster.members

    async def scenario(store: Store) -> None:
        async with store.watch("/faults/") as watch:
            await store.commit(Txn(then=(Put(KEY, "before"),)))
            await value_seen(watch, "before")
            for member in others:
                member.freeze()
            lost = await timed(store.commit(Txn(then=(Put(KEY, "lost"),))))
            assert isinstance(lost, StoreUnreachable)
            async with asyncio.timeout(BACK_S):
                while watch.problem is None:
                    await asyncio.sleep(0.05)
            for member in others:
                member.thaw()
            await until(lambda: store.commit(Txn(then=(Put(KEY, "healed"),))))
            async with asyncio.timeout(BACK_S):
                async for item in watch:
                    values = _shown(item).values()
                    assert "lost" not in values
                    if "healed" in values:
                        break

    run(order(cluster, left), scenario)


def test_a_minority_says_at_once_that_it_has_no_leader(cluster: EtcdCluster) -> None:
    left, *others = cluster.members

    async def scenario(store: Store) -> None:
        await store.commit(PUT)
        for member in others:
            member.freeze()
        async with asyncio.timeout(BACK_S):
            while "no leader" not in str(await timed(store.get(KEY))):
                await asyncio.sleep(0.05)
        assert isinstance(await timed(store.commit(PUT)), StoreUnreachable)
        assert isinstance(await timed(store.grant(10)), StoreUnreachable)
        for member in others:
            member.thaw()
        await until(lambda: store.commit(PUT))

    run((left.endpoint,), scenario)


class FreezingEndpoint(Endpoint):
    """Freezes members of its cluster in the moment in which a transaction is sent to it."""

    def __init__(self, name: str, frozen: Sequence[Member]) -> None:
        super().__init__(name, Credentials())
        self._frozen = frozen

    async def call(self, rpc: Rpc, request: Message, deadline: float) -> Message:
        began = time.monotonic()
        if rpc is Rpc.TXN:
            for member in self._frozen:
                member.freeze()
        # Until their last threads have stopped is not of the call's time.
        return await super().call(rpc, request, deadline + time.monotonic() - began)


def test_a_transaction_without_an_answer_is_indefinite_and_executed_later(cluster: EtcdCluster) -> None:
    leader = cluster.leader()
    followers = [member for member in cluster.members if member is not leader]
    key = KEY + "/late"

    async def scenario() -> None:
        # Shorter than it takes the leader to notice that it leads nobody.
        store = EtcdStore([FreezingEndpoint(leader.endpoint, followers)], WatchTiming(0.3))
        commit = store.commit(Txn((KeyAbsent(key),), (Put(key, "late"),)))
        assert isinstance(await timed(commit, BACK_S), IndefiniteFailure)
        for member in followers:
            member.thaw()
        await until(lambda: store.range("/"))
        found = await store.get(key)
        assert found is not None
        assert (found.value, found.version) == ("late", 1)
        await store.close()

    asyncio.run(scenario())


# --- a single member --------------------------------------------------------------------------------------


def test_a_frozen_server_gets_nothing_and_ends_every_call_in_time(single: EtcdCluster) -> None:
    (member,) = single.members

    async def scenario(store: Store) -> None:
        lease = await store.grant(30)
        member.freeze()
        assert isinstance(await timed(store.commit(PUT)), StoreUnreachable)
        assert isinstance(await timed(store.get(KEY)), StoreUnreachable)
        assert isinstance(await timed(store.keep_alive(lease)), IndefiniteFailure)
        assert (await store.status()).members == ()
        member.thaw()
        await until(lambda: store.keep_alive(lease))
        assert await store.get(KEY) is None

    run(single.endpoints, scenario)


def test_a_server_that_was_away_is_used_again_soon(single: EtcdCluster) -> None:
    (member,) = single.members

    async def scenario(store: Store) -> None:
        async with store.watch("/faults/") as watch:
            await store.commit(PUT)
            await value_seen(watch, "v")
            member.kill()
            assert isinstance(await timed(store.commit(PUT)), StoreUnreachable)
            # Without a connection it is certain that nothing was renewed.
            assert isinstance(await timed(store.keep_alive(1)), StoreUnreachable)
            assert watch.problem is not None
            # By now gRPC's own pauses between attempts to connect would be longer than what is allowed below.
            await asyncio.sleep(3.5)
            member.start()
            single.wait_healthy()
            began = time.monotonic()
            await until(lambda: store.commit(Txn(then=(Put(KEY, "again"),))))
            await value_seen(watch, "again")
            assert time.monotonic() - began < 2.0
            await until_followed(watch)

    run(single.endpoints, scenario)


def test_nothing_spins_while_the_server_is_away(single: EtcdCluster) -> None:
    (member,) = single.members

    async def scenario(store: Store) -> None:
        async with store.watch("/faults/") as watch:
            await store.commit(PUT)
            await value_seen(watch, "v")
            member.kill()
            await timed(store.get(KEY))
            began_cpu_s, began_s = time.process_time(), time.monotonic()
            await asyncio.sleep(1.5)
            share = (time.process_time() - began_cpu_s) / (time.monotonic() - began_s)
            assert share < 0.15

    run(single.endpoints, scenario)


def test_a_compaction_while_a_watch_was_cut_off_costs_a_snapshot(single: EtcdCluster) -> None:
    (member,) = single.members

    async def scenario(store: Store) -> None:
        async with store.watch("/faults/") as watch:
            await store.commit(PUT)
            await value_seen(watch, "v")
            member.kill()
            await timed(store.get(KEY))
            member.start()
            await asyncio.to_thread(single.wait_healthy)
            for number in range(3):
                single.control("put", KEY, str(number))
            revision = single.control("get", KEY, "-w", "fields").split('"Revision" :')[1].split()[0]
            single.control("compact", revision)
            await value_seen(watch, "2")
            await store.commit(Txn(then=(Put(KEY, "on"),)))
            await value_seen(watch, "on")

    run(single.endpoints, scenario)


# --- what is left behind ----------------------------------------------------------------------------------


def _sockets() -> int:
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    return count


def _settled(left_behind: Callable[[], int], wanted: int) -> bool:
    deadline = time.monotonic() + 3.0
    while left_behind() > wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return left_behind() <= wanted


@pytest.mark.parametrize("frozen", [False, True], ids=["healthy", "frozen"])
def test_closing_leaves_no_thread_and_no_connection(cluster: EtcdCluster, frozen: bool) -> None:
    threads, sockets = threading.active_count(), _sockets()

    async def scenario() -> None:
        for _ in range(3):
            store = connect(EtcdConfig(endpoints=cluster.endpoints))
            watches = [store.watch("/faults/"), store.watch("/other/")]
            for watch in watches:
                await anext(watch)
            # Calls on their way, and one whose caller gives up.
            calls = [asyncio.ensure_future(store.get(KEY)) for _ in range(5)]
            await asyncio.sleep(0)
            calls[0].cancel()
            if frozen:
                cluster.members[0].freeze()
            await timed(store.close(), 1.0)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(
                isinstance(one, StoreUnreachable | asyncio.CancelledError) or one is None for one in outcomes[:1]
            )
            if frozen:
                cluster.members[0].thaw()

    asyncio.run(scenario())
    assert _settled(threading.active_count, threads), threading.enumerate()
    assert _settled(_sockets, sockets)


def test_a_call_that_was_cancelled_leaves_the_store_usable(cluster: EtcdCluster) -> None:
    async def scenario(store: Store) -> None:
        for _ in range(20):
            calls = [asyncio.ensure_future(store.commit(PUT)), asyncio.ensure_future(store.get(KEY))]
            await asyncio.sleep(0.001)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
        result = await store.commit(Txn((KeyAbsent(KEY + "/none"),), (Put(KEY, "fine"),), (Get(KEY),)))
        assert result.succeeded

    run(cluster.endpoints, scenario)


def test_the_event_loop_is_never_held_up(cluster: EtcdCluster) -> None:
    frozen = follower(cluster)
    frozen.freeze()

    held_s: list[float] = []

    async def scenario(store: Store) -> None:
        held_s.append(0.0)
        calls = asyncio.gather(*(store.commit(PUT) for _ in range(20)), *(store.get(KEY) for _ in range(20)))
        while not calls.done():
            began = time.monotonic()
            await asyncio.sleep(0.005)
            held_s[-1] = max(held_s[-1], time.monotonic() - began)
        await calls

    # A call that waited in the loop would hold it for a whole share, each time.
    def longest_s() -> float:
        run(order(cluster, frozen), scenario, timeout_s=4 * SHARE_S)
        return held_s[-1]

    hold_mostly(longest_s, lambda s: s < SHARE_S / 2)
