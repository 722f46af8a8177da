"""Which table a director writes next: by who answers it, and by nothing else."""

from dataclasses import replace

import pytest

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.directing import awaited
from agent.core.farm.limits import JOIN_AGAIN_NS, SETTLE_NS
from agent.core.farm.settings import SECOND_NS
from manager.model.farm import SLOTS, SlotTable, empty_table
from manager.model.states import Run
from tests.unit.agent.core.farm.desk import CLUSTER, CONFIG, KEYS, VIP, VIP6, Desk, names

DEAD_S = 1.5


def shared(desk: Desk, *nodes: str) -> None:
    """``a`` directs, and it and ``nodes`` have their shares, settled."""
    desk.is_up(*nodes)
    desk.direct()
    settle_all(desk, *nodes)
    assert desk.table().is_settled and set(desk.table().shares()) == {"a", *nodes}


def settle_all(desk: Desk, *nodes: str) -> None:
    """All answer with the present numbers until no slot is on its way."""
    for _ in range(10):
        for node in nodes:
            desk.hear(node)
        if desk.state.counting is not None:
            desk.give(fe.Counted({}))
        desk.settle()
        if desk.state.loading:
            desk.load()
            desk.settle()


def _table(desk: Desk, owners: str, number: int = 7) -> SlotTable:
    nobody = empty_table(desk.settings.config.nodes)
    return replace(nobody, number=number, owners=(owners * SLOTS)[:SLOTS])


def test_it_probes_all_others_while_it_directs() -> None:
    desk = Desk()
    desk.direct()
    others = {"b": "host-b", "c": "host-c"}
    assert desk.told(fk.Probe) == [fk.Probe(others), fk.Probe(others, {VIP: 1})]
    desk.give(e.LeaseLost())
    assert desk.told(fk.Probe) == [fk.Probe({})]


def _says_it_directs(desk: Desk) -> bool:
    return VIP in desk.state.told_directs


def test_one_that_hears_neither_etcd_nor_any_node_claims_nothing() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    desk.pass_time(1, "b", "c")
    desk.renew()
    desk.give(e.StoreSilent())
    desk.pass_time(DEAD_S - 0.1)
    assert _says_it_directs(desk)
    desk.pass_time(0.2)
    assert not _says_it_directs(desk) and desk.told(fk.Probe)[-1].endpoints.keys() == {"b", "c"}
    assert desk.state.phase(VIP) == "held", "its lease is its right still"
    desk.hear("b")
    assert _says_it_directs(desk)


@pytest.mark.parametrize("heard", ["etcd", "an answer", "a question", "nothing"])
def test_but_while_it_hears_anything_it_does(heard: str) -> None:
    desk = Desk()
    shared(desk, "b")
    for _ in range(8):
        desk.pass_time(0.5, *(["b"] if heard == "an answer" else []))
        if heard == "etcd":
            desk.renew()
        elif heard == "a question":
            desk.give(fe.Asked("b", {}))
    assert _says_it_directs(desk) is (heard != "nothing")


def test_its_questions_say_by_which_table_its_kernel_shares() -> None:
    desk = Desk()
    shared(desk, "b")
    number = desk.table().number
    assert desk.state.told_directs == {VIP: number}
    desk.hear("b", ready=False)
    desk.settle()
    assert desk.table().number == number + 1 and desk.state.told_directs == {VIP: number}
    desk.load()
    assert desk.told(fk.Probe)[-1].directs == {VIP: number + 1}


def test_those_that_answer_get_their_share_in_phases() -> None:
    desk = Desk()
    desk.is_up("b")
    desk.direct()
    desk.hear("b")
    desk.answer()
    coming = desk.table()
    assert coming.shares() == {"a": SLOTS} and coming.coming.count("1") == SLOTS // 2
    desk.look()
    desk.load()
    desk.hear("b", number=coming.number - 1)
    assert desk.state.open is None, "b has not loaded it"
    desk.hear("b")
    desk.settle()
    assert desk.table().shares() == {"a": SLOTS // 2, "b": SLOTS // 2} and not desk.table().is_settled


def test_the_director_knows_whose_rules_it_waits_for() -> None:
    desk = Desk()
    desk.is_up("b")
    desk.direct()
    desk.hear("b")
    desk.hear("c", ready=False)
    desk.settle()
    desk.hear("b")
    number = desk.table().number
    assert desk.table().coming.count("1") and awaited(desk.state, VIP, desk.now_ns) == {"a": number - 1}
    desk.load()
    desk.hear("b", number=number - 1)
    assert awaited(desk.state, VIP, desk.now_ns) == {"b": number - 1}
    desk.pass_time(DEAD_S + 0.1)
    assert awaited(desk.state, VIP, desk.now_ns) == {}, "it is dead: nobody waits for it"


def test_for_a_settled_table_nobody_is_waited_for_and_no_other_node_knows() -> None:
    desk = Desk()
    shared(desk, "b")
    desk.hear("b", number=1)
    assert awaited(desk.state, VIP, desk.now_ns) == {}
    desk.set_table(replace(_table(desk, "1", number=9), coming="0" * SLOTS))
    desk.directs("b")
    desk.look()
    assert awaited(desk.state, VIP, desk.now_ns) == {}


def test_one_that_does_not_answer_loses_its_slots_at_once() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    desk.pass_time(DEAD_S - 0.1, "c")
    assert "b" in desk.table().shares()
    desk.pass_time(0.2, "c")
    assert set(desk.table().shares()) == {"a", "c"} and desk.table().is_settled


def test_one_that_answers_keeps_its_slots_without_its_lease() -> None:
    desk = Desk()
    shared(desk, "b")
    desk.delete(CLUSTER.node("b"))
    desk.delete(KEYS.member("b"))
    desk.look()
    desk.pass_time(5, "b")
    assert "b" in desk.table().shares()
    assert desk.told(fk.Probe)[-1].endpoints == {"b": "host-b", "c": "host-c"}
    assert desk.told(fk.LoadRules) == []


def test_one_that_says_it_is_not_ready_loses_them_at_once() -> None:
    desk = Desk()
    shared(desk, "b")
    desk.hear("b", ready=False)
    desk.settle()
    assert desk.table().shares() == {"a": SLOTS}


def test_a_new_director_gives_all_the_time_to_be_heard() -> None:
    desk = Desk()
    desk.set_table(_table(desk, "12"))
    desk.start()
    desk.settle()
    desk.give(fe.Directing(VIP))
    desk.pass_time(0.5)
    desk.hear("b")
    desk.settle()
    assert desk.table().number == 7, "c may live as well"
    desk.pass_time(DEAD_S - 0.6, "b")
    assert desk.table().number == 7
    desk.pass_time(0.3, "b")
    assert desk.table().shares().keys() == {"a", "b"} or desk.table().coming.count("0")
    assert desk.table().owners.count("2") == 0


def test_one_that_was_frozen_takes_nobody_for_dead() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    number = desk.table().number
    desk.now_ns += 5 * SECOND_NS
    desk.give(e.Tick())
    assert desk.state.open is None
    desk.hear("b")
    desk.pass_time(1, "b")
    assert desk.table().number == number, "c has not had the time to answer yet"
    desk.pass_time(1, "b")
    assert set(desk.table().shares()) == {"a", "b"}


def test_what_flaps_has_to_wait() -> None:
    desk = Desk()
    shared(desk, "b", "c")
    desk.pass_time(DEAD_S + 0.1, "c")
    desk.hear("b")
    desk.pass_time(JOIN_AGAIN_NS / SECOND_NS - 0.1, "b", "c")
    assert "1" not in desk.table().coming
    desk.pass_time(0.2, "b", "c")
    assert "1" in desk.table().coming


def test_but_not_where_no_other_node_may_serve() -> None:
    desk = Desk(replace(CONFIG, chain=(("b",), ("a", "c")), weights={"a": 0, "c": 0}))
    desk.is_up("b", "c")
    desk.direct()
    settle_all(desk, "b", "c")
    assert set(desk.table().shares()) == {"b"}
    desk.pass_time(DEAD_S + 0.1, "c")
    assert not desk.table().shares()
    desk.hear("b")
    desk.pass_time(0.3, "b", "c")
    assert set(desk.table().shares()) == {"b"}


def test_one_that_starts_need_not_wait() -> None:
    desk = Desk()
    desk.direct()
    desk.hear("b", ready=False)
    desk.now_ns += SECOND_NS // 4
    desk.hear("b")
    desk.settle()
    assert "1" in desk.table().coming


def test_what_is_away_for_a_moment_and_has_not_lost_its_slots_keeps_them() -> None:
    desk = Desk()
    shared(desk, "b")
    desk.give(e.StoreSilent())
    desk.pass_time(DEAD_S + 1)
    desk.hear("b")
    desk.give(e.StoreHeard())
    assert desk.state.open is None and "b" in desk.table().shares()


def test_weights_are_the_operators_before_the_configurations() -> None:
    desk = Desk()
    shared(desk, "b")
    desk.want("b", Run.STARTED, weight="3")
    desk.look()
    settle_all(desk, "b")
    assert desk.table().shares() == {"a": SLOTS // 4, "b": 3 * SLOTS // 4}


def test_a_drained_node_keeps_its_connections_for_as_long_as_it_has_them() -> None:
    desk = Desk()
    shared(desk, "b")
    mine = [slot for slot, owner in enumerate(desk.table().owners) if owner == "1"]
    desk.want("b", Run.STARTED, weight="0")
    desk.look()
    for _ in range(6):
        desk.hear("b", busy=mine)
        desk.settle()
        if desk.state.loading:
            desk.load()
    assert desk.table().shares() == {"a": SLOTS} and desk.table().leaving.count("1") == len(mine)
    for _ in range(3):
        desk.hear("b", busy=mine[:1])
        desk.settle()
        if desk.state.loading:
            desk.load()
    assert desk.table().leaving.count("1") == 1


def test_connections_that_end_one_after_the_other_do_not_each_make_a_table() -> None:
    desk = Desk()
    shared(desk, "b")
    mine = [slot for slot, owner in enumerate(desk.table().owners) if owner == "1"]
    desk.want("b", Run.STARTED, weight="0")
    desk.look()
    for _ in range(4):
        desk.hear("b", busy=mine)
        desk.settle()
        if desk.state.loading:
            desk.load()
    before = desk.table()
    assert before.leaving.count("1") == len(mine) and before.switched
    for ended in range(1, 55):
        desk.hear("b", busy=mine[ended * 9 :])
        desk.pass_time(0.5, "b")
    assert desk.table().number - before.number <= 7, "half of them at a time, or what there is every five seconds"
    assert desk.table().leaving.count("1") <= len(mine) // 5
    desk.hear("b")
    desk.settle()
    assert desk.table().is_settled, "the last ones at once"


def test_one_connection_that_stays_does_not_keep_others_from_settling() -> None:
    desk = Desk()
    shared(desk, "b")
    mine = [slot for slot, owner in enumerate(desk.table().owners) if owner == "1"]
    desk.want("b", Run.STARTED, weight="0")
    desk.look()
    for _ in range(4):
        desk.hear("b", busy=mine)
        desk.settle()
        if desk.state.loading:
            desk.load()
    desk.hear("b", busy=mine[1:])
    desk.pass_time(SETTLE_NS / SECOND_NS - 0.3, "b")
    assert desk.table().leaving.count("1") == len(mine)
    desk.pass_time(1, "b")
    assert desk.table().leaving.count("1") == len(mine) - 1


def test_a_node_without_a_link_there_has_no_share_there() -> None:
    desk = Desk()
    desk.direct()
    desk.give(fe.Answered("b", True, {VIP: 1}, {VIP6: "02:00:00:00:00:0b"}))
    desk.settle()
    assert desk.table().shares() == {"a": SLOTS} and desk.table().is_settled


def test_tables_are_numbered_on_from_what_kernels_have() -> None:
    """etcd was restored: it has an older table than the nodes."""
    desk = Desk()
    shared(desk, "b")
    table = desk.table()
    desk.set_table(_table(desk, "1", number=table.number - 1), by="a")
    desk.give(fe.StoreWentBack(desk.view()))
    assert desk.told(fk.LoadRules)[-1].tables[VIP] == table, "what the kernel has by now stays"
    desk.settle()
    assert desk.table() == replace(table, number=table.number + 1, switched=False)
    desk.load()
    desk.give(fe.Answered("b", True, {VIP: 90}, {VIP: "02:00:00:00:00:0b"}))
    desk.answer()
    assert desk.table().number == 91, "and above what any member has"


def test_a_table_that_another_one_wrote_is_taken_over() -> None:
    """A transaction of unknown outcome was executed after all."""
    desk = Desk()
    desk.direct()
    desk.hear("b")
    late = desk.state.open
    assert late is not None
    desk.give(e.TxnUnknown(e.Tag.SLOTS))
    desk.pass_time(0.4)
    assert desk.state.open is None
    desk.etcd.commit_now(late.commit.txn)
    desk.now_ns += SECOND_NS
    desk.hear("b", number=1)
    assert desk.state.open is not None, "its watch has not shown it yet"
    desk.answer()
    assert desk.table().number == 2 and names(desk.commands[-3:]).count("LoadRules") == 1
    assert desk.state.tables[VIP] == desk.table()


def test_only_the_director_writes() -> None:
    desk = Desk()
    shared(desk, "b")
    desk.hear("b", ready=False)
    assert desk.state.open is not None
    desk.delete(KEYS.director(VIP))
    desk.directs("c")
    before = desk.table()
    desk.answer()
    assert desk.table() == before and "Undirect" in names(desk.commands)


@pytest.mark.parametrize("what", ["etcd is silent", "unreadable"])
def test_without_etcd_what_is_shared_stays(what: str) -> None:
    desk = Desk()
    shared(desk, "b")
    before = desk.state.tables[VIP]
    if what == "unreadable":
        desk.put(KEYS.slots(VIP), "{}")
        desk.look()
    else:
        desk.give(e.StoreSilent())
    desk.told(k.Commit)
    desk.pass_time(5)
    assert desk.told(k.Commit) == []
    assert desk.state.loaded == {VIP: before}
