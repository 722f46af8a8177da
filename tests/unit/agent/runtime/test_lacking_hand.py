"""What the copy of a node that is away lacks is kept in etcd while another one serves, seldom and under its own key."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from agent.runtime.lacking_hand import EVERY_S, SOON_S, TIMES_AS_LONG, LackingHand
from manager.model.api import ApiError, ErrorKind
from manager.model.control import DiffReport, Scope
from manager.model.records import Holder, InsyncRecord, LackingRecord, PrimaryRecord
from manager.store.api import Delete, Txn
from tests.unit.agent.runtime.bench import KEYS, Bench

DB = KEYS.module("db")
REPORT = DiffReport("1", Scope.CHANGES, False, True, False, 2, 30, 0, 3, 24 << 20, 2, 2048, 0)


class Story:
    def __init__(self, node: str = "a") -> None:
        self.bench = Bench("a", "b")
        self.report: DiffReport | None = REPORT
        self.asked = 0
        self.takes_s = 0.0
        self.hand = LackingHand(
            "db", node, ("a", "b"), self.bench.store, self.bench.view, self._ask, lambda _, error: self._broken(error)
        )

    def _broken(self, error: BaseException) -> None:
        raise error

    async def _ask(self) -> DiffReport:
        self.asked += 1
        await asyncio.sleep(self.takes_s)
        if self.report is None:
            raise ApiError(ErrorKind.REFUSED, "not here")
        return self.report

    async def record(self, epoch: int, *holders: str, primary: str = "a", decided: int = 0) -> None:
        """As it stands from now on; and what the hand does of it."""
        listed = tuple(Holder(h, "", "") for h in holders)
        self.bench.put(DB.primary, PrimaryRecord(primary, epoch, "i"))
        self.bench.put(DB.insync, InsyncRecord(epoch, 1, primary, listed, decided=decided))
        await self.seen()

    async def seen(self) -> None:
        await self.bench.until(lambda: self.bench.view.revision == self.bench.etcd.revision)
        await self.hand.see()

    def lacking(self, node: str = "b") -> LackingRecord | None:
        return self.bench.view.keys.record(LackingRecord, DB.lacking(node))

    def play(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.bench.run(story)


def test_it_is_written_when_a_node_leaves_the_record_and_gone_when_it_is_back() -> None:
    s = Story()

    async def story() -> None:
        await s.record(3, "a", "b")
        assert s.lacking() is None and s.asked == 0
        await s.record(3, "a")
        told = s.lacking()
        assert told is not None and told.since and told.as_of
        wanted = LackingRecord("b", "a", 3, told.since, told.as_of, 5, (24 << 20) + 2048, 2, everything=False)
        assert told == wanted
        await s.record(3, "a", "b")
        assert s.lacking() is None

    s.play(story)


def test_that_it_left_is_written_although_the_replicator_says_nothing() -> None:
    s = Story()
    s.report = None

    async def story() -> None:
        await s.record(3, "a", "b")
        await s.record(3, "a")
        told = s.lacking()
        assert told is not None and told.since and (told.as_of, told.everything, told.whole) == ("", True, False)

    s.play(story)


def test_since_when_stays_whoever_serves_then() -> None:
    s = Story()
    since = LackingRecord("b", "a", 3, "then", "later", 1, 1, 1, everything=False)

    async def story() -> None:
        s.bench.put(DB.lacking("b"), since)
        await s.record(4, "a")
        told = s.lacking()
        assert told is not None and (told.since, told.epoch, told.files) == ("then", 3, 5)

    s.play(story)


def test_one_that_was_not_seen_to_leave_has_left_at_an_unknown_time() -> None:
    s = Story()

    async def story() -> None:
        await s.record(4, "a")
        told = s.lacking()
        assert told is not None and (told.since, told.as_of, told.everything, told.whole) == ("", "", True, False)

    s.play(story)


def test_one_that_is_promoted_knows_that_the_former_primary_left_just_now() -> None:
    s = Story("b")

    async def story() -> None:
        await s.record(3, "a", "b", primary="a")
        assert s.asked == 0
        await s.record(4, "b", primary="b")
        told = s.lacking("a")
        assert told is not None and told.since and told.epoch == 4

    s.play(story)


def test_a_forced_copy_is_not_lacking_any_more() -> None:
    s = Story("b")

    async def story() -> None:
        s.bench.put(DB.lacking("b"), LackingRecord("b", "a", 3, "then", "", 1, 1, 1, everything=False))
        await s.record(4, "a", primary="a")
        await s.record(5, "b", primary="b", decided=5)
        assert s.lacking("b") is None

    s.play(story)


def test_what_the_other_one_lacks_of_a_forced_copy_is_not_known_by_what_was_tracked_before() -> None:
    s = Story("b")

    async def story() -> None:
        await s.record(4, "a", primary="a")
        await s.record(5, "b", primary="b", decided=5)
        told = s.lacking("a")
        assert told is not None and (told.since, told.as_of, told.everything) == ("", "", True)
        await s.record(5, "a", "b", primary="b", decided=5)
        assert s.lacking("a") is None
        await s.record(5, "b", primary="b", decided=5)
        told = s.lacking("a")
        assert told is not None and told.since

    s.play(story)


def test_one_that_does_not_serve_writes_nothing() -> None:
    s = Story("b")

    async def story() -> None:
        await s.record(3, "a")
        s.bench.etcd.commit_now(Txn((), (Delete(DB.primary),)))
        await s.seen()
        assert s.lacking() is None and s.asked == 0

    s.play(story)


def test_a_primary_whose_key_has_gone_meanwhile_writes_nothing() -> None:
    """Its view is old: the write is guarded by the key."""
    s = Story()

    async def story() -> None:
        await s.record(3, "a", "b")
        s.bench.put(DB.insync, InsyncRecord(3, 2, "a", (Holder("a", "", ""),)))
        await s.bench.until(lambda: s.bench.view.revision == s.bench.etcd.revision)
        s.bench.etcd.commit_now(Txn((), (Delete(DB.primary),)))
        s.bench.etcd.commit_now(Txn((), ()))
        await s.hand.see()
        assert s.bench.etcd.get_now(DB.lacking("b")) is None

    s.play(story)


def test_the_replicator_is_asked_seldom_and_what_is_the_same_is_not_written() -> None:
    s = Story()

    async def story() -> None:
        await s.record(3, "a", "b")
        await s.record(3, "a")
        written = s.bench.etcd.revision
        for _ in range(5):
            await s.seen()
        assert s.asked == 1
        s.hand._ask_after_s = s.hand._spared_until_s = 0.0
        await s.seen()
        assert s.asked == 2 and s.bench.etcd.revision == written
        s.report = replace(REPORT, files=4)
        s.hand._ask_after_s = s.hand._spared_until_s = 0.0
        await s.seen()
        told = s.lacking()
        assert told is not None and told.files == 6

    s.play(story)


def test_what_takes_long_is_asked_more_seldom() -> None:
    s = Story()

    async def story() -> None:
        loop = asyncio.get_running_loop()
        await s.record(3, "a", "b")
        begun = loop.time()
        await s.record(3, "a")
        assert EVERY_S <= s.hand._ask_after_s - begun < EVERY_S + 1
        s.takes_s, s.hand._ask_after_s, s.hand._spared_until_s = 0.1, 0.0, 0.0
        await s.seen()
        assert s.asked == 2
        s.takes_s, s.hand._ask_after_s = 0.0, 0.0
        await s.seen()
        assert s.asked == 2 and s.hand._spared_until_s - loop.time() > 0.1 * TIMES_AS_LONG - 1


def test_of_one_that_has_just_left_it_is_asked_soon() -> None:
    s = Story()

    async def story() -> None:
        await s.record(3, "a", "b")
        await s.record(3, "a")
        await s.record(3, "a", "b")
        s.hand._ask_after_s = asyncio.get_running_loop().time() + EVERY_S
        await s.record(3, "a")
        assert s.hand._ask_after_s - asyncio.get_running_loop().time() <= SOON_S

    s.play(story)
