"""This node's own part: nothing is cut off that need not be, and nothing of it is left behind."""

from dataclasses import replace

import pytest

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.farm import step_by
from agent.core.farm.limits import (
    COUNT_NS,
    COUNT_REST,
    HAND_ON_MOST_NS,
    RULES_RETRY_NS,
    TOLD_NS,
)
from agent.core.farm.settings import SECOND_NS
from agent.core.farm.state import FarmState, Move
from agent.core.limits import ADDRESS_RETRY_NS, APPLICATION_LIVED_NS
from manager.model.errors import InvariantViolated
from manager.model.farm import SLOTS
from manager.model.reasons import Reason
from manager.model.states import Run
from tests.unit.agent.core.farm.desk import KEYS, VIP, VIP6, Desk, beside_others, names, shared_table

# The way in


def test_it_is_not_ready_before_its_rules_are_loaded_once() -> None:
    desk = Desk()
    desk.directs("b")
    desk.set_table(shared_table("01"))
    desk.renew()
    desk.look()
    desk.prepare()
    desk.set_table(shared_table("01", 8))
    desk.look()
    desk.give(e.ApplicationStarted())
    assert desk.word == "WAIT transient starting_application" and not desk.state.is_ready
    desk.load()
    assert desk.told(fk.AnswerProbes)[-1] == fk.AnswerProbes(True, {VIP: 8}, {}, promises={VIP: "b"})


@pytest.mark.parametrize("etcd_answers", [True, False])
def test_it_has_no_address_before_its_rules(etcd_answers: bool) -> None:
    """By a table of before it may be sent what others have: with the address alone its kernel would reset that."""
    desk = Desk()
    desk.set_table(shared_table("1", leaving="0"))
    desk.renew()
    desk.look()
    assert names(desk.give(e.Prepared())) == ["LoadRules"]
    if not etcd_answers:
        desk.give(e.StoreSilent())
    assert names(desk.load()) == ["CountConnections", "HoldAddresses"]


def test_nor_before_those_that_do_not_load() -> None:
    desk = Desk()
    desk.set_table(shared_table("1", leaving="0"))
    desk.renew()
    desk.look()
    desk.give(e.Prepared())
    assert desk.give(fe.LoadFailed("no nft")) == [] and desk.word == "WAIT blocked rules_failed"
    desk.now_ns += RULES_RETRY_NS
    assert names(desk.give(e.Tick())) == ["LoadRules"]
    assert names(desk.give(fe.LoadFailed("no nft"))) == []
    desk.want("a", Run.STOPPED)
    assert names(desk.look()) == ["UnloadRules", "Finish"], "nor does it hold up a stop"


def test_what_a_former_agent_left_has_its_addresses_and_they_are_let_go_with_it() -> None:
    """They are there whatever becomes of the rules: taken for absent, they would stay for ever."""
    desk = Desk(left=True)
    desk.renew()
    desk.look()
    told = desk.give(fe.Undirected(VIP), e.Prepared(), fe.LoadFailed("no nft"))
    assert names(told) == ["LoadRules", "AdoptApplication", "HoldAddresses"]
    desk.give(fe.AddressesHeld(), e.ApplicationStarted())
    assert desk.word == "WAIT blocked rules_failed"
    desk.want("a", Run.STOPPED)
    assert "StopApplication" in names(desk.look())
    assert names(desk.give(e.ApplicationStopped())) == ["ReleaseAddresses"]


@pytest.mark.parametrize("is_quick", [True, False])
def test_one_that_is_wanted_again_has_no_address_without_rules_either(is_quick: bool) -> None:
    """Stopped and started at once: the table may name it as one that leaves."""
    desk = beside_others()
    desk.want("a", Run.STOPPED)
    desk.take_table(shared_table("1", 8, leaving="0"))
    desk.pass_time(HAND_ON_MOST_NS / SECOND_NS + 0.1)
    desk.give(e.ApplicationStopped(), fe.AddressesReleased())
    if is_quick:
        assert desk.state.loaded is not None, "what still comes goes on to b"
        desk.want("a", Run.STARTED)
        assert names(desk.look()) == ["HoldAddresses"]
        return
    desk.pass_time(desk.settings.hand_on_ns / SECOND_NS + TOLD_NS / SECOND_NS)
    assert desk.state.loaded is None
    desk.give(e.Finished())
    desk.want("a", Run.STARTED)
    desk.look()
    assert names(desk.give(e.Prepared())) == ["LoadRules"]
    assert names(desk.load()) == ["HoldAddresses"]


def test_one_that_serves_goes_on_while_newer_rules_do_not_load() -> None:
    desk = beside_others()
    desk.set_table(shared_table("10", 8))
    assert names(desk.look()) == ["LoadRules"]
    desk.give(fe.LoadFailed("no nft"))
    assert desk.state.is_ready and desk.word == "UP blocked rules_failed"
    assert desk.told(fk.AnswerProbes) == [], "it still has those of table 7"
    desk.now_ns += RULES_RETRY_NS
    desk.give(e.Tick())
    desk.load()
    assert desk.word == "UP ready serving" and desk.told(fk.AnswerProbes)[-1].numbers == {VIP: 8}


def test_addresses_that_cannot_be_held_are_tried_again() -> None:
    desk = Desk()
    desk.renew()
    desk.look()
    desk.give(e.Prepared())
    desk.load()
    assert desk.give(fe.HoldFailed("no lo")) == [] and desk.word == "WAIT blocked address_failed"
    desk.now_ns += ADDRESS_RETRY_NS
    assert names(desk.give(e.Tick())) == ["HoldAddresses"]


def test_where_the_link_of_an_address_is_gone_it_says_so() -> None:
    desk = beside_others()
    desk.give(fe.Links({}), fe.Loaded({}))
    assert desk.word == "UP blocked address_failed" and desk.told(fk.AnswerProbes)[-1].numbers == {}
    desk.give(fe.Links({VIP: "02:00:00:00:00:0a"}), fe.Loaded({VIP: 7}))
    assert desk.word == "UP ready serving" and desk.told(fk.AnswerProbes)[-1].numbers == {VIP: 7}


def test_without_any_link_it_is_not_up() -> None:
    desk = Desk()
    desk.give(fe.Links({}))
    desk.start()
    assert not desk.state.is_ready and desk.word == "WAIT blocked address_failed"


# The rules


def test_they_are_loaded_anew_when_a_member_or_its_mac_is_another() -> None:
    desk = beside_others()
    desk.is_up("c")
    assert [c.macs for c in desk.look() if isinstance(c, fk.LoadRules)] == [
        {VIP: {"b": "02:00:00:00:00:0b", "c": "02:00:00:00:00:0c"}}
    ]
    desk.load()
    desk.delete(KEYS.member("c"))
    assert desk.look() == [], "it may serve without its lease"


def test_the_newest_wish_counts_and_only_what_was_loaded_is_told() -> None:
    desk = beside_others()
    desk.set_table(shared_table("10", 8))
    desk.look()
    desk.set_table(shared_table("11", 9))
    assert names(desk.look()) == ["LoadRules"]
    desk.give(fe.Loaded({VIP: 8}))
    assert desk.state.number(VIP) == 7, "an answer to the one before"
    desk.load()
    assert desk.state.number(VIP) == 9


def test_a_table_that_this_release_does_not_understand_changes_nothing() -> None:
    desk = beside_others()
    desk.set_table(replace(shared_table("01", 8), owners="x"))
    assert desk.look() == [] and desk.state.number(VIP) == 7


def test_it_counts_what_it_leaves_by_the_very_table_it_has_loaded() -> None:
    desk = beside_others()
    desk.set_table(shared_table("1", 8, leaving="-0"))
    desk.look()
    mine = frozenset(range(1, SLOTS, 2))
    assert desk.load() == [fk.CountConnections({VIP: mine})]
    assert desk.told(fk.AnswerProbes)[-1].busy == {VIP: mine}, "until it knows better"
    desk.set_table(replace(shared_table("1", 9, leaving="-0"), switched=True))
    desk.look()
    desk.load()
    assert names(desk.give(fe.Counted({VIP: frozenset()}))) == ["CountConnections"], "at once again, by this table"
    assert desk.told(fk.AnswerProbes)[-1].busy == {VIP: mine}
    assert desk.give(fe.Counted({VIP: frozenset({1, 3})})) == []
    assert desk.told(fk.AnswerProbes)[-1].busy == {VIP: frozenset({1, 3})}
    desk.pass_time(0.6)
    assert names(desk.told(fk.CountConnections)) == ["CountConnections"]


def test_it_counts_more_seldom_while_nothing_changes() -> None:
    """A count costs a processor with many connections."""
    desk = beside_others()
    desk.take_table(shared_table("1", 8, leaving="0"))
    busy, pauses, last_ns = frozenset({1, 2}), list[float](), desk.now_ns
    for _ in range(9):
        desk.give(fe.Counted({VIP: busy}))
        desk.told(fk.CountConnections)
        while desk.state.counting is None:
            desk.pass_time(0.25)
        pauses.append((desk.now_ns - last_ns) / SECOND_NS)
        last_ns = desk.now_ns
    assert pauses == [0.5, 1, 2, 4, 5, 5, 5, 5, 5], "slots wait for it"
    desk.give(fe.Counted({VIP: frozenset({1})}))
    desk.pass_time(0.5)
    assert desk.state.counting is not None, "something changes again"


def test_a_count_that_takes_long_is_made_more_seldom() -> None:
    """Of very many connections it costs a processor."""
    desk = beside_others()
    desk.take_table(shared_table("1", 8, leaving="0"))
    pauses = list[float]()
    for changes in (True, True, *[False] * 6):
        begun_ns = desk.state.counted_ns
        desk.pass_time(1)
        desk.give(fe.Counted({VIP: frozenset({len(pauses) if changes else 1})}))
        while desk.state.counting is None:
            desk.pass_time(0.25)
        pauses.append((desk.state.counted_ns - begun_ns) / SECOND_NS)
    assert pauses == [4, 4, 8, 10, 10, 10, 10, 10]


def test_a_count_across_which_the_agent_was_frozen_does_not_delay_the_next() -> None:
    desk = beside_others()
    desk.take_table(shared_table("1", 8, leaving="0"))
    desk.now_ns += 600 * SECOND_NS
    desk.give(fe.Counted({VIP: frozenset({1})}))
    assert desk.state.count_every_ns <= COUNT_REST * COUNT_NS


def test_by_a_new_table_it_counts_often_again() -> None:
    desk = beside_others()
    desk.take_table(shared_table("1", 8, leaving="0"))
    for _ in range(4):
        desk.give(fe.Counted({VIP: frozenset({1})}))
        while desk.state.counting is None:
            desk.pass_time(0.25)
    assert desk.state.counting is not None
    desk.give(fe.Counted({VIP: frozenset({1})}))
    desk.set_table(replace(shared_table("1", 9, leaving="0"), switched=True))
    desk.look()
    assert names(desk.load()) == ["CountConnections"]
    desk.give(fe.Counted({VIP: frozenset({1})}))
    desk.pass_time(0.5)
    assert desk.state.counting is not None


def test_a_count_that_is_not_answered_is_asked_for_again() -> None:
    desk = beside_others()
    desk.take_table(shared_table("1", 8, leaving="0"))
    desk.told(fk.CountConnections)
    desk.pass_time(COUNT_NS / SECOND_NS + 0.1)
    assert names(desk.told(fk.CountConnections)) == ["CountConnections"]


# What fails


def test_an_application_that_fails_is_cleaned_away_and_waits_for_an_operator() -> None:
    desk = beside_others()
    assert names(desk.give(e.ApplicationGone("it died"))) == ["StopApplication"]
    assert desk.told(fk.AnswerProbes)[-1].ready is False
    assert desk.give(e.ApplicationStopped()) == [] and desk.word == "WAIT blocked application_failed"
    desk.request("r1", "restart")
    assert names(desk.look()) == ["AnswerRequest", "StartApplication"]
    assert desk.give(e.ApplicationStarted()) == [k.AnswerRequest("r1", "done")] and desk.state.is_ready


def test_one_that_lived_long_is_started_again_by_itself() -> None:
    desk = beside_others()
    desk.now_ns += APPLICATION_LIVED_NS
    desk.give(e.ApplicationGone("it died"))
    assert names(desk.give(e.ApplicationStopped())) == ["StartApplication"]


def test_what_cannot_be_prepared_is_not_tried_again_before_an_operator_says_so() -> None:
    desk = Desk()
    desk.renew()
    desk.look()
    assert desk.give(e.PrepareFailed("no script")) == [] and desk.word == "WAIT blocked application_failed"
    desk.request("r1", "restart")
    assert names(desk.look()) == ["AnswerRequest", "Prepare"]
    desk.give(e.PrepareFailed("no script"))
    assert desk.told(k.AnswerRequest)[-1] == k.AnswerRequest("r1", "failed", Reason.APPLICATION_FAILED)


# Operators


def test_a_restart_hands_its_slots_on_first() -> None:
    desk = beside_others()
    desk.request("r1", "restart")
    assert desk.look() == [k.AnswerRequest("r1", "accepted")]
    assert desk.word == "UP transient handing_over"
    desk.pass_time(HAND_ON_MOST_NS / SECOND_NS + 0.1)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]
    assert names(desk.give(e.ApplicationStopped())) == ["StartApplication"]
    assert desk.give(e.ApplicationStarted()) == [k.AnswerRequest("r1", "done")] and desk.state.is_ready


@pytest.mark.parametrize(
    ("action", "reason"),
    [("prim", Reason.NOT_A_MIRROR), ("swap", Reason.NOT_A_MIRROR), ("dance", Reason.UNKNOWN_ACTION)],
)
def test_what_it_does_not_do_is_refused(action: str, reason: Reason) -> None:
    desk = beside_others()
    desk.request("r1", action)
    assert desk.look() == [k.AnswerRequest("r1", "refused", reason)] and desk.look() == []


def test_a_restart_where_it_is_stopped_or_under_way_is_refused() -> None:
    desk = beside_others()
    desk.request("r1", "restart")
    desk.look()
    desk.request("r2", "restart")
    assert desk.look() == [k.AnswerRequest("r2", "refused", Reason.BUSY)]
    desk.want("a", Run.STOPPED)
    assert k.AnswerRequest("r1", "failed", Reason.SUPERSEDED) in desk.look()
    desk.request("r3", "restart")
    assert k.AnswerRequest("r3", "refused", Reason.NODE_NOT_STARTED) in desk.look()


def test_a_restart_that_does_not_end_has_failed() -> None:
    desk = beside_others()
    desk.state = replace(desk.state, settings=replace(desk.settings, start_limit_ns=SECOND_NS, stop_limit_ns=SECOND_NS))
    desk.request("r1", "restart")
    desk.look()
    desk.pass_time(120)
    assert desk.told(k.AnswerRequest)[-1].reason in (Reason.TIMED_OUT, Reason.APPLICATION_FAILED)


# A new agent


def test_what_a_former_agent_started_goes_on() -> None:
    desk = Desk(left=True)
    desk.directs("b")
    desk.set_table(shared_table("01"))
    desk.renew()
    desk.look()
    assert names(desk.give(fe.Undirected(VIP), e.Prepared())) == ["LoadRules", "AdoptApplication", "HoldAddresses"]
    desk.give(fe.AddressesHeld(), e.ApplicationStarted())
    desk.load()
    assert desk.state.is_ready
    said = [c for c in desk.commands if isinstance(c, fk.AnswerProbes)]
    assert all(c.ready or c.adopting for c in said) and said[-1].ready, "one plain 'not ready' costs all"
    assert said[0].adopting and not said[-1].adopting
    assert desk.told(k.StartApplication) == []


def test_what_has_ended_meanwhile_is_cleaned_away_and_started() -> None:
    desk = Desk(left=True)
    desk.renew()
    desk.look()
    desk.give(e.Prepared(), fe.AddressesHeld())
    assert all(c.adopting for c in desk.told(fk.AnswerProbes))
    assert names(desk.give(e.ApplicationFailed("it is gone"))) == ["StopApplication"]
    assert [(c.ready, c.adopting) for c in desk.told(fk.AnswerProbes)] == [(False, False)]
    assert names(desk.give(e.ApplicationStopped())) == ["StartApplication"]


def test_one_that_cannot_take_over_what_was_left_says_so() -> None:
    desk = Desk(left=True)
    desk.renew()
    desk.look()
    desk.give(e.Prepared(), e.ApplicationStarted())
    assert all(c.adopting for c in desk.told(fk.AnswerProbes))
    desk.give(fe.HoldFailed("no lo"))
    assert [(c.ready, c.adopting) for c in desk.told(fk.AnswerProbes)] == [(False, False)]


def test_a_new_agent_says_that_it_takes_over_before_etcd_answers() -> None:
    desk = Desk(left=True)
    assert [(c.ready, c.adopting) for c in desk.told(fk.AnswerProbes)] == [(False, True)]
    fresh = Desk()
    assert [(c.ready, c.adopting) for c in fresh.told(fk.AnswerProbes)] == [(False, False)]


@pytest.mark.parametrize("agent_stops", [False, True])
def test_what_nobody_wants_any_more_is_killed(agent_stops: bool) -> None:
    desk = Desk(left=True)
    desk.want("a", Run.STOPPED)
    told = desk.give(e.AgentStopping()) if agent_stops else desk.look()
    assert told == [k.KillEverything(Reason.STOPPED_BY_OPERATOR)] and desk.told(k.PublishMember) == []
    assert not desk.state.is_at_rest
    desk.give(e.Killed())
    assert desk.state.is_at_rest and desk.told(k.PublishMember) == []


def test_where_it_is_stopped_nothing_is_done_or_told() -> None:
    desk = Desk()
    desk.want("a", Run.STOPPED)
    assert desk.renew() == [] and desk.look() == [] and desk.state.is_at_rest
    assert desk.told(k.PublishMember) == []


def test_a_node_that_is_none_of_the_modules_does_nothing() -> None:
    desk = Desk()
    desk.state = replace(
        desk.state, settings=replace(desk.settings, config=replace(desk.settings.config, nodes=("b", "c")))
    )
    assert desk.renew() == [] and desk.look() == []


# The frame


def test_rules_that_undo_each_other_end_the_agent() -> None:
    def rule(state: FarmState, now_ns: int) -> Move:
        return Move(state)

    desk = Desk()
    with pytest.raises(InvariantViolated):
        step_by((rule,), desk.state, e.Tick(), desk.now_ns)


def test_an_answer_to_what_is_not_under_way_ends_the_agent() -> None:
    desk = Desk()
    with pytest.raises(InvariantViolated):
        desk.give(e.TxnFailed(e.Tag.SLOTS, "what"))


@pytest.mark.parametrize(
    "event",
    [
        e.Prepared(), e.Finished(), e.ApplicationStarted(), e.ApplicationGone("x"), e.ApplicationStopped(),
        fe.AddressesHeld(), fe.HoldFailed("x"), fe.AddressesReleased(), fe.Loaded({}), fe.LoadFailed("x"),
        fe.Directing(VIP), fe.DirectFailed(VIP, True, "x"), fe.Undirected(VIP6), fe.Counted({}),
        fe.Answered("b", True, {}, {}), fe.Refused("b", 0),
    ],
)  # fmt: skip
def test_what_was_not_asked_for_changes_nothing(event: fe.Event) -> None:
    desk = Desk()
    desk.want("a", Run.STOPPED)
    desk.look()
    before = desk.state
    desk.give(event)
    assert replace(desk.state, wake_ns=before.wake_ns) == before


# What is not understood


@pytest.mark.parametrize("key", [KEYS.config, KEYS.desired("a"), KEYS.desired("b")])
def test_it_goes_on_by_the_last_wish_and_directs_where_nobody_does(key: str) -> None:
    desk = beside_others()
    desk.put(key, "startd")
    assert desk.look() == [] and desk.word == "UP ready serving"
    desk.delete(KEYS.director(VIP))
    desk.look()
    desk.settle()
    assert desk.director() == "a"
    desk.want("a", Run.STOPPED)
    desk.look()
    assert desk.state.out_ns is not None


def test_an_agent_that_finds_it_running_takes_that_for_the_last_wish() -> None:
    desk = Desk(left=True)
    desk.put(KEYS.desired("a"), "startd")
    desk.renew()
    desk.look()
    assert desk.state.wants_run


def test_an_agent_that_finds_nothing_starts_nothing_by_a_wish_that_is_not_understood() -> None:
    desk = Desk()
    desk.put(KEYS.desired("a"), "startd")
    desk.renew()
    assert desk.look() == [] and not desk.state.wants_run
