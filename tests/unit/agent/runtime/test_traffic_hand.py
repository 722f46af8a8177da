"""Opening and closing a node's traffic: what is noted, what the core is told, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.core import events as e
from agent.core.farm.events import AddressesHeld, TrafficSwitched
from agent.runtime.traffic_hand import TrafficHand
from manager.model.api import ApiError, ErrorKind
from manager.model.config.farm_config import Traffic
from manager.model.errors import DefiniteFailure
from tests.unit.agent.core.farm.desk import CONFIG, Desk

SCRIPT = replace(CONFIG, traffic=Traffic.SCRIPT)


class Hand:
    """With a note in a directory that is made when it is needed, and what it told the core."""

    def __init__(self, directory: Path) -> None:
        self.note = directory / "web" / "traffic.open"
        self.told: list[TrafficSwitched] = []
        self.hand = TrafficHand(str(self.note), self.told.append)


@pytest.fixture
def made(tmp_path: Path) -> Hand:
    return Hand(tmp_path)


def running() -> Desk:
    desk = Desk(SCRIPT)
    desk.start()
    return desk


def test_what_was_switched_is_noted_and_told(made: Hand) -> None:
    desk = running()
    assert not made.hand.was_open
    assert made.hand.switch(desk.state, "root", is_open=True)
    desk.give(*made.told)
    assert made.hand.was_open and desk.state.is_open
    assert not made.hand.switch(desk.state, "root", is_open=True), "it was open"
    assert made.hand.switch(desk.state, "root", is_open=False)
    assert not made.hand.was_open and [t.is_open for t in made.told] == [True, True, False]
    assert {t.by for t in made.told} == {"root"}


def test_a_start_forgets_it(made: Hand) -> None:
    made.hand.switch(running().state, "root", is_open=True)
    made.hand.forget()
    made.hand.forget()
    assert not made.hand.was_open


def test_what_does_not_run_cannot_be_opened_and_may_be_closed(made: Hand) -> None:
    desk = Desk(SCRIPT)
    desk.renew()
    desk.look()
    desk.give(e.Prepared(), AddressesHeld(), e.ApplicationFailed("no"))
    with pytest.raises(ApiError) as refused:
        made.hand.switch(desk.state, "root", is_open=True)
    assert refused.value.kind is ErrorKind.REFUSED and "does not run on a" in refused.value.message
    assert not made.hand.was_open and made.told == []
    assert not made.hand.switch(desk.state, "root", is_open=False)


@pytest.mark.parametrize("is_open", [True, False])
def test_where_scripts_have_no_say_it_is_refused(made: Hand, is_open: bool) -> None:
    desk = Desk()
    desk.start()
    with pytest.raises(ApiError) as refused:
        made.hand.switch(desk.state, "root", is_open=is_open)
    assert 'traffic = "script"' in refused.value.remedy and made.told == []


def test_what_cannot_be_noted_is_not_done(made: Hand) -> None:
    made.note.parent.write_text("no directory")
    with pytest.raises(ApiError) as failed:
        made.hand.switch(running().state, "root", is_open=True)
    assert failed.value.kind is ErrorKind.FAILED and str(made.note) in failed.value.message and made.told == []
    with pytest.raises(DefiniteFailure):
        made.hand.forget()
