"""The lease: counted from before the request, believed only with the node's own key, granted anew when lost (S5)."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agent.runtime.lease_keeper import HASTE_S, RETRY_S, LeaseFile, LeaseKeeper, LeaseNote
from manager.model.codec import decode, encode
from manager.model.config import LeaseConfig
from manager.model.records import NodeRecord
from manager.store.api import Delete, Put, StorePoint, Txn
from manager.store.fake import FakeEtcd
from manager.store.fake_store import Execution, FakeStore, Link
from tests.simulation.etcd import SimulatedEtcd
from tests.support.virtual_loop import run_virtually

T = TypeVar("T")
KEY = "/mirrorfarm/c/nodes/a"
CONFIG = LeaseConfig()
USUAL_S = CONFIG.renew_interval_ms / 1000
USABLE_NS = (CONFIG.ttl_ms - CONFIG.margin_ms - CONFIG.stop_budget_ms) * 1_000_000


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def record(instance: str = "i1") -> NodeRecord:
    return NodeRecord("a", ("10.77.0.1",), "1", "boot", instance, 0, {"records": (1, 1)})


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[str, object]] = []

    def lease_renewed(self, lease_id: int, deadline_ns: int) -> None:
        self.heard.append(("renewed", deadline_ns))

    def lease_lost(self, lease_id: int) -> None:
        self.heard.append(("lost", lease_id))

    def store_silent(self, why: str) -> None:
        self.heard.append(("silent", ""))

    def node_taken(self, other: NodeRecord | None) -> None:
        self.heard.append(("taken", other.agent_instance if other is not None else ""))

    def node_strange(self, other: str, software: str) -> None:
        self.heard.append(("strange", f"{other} {software}".strip()))

    @property
    def last(self) -> tuple[str, object]:
        return self.heard[-1]


class Bench:
    """A keeper on a cluster in memory, whose clock is also the keeper's."""

    def __init__(self, directory: Path, etcd: FakeEtcd | None = None, instance: str = "i1") -> None:
        self.etcd = etcd or FakeEtcd()
        self.store = FakeStore(self.etcd)
        self.file = LeaseFile(str(directory / "lease.json"))
        self.listener = Listener()
        self.watched = StorePoint("", 0)
        self.keeper = LeaseKeeper(
            self.store, KEY, record(instance), CONFIG, self.file, lambda: self.watched, lambda: self.etcd.now_ns
        )

    def seen(self) -> StorePoint:
        """What a watch has shown that is not behind."""
        return StorePoint(self.etcd.store_id, self.etcd.revision)

    async def attempt(self) -> bool:
        return await self.keeper.attempt(self.listener)

    def registered(self) -> NodeRecord | None:
        kv = self.etcd.get_now(KEY)
        return decode(NodeRecord, kv.value) if kv is not None else None


def test_first_comes_a_lease_then_the_nodes_key_on_it(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        assert await bench.attempt()
        kv = bench.etcd.get_now(KEY)
        assert kv is not None and kv.lease == bench.keeper.lease_id
        assert bench.keeper.created_revision == kv.create_revision
        assert bench.file.read() == LeaseNote(bench.keeper.lease_id, "i1")
        assert bench.listener.heard == [("renewed", bench.etcd.now_ns + USABLE_NS)]

    run(story())


def test_a_renewal_puts_the_nodes_key_again_and_moves_the_deadline(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        await bench.attempt()
        bench.etcd.advance(2)
        assert await bench.attempt()
        registered = bench.registered()
        assert registered is not None and registered.renewal == 1
        assert bench.listener.last == ("renewed", bench.etcd.now_ns + USABLE_NS)

    run(story())


def test_the_deadline_counts_from_before_the_request_was_sent(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        await bench.attempt()
        sent_ns = bench.etcd.now_ns
        bench.store.set_link(Link.FROZEN)
        renewal = asyncio.ensure_future(bench.attempt())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.etcd.advance(0.5)
        bench.store.set_link(Link.UP)
        assert await renewal
        assert bench.listener.last == ("renewed", sent_ns + USABLE_NS)

    run(story())


def test_an_unanswered_keep_alive_or_put_moves_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        await bench.attempt()
        deadline_ns = bench.keeper.deadline_ns
        bench.etcd.advance(1)
        for _ in range(2):
            bench.store.lose_reply(Execution.DONE)
            assert not await bench.attempt()
            assert bench.listener.last == ("silent", "")
        assert bench.keeper.deadline_ns == deadline_ns
        assert await bench.attempt()
        assert bench.keeper.deadline_ns > deadline_ns

    run(story())


def test_a_keep_alive_that_is_answered_for_a_key_that_is_gone_renews_nothing(tmp_path: Path) -> None:
    """What servers before 3.4.38 do: they answer for leases that are gone."""

    async def story() -> None:
        bench = Bench(tmp_path)
        await bench.attempt()
        lease = bench.keeper.lease_id
        bench.etcd.commit_now(Txn((), (Delete(KEY),)))
        assert not await bench.attempt()
        assert bench.listener.last == ("lost", lease)
        assert bench.keeper.deadline_ns == 0
        assert await bench.attempt()
        assert bench.keeper.lease_id != lease

    run(story())


@pytest.mark.parametrize("token", ["another token", "the same token"])
def test_a_renewal_that_a_restored_etcd_has_answered_counts_once_the_watch_has_come_to_it(
    tmp_path: Path, token: str
) -> None:
    """It knows the lease and the node's key from the backup, and not what the lease has held since."""

    async def story() -> None:
        etcd = SimulatedEtcd()
        bench = Bench(tmp_path, etcd)
        await bench.attempt()
        etcd.back_up()
        store_id = etcd.store_id
        for _ in range(3):
            assert await bench.attempt()
            bench.watched = bench.seen()
        deadline_ns = bench.keeper.deadline_ns
        etcd.advance(1)
        etcd.restore()
        if token == "the same token":
            etcd.store_id = store_id
        assert not await bench.attempt()
        assert bench.listener.last == ("silent", "")
        for number in range(9):  # Nor has its revision to tell, which others bring past what was seen.
            etcd.commit_now(Txn(then=(Put("/other", str(number)),)))
        assert not await bench.attempt()
        assert bench.keeper.deadline_ns == deadline_ns
        bench.watched = bench.seen()
        assert await bench.attempt()
        assert bench.listener.heard[-1] == ("renewed", bench.etcd.now_ns + USABLE_NS)

    run(story())


def test_what_a_backup_shows_of_a_node_is_renewed_there_once_at_most_before_its_watch_has_come_to_it(
    tmp_path: Path,
) -> None:
    """An operator who names a copy goes by it: it may say of one that serves on that it waits."""

    async def story() -> None:
        etcd = SimulatedEtcd()
        bench = Bench(tmp_path, etcd)
        await bench.attempt()
        bench.watched = bench.seen()
        etcd.back_up()
        etcd.restore()
        of_the_backup = bench.keeper.lease_id
        for _ in range(CONFIG.ttl_ms // 1000 - 1):
            assert not await bench.attempt()
            etcd.advance(1)
        assert of_the_backup in etcd.leases
        etcd.advance(2)
        assert of_the_backup not in etcd.leases and bench.registered() is None
        assert not await bench.attempt()
        assert bench.listener.heard[-1:] == [("silent", "")]
        bench.watched = bench.seen()
        assert not await bench.attempt()
        assert bench.listener.heard[-1:] == [("lost", of_the_backup)]
        assert await bench.attempt() and bench.registered() is not None

    run(story())


def test_a_renewal_goes_on_in_the_etcd_that_is_watched_once_that_answers_again(tmp_path: Path) -> None:
    """As where another one was there for a moment; nothing need happen there meanwhile."""

    async def story() -> None:
        bench = Bench(tmp_path, SimulatedEtcd())
        await bench.attempt()
        bench.watched = bench.seen()
        here, bench.etcd.store_id = bench.etcd.store_id, "another"
        assert not await bench.attempt() and not await bench.attempt()
        bench.etcd.store_id = here
        assert await bench.attempt()

    run(story())


@pytest.mark.parametrize("left", [True, False])
def test_a_registration_in_an_etcd_that_is_not_watched_yet_does_not_count(tmp_path: Path, left: bool) -> None:
    """Nor where a key of this node's former agent is taken over in it."""

    async def story() -> None:
        etcd = SimulatedEtcd()
        former = Bench(tmp_path, etcd)
        if left:
            await former.attempt()
        bench = Bench(tmp_path, etcd, "i2")
        bench.watched = StorePoint("the former one", 0)
        assert not await bench.attempt()
        assert bench.keeper.deadline_ns == 0
        assert [what for what, _ in bench.listener.heard] == ["silent"]
        bench.watched = bench.seen()
        assert await bench.attempt()

    run(story())


def test_nor_is_it_renewed_before_its_watch_has_come_to_that_one(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, SimulatedEtcd())
        bench.watched = StorePoint("the former one", 0)
        assert not await bench.attempt() and not await bench.attempt()
        registered = bench.registered()
        assert registered is not None and registered.renewal == 0
        bench.watched = bench.seen()
        assert await bench.attempt()

    run(story())


def test_an_expired_lease_is_lost_and_granted_anew(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        await bench.attempt()
        lease = bench.keeper.lease_id
        bench.etcd.advance(11)
        assert not await bench.attempt()
        assert bench.listener.last == ("lost", lease)
        assert await bench.attempt()
        assert [what for what, _ in bench.listener.heard] == ["renewed", "lost", "renewed"]
        assert bench.registered() is not None

    run(story())


def test_a_registration_whose_answer_was_lost_is_recognised(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        bench.keeper.lease_id = await bench.store.grant(10)
        bench.etcd.commit_now(Txn((), (Put(KEY, encode(record()), bench.keeper.lease_id),)))
        assert await bench.attempt()
        kv = bench.etcd.get_now(KEY)
        assert kv is not None and bench.keeper.created_revision == kv.create_revision

    run(story())


def test_another_agent_under_this_nodes_name_is_told_and_left_alone(tmp_path: Path) -> None:
    async def story() -> None:
        etcd = FakeEtcd()
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        first, second = Bench(tmp_path / "a", etcd, "i1"), Bench(tmp_path / "b", etcd, "i2")
        assert await first.attempt()
        assert not await second.attempt()
        assert second.listener.heard == [("taken", "i1")]
        assert second.keeper.deadline_ns == 0
        registered = first.registered()
        assert registered is not None and registered.agent_instance == "i1"

    run(story())


def test_the_next_agent_ends_the_lease_of_one_that_crashed(tmp_path: Path) -> None:
    async def story() -> None:
        first = Bench(tmp_path)
        await first.attempt()
        second = Bench(tmp_path, first.etcd, "i2")
        assert await second.keeper.end_former()
        assert second.registered() is None
        assert await second.attempt()
        registered = second.registered()
        assert registered is not None and registered.agent_instance == "i2"

    run(story())


def test_the_next_agent_takes_over_the_key_of_one_whose_replicators_live(tmp_path: Path) -> None:
    async def story() -> None:
        first = Bench(tmp_path)
        await first.attempt()
        created = first.keeper.created_revision
        second = Bench(tmp_path, first.etcd, "i2")
        assert await second.attempt()
        kv = second.etcd.get_now(KEY)
        assert kv is not None and (kv.lease, kv.create_revision) == (second.keeper.lease_id, created)
        # The crashed one's lease ends, and this node stays registered.
        for _ in range(6):
            second.etcd.advance(2)
            assert await second.attempt()
        assert second.registered() is not None

    run(story())


def test_a_clean_stop_takes_the_lease_and_the_key_along(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        await bench.attempt()
        await bench.keeper.revoke()
        assert bench.registered() is None
        assert bench.etcd.leases == frozenset()
        assert bench.file.read() is None

    run(story())


def test_who_looks_at_the_registration_has_it_renewed_more_often_from_now_on(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        keeping = asyncio.create_task(bench.keeper.keep(bench.listener))

        async def renewals(seconds: float) -> int:
            before = len(bench.listener.heard)
            await asyncio.sleep(seconds)
            assert {what for what, _ in bench.listener.heard} == {"renewed"}
            return len(bench.listener.heard) - before

        await asyncio.sleep(0.1)
        assert await renewals(10 * USUAL_S) == 10
        # In the middle of a pause: the next renewal, which has been due for long, is at once.
        await asyncio.sleep(HASTE_S)
        bench.keeper.hasten("web", True)
        bench.keeper.hasten("shop", True)
        assert await renewals(0.1) == 1
        bench.keeper.hasten("web", True)
        assert await renewals(10 * HASTE_S) == 10
        bench.keeper.hasten("web", False)
        assert await renewals(10 * HASTE_S) == 10
        bench.keeper.hasten("shop", False)
        bench.keeper.hasten("shop", False)
        assert await renewals(10 * USUAL_S) == 10
        keeping.cancel()

    run_virtually(story())


def test_haste_makes_a_renewal_that_fails_no_quicker_and_no_slower(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        bench.keeper.hasten("web", True)
        for _ in range(20):
            bench.store.lose_reply(Execution.DONE)
        keeping = asyncio.create_task(bench.keeper.keep(bench.listener))
        await asyncio.sleep(10.5 * RETRY_S)
        assert bench.listener.heard == [("silent", "")] * 11
        keeping.cancel()

    run_virtually(story())


# Other releases


def other(speaks: dict[str, tuple[int, ...]]) -> str:
    return encode(NodeRecord("b", ("10.77.0.2",), "9.1.0", "boot", "i9", 0, speaks))


@pytest.mark.parametrize(
    ("registered", "told"),
    [
        (other({"records": (2, 3)}), "b 9.1.0"),
        ('{"version": 2, "whatever": "else"}', "b"),
    ],
)
def test_beside_a_node_whose_records_are_not_understood_it_does_not_register(
    tmp_path: Path, registered: str, told: str
) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        bench.etcd.commit_now(Txn(then=(Put("/mirrorfarm/c/nodes/b", registered),)))
        for _ in range(3):
            assert not await bench.attempt()
        assert bench.listener.heard == [("strange", told)] * 3
        assert bench.registered() is None and not bench.keeper.lease_id
        bench.etcd.commit_now(Txn(then=(Delete("/mirrorfarm/c/nodes/b"),)))
        assert await bench.attempt()
        assert bench.registered() is not None

    run(story())


@pytest.mark.parametrize(
    "registered", [other({"records": (1, 2), "stream": (7, 7)}), other({}), "garbage", '{"node": "b", "version": 1}']
)
def test_a_node_of_another_release_that_is_understood_keeps_nobody_out(tmp_path: Path, registered: str) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        bench.etcd.commit_now(Txn(then=(Put("/mirrorfarm/c/nodes/b", registered),)))
        assert await bench.attempt()

    run(story())


def test_who_is_registered_goes_on_when_a_strange_node_comes(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        assert await bench.attempt()
        bench.etcd.commit_now(Txn(then=(Put("/mirrorfarm/c/nodes/b", other({"records": (2, 2)})),)))
        assert await bench.attempt()
        assert [what for what, _ in bench.listener.heard] == ["renewed", "renewed"]

    run(story())


def test_other_addresses_are_registered_with_the_next_renewal_also_when_one_is_under_way(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        await bench.attempt()
        created = bench.keeper.created_revision
        bench.keeper.register_at(("10.77.0.1", "10.88.0.1"))
        assert await bench.attempt()
        found = bench.registered()
        assert found is not None and found.addresses == ("10.77.0.1", "10.88.0.1")
        assert bench.keeper.created_revision == created, "it is the same registration"
        renewing = asyncio.create_task(bench.attempt())
        await asyncio.sleep(0)
        bench.keeper.register_at(("10.77.0.1", "10.99.0.1"))
        assert await renewing and await bench.attempt()
        found = bench.registered()
        assert found is not None and found.addresses == ("10.77.0.1", "10.99.0.1")

    run(story())


def test_a_lease_that_is_granted_anew_has_the_addresses_of_now(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        await bench.attempt()
        bench.keeper.register_at(("10.88.0.1",))
        await bench.store.revoke(bench.keeper.lease_id)
        while not await bench.attempt():
            pass
        found = bench.registered()
        assert found is not None and found.addresses == ("10.88.0.1",)

    run(story())
