"""What a module's core wants written: each transaction answered by one event, the member record kept as wanted."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from agent.core import events
from agent.core.commands import AnswerRequest, Commit
from agent.core.events import Tag
from agent.runtime import store_hand
from agent.runtime.store_hand import KEPT_HISTORY, StoreHand
from manager.model.codec import decode, encode
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord, MemberRecord, RequestRecord
from manager.model.states import ModuleState, Readiness
from manager.store.api import Delete, KeyAbsent, Put, Txn
from manager.store.fake import FakeEtcd
from manager.store.fake_store import Execution, Link
from tests.simulation.etcd import SimulatedEtcd
from tests.unit.agent.runtime.bench import KEYS, Bench

MEMBER = KEYS.module("db").member("a")
COUNTER = "/mirrorfarm/c/modules/db/x"
TXN = Txn((KeyAbsent(COUNTER),), (Put(COUNTER, "1"),))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_hand, "RETRY_S", 0.0)


@dataclass
class Registered:
    """What the lease keeper says of itself."""

    lease_id: int = 0
    created_revision: int = 0


def member(state: ModuleState) -> MemberRecord:
    return MemberRecord("a", state, Readiness.READY, "", "boot", "i", None, None)


class Story:
    def __init__(self, etcd: FakeEtcd | None = None) -> None:
        self.bench = Bench("a", "b", etcd=etcd)
        self.registered = Registered()
        self.given: list[events.Event] = []
        self.fatal: list[BaseException] = []
        self.hand = StoreHand(
            "db", "a", self.bench.store, self.bench.view, self.registered, self.given.append, self._fatal
        )

    def _fatal(self, what: str, error: BaseException) -> None:
        self.fatal.append(error)

    def register(self) -> None:
        """This node's agent has its lease and its key."""
        self.registered.lease_id = self.bench.etcd.grant_now(10)
        kv = self.bench.etcd.get_now(KEYS.node("a"))
        assert kv is not None
        self.registered.created_revision = kv.create_revision
        self.hand.look()

    def member(self) -> MemberRecord | None:
        kv = self.bench.etcd.get_now(MEMBER)
        return decode(MemberRecord, kv.value) if kv is not None else None

    def play(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def played() -> None:
            self.bench.view.listen(lambda _: self.hand.look())
            self.hand.open()
            try:
                await story()
            finally:
                await self.hand.close()

        self.bench.run(played)
        assert self.fatal == []


def test_a_settled_transaction_is_told_with_its_outcome() -> None:
    s = Story()

    async def story() -> None:
        for succeeded in (True, False):
            s.hand.commit(Commit(Tag.RECORD, TXN))
            await s.bench.until(lambda: bool(s.given))
            told = s.given.pop()
            assert isinstance(told, events.TxnSettled)
            assert (told.tag, told.succeeded, told.revision) == (Tag.RECORD, succeeded, s.bench.etcd.revision)

    s.play(story)


def test_without_an_answer_it_is_unknown_and_refused_it_has_failed() -> None:
    s = Story()

    async def story() -> None:
        s.bench.store.lose_reply(Execution.LATER)
        s.hand.commit(Commit(Tag.ELECT, TXN))
        await s.bench.until(lambda: bool(s.given))
        assert s.given.pop() == events.TxnUnknown(Tag.ELECT)
        s.bench.store.set_link(Link.DOWN)
        s.hand.commit(Commit(Tag.ELECT, TXN))
        await s.bench.until(lambda: bool(s.given))
        assert isinstance(s.given.pop(), events.TxnFailed)
        s.bench.store.set_link(Link.UP)
        s.hand.commit(Commit(Tag.ELECT, Txn((), (Put(COUNTER, "1", lease=999),))))
        await s.bench.until(lambda: bool(s.given))
        assert isinstance(s.given.pop(), events.TxnFailed)

    s.play(story)


@pytest.mark.parametrize("token", ["the same token", "another token"])
def test_a_restored_etcd_has_the_record_written_whatever_the_former_one_had(token: str) -> None:
    """It is of an earlier revision, and the node's own key and lease are in it."""
    etcd = SimulatedEtcd()
    s = Story(etcd)

    async def story() -> None:
        s.register()
        s.hand.publish(member(ModuleState.WAIT))
        await s.bench.until(lambda: MEMBER in s.bench.view.kvs and s.hand.settled)
        etcd.back_up()
        store_id = etcd.store_id
        s.hand.publish(member(ModuleState.PRIM))
        await s.bench.until(lambda: s.bench.view.kvs[MEMBER].value == encode(member(ModuleState.PRIM)))
        etcd.restore()
        if token == "the same token":
            etcd.store_id = store_id
        s.bench.store.set_link(Link.UP)
        assert s.member() == member(ModuleState.WAIT)
        await s.bench.until(lambda: s.member() == member(ModuleState.PRIM))

    s.play(story)


def test_one_that_the_view_does_not_show_yet_has_it_written_once() -> None:
    etcd = SimulatedEtcd()
    s = Story(etcd)

    async def story() -> None:
        s.register()
        s.hand.publish(member(ModuleState.WAIT))
        await s.bench.until(lambda: MEMBER in s.bench.view.kvs and s.hand.settled)
        etcd.back_up()
        etcd.restore()
        s.hand.publish(member(ModuleState.PRIM))
        await s.bench.until(lambda: s.hand.settled)
        assert s.member() == member(ModuleState.PRIM)

    s.play(story)


def test_history_is_dated_and_trimmed_in_the_same_transaction() -> None:
    s = Story()
    keys = KEYS.module("db")
    for epoch in range(1, KEPT_HISTORY + 3):
        s.bench.put(keys.history(epoch), HistoryRecord(epoch, "a", "", "swap", "long ago"))

    async def story() -> None:
        new = HistoryRecord(KEPT_HISTORY + 3, "a", "b", "swap", "")
        s.hand.commit(Commit(Tag.ELECT, TXN, new))
        await s.bench.until(lambda: bool(s.given))
        history = s.bench.etcd.range_now(keys.history(0)[:-10]).kvs
        assert len(history) == KEPT_HISTORY and keys.history(3) not in history
        written = decode(HistoryRecord, history[keys.history(new.epoch)].value)
        assert written.at.endswith("Z")

    s.play(story)


def test_the_member_record_is_written_on_the_lease_and_follows_every_wish() -> None:
    s = Story()

    async def story() -> None:
        s.hand.publish(member(ModuleState.WAIT))
        assert not s.hand.settled or s.member() is None
        s.register()
        await s.bench.until(lambda: s.member() == member(ModuleState.WAIT))
        kv = s.bench.etcd.get_now(MEMBER)
        assert kv is not None and kv.lease == s.registered.lease_id
        s.hand.publish(member(ModuleState.SECOND))
        s.hand.publish(member(ModuleState.PRIM))
        await s.bench.until(lambda: s.member() == member(ModuleState.PRIM) and s.hand.settled)
        s.hand.publish(None)
        await s.bench.until(lambda: s.member() is None and s.hand.settled)

    s.play(story)


def test_what_the_watch_shows_otherwise_is_written_again() -> None:
    s = Story()

    async def story() -> None:
        s.register()
        s.hand.publish(member(ModuleState.PRIM))
        await s.bench.until(lambda: s.hand.settled)
        s.bench.put(MEMBER, member(ModuleState.STOP))
        await s.bench.until(lambda: s.member() == member(ModuleState.PRIM) and s.hand.settled)
        s.bench.etcd.commit_now(Txn((), (Delete(MEMBER),)))
        await s.bench.until(lambda: s.member() == member(ModuleState.PRIM))

    s.play(story)


def test_one_that_is_executed_late_does_not_come_over_a_later_one() -> None:
    s = Story()

    async def story() -> None:
        s.register()
        s.hand.publish(member(ModuleState.WAIT))
        await s.bench.until(lambda: s.hand.settled)
        s.bench.store.lose_reply(Execution.LATER)
        s.hand.publish(member(ModuleState.SECOND))
        for _ in range(3):  # It is sent.
            await asyncio.sleep(0)
        s.hand.publish(member(ModuleState.PRIM))
        await s.bench.until(lambda: s.member() == member(ModuleState.PRIM) and s.hand.settled)
        seen: list[str] = []
        s.bench.view.listen(lambda _: seen.append(s.bench.view.kvs[MEMBER].value))
        assert s.bench.store.deliver_late() == 1
        s.bench.put(COUNTER, member(ModuleState.WAIT))
        await s.bench.until(lambda: COUNTER in s.bench.view.kvs)
        assert set(seen) == {encode(member(ModuleState.PRIM))}

    s.play(story)


def test_one_that_was_written_unanswered_is_written_over_though_the_view_does_not_show_it() -> None:
    s = Story()

    async def story() -> None:
        s.register()
        s.bench.store.lose_reply(Execution.DONE)
        taken, s.bench.view.take = s.bench.view.take, lambda item: None  # type: ignore[method-assign]
        s.hand.publish(member(ModuleState.SECOND))
        await s.bench.until(lambda: s.member() == member(ModuleState.SECOND))
        s.hand.publish(member(ModuleState.PRIM))
        await s.bench.until(lambda: s.member() == member(ModuleState.PRIM))
        s.bench.view.take = taken  # type: ignore[method-assign]

    s.play(story)


def test_a_new_lease_takes_the_record_along() -> None:
    s = Story()

    async def story() -> None:
        s.register()
        s.hand.publish(member(ModuleState.PRIM))
        await s.bench.until(lambda: s.hand.settled)
        s.register()
        await s.bench.until(lambda: s.hand.settled)
        kv = s.bench.etcd.get_now(MEMBER)
        assert kv is not None and kv.lease == s.registered.lease_id

    s.play(story)


def test_another_agent_of_this_nodes_name_is_not_overwritten() -> None:
    s = Story()

    async def story() -> None:
        s.register()
        s.bench.etcd.commit_now(Txn((), (Delete(KEYS.node("a")),)))
        s.bench.put(KEYS.node("a"), s.bench.view.keys.nodes()[0])
        s.bench.put(MEMBER, member(ModuleState.SECOND))
        s.hand.publish(member(ModuleState.PRIM))
        for _ in range(20):
            await asyncio.sleep(0)
        assert s.member() == member(ModuleState.SECOND)

    s.play(story)


def test_answers_are_written_in_order_and_never_over_a_last_one() -> None:
    s = Story()
    key = KEYS.module("db").request("r")
    s.bench.put(key, RequestRecord("r", "swap", "a", "now", "root"))

    def status() -> str:
        kv = s.bench.etcd.get_now(key)
        assert kv is not None
        return decode(RequestRecord, kv.value).status

    async def story() -> None:
        s.hand.answer(AnswerRequest("r", "accepted"))
        s.hand.answer(AnswerRequest("r", "failed", Reason.BUSY, "words"))
        s.hand.answer(AnswerRequest("r", "done"))
        s.hand.answer(AnswerRequest("never", "done"))
        await s.bench.until(lambda: status() == "failed" and s.hand.settled)
        kv = s.bench.etcd.get_now(key)
        assert kv is not None and kv.version == 3
        assert encode(decode(RequestRecord, kv.value)).count('"busy"') == 1

    s.play(story)
