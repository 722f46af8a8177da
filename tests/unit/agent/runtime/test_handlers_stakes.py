"""stakes: what is known of a forced start's price, from etcd as it was last heard, on any node."""

from agent.runtime.handlers_stakes import StakesHandlers
from manager.model.api import ErrorKind
from manager.model.api_requests import Stakes, StakesArguments
from manager.model.records import (
    DiskIdentity,
    HistoryRecord,
    Holder,
    InsyncRecord,
    KnownNode,
    LackingRecord,
    MemberRecord,
    ModuleConfigRecord,
)
from manager.model.states import ModuleState, Readiness
from manager.store.api import Delete, Txn
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, refusal, toml

DB = KEYS.module("db")
LACKING = LackingRecord("a", "b", 4, "then", "later", 1, 2, 3, everything=False)


def make(*registered: str, scripts: dict[str, str] | None = None, disk_epoch: int | None = 3) -> Bench:
    bench = Bench(*registered)
    bench.put(DB.config, ModuleConfigRecord("m", 1, toml(), scripts or {}, "", ""))
    bench.put(DB.insync, InsyncRecord(5, 50, "b", (Holder("b", "", ""),)))
    disk = None if disk_epoch is None else DiskIdentity("cid", "m", disk_epoch, 1)
    member = MemberRecord("a", ModuleState.WAIT, Readiness.BLOCKED, "not_in_sync", "", "", None, disk)
    bench.put(DB.member("a"), member)
    for epoch in (2, 3, 4, 5):
        bench.put(DB.history(epoch), HistoryRecord(epoch, "b", "a", "primary_lost", f"at {epoch}"))
    return bench


async def ask(bench: Bench, node: str = "") -> Stakes:
    return await StakesHandlers(bench.seat).stakes(StakesArguments("db", node), ROOT, bench.report)


def test_all_that_was_told_is_there() -> None:
    bench = make("a", scripts={"fence": "#!/bin/sh\n"})
    bench.put(KEYS.known("b"), KnownNode("b", ("10.0.0.2",), "boot-b", "noted"))
    bench.put(DB.lacking("a"), LACKING)

    async def story() -> None:
        told = await ask(bench)
        assert (told.node, told.last_primary, told.epoch, told.disk_epoch) == ("a", "b", 5, 3)
        assert (told.registered, told.addresses, told.addresses_at) == (False, ("10.0.0.2",), "noted")
        assert told.lacking == LACKING and told.fence_script and told.store_reachable
        assert [entry.epoch for entry in told.served_since] == [4, 5]

    bench.run(story)


def test_what_was_never_told_is_not_known() -> None:
    bench = make("a", "b", disk_epoch=None)

    async def story() -> None:
        told = await ask(bench)
        assert (told.disk_epoch, told.addresses, told.addresses_at, told.lacking) == (None, None, "", None)
        assert (told.registered, told.away_ms, told.fence_script) == (True, None, False)
        assert [entry.epoch for entry in told.served_since] == [2, 3, 4, 5]

    bench.run(story)


def test_a_disk_that_has_only_noted_a_later_epoch_is_no_younger_for_that() -> None:
    """It has followed in epoch 5 and got nothing of it: the primary said that it has served alone since epoch 4."""
    bench = make("a", disk_epoch=5)
    bench.put(DB.lacking("a"), LACKING)

    async def story() -> None:
        assert [entry.epoch for entry in (await ask(bench)).served_since] == [4, 5]

    bench.run(story)


def test_how_long_the_last_primary_has_been_away_is_counted_from_when_it_was_seen_to_go() -> None:
    bench = make("a", "b")
    bench.put(KEYS.known("b"), KnownNode("b", (), "boot-b", ""))

    async def story() -> None:
        assert (await ask(bench)).away_ms is None
        bench.etcd.commit_now(Txn((), (Delete(KEYS.node("b")),)))
        await bench.until(lambda: KEYS.node("b") not in bench.view.kvs)
        assert (await ask(bench)).away_ms == 0
        bench.etcd.advance(5)
        assert (await ask(bench)).away_ms == 5_000

    bench.run(story)


def test_a_node_that_is_none_of_the_modules_is_refused() -> None:
    bench = make("a")

    async def story() -> None:
        assert (await refusal(ask(bench, "z"))).kind is ErrorKind.NOT_FOUND

    bench.run(story)
