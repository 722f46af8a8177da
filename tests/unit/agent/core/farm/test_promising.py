"""A director without etcd goes on for as long as all that answer promise not to direct; and a promise is kept."""

from dataclasses import replace

import pytest

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.limits import PROMISE_NS
from agent.core.farm.promising import bound_until_ns, may_until_ns
from agent.core.farm.settings import SECOND_NS
from agent.core.state import Lease
from tests.unit.agent.core.farm.desk import CLUSTER, KEYS, TWO, VIP, VIP6, Desk, names

PROMISE_S = PROMISE_NS / SECOND_NS


def _member() -> Desk:
    """``a`` is ready, ``b`` directs, and has asked it."""
    desk = Desk()
    desk.is_up("b", "c")
    desk.directs("b")
    desk.start()
    desk.pass_time(2)
    desk.told(k.Commit)
    return desk


def _promises(desk: Desk) -> dict[str, str]:
    assert desk.state.answering is not None
    return dict(desk.state.answering.promises)


def _director(*, promising: bool = True) -> Desk:
    """``a`` directs, ``b`` answers, and etcd is silent."""
    desk = Desk()
    desk.is_up("b")
    desk.direct()
    desk.hear("b", promises=promising)
    desk.settle()
    desk.load()
    for _ in range(4):
        desk.hear("b", promises=promising)
        desk.settle()
        if desk.state.loading:
            desk.load()
    _fall_silent(desk)
    return desk


def _fall_silent(desk: Desk) -> None:
    """Etcd does, with five seconds of the lease left."""
    desk.deadline_ns = desk.now_ns + 5 * SECOND_NS
    desk.state = replace(desk.state, lease=Lease(desk.leases["a"], desk.deadline_ns))
    desk.give(e.StoreSilent())
    desk.commands.clear()


def _stood(desk: Desk) -> bool:
    return any(c.tag is e.Tag.DIRECT for c in desk.told(k.Commit))


# The members


def test_a_member_promises_the_director_and_nobody_without_one() -> None:
    desk = _member()
    assert _promises(desk) == {VIP: "b"}
    desk.directs("c")
    desk.look()
    assert _promises(desk) == {VIP: "c"}
    alone = Desk()
    alone.direct()
    assert _promises(alone) == {}


def test_without_etcd_it_goes_on_promising() -> None:
    desk = _member()
    desk.give(e.StoreSilent())
    desk.pass_time(60)
    assert _promises(desk) == {VIP: "b"}


def test_without_etcd_it_promises_whoever_directs() -> None:
    """Another node became the director just before etcd fell silent, and this one's watch was late."""
    desk = _member()
    desk.give(e.StoreSilent())
    desk.silent = {"b"}
    desk.give(fe.Asked("c", {VIP: 0}))
    assert _promises(desk) == {VIP: "b"}, "b was heard a moment ago"
    desk.pass_time(PROMISE_S)
    desk.give(fe.Asked("c", {VIP: 0}))
    assert _promises(desk) == {VIP: "c"}


def test_a_new_agent_promises_before_it_has_heard_etcd() -> None:
    """Else the director without etcd ended with the agent of any member."""
    desk = Desk(left=True)
    desk.give(fe.Asked("b", {VIP: 0}))
    assert _promises(desk) == {VIP: "b"}


def test_a_promise_is_kept_when_the_key_is_gone() -> None:
    desk = _member()
    desk.give(fe.Asked("b", {VIP: 0}))
    desk.delete(CLUSTER.node("b"))
    desk.delete(KEYS.director(VIP))
    desk.look()
    assert _promises(desk) == {} and not _stood(desk)
    desk.pass_time(PROMISE_S - 0.05)
    assert not _stood(desk)
    desk.pass_time(0.06)
    assert _stood(desk) and desk.director() == "a"


def test_one_promise_does_not_shorten_another() -> None:
    desk = _member()
    desk.give(fe.Asked("b", {VIP: 0}))
    until_ns = bound_until_ns(desk.state, VIP)
    assert until_ns == desk.now_ns + PROMISE_NS
    desk.directs("c")
    desk.look()
    desk.delete(KEYS.director(VIP))
    desk.look()
    assert bound_until_ns(desk.state, VIP) == until_ns, "to b, though c was promised last, and never asked"


def test_a_new_agent_waits_for_what_its_former_one_may_have_promised() -> None:
    desk = Desk(left=True)
    begun_ns = desk.now_ns
    desk.start()
    assert begun_ns + PROMISE_NS <= bound_until_ns(desk.state, VIP)
    assert desk.director() == ""
    desk.pass_time(PROMISE_S + 1)
    assert desk.director() == "a"


def test_what_is_being_taken_off_the_network_is_directed_still() -> None:
    desk = _director()
    desk.pass_time(8, "b")
    desk.hear("b")
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP)]
    assert desk.state.told_directs.keys() == {VIP}


def test_also_where_the_directors_agent_has_a_new_lease() -> None:
    desk = _member()
    desk.give(fe.Asked("b", {VIP: 0}))
    desk.delete(KEYS.director(VIP))
    desk.leases["b"] = desk.etcd.grant_now(100)
    desk.put(CLUSTER.node("b"), desk.view().common.nodes["b"].record.node and _node(desk), "b")
    desk.look()
    desk.pass_time(PROMISE_S - 0.05)
    assert not _stood(desk)


def _node(desk: Desk) -> str:
    kv = desk.etcd.get_now(CLUSTER.node("b"))
    assert kv is not None
    return kv.value


def test_who_has_deleted_its_key_needs_no_promise() -> None:
    desk = _member()
    desk.give(fe.Asked("b", {VIP: 0}))
    desk.delete(KEYS.director(VIP))
    desk.look()
    assert _stood(desk)


def test_nor_who_says_that_it_does_not_direct_any_more() -> None:
    desk = _member()
    desk.give(fe.Asked("b", {VIP: 0}))
    desk.delete(CLUSTER.node("b"))
    desk.delete(KEYS.director(VIP))
    desk.look()
    desk.give(fe.Asked("b", {VIP: 0}))
    assert not _stood(desk)
    desk.give(fe.Asked("b", {}))
    assert _stood(desk)


def test_while_it_takes_a_dead_directors_key_it_promises_nothing() -> None:
    desk = _member()
    desk.silent = {"b"}
    while desk.state.open is None:
        desk.now_ns = max(desk.now_ns + SECOND_NS // 50, desk.now_ns)
        desk.give(e.Tick())
    assert _promises(desk) == {}
    desk.give(e.TxnFailed(e.Tag.DIRECT, "no etcd"))
    assert _promises(desk) == {}, "it is suspected still"
    desk.give(fe.Asked("b", {VIP: 0}))
    assert _promises(desk) == {VIP: "b"}


# The director


def test_it_goes_on_past_its_lease_and_its_kernel_never_ends_it() -> None:
    desk = _director()
    until_ns = desk.deadline_ns
    for _ in range(200):
        desk.pass_time(0.1)
        desk.hear("b", promises=True)
        until_ns = max([until_ns, *(c.deadline_ns for c in desk.told(k.ServeUntil))])
        assert desk.now_ns < until_ns and desk.state.phase(VIP) == "held"
        assert until_ns <= max(desk.deadline_ns, desk.now_ns + PROMISE_NS)
    assert desk.word == "UP ready serving_without_store"


def test_the_first_answer_without_the_promise_ends_it() -> None:
    desk = _director()
    desk.pass_time(8, "b")
    assert desk.told(fk.Undirect) == []
    desk.hear("b")
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP)]
    desk.give(fe.Undirected(VIP))
    assert desk.state.told_directs == {}, "and it says so"
    desk.hear("b", promises=True)
    assert fk.Direct(VIP) in desk.told(fk.Direct), "it may have been a moment's doubt"


def test_a_promise_counts_from_when_it_was_asked_for_however_late_the_answer_is_heard() -> None:
    """Its giver counts from then, and may direct after it: the answer lay there while this node was frozen, say."""
    desk = _director()
    desk.pass_time(5.2, "b")
    answer, asked_ns = desk.state.heard["b"].answer, desk.now_ns - SECOND_NS
    desk.give(replace(answer, asked_ns=asked_ns))
    assert desk.deadline_ns < desk.now_ns
    assert may_until_ns(desk.state, VIP, desk.now_ns) == asked_ns + PROMISE_NS


def test_one_that_is_not_ready_cannot_direct() -> None:
    """An agent that has just begun promises with its second answer."""
    desk = _director()
    desk.pass_time(8, "b")
    desk.hear("b", adopting=True)
    desk.pass_time(1)
    desk.hear("b", promises=True)
    assert desk.told(fk.Undirect) == [] and desk.state.told_until_ns > desk.now_ns


def test_another_director_ends_it() -> None:
    """It is not ready any more, and nobody else can have the address: it directs still."""
    desk = _director()
    desk.pass_time(8, "b")
    desk.hear("b", ready=False)
    assert desk.told(fk.Undirect) == []
    desk.give(fe.Asked("b", {VIP: 0}))
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP)]


def test_while_its_lease_holds_it_needs_no_promise() -> None:
    desk = _director(promising=False)
    desk.pass_time(4.9, "b")
    assert desk.told(fk.Undirect) == []
    desk.pass_time(0.2, "b")
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP)]


def test_one_that_dies_meanwhile_ends_nothing() -> None:
    desk = _director()
    desk.hear("c", promises=True)
    desk.pass_time(8, "b", "c")
    until_ns = max(c.deadline_ns for c in desk.told(k.ServeUntil))
    for _ in range(60):
        desk.pass_time(0.1)
        desk.hear("b", promises=True)
        until_ns = max([until_ns, *(c.deadline_ns for c in desk.told(k.ServeUntil))])
        assert desk.now_ns < until_ns
    assert desk.state.phase(VIP) == "held"


def test_where_nobody_answers_it_goes_on_by_itself() -> None:
    desk = _director()
    desk.pass_time(30)
    assert desk.told(fk.Undirect) == [] and desk.state.told_until_ns > desk.now_ns


def test_one_that_was_frozen_has_no_right_left_until_it_is_promised_again() -> None:
    desk = _director()
    desk.pass_time(8, "b")
    desk.now_ns += 3 * SECOND_NS
    desk.give(e.Tick())
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP)]
    desk.give(fe.Undirected(VIP))
    desk.pass_time(3)
    assert desk.told(fk.Direct) == [], "by itself it goes on, and does not begin again"
    desk.hear("b", promises=True)
    assert desk.told(fk.Direct) == [fk.Direct(VIP)]


@pytest.mark.parametrize("what", ["its lease", "its key", "its right to run"])
def test_it_ends_with(what: str) -> None:
    desk = _director()
    desk.pass_time(8, "b")
    match what:
        case "its lease":
            desk.give(e.LeaseLost())
        case "its key":
            desk.delete(KEYS.director(VIP))
            desk.look()
        case _:
            desk.give(e.AgentStopping())
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP)]


def test_when_etcd_is_back_with_its_key_nothing_happens_on_the_network() -> None:
    desk = _director()
    desk.pass_time(20, "b")
    desk.told(fk.Direct)
    desk.look()
    desk.give(e.StoreHeard())
    desk.hear("b", promises=True)
    desk.renew()
    desk.hear("b", promises=True)
    desk.pass_time(3, "b")
    assert desk.told(fk.Undirect) == [] and desk.word == "UP ready serving"


def test_each_address_is_promised_by_itself() -> None:
    desk = Desk(TWO)
    desk.is_up("b")
    desk.direct()
    desk.pass_time(2)
    for address in (VIP, VIP6):
        if desk.state.phase(address) != "held":
            desk.give(fe.Directing(address))
    desk.hear("b", promises=True)
    _fall_silent(desk)
    desk.pass_time(6, "b")
    desk.told(fk.Undirect)
    said = desk.state.heard["b"].answer
    desk.give(replace(said, promises=frozenset({VIP6}), asked_ns=desk.now_ns))
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP)] and desk.state.phase(VIP6) == "held"


def test_no_table_is_written_meanwhile() -> None:
    desk = _director()
    desk.told(k.Commit)
    desk.hear("c", promises=True)
    desk.pass_time(10, "b", "c")
    assert names(desk.told(k.Commit)) == []
