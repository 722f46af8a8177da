"""etcd's messages in and out, without an etcd."""

import pytest
from etcd3 import etcdrpc
from hypothesis import given
from hypothesis import strategies as st

from manager.store import translate
from manager.store.api import CreateRevisionIs, Delete, Get, KeyAbsent, ModRevisionIs, Put, StoreRefused, Txn

KEYS = st.text(min_size=1, max_size=8)


@given(KEYS, KEYS)
def test_a_prefix_covers_what_begins_with_it_and_nothing_else(prefix: str, key: str) -> None:
    request = translate.range_request(prefix)
    for candidate in (key, prefix, prefix + key, prefix[:-1] + key):
        covered = request.key <= candidate.encode() < request.range_end
        assert covered is candidate.startswith(prefix)


def test_the_empty_prefix_is_everything() -> None:
    request = translate.range_request("")
    assert (request.key, request.range_end) == (b"\0", b"\0")


def test_reads_are_linearizable() -> None:
    assert not translate.get_request("/k").serializable
    assert not translate.range_request("/k").serializable


def test_a_transaction_keeps_its_order() -> None:
    request = translate.txn_request(
        Txn((KeyAbsent("/a"), ModRevisionIs("/b", 7)), (Put("/c", "v", 9), Delete("/d")), (Get("/e"),))
    )
    assert [compare.key for compare in request.compare] == [b"/a", b"/b"]
    assert [compare.result for compare in request.compare] == [etcdrpc.Compare.EQUAL] * 2
    put, delete = request.success
    assert (put.request_put.key, put.request_put.value, put.request_put.lease) == (b"/c", b"v", 9)
    assert (delete.request_delete_range.key, delete.request_delete_range.range_end) == (b"/d", b"")
    assert [op.request_range.key for op in request.failure] == [b"/e"]


@pytest.mark.parametrize("guard", [CreateRevisionIs("/k", 0), ModRevisionIs("/k", 0), ModRevisionIs("/k", -1)])
def test_no_revision_is_not_sent_as_the_keys_absence(guard: CreateRevisionIs | ModRevisionIs) -> None:
    with pytest.raises(StoreRefused, match="/k"):
        translate.txn_request(Txn((guard,)))


def test_events_are_put_together_by_revision_and_in_order() -> None:
    def event(key: str, revision: int) -> translate.Message:
        message = etcdrpc.WatchResponse().events.add()
        message.kv.key, message.kv.mod_revision = key.encode(), revision
        return message

    response = etcdrpc.WatchResponse()
    for key, revision in (("/a", 5), ("/b", 5), ("/c", 6), ("/a", 7)):
        response.events.add().CopyFrom(event(key, revision))
    told = [(changes.revision, [one.key for one in changes.events]) for changes in translate.changes(response)]
    assert told == [(5, ["/a", "/b"]), (6, ["/c"]), (7, ["/a"])]


def test_a_response_without_events_tells_nothing() -> None:
    assert list(translate.changes(etcdrpc.WatchResponse(created=True))) == []
