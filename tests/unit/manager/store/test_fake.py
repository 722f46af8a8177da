"""The fake cluster itself: its clock, leases, history and what it refuses. What it shares with a real etcd is
tested by the contract (``tests/integration/store/test_contract.py``)."""

import pytest

from manager.store.api import (
    Changes,
    Delete,
    DeletePrefix,
    Event,
    Get,
    KeyAbsent,
    LeaseExpired,
    ModRevisionIs,
    Put,
    Range,
    StoreRefused,
    Txn,
)
from manager.store.fake import NS_PER_S, Compacted, FakeEtcd


def put(key: str, value: str = "v", lease: int = 0) -> Txn:
    return Txn(then=(Put(key, value, lease),))


def test_a_lease_ends_at_its_moment_and_not_before() -> None:
    etcd = FakeEtcd()
    lease = etcd.grant_now(10)
    etcd.commit_now(put("/k", lease=lease))
    etcd.advance(9.999)
    assert etcd.get_now("/k") is not None
    etcd.advance(0.001)
    assert etcd.get_now("/k") is None
    assert etcd.leases == frozenset()


def test_a_renewal_counts_from_when_it_is_made() -> None:
    etcd = FakeEtcd()
    lease = etcd.grant_now(10)
    etcd.advance(9)
    assert etcd.keep_alive_now(lease) == 10
    etcd.advance(9)
    assert etcd.leases == {lease}
    etcd.advance(1)
    with pytest.raises(LeaseExpired):
        etcd.keep_alive_now(lease)


def test_a_short_lease_is_made_longer() -> None:
    etcd = FakeEtcd()
    assert etcd.keep_alive_now(etcd.grant_now(1)) == 2


def test_leases_that_end_in_one_turn_of_the_clock_end_in_their_own_order() -> None:
    etcd = FakeEtcd()
    late, early = etcd.grant_now(20), etcd.grant_now(10)
    etcd.commit_now(put("/late", lease=late))
    etcd.commit_now(put("/early", lease=early))
    seen: list[tuple[int, str]] = []
    etcd.subscribe(lambda changes: seen.append((etcd.now_ns // NS_PER_S, changes.events[0].key)))
    etcd.advance(60)
    assert seen == [(10, "/early"), (20, "/late")]
    assert etcd.now_ns == 60 * NS_PER_S


def test_the_clock_does_not_go_back() -> None:
    etcd = FakeEtcd()
    etcd.advance(5)
    etcd.advance_to(3 * NS_PER_S)
    assert etcd.now_ns == 5 * NS_PER_S


def test_the_next_event_is_known() -> None:
    etcd = FakeEtcd()
    assert etcd.next_event_ns() is None
    etcd.grant_now(10)
    timer = etcd.call_later(3, lambda: None)
    assert etcd.next_event_ns() == 3 * NS_PER_S
    timer.cancel()
    assert etcd.next_event_ns() == 10 * NS_PER_S


def test_a_key_that_was_put_again_without_its_lease_stays() -> None:
    etcd = FakeEtcd()
    lease = etcd.grant_now(10)
    etcd.commit_now(put("/k", lease=lease))
    etcd.commit_now(put("/k", "kept"))
    etcd.expire(lease)
    kept = etcd.get_now("/k")
    assert kept is not None
    assert (kept.value, kept.lease) == ("kept", 0)


def test_history_is_told_by_revision_and_prefix_until_it_is_compacted() -> None:
    etcd = FakeEtcd()
    first = etcd.commit_now(Txn(then=(Put("/a/1", "x"), Put("/b/1", "y")))).revision
    second = etcd.commit_now(Txn(then=(DeletePrefix("/a/"),))).revision
    put_event = etcd.changes_after(first - 1, "/a/")[0].events[0]
    assert put_event.kv is not None and put_event.kv.value == "x"
    assert etcd.changes_after(first, "/a/") == (Changes(second, (Event("/a/1", None),)),)
    assert etcd.changes_after(first, "/b/") == ()
    etcd.compact()
    assert etcd.changes_after(second) == ()
    with pytest.raises(Compacted):
        etcd.changes_after(first)


def test_a_transaction_that_changes_nothing_makes_no_revision() -> None:
    etcd = FakeEtcd()
    before = etcd.revision
    assert etcd.commit_now(Txn(then=(Delete("/none"),))).revision == before
    assert etcd.commit_now(Txn((ModRevisionIs("/none", 5),), (Put("/k", "v"),))).succeeded is False
    assert etcd.revision == before


def test_a_refused_transaction_changes_nothing() -> None:
    etcd = FakeEtcd()
    with pytest.raises(LeaseExpired):
        etcd.commit_now(Txn(then=(Put("/a", "v"), Put("/b", "v", lease=7))))
    with pytest.raises(StoreRefused):
        etcd.commit_now(Txn(then=(Put("/a", "v"), DeletePrefix("/"))))
    assert etcd.range_now("").kvs == {}


def test_a_failed_transaction_reads_what_it_was_told_to() -> None:
    etcd = FakeEtcd()
    etcd.commit_now(put("/a/1", "x"))
    etcd.commit_now(put("/b", "y"))
    result = etcd.commit_now(Txn((KeyAbsent("/b"),), (Put("/b", "z"),), (Range("/a/"), Get("/b"), Get("/c"))))
    assert result.succeeded is False
    assert {key: kv.value for key, kv in result.found.items()} == {"/a/1": "x", "/b": "y"}
