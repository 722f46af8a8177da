"""A member whose agent is away, or takes over what the former one left, keeps its share, and for how long."""

import pytest

from agent.core import events as e
from agent.core.farm import events as fe
from agent.core.farm.directing import awaited
from agent.core.farm.limits import AGENT_AWAY_NS, REFUSED_NS
from agent.core.farm.settings import SECOND_NS
from manager.model.codec import encode
from manager.model.farm import SLOTS
from manager.model.records import NodeRecord
from tests.unit.agent.core.farm.desk import CLUSTER, KEYS, VIP, Desk, shared_table
from tests.unit.agent.core.farm.test_directing import DEAD_S, settle_all, shared

AWAY_S = AGENT_AWAY_NS / SECOND_NS


def _new_director(desk: Desk) -> None:
    """``a`` begins to direct by a table of b and c."""
    desk.set_table(shared_table("12"))
    desk.start()
    desk.settle()
    desk.give(fe.Directing(VIP))


def test_one_whose_agent_is_away_keeps_its_slots_for_a_while() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    before = desk.table()
    desk.pass_time(AWAY_S - 0.3, "c", refusing=["b"])
    assert desk.table() == before
    desk.pass_time(1, "c", refusing=["b"])
    assert set(desk.table().shares()) == {"a", "c"}


def _lease_ends(desk: Desk, node: str) -> None:
    """With all that hangs on it."""
    for key in (KEYS.director(VIP), KEYS.member(node), CLUSTER.node(node)):
        desk.delete(key)
    desk.look()


def _follower(desk: Desk) -> None:
    """``a``, ``b`` and ``c`` have their shares; b, which directs, asks nobody any more, and is asked itself."""
    desk.is_up("b", "c")
    desk.directs("b")
    desk.set_table(shared_table("012"))
    desk.start()
    desk.silent = {"b"}
    desk.pass_time(DEAD_S / 2 + 0.01)
    desk.hear("c", number=desk.table().number)


def _takes_its_place(desk: Desk) -> None:
    _lease_ends(desk, "b")
    desk.settle()
    assert desk.director() == "a"
    desk.give(fe.Directing(VIP), fe.Refused("b", desk.now_ns))
    desk.hear("c", number=desk.table().number)
    desk.settle()


def test_so_does_a_director_whose_lease_ends_meanwhile() -> None:
    desk = Desk()
    _follower(desk)
    before = desk.table()
    desk.pass_time(4, "c", refusing=["b"])
    assert desk.director() == "b"
    _takes_its_place(desk)
    desk.pass_time(AWAY_S - 6, "c", refusing=["b"])
    assert desk.table() == before
    desk.hear("b", adopting=True, number=0)
    desk.hear("b", number=before.number)
    desk.settle()
    assert desk.table() == before
    desk.pass_time(DEAD_S + 0.1, "c")
    assert set(desk.table().shares()) == {"a", "c"}


def test_but_not_one_whose_machine_was_silent_before_its_lease_ended() -> None:
    """It was started again, without an agent yet: nothing is left there of what it had."""
    desk = Desk()
    _follower(desk)
    desk.pass_time(DEAD_S / 2 - 0.05, "c")
    # What it wrote last comes late: so it is not replaced before its lease ends.
    desk.put(CLUSTER.node("b"), encode(NodeRecord("b", ("host-b",), "1", "boot-b", "", 2)), "b")
    desk.look()
    desk.pass_time(0.5, "c")
    desk.pass_time(1, "c", refusing=["b"])
    assert desk.director() == "b"
    _takes_its_place(desk)
    desk.pass_time(1, "c", refusing=["b"])
    assert set(desk.table().shares()) == {"a", "c"}


def test_a_machine_says_so_once_a_second_and_one_of_these_may_be_lost() -> None:
    """As Linux bounds it: an ICMP error goes to one station once a second at the most, after the first six."""
    desk = Desk()
    shared(desk, "b", "c")
    before = desk.table()
    desk.pass_time(1.5, "c", refusing=["b"])
    for _ in range(3):
        desk.pass_time(2.25, "c")
        desk.give(fe.Refused("b", desk.now_ns))
    assert desk.table() == before


def test_a_machine_that_dies_with_its_agent_says_nothing_and_has_no_more_time_for_that() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    desk.pass_time(3, "c", refusing=["b"])
    desk.hear("b")
    desk.pass_time(DEAD_S + 0.01, "c")
    assert set(desk.table().shares()) == {"a", "c"}


def test_so_does_one_that_takes_over_what_the_former_agent_left() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    before = desk.table()
    desk.pass_time(1, "c", refusing=["b"])
    desk.hear("b", adopting=True, number=0)
    desk.pass_time(AWAY_S - 1.3, "b", "c")
    assert desk.table() == before
    desk.pass_time(1, "b", "c")
    assert set(desk.table().shares()) == {"a", "c"}, "it does not come to its end"


def test_once_it_is_ready_it_may_be_away_again_for_as_long() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    before = desk.table()
    for _ in range(3):
        desk.pass_time(AWAY_S / 2, "c", refusing=["b"])
        desk.hear("b")
    assert desk.table() == before


def test_one_that_falls_silent_meanwhile_is_dead() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    desk.pass_time(3, "c", refusing=["b"])
    desk.pass_time(REFUSED_NS / SECOND_NS + 0.1, "c")
    assert set(desk.table().shares()) == {"a", "c"}


def test_one_that_takes_nothing_any_more_loses_its_slots_at_once() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    desk.hear("b", adopting=True)
    desk.settle()
    assert "b" in desk.table().shares()
    desk.hear("b", ready=False)
    desk.settle()
    assert "b" not in desk.table().shares()


def test_a_machine_that_was_silent_before_has_nothing_left() -> None:
    """It was started again: its agent comes later."""
    desk = Desk()
    shared(desk, "b")
    desk.give(e.StoreSilent())
    desk.pass_time(DEAD_S + 0.1)
    desk.give(fe.Refused("b", desk.now_ns), e.StoreHeard())
    desk.settle()
    assert desk.table().shares() == {"a": SLOTS}


def test_an_agent_that_was_silent_before_may_have_all_still() -> None:
    """It says so itself."""
    desk = Desk()
    shared(desk, "b")
    before = desk.table()
    desk.give(e.StoreSilent())
    desk.pass_time(DEAD_S + 0.1)
    desk.give(fe.Refused("b", desk.now_ns))
    desk.hear("b", adopting=True)
    desk.give(e.StoreHeard())
    desk.settle()
    assert desk.table() == before


def test_others_die_and_it_is_given_nothing() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    own = desk.table().shares()["b"]
    desk.pass_time(DEAD_S + 0.1, refusing=["b"])
    assert desk.table().shares() == {"a": SLOTS - own, "b": own}


def test_what_is_on_its_way_waits_for_it() -> None:
    desk = Desk()
    desk.is_up("b")
    desk.direct()
    desk.hear("b")
    desk.settle()
    coming = desk.table()
    assert coming.coming.count("1")
    desk.load()
    desk.pass_time(5, refusing=["b"])
    assert desk.table() == coming and awaited(desk.state, VIP, desk.now_ns) == {"b": coming.number - 1}
    desk.hear("b")
    settle_all(desk, "b")
    assert desk.table().shares() == {"a": SLOTS // 2, "b": SLOTS // 2}


@pytest.mark.parametrize("says", ["it is up", "it is gone"])
def test_a_new_director_believes_what_it_has_published(says: str) -> None:
    desk = Desk()
    desk.is_up("b", "c")
    if says == "it is gone":
        desk.delete(CLUSTER.node("b"))
        desk.delete(KEYS.member("b"))
    _new_director(desk)
    desk.hear("c", number=7)
    desk.pass_time(DEAD_S + 1, "c", refusing=["b"])
    assert ("1" in desk.table().owners) is (says == "it is up")


def test_a_new_director_believes_one_that_takes_over() -> None:
    desk = Desk()
    _new_director(desk)
    desk.hear("b", adopting=True, number=0)
    desk.hear("c", number=7)
    desk.pass_time(DEAD_S + 1, "b", "c")
    assert desk.table() == shared_table("12")
