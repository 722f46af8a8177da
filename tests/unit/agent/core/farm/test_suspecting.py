"""A dead director is replaced before its lease has ended, and no other one is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.limits import JOIN_AGAIN_NS, NEXT_IN_TURN_NS
from agent.core.farm.settings import DEAD_AFTER_NS, SECOND_NS
from manager.model.codec import encode
from manager.model.farm import SLOTS
from manager.model.records import NodeRecord
from manager.model.states import Run
from manager.store.api import ModRevisionIs
from tests.unit.agent.core.farm.desk import CLUSTER, KEYS, VIP, Desk, names, shared_table

DEAD_S = DEAD_AFTER_NS / SECOND_NS
OTHERS = {"b": "host-b", "c": "host-c"}


def _member() -> Desk:
    """``a`` is ready, ``b`` directs, and has asked it."""
    desk = Desk()
    desk.is_up("b", "c")
    desk.directs("b")
    desk.set_table(shared_table("012"))
    desk.start()
    desk.pass_time(3)
    desk.told(k.Commit)
    return desk


def _dies(desk: Desk, seconds: float, *answering: str) -> list[k.Commit]:
    """``b`` does not ask any more; what ``a`` has had committed meanwhile."""
    desk.silent = {"b"}
    for node in answering:
        desk.give(fe.Asked(node, {}))
    desk.pass_time(seconds, *(n for n in answering if n in desk.state.heard))
    return desk.told(k.Commit)


def _suspected(desk: Desk) -> Desk:
    """``a`` asks, and ``c`` answers."""
    _dies(desk, DEAD_S / 2)
    desk.hear("c", number=7)
    return desk


def _renew(desk: Desk, node: str = "b", renewal: int = 2) -> None:
    record = NodeRecord(node, (f"host-{node}",), "1", f"boot-{node}", "", renewal)
    desk.put(CLUSTER.node(node), encode(record), node)


def test_nobody_is_suspected_who_asks() -> None:
    desk = _member()
    assert desk.told(fk.Probe) == [] and desk.director() == "b"


def test_one_that_is_not_heard_is_asked_and_then_replaced() -> None:
    desk = _member()
    assert _dies(desk, DEAD_S / 2 - 0.26) == [] and desk.told(fk.Probe) == []
    desk.pass_time(0.3)
    assert desk.told(fk.Probe) == [fk.Probe(OTHERS)]
    desk.hear("c", number=7)
    desk.pass_time(DEAD_S / 2 - 0.3, "c")
    assert desk.director() == "b"
    desk.pass_time(0.3, "c")
    assert desk.director() == "a"


def test_its_slots_go_with_the_first_table_and_the_network_is_not_asked_again() -> None:
    desk = _suspected(_member())
    desk.pass_time(DEAD_S / 2 + 0.01, "c")
    assert desk.director() == "a" and set(desk.table().shares()) == {"a", "c"} and desk.table().is_settled
    assert fk.Direct(VIP, probed=True) in desk.told(fk.Direct)


def test_what_c_has_it_keeps_until_there_was_time_to_hear_it() -> None:
    desk = _member()
    _dies(desk, DEAD_S + 0.01)
    assert desk.director() == "a" and desk.table() == shared_table("012")
    desk.pass_time(DEAD_S / 2)
    assert desk.table().shares() == {"a": SLOTS}


def _refuses(desk: Desk) -> None:
    desk.give(fe.Refused("b", desk.now_ns))


def _answers(desk: Desk) -> None:
    desk.pass_time(0.5, "c")
    desk.hear("b", ready=False)


def _takes_over(desk: Desk) -> None:
    desk.hear("b", adopting=True)


def _renews(desk: Desk) -> None:
    desk.pass_time(0.5, "c")
    _renew(desk)
    desk.look()


def _heard_by_c(desk: Desk) -> None:
    desk.hear("c", number=7)
    said = replace(desk.state.heard["c"].answer, heard_ns={VIP: SECOND_NS // 10})
    for _ in range(4):
        desk.give(said)
        desk.pass_time(0.25)


def _etcd_silent(desk: Desk) -> None:
    desk.give(e.StoreSilent())


def _no_lease(desk: Desk) -> None:
    desk.give(e.LeaseLost())


def _no_link(desk: Desk) -> None:
    desk.give(fe.Links({}))


def _drained_out(desk: Desk) -> None:
    desk.want("a", Run.STOPPED)
    desk.look()


def _frozen(desk: Desk) -> None:
    desk.now_ns += 2 * SECOND_NS
    desk.give(e.Tick())


def _other_key(desk: Desk) -> None:
    desk.put(KEYS.director(VIP), '{"node": "c", "address": "10.0.0.10"}', "c")
    desk.silent.add("c")
    desk.look()


@pytest.mark.parametrize(
    "against",
    [
        _refuses, _answers, _takes_over, _renews, _heard_by_c, _etcd_silent, _no_lease, _no_link, _drained_out, _frozen,
        _other_key,
    ],
)  # fmt: skip
def test_but_not_when_anything_speaks_against_it(against: Callable[[Desk], None]) -> None:
    desk = _suspected(_member())
    against(desk)
    desk.pass_time(DEAD_S / 2 + 0.05, *(["c"] if "c" in desk.state.heard else []))
    assert desk.director() != "a" and not [c for c in desk.told(k.Commit) if c.tag is e.Tag.DIRECT]


def test_a_machine_without_its_agent_is_left_to_its_lease() -> None:
    desk = _suspected(_member())
    desk.give(fe.Refused("b", desk.now_ns))
    desk.pass_time(30, "c")
    assert desk.director() == "b"
    desk.delete(KEYS.director(VIP))
    desk.look()
    desk.settle()
    desk.pass_time(2)
    assert desk.director() == "a"


def test_one_that_has_never_been_heard_is_given_the_same_time() -> None:
    desk = Desk()
    desk.silent = {"b"}
    desk.is_up("b", "c")
    desk.directs("b")
    desk.set_table(shared_table("012"))
    desk.start()
    desk.pass_time(DEAD_S - 0.05)
    assert desk.director() == "b"
    desk.pass_time(0.1)
    assert desk.director() == "a"


def test_who_is_behind_another_that_answers_gives_it_time() -> None:
    desk = Desk()
    desk.is_up("b", "c")
    desk.settings = replace(desk.settings, config=replace(desk.settings.config, nodes=("c", "a", "b")))
    desk.state = replace(desk.state, settings=desk.settings)
    desk.directs("b")
    desk.set_table(shared_table("012"))
    desk.start()
    desk.pass_time(1)
    desk = _suspected(desk)
    desk.pass_time(DEAD_S / 2 + 0.05, "c")
    assert desk.director() == "b"
    desk.pass_time(NEXT_IN_TURN_NS / SECOND_NS, "c")
    assert desk.director() == "a"


def test_one_that_has_renewed_since_is_not_replaced() -> None:
    """This node's watch shows it late; or this node was frozen before it asked; or its request was executed late."""
    desk = _suspected(_member())
    while desk.state.open is None:
        desk.now_ns += SECOND_NS // 20
        desk.hear("c", number=7)
    assert ModRevisionIs(CLUSTER.node("b"), 5) in desk.state.open.commit.txn.guards
    _renew(desk)
    desk.answer()
    assert desk.director() == "b"
    desk.look()
    desk.pass_time(0.9, "c")
    assert desk.director() == "b"


def test_one_that_has_lost_its_key_is_off_the_network_and_does_not_take_it_back() -> None:
    desk = Desk()
    desk.is_up("b", "c")
    desk.direct()
    desk.put(KEYS.director(VIP), '{"node": "b", "address": "10.0.0.10"}', "b")
    assert names(desk.look()) == ["Undirect", "Probe"]
    desk.give(fe.Undirected(VIP))
    desk.pass_time(5)
    assert desk.director() == "b"


def test_a_director_that_was_replaced_writes_nothing_any_more() -> None:
    """The key has the same beginning still."""
    desk = Desk()
    desk.is_up("b", "c")
    desk.direct()
    desk.hear("b")
    assert desk.state.open is not None and desk.state.open.commit.tag is e.Tag.SLOTS
    before = desk.table()
    desk.put(KEYS.director(VIP), '{"node": "b", "address": "10.0.0.10"}', "b")
    desk.answer()
    assert desk.table() == before and "Undirect" in names(desk.commands)


def test_one_that_asks_and_claims_nothing_is_deaf_and_replaced_as_one_that_is_dead() -> None:
    desk = _member()
    desk.silent = {"b"}
    for _ in range(7):
        desk.give(fe.Asked("b", {}))
        desk.pass_time(0.25, *(["c"] if "c" in desk.state.heard else []))
        if desk.state.probing:
            desk.hear("c", number=7)
    assert desk.director() == "a"
    assert set(desk.table().shares()) == {"a", "c"}, "it answers nothing: its share goes at once, though it asks still"


@pytest.mark.parametrize("first", ["ready", "adopting"])
def test_one_that_was_replaced_and_runs_again_has_to_wait_as_any_that_was_lost(first: str) -> None:
    desk = _suspected(_member())
    desk.pass_time(DEAD_S / 2 + 0.01, "c")
    assert desk.director() == "a" and desk.table().shares().keys() == {"a", "c"}
    desk.give(fe.Asked("b", {VIP: 7}))
    if first == "adopting":
        desk.hear("b", adopting=True)
        desk.pass_time(0.5, "b", "c")
    desk.hear("b")
    desk.pass_time(JOIN_AGAIN_NS / SECOND_NS - 0.1, "b", "c")
    assert "1" not in desk.table().coming + desk.table().owners
    desk.pass_time(0.2, "b", "c")
    assert "1" in desk.table().coming


def test_what_the_former_director_wrote_last_is_waited_for() -> None:
    desk = _suspected(_member())
    while desk.state.open is None:
        desk.now_ns += SECOND_NS // 20
        desk.hear("c", number=7)
    desk.set_table(shared_table("21", 8))
    desk.answer()
    assert desk.told(fk.Direct) == [] and desk.state.open is None
    desk.look()
    desk.load()
    desk.settle()
    assert desk.table().number >= 8 and desk.told(fk.Direct) == [fk.Direct(VIP, probed=True)]
