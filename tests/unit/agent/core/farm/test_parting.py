"""A node on its way out: what it has goes on, what begins goes to others, and it waits for that in bounds."""

import pytest

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.limits import (
    GENTLY_MOST_NS,
    HAND_ON_MOST_NS,
    HANDSHAKE_NS,
    SWITCHED_NS,
    TOLD_NS,
)
from agent.core.farm.settings import SECOND_NS
from agent.core.limits import ADDRESSES_NS
from manager.model.reasons import Reason
from manager.model.states import Run
from tests.unit.agent.core.farm.desk import CONFIG, KEYS, VIP, Desk, beside_others, names, shared_table


def test_it_stops_once_its_slots_are_others() -> None:
    desk = beside_others()
    desk.want("a", Run.STOPPED)
    assert desk.look() == []
    assert desk.word == "UP transient handing_over"
    desk.take_table(shared_table("1", 8))
    assert desk.told(k.StopApplication) == [], "the director's kernel may have the table before still"
    desk.pass_time(SWITCHED_NS / SECOND_NS + 0.05)
    assert desk.told(k.StopApplication) == [], "what was begun a moment ago is accepted first"
    desk.pass_time(HANDSHAKE_NS / SECOND_NS)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]
    desk.pass_time(1.0)
    assert names(desk.give(e.ApplicationStopped())) == ["ReleaseAddresses"]
    assert desk.give(fe.AddressesReleased()) == [], "what still comes goes on to b"
    desk.told(fk.UnloadRules)
    desk.pass_time(TOLD_NS / SECOND_NS - 0.1)
    assert desk.told(fk.UnloadRules) == [], "b may not have heard yet that nothing is open here any more"
    desk.pass_time(0.2)
    assert desk.told(fk.UnloadRules) == [fk.UnloadRules()]
    desk.give(e.Finished())
    assert desk.state.is_at_rest


@pytest.mark.parametrize("action", ["stop", "restart"])
def test_it_waits_for_the_table_that_the_directors_kernel_has(action: str) -> None:
    desk = beside_others()
    desk.shared_by = 7
    if action == "stop":
        desk.want("a", Run.STOPPED)
    else:
        desk.request("r1", "restart")
    desk.look()
    desk.take_table(shared_table("1", 8))
    desk.pass_time(2.5)
    assert desk.told(k.StopApplication) == [], "it is busy"
    desk.take_table(shared_table("1", 9))
    desk.shared_by = 8
    desk.pass_time(HANDSHAKE_NS / SECOND_NS)
    assert desk.told(k.StopApplication) == [], "what was begun a moment ago is accepted first"
    desk.pass_time(0.3)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"], "by the one before the last nothing comes here"


def _said(desk: Desk) -> tuple[bool, bool]:
    """Whether it takes its share, by what it answers, and what begins."""
    answer = desk.state.answering
    assert answer is not None
    return answer.ready, answer.is_open


@pytest.mark.parametrize("action", ["stop", "restart"])
def test_on_its_way_out_it_has_what_it_had_and_takes_nothing_new(action: str) -> None:
    """So its slots go as a drained node's do."""
    desk = beside_others()
    assert _said(desk) == (True, True)
    desk.shared_by = 8
    if action == "stop":
        desk.want("a", Run.STOPPED)
    else:
        desk.request("r1", "restart")
    desk.look()
    assert _said(desk) == (True, False)
    desk.take_table(shared_table("1", 8, leaving="0"))
    desk.pass_time(0.3 + HANDSHAKE_NS / SECOND_NS)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]
    assert _said(desk) == (True, False), "scripts may let answers under way end"
    desk.give(e.ApplicationStopped())
    assert not _said(desk)[0]


def test_one_whose_slots_do_not_go_step_by_step_says_that_it_takes_no_share() -> None:
    """They go at once then: some node's rules do not load, say."""
    desk = beside_others()
    desk.shared_by = 7
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.pass_time(GENTLY_MOST_NS / SECOND_NS - 0.1)
    assert _said(desk) == (True, False) and desk.told(k.StopApplication) == []
    desk.pass_time(0.2)
    assert _said(desk) == (False, False) and desk.told(k.StopApplication) == [], "they are to be others' first"
    desk.take_table(shared_table("1", 8))
    desk.shared_by = 8
    desk.pass_time(0.3 + HANDSHAKE_NS / SECOND_NS)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]
    assert _said(desk) == (False, False)


def test_one_that_ends_with_slots_of_its_own_says_that_it_takes_no_share() -> None:
    desk = beside_others()
    desk.delete(KEYS.member("b"))
    desk.want("a", Run.STOPPED)
    assert names(desk.look()) == ["StopApplication"]
    assert _said(desk) == (False, False)


def test_one_that_hears_no_etcd_cannot_go_step_by_step() -> None:
    desk = beside_others()
    desk.give(e.StoreSilent())
    desk.pass_time(desk.settings.hand_on_ns / SECOND_NS)
    desk.give(e.AgentStopping())
    assert _said(desk) == (False, False)


@pytest.mark.parametrize("silent", ["before", "meanwhile"])
def test_one_whose_etcd_is_silent_for_a_moment_goes_step_by_step(silent: str) -> None:
    """One renewal has failed."""
    desk = beside_others()
    desk.shared_by = 7
    if silent == "before":
        desk.give(e.StoreSilent())
    desk.want("a", Run.STOPPED)
    desk.look() if silent == "meanwhile" else desk.give(e.AgentStopping())
    for _ in range(3):
        desk.give(e.StoreSilent())
        desk.pass_time(1)
        assert _said(desk) == (True, False)
        desk.give(e.StoreHeard())
    assert desk.told(k.StopApplication) == [], "its slots are no other's yet"
    desk.take_table(shared_table("1", 8, leaving="0"))
    desk.shared_by = 8
    desk.pass_time(0.3 + HANDSHAKE_NS / SECOND_NS)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]
    assert _said(desk) == (True, False)


@pytest.mark.parametrize("silent", ["not heard yet", "heard once"])
def test_a_new_agent_that_is_shown_etcd_and_does_not_hear_it_yet_goes_step_by_step(silent: str) -> None:
    """It is shown what there is a moment before its watch counts as up."""
    desk = Desk(left=True)
    desk.is_up("b")
    desk.directs("b")
    desk.set_table(shared_table("01"))
    desk.give(e.StoreHeard() if silent == "heard once" else e.StoreSilent())
    desk.give(e.StoreSilent())
    desk.renew()
    desk.look()
    desk.give(fe.Undirected(VIP), e.Prepared())
    desk.give(fe.AddressesHeld(), e.ApplicationStarted())
    desk.load()
    desk.pass_time(0.2)
    desk.give(e.AgentStopping())
    assert _said(desk) == (True, False)


def test_what_it_has_said_for_want_of_etcd_it_does_not_take_back() -> None:
    """It would be lost to its director, and back."""
    desk = beside_others()
    desk.shared_by = 7
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.give(e.StoreSilent())
    desk.pass_time(desk.settings.hand_on_ns / SECOND_NS - 0.05)
    assert _said(desk) == (True, False)
    desk.give(e.StoreSilent())
    desk.pass_time(0.1)
    assert _said(desk) == (False, False), "it counts from the first word of it"
    desk.give(e.StoreHeard())
    desk.pass_time(0.1)
    assert _said(desk) == (False, False)
    desk.pass_time((HAND_ON_MOST_NS - desk.settings.hand_on_ns) / SECOND_NS - 0.2)
    assert desk.told(k.StopApplication) == [], "etcd is heard: a table may come"
    desk.pass_time(0.1)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]


def test_but_what_it_leaves_already_it_keeps_until_its_application_has_ended() -> None:
    desk = beside_others()
    desk.shared_by = 8
    desk.take_table(shared_table("1", 8, leaving="0"))
    desk.pass_time(1)
    desk.give(e.StoreSilent())
    assert names(desk.give(e.AgentStopping())) == ["StopApplication"]
    assert _said(desk) == (True, False)


def test_one_that_is_wanted_again_takes_what_begins_again() -> None:
    desk = beside_others()
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.pass_time(GENTLY_MOST_NS / SECOND_NS + 0.1)
    assert _said(desk) == (False, False)
    desk.want("a", Run.STARTED)
    desk.look()
    assert _said(desk) == (True, True)


def test_but_not_for_ever() -> None:
    desk = beside_others()
    desk.shared_by = 7
    desk.want("a", Run.STOPPED)
    desk.take_table(shared_table("1", 8))
    desk.pass_time(HAND_ON_MOST_NS / SECOND_NS - 0.05)
    assert desk.told(k.StopApplication) == []
    desk.pass_time(0.1)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]


def test_one_that_was_drained_long_ago_waits_for_nothing() -> None:
    desk = beside_others()
    desk.shared_by = 8
    desk.take_table(shared_table("1", 8))
    desk.pass_time(3)
    desk.want("a", Run.STOPPED)
    assert names(desk.look()) == ["StopApplication"]


def test_its_own_kernel_counts_as_well() -> None:
    """It was the director a moment ago, and clients send to it."""
    desk = beside_others()
    desk.want("a", Run.STOPPED)
    desk.set_table(shared_table("1", 8))
    desk.look()
    desk.give(fe.Asked("b", {VIP: 8}))
    assert desk.state.passed_ns is None
    desk.load()
    assert desk.state.passed_ns == desk.now_ns


def test_without_a_link_there_its_own_kernel_has_nothing_to_send_on() -> None:
    desk = beside_others()
    desk.give(fe.Links({}))
    desk.want("a", Run.STOPPED)
    desk.set_table(shared_table("1", 8))
    desk.look()
    desk.shared_by = 8
    desk.give(fe.Loaded({}), fe.Asked("b", {VIP: 8}))
    desk.pass_time(HANDSHAKE_NS / SECOND_NS)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]


@pytest.mark.parametrize(("silent_s", "most_s"), [(60, 2), (2, 2), (1, 3), (0, 4), (-1, 5), (-3, 7), (-5, 8), (-7, 8)])
def test_without_etcd_no_table_comes_that_would_be_worth_the_wait(silent_s: int, most_s: int) -> None:
    """``silent_s``: so long etcd is silent when the stop begins; below 0: after that."""
    desk = beside_others()
    desk.shared_by = 7
    if silent_s >= 0:
        desk.give(e.StoreSilent())
        desk.pass_time(silent_s)
    desk.give(e.AgentStopping())
    if silent_s < 0:
        desk.pass_time(-silent_s)
        desk.give(e.StoreSilent())
        most_s += silent_s
    desk.pass_time(most_s - 0.05)
    assert desk.told(k.StopApplication) == []
    desk.pass_time(0.1)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]


def test_beside_one_that_serves_on_one_of_two_links_it_hands_over_too() -> None:
    desk = beside_others()
    desk.is_up_with("b", {VIP}, Reason.ADDRESS_FAILED)
    desk.want("a", Run.STOPPED)
    assert desk.look() == [] and desk.word == "UP transient handing_over"


def test_it_waits_for_that_no_longer_than_it_should() -> None:
    desk = beside_others()
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.pass_time(HAND_ON_MOST_NS / SECOND_NS - 0.1)
    assert desk.state.app.value == "running"
    desk.pass_time(0.2)
    assert names(desk.told(k.StopApplication)) == ["StopApplication"]


@pytest.mark.parametrize("others", ["none", "all stop"])
def test_with_nobody_to_take_over_it_waits_for_nothing(others: str) -> None:
    desk = beside_others()
    if others == "none":
        desk.delete(KEYS.member("b"))
    for node in CONFIG.nodes:
        desk.want(node, Run.STOPPED)
    assert names(desk.look()) == ["StopApplication"]
    assert names(desk.give(e.ApplicationStopped())) == ["ReleaseAddresses"]
    assert names(desk.give(fe.AddressesReleased())) == ["UnloadRules", "Finish"]


def test_one_that_is_wanted_again_before_its_application_ends_goes_on() -> None:
    desk = beside_others()
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.want("a", Run.STARTED)
    assert desk.look() == [] and desk.state.is_ready


def test_one_that_is_wanted_again_later_starts_again() -> None:
    desk = beside_others()
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.pass_time(HAND_ON_MOST_NS / SECOND_NS + 0.1)
    desk.want("a", Run.STARTED)
    desk.look()
    assert names(desk.give(e.ApplicationStopped())) == ["StartApplication"]
    desk.give(e.ApplicationStarted())
    assert desk.state.is_ready


def test_an_agent_that_ends_stops_it_even_without_etcd() -> None:
    desk = Desk()
    desk.direct()
    desk.give(e.StoreSilent())
    assert names(desk.give(e.AgentStopping())) == ["Undirect", "Probe"]
    desk.give(fe.Undirected(VIP), e.TxnFailed(e.Tag.STAND_DOWN, "unreachable"))
    desk.give(e.ApplicationStopped(), fe.AddressesReleased(), e.Finished())
    assert desk.state.is_at_rest


@pytest.mark.parametrize("event", [e.ApplicationStarted(), None])
def test_an_application_that_hangs_is_killed(event: fe.Event | None) -> None:
    desk = beside_others()
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.pass_time(HAND_ON_MOST_NS / SECOND_NS + 0.1)
    desk.now_ns += desk.settings.stop_limit_ns
    assert desk.give(event or e.Tick()) == [k.KillEverything(Reason.APPLICATION_FAILED)]
    assert desk.word == "WAIT transient application_failed"
    assert names(desk.give(e.Killed())) == ["Finish"], "the rules are gone with the rest"
    desk.give(e.Finished())
    assert desk.state.is_at_rest


def test_an_address_that_hangs_has_everything_killed() -> None:
    desk = Desk()
    desk.renew()
    desk.look()
    desk.give(e.Prepared())
    desk.load()
    desk.now_ns += ADDRESSES_NS
    assert desk.give(e.Tick()) == [k.KillEverything(Reason.INTERNAL_ERROR)]
