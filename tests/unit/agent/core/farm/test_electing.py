"""Who directs: one at a time, for as long as its lease holds, and off the network before the key is another's."""

import pytest

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.limits import DIRECT_RETRY_NS
from agent.core.farm.settings import SECOND_NS
from agent.core.limits import KILL_NS
from agent.core.state import Addr
from manager.model.codec import encode
from manager.model.farm import empty_table
from manager.model.reasons import Reason
from manager.model.records import ModuleConfigRecord
from manager.model.states import Run
from manager.store.api import KeyAbsent, ModRevisionIs
from tests.unit.agent.core.farm.desk import KEYS, TWO, VIP, VIP6, Desk, names


def _stands(desk: Desk) -> list[str]:
    """The addresses for which it has stood, since they were looked at last."""
    keys = [c.txn.then[0] for c in desk.told(k.Commit) if c.tag is e.Tag.DIRECT]
    return [change.key.rpartition("/")[2] for change in keys if hasattr(change, "key")]


def test_each_address_has_an_order_of_its_own() -> None:
    desk = Desk(TWO)
    desk.is_up("b", "c")
    desk.start()
    assert _stands(desk) == [VIP], "the second address is first b's turn, then c's"
    desk.settle()
    desk.pass_time(0.9)
    assert _stands(desk) == []
    desk.pass_time(0.2)
    assert _stands(desk) == [VIP6]


def test_it_is_elected_only_where_nobody_is() -> None:
    desk = Desk()
    desk.directs("b")
    desk.start()
    assert _stands(desk) == []
    desk.delete(KEYS.director(VIP))
    desk.look()
    assert desk.state.open is not None and KeyAbsent(KEYS.director(VIP)) in desk.state.open.commit.txn.guards


def test_one_that_was_slower_learns_who_was_elected() -> None:
    desk = Desk()
    desk.start()
    desk.directs("b")
    assert desk.answer() == []
    desk.pass_time(5)
    assert desk.director() == "b" and not desk.state.hands and _stands(desk) == [VIP]


@pytest.mark.parametrize("what", ["not ready", "etcd is silent", "no time left", "unreadable", "no link"])
def test_it_does_not_stand(what: str) -> None:
    desk = Desk()
    desk.renew(0.5 if what == "no time left" else 100)
    if what == "unreadable":
        desk.put(KEYS.slots(VIP), "{}")
    if what == "no link":
        desk.give(fe.Links({VIP6: "02:00:00:00:00:0a"}))
    desk.look()
    desk.prepare()
    if what == "etcd is silent":
        desk.give(e.StoreSilent())
    if what != "not ready":
        desk.give(e.ApplicationStarted())
    assert _stands(desk) == []


def test_it_answers_only_by_the_table_that_etcd_has() -> None:
    desk = Desk()
    desk.start()
    desk.settle()
    assert "Direct" not in names(desk.commands), "the first table is not in its kernel"
    assert names(desk.load()) == ["ServeUntil", "Direct", "Probe"]


def test_a_table_that_may_be_older_than_its_key_is_not_shared_by() -> None:
    desk = Desk()
    desk.set_table(empty_table(("a", "b", "c")))
    desk.start()
    assert names(desk.answer()) == ["Probe"], "elected, and b may have written since its watch showed the table"
    assert names(desk.look()) == ["ServeUntil", "Direct", "Probe", "Commit"]


def test_what_it_answers_for_lives_as_long_as_its_lease() -> None:
    desk = Desk()
    desk.direct()
    assert desk.renew(120) == [k.ServeUntil(desk.deadline_ns)]
    desk.now_ns = desk.deadline_ns
    assert desk.give(e.Tick())[:1] == [fk.Undirect(VIP)] and desk.state.is_ready
    desk.give(fe.Undirected(VIP))
    assert names(desk.renew()) == ["ServeUntil", "Direct", "Probe"], "its key is there still"


def test_with_its_lease_it_loses_the_address_and_goes_on_serving() -> None:
    desk = Desk()
    desk.direct()
    assert names(desk.give(e.LeaseLost())) == ["Undirect", "Probe"]
    desk.give(fe.Undirected(VIP))
    desk.pass_time(3)
    assert desk.state.is_ready and desk.word == "UP transient waiting_for_director"


def test_without_etcd_it_says_that_it_serves_for_as_long_as_it_receives() -> None:
    desk = Desk()
    desk.direct()
    desk.give(e.StoreSilent())
    assert desk.word == "UP ready serving_without_store"
    desk.hear("b")
    desk.pass_time(100, "b")
    desk.give(fe.Undirected(VIP))
    assert desk.state.is_ready and desk.word == "UP transient director_unknown"
    desk.give(e.StoreHeard())
    desk.renew()
    desk.look()
    assert desk.word == "UP transient waiting_for_director"
    desk.give(fe.Directing(VIP))
    assert desk.word == "UP ready serving"


def test_without_etcd_a_member_knows_who_receives_while_it_is_asked() -> None:
    desk = Desk()
    desk.is_up("b")
    desk.directs("b")
    desk.start()
    desk.give(e.StoreSilent())
    desk.pass_time(120)
    assert desk.word == "UP ready serving_without_store"
    desk.silent = {"b"}
    desk.pass_time(1.3)
    assert desk.word == "UP ready serving_without_store"
    desk.pass_time(0.3)
    assert desk.word == "UP transient director_unknown" and desk.state.is_ready


def test_without_etcd_and_a_director_it_does_not_say_that_it_serves() -> None:
    desk = Desk()
    desk.is_up("b")
    desk.directs("b")
    desk.start()
    desk.delete(KEYS.director(VIP))
    desk.look()
    desk.give(e.StoreSilent())
    assert desk.word == "UP transient director_unknown"


def test_a_key_of_another_node_ends_it_and_is_left_alone() -> None:
    desk = Desk()
    desk.direct()
    desk.directs("b")
    assert names(desk.look()) == ["Undirect", "Probe"]
    assert desk.give(fe.Undirected(VIP)) == [] and desk.director() == "b"


def test_it_is_off_the_network_before_the_key_is_gone() -> None:
    desk = Desk()
    desk.is_up("b")
    desk.direct()
    desk.want("a", Run.STOPPED)
    assert names(desk.look()) == ["Undirect", "Probe"] and desk.state.open is None
    desk.give(fe.Undirected(VIP))
    assert desk.state.open is not None and isinstance(desk.state.open.commit.txn.guards[0], ModRevisionIs)


def test_who_cannot_answer_for_it_gives_the_key_to_others_for_a_while() -> None:
    desk = Desk()
    desk.start()
    desk.settle()
    desk.load()
    desk.give(fe.DirectFailed(VIP, True, "02:00:00:00:00:99 has it"))
    desk.settle()
    assert desk.director() == "" and desk.word == "UP blocked address_in_use"
    desk.told(k.Commit)
    desk.pass_time(DIRECT_RETRY_NS / SECOND_NS - 0.1)
    assert _stands(desk) == []
    desk.pass_time(0.2)
    assert _stands(desk) == [VIP]
    desk.give(fe.Directing(VIP))
    assert desk.word == "UP ready serving"


def test_one_that_restarts_goes_on_directing_beside_those_that_are_on_their_way_out_too() -> None:
    """None of them could take the key."""
    desk = Desk()
    desk.direct()
    desk.is_up_with("b", {VIP}, Reason.HANDING_OVER)
    desk.look()
    desk.hear("b", is_open=False)
    desk.request("r1", "restart")
    desk.look()
    desk.settle()
    assert desk.word == "UP transient handing_over" and desk.director() == "a"
    assert desk.state.phase(VIP) is Addr.HELD
    desk.is_up("b")
    desk.look()
    assert desk.state.phase(VIP) is Addr.DROPPING


@pytest.mark.parametrize("others", [(), ("b",)])
def test_one_that_is_unfit_stands_down_where_another_one_serves(others: tuple[str, ...]) -> None:
    desk = Desk()
    desk.is_up(*others)
    desk.direct()
    told = names(desk.give(e.ApplicationGone("it died")))
    assert ("Undirect" in told) is bool(others)


@pytest.mark.parametrize(
    "others", ["none", "no link either", "blocked by its rules", "b", "b, which lacks another one"]
)
def test_one_whose_link_is_gone_stands_down_where_another_one_has_its_own(others: str) -> None:
    desk = Desk(TWO)
    if others != "none":
        desk.is_up("b")
    desk.direct()
    match others:
        case "no link either":
            desk.is_up_with("b", {VIP6})
        case "blocked by its rules":
            desk.is_up_with("b", {VIP, VIP6}, Reason.RULES_FAILED)
        case "b, which lacks another one":
            desk.is_up_with("b", {VIP}, Reason.ADDRESS_FAILED)
    desk.look()
    held = desk.state.is_director(VIP)
    assert held
    told = desk.give(fe.Links({VIP6: "02:00:00:00:00:0a"}))
    assert (fk.Undirect(VIP) in told) is (others not in ("none", "no link either"))
    if fk.Undirect(VIP) not in told:
        assert desk.director(VIP) == "a"
        return
    desk.give(fe.Undirected(VIP))
    desk.settle()
    assert desk.director(VIP) == ""
    desk.told(k.Commit)
    desk.pass_time(5)
    assert VIP not in _stands(desk)


def test_one_without_a_link_hands_its_key_on_once_another_one_has_a_link_there() -> None:
    desk = Desk()
    desk.is_up_with("b", set())
    desk.direct()
    assert fk.Undirect(VIP) not in desk.give(fe.Links({}))
    desk.is_up("b")
    assert fk.Undirect(VIP) in desk.look()


def test_a_stand_that_is_executed_late_is_found_out() -> None:
    desk = Desk()
    desk.start()
    late = desk.state.open
    assert late is not None
    desk.give(e.TxnUnknown(e.Tag.DIRECT))
    assert desk.look() == [], "not at once again"
    desk.etcd.commit_now(late.commit.txn)
    assert names(desk.look()) == ["Probe"] and desk.director() == "a"
    desk.pass_time(1)
    assert desk.table().number == 1, "it goes on as the director"


def test_a_stand_that_is_executed_after_the_stop_is_undone() -> None:
    desk = Desk()
    desk.start()
    late = desk.state.open
    assert late is not None
    desk.give(e.TxnUnknown(e.Tag.DIRECT))
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.give(e.ApplicationStopped(), fe.AddressesReleased(), e.Finished())
    assert desk.state.is_at_rest
    desk.etcd.commit_now(late.commit.txn)
    desk.look()
    assert not desk.state.is_at_rest
    desk.pass_time(1)
    assert desk.director() == "" and desk.state.is_at_rest


@pytest.mark.parametrize("applied_again", [False, True])
def test_a_stand_that_is_executed_after_the_module_was_removed_leaves_no_key(applied_again: bool) -> None:
    desk = Desk()
    desk.start()
    late = desk.state.open
    assert late is not None
    desk.delete(KEYS.config)
    if applied_again:
        desk.put(KEYS.config, encode(ModuleConfigRecord("another", 1, "", {}, "", "")))
    desk.etcd.commit_now(late.commit.txn)
    assert desk.director() == ""


def test_a_stand_holds_for_a_newer_configuration_of_the_same_module() -> None:
    desk = Desk()
    desk.start()
    desk.put(KEYS.config, encode(ModuleConfigRecord("module", 2, "", {}, "", "")))
    desk.answer()
    assert desk.director() == "a"


def test_a_former_agents_key_goes_onto_this_ones_lease() -> None:
    desk = Desk(left=True)
    desk.directs("a")
    desk.leases["a"] = desk.etcd.grant_now(100)
    desk.start()
    commit = desk.state.open
    assert commit is not None and isinstance(commit.commit.txn.guards[0], ModRevisionIs)
    told = names(desk.settle())
    assert "Undirect" not in names(desk.commands) and "Probe" in told
    assert desk.view().directors[VIP].lease == desk.leases["a"]


def test_what_a_former_agent_answers_for_is_taken_away_with_its_key_gone() -> None:
    desk = Desk(left=True)
    desk.directs("b")
    desk.renew()
    assert names(desk.look()) == ["Undirect", "Prepare"]


def test_a_former_agents_address_is_off_the_network_before_its_key_is_deleted() -> None:
    desk = Desk(left=True)
    desk.directs("a")
    desk.leases["a"] = desk.etcd.grant_now(100)
    desk.is_up("b")
    desk.renew()
    desk.look()
    desk.give(e.Prepared())
    told = names(desk.give(fe.LoadFailed("no nft")))
    assert told == ["Undirect"], "b may have it; not the key first"
    assert names(desk.give(fe.Undirected(VIP))) == ["Commit"]


def test_while_everything_is_killed_the_key_waits_until_nothing_answers_any_more() -> None:
    desk = Desk()
    desk.direct()
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.give(fe.Undirected(VIP))
    desk.give(e.TxnUnknown(e.Tag.STAND_DOWN))
    desk.now_ns += desk.settings.stop_limit_ns
    assert names(desk.give(e.Tick())) == ["KillEverything"]
    desk.now_ns += KILL_NS
    assert names(desk.give(e.Tick())) == ["Commit"]
