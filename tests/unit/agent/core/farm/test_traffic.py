"""A node whose scripts say when what begins may come to it: closed it is drained, and nothing else."""

from dataclasses import replace

import pytest

from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.farm import initial
from manager.model.config.farm_config import Traffic
from manager.model.farm import SLOTS
from manager.model.farm_resources import is_open_in, macs_in
from tests.unit.agent.core.farm.desk import CONFIG, VIP, Desk, names

SCRIPT = replace(CONFIG, traffic=Traffic.SCRIPT)
OPEN, CLOSED = fe.TrafficSwitched(True), fe.TrafficSwitched(False)


def _says(desk: Desk) -> fk.AnswerProbes:
    return desk.told(fk.AnswerProbes)[-1]


def _settle(desk: Desk, **is_open: bool) -> None:
    """Those nodes answer with the present numbers, and none has a connection, until no slot is on its way."""
    for _ in range(12):
        for node in is_open:
            desk.hear(node, is_open=is_open[node])
        if desk.state.counting is not None:
            desk.give(fe.Counted({}))
        desk.settle()
        if desk.state.loading:
            desk.load()
            desk.settle()
    assert desk.table().is_settled


def test_it_is_closed_when_its_application_has_started_until_a_script_opens_it() -> None:
    desk = Desk(SCRIPT)
    desk.direct()
    assert desk.word == "UP transient traffic_closed" and not is_open_in(desk.record.resources)
    said = _says(desk)
    assert said.ready and not said.is_open, "it lives, and directs as well as any"
    assert names(desk.give(OPEN)) == ["Commit"], "a table by which it has all slots"
    assert desk.word == "UP ready serving" and _says(desk).is_open
    assert is_open_in(desk.record.resources) and macs_in(desk.record.resources).keys() == {VIP}
    desk.give(CLOSED)
    assert desk.word == "UP transient traffic_closed" and not _says(desk).is_open


def test_where_scripts_have_no_say_it_is_open() -> None:
    desk = Desk()
    desk.direct()
    assert desk.word == "UP ready serving" and _says(desk).is_open and is_open_in(desk.record.resources)


def test_its_own_start_script_may_open_it() -> None:
    desk = Desk(SCRIPT)
    desk.renew()
    desk.look()
    desk.prepare()
    desk.give(OPEN, e.ApplicationStarted())
    assert desk.state.is_ready and desk.state.is_open


def test_each_start_of_the_application_closes_it() -> None:
    desk = Desk(SCRIPT)
    desk.direct()
    desk.give(OPEN)
    desk.request("r1", "restart")
    desk.look()
    desk.pass_time(2.1)
    desk.give(fe.TrafficSwitched(True))
    desk.give(e.ApplicationStopped())
    assert not desk.state.is_open
    desk.give(e.ApplicationStarted())
    assert desk.word.startswith("UP transient") and not desk.state.is_open


def test_what_does_not_run_is_not_opened() -> None:
    desk = Desk(SCRIPT)
    desk.renew()
    desk.look()
    desk.give(OPEN)
    assert not desk.state.is_open
    desk.prepare()
    desk.give(e.ApplicationFailed("no"), OPEN)
    assert not desk.state.is_open


@pytest.mark.parametrize("was_open", [True, False])
def test_a_new_agent_goes_on_with_what_the_application_has_said(was_open: bool) -> None:
    desk = Desk(SCRIPT, left=True)
    desk.begin(left=True, traffic_open=was_open)
    desk.give(fe.Links({VIP: "02:00:00:00:00:0a"}))
    desk.start()
    assert desk.state.is_ready and desk.state.is_open is was_open
    assert _says(desk).is_open is was_open


def test_what_was_noted_of_an_application_that_is_gone_counts_for_nothing() -> None:
    desk = Desk(SCRIPT)
    assert not initial(desk.settings, traffic_open=True).is_open


def test_a_director_gives_a_closed_node_nothing_and_leaves_it_what_is_open_there() -> None:
    desk = Desk(SCRIPT)
    desk.is_up("b")
    desk.direct()
    desk.give(OPEN)
    _settle(desk, b=False)
    assert desk.table().shares() == {"a": SLOTS}
    _settle(desk, b=True)
    assert desk.table().shares() == {"a": SLOTS // 2, "b": SLOTS // 2}
    desk.hear("b", is_open=False)
    desk.settle()
    coming = desk.table()
    assert coming.shares() == {"a": SLOTS // 2, "b": SLOTS // 2}, "no slot goes over at once"
    assert coming.coming.count("0") == SLOTS // 2
    desk.load()
    for _ in range(3):
        desk.hear("b", is_open=False, busy={7, 8})
        desk.settle()
        if desk.state.loading:
            desk.load()
    assert desk.table().shares() == {"a": SLOTS}
    assert {s for s in range(SLOTS) if desk.table().leaver(s) == "b"} == {7, 8}
    assert not desk.table().is_settled, "b keeps the slots in which it has connections, for as long as it has"


def test_a_director_that_is_closed_gives_its_own_share_away_and_directs_on() -> None:
    desk = Desk(SCRIPT)
    desk.is_up("b")
    desk.direct()
    desk.give(OPEN)
    _settle(desk, b=True)
    desk.give(CLOSED)
    _settle(desk, b=True)
    assert desk.table().shares() == {"b": SLOTS} and desk.state.is_director(VIP)


def test_where_all_are_closed_what_begins_goes_to_nobody() -> None:
    desk = Desk(SCRIPT)
    desk.is_up("b")
    desk.direct()
    desk.hear("c", ready=False)
    _settle(desk, b=False)
    assert desk.table().shares() == {}
    desk.give(OPEN)
    _settle(desk, b=False)
    assert desk.table().shares() == {"a": SLOTS}
