"""One node alone, from its start to its end."""

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from manager.model.farm import SLOTS
from manager.model.states import Run
from tests.unit.agent.core.farm.desk import VIP, Desk, names


def test_a_node_starts_and_is_up_once_all_is_there() -> None:
    desk = Desk()
    desk.renew()
    assert names(desk.look()) == ["Prepare"]
    assert names(desk.give(e.Prepared())) == ["LoadRules"]
    assert names(desk.load()) == ["HoldAddresses"], "there is no table yet"
    assert names(desk.give(fe.AddressesHeld())) == ["StartApplication"]
    assert desk.word == "WAIT transient starting_application" and not desk.state.is_ready
    assert names(desk.give(e.ApplicationStarted())) == ["Commit"]
    assert desk.told(fk.AnswerProbes)[-1] == fk.AnswerProbes(True, {}, {})
    assert desk.word == "UP transient waiting_for_director"


def test_the_first_one_directs_and_has_everything_before_it_answers_for_the_address() -> None:
    desk = Desk()
    desk.start()
    assert names(desk.settle()) == ["Probe", "Commit", "LoadRules"]
    assert desk.director() == "a" and desk.table().shares() == {"a": SLOTS}
    assert names(desk.load()) == ["ServeUntil", "Direct", "Probe"]
    desk.give(fe.Directing(VIP))
    assert desk.word == "UP ready serving"
    assert desk.told(fk.AnswerProbes)[-1] == fk.AnswerProbes(True, {VIP: 1}, {})


def test_it_stops_in_order_when_it_is_alone() -> None:
    desk = Desk()
    desk.direct()
    desk.want("a", Run.STOPPED)
    assert names(desk.look()) == ["Undirect", "Probe"]
    assert names(desk.give(fe.Undirected(VIP))) == ["Commit", "StopApplication"]
    desk.settle()
    assert desk.director() == ""
    assert names(desk.give(e.ApplicationStopped())) == ["ReleaseAddresses"]
    assert names(desk.give(fe.AddressesReleased())) == ["UnloadRules", "Finish"]
    assert not desk.state.is_at_rest
    desk.give(e.Finished())
    assert desk.state.is_at_rest and desk.told(k.PublishMember)[-1].record is None
