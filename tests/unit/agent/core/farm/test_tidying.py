"""The table of an address that the farm has no more: it goes once nobody can share by it, or want it back."""

from dataclasses import replace

import pytest

from agent.core import commands as k
from agent.core import events as e
from manager.model.codec import encode
from manager.model.farm import empty_table
from manager.model.states import Run
from tests.unit.agent.core.farm.desk import KEYS, VIP, VIP6, Desk, names

NODES = ("a", "b", "c")


def _desk(*, generation: int = 2, running: tuple[str, ...] = ("b", "c")) -> Desk:
    """``a`` runs by the second configuration, which has VIP alone; before there was VIP6. Nothing is observed yet."""
    desk = Desk(generation=generation)
    desk.apply(2)
    desk.set_table(replace(empty_table(NODES), number=7), VIP)
    desk.set_table(replace(empty_table(NODES), number=7), VIP6)
    desk.directs("b")
    for node in {"b", "c"} - set(running):
        desk.want(node, Run.STOPPED)
    desk.is_up(*running)
    return desk


def _has_table(desk: Desk, address: str = VIP6) -> bool:
    return desk.etcd.get_now(KEYS.slots(address)) is not None


def _forgets(desk: Desk) -> bool:
    return any(c.tag is e.Tag.FORGET for c in desk.told(k.Commit))


def _start(desk: Desk) -> None:
    """To UP, which etcd shows."""
    desk.start()
    desk.put(KEYS.member("a"), encode(desk.record), "a")
    desk.look()


def test_the_table_of_an_address_that_has_left_goes_and_the_others_stay() -> None:
    desk = _desk()
    _start(desk)
    desk.settle()
    assert not _has_table(desk) and _has_table(desk, VIP)
    desk.pass_time(5)
    assert sum(c.tag is e.Tag.FORGET for c in desk.told(k.Commit)) == 1, "and that is all"


def test_not_while_it_runs_by_a_former_configuration_itself() -> None:
    desk = _desk(generation=1)
    _start(desk)
    desk.pass_time(5)
    assert not _forgets(desk) and _has_table(desk)


def test_not_while_another_node_runs_by_a_former_one() -> None:
    desk = _desk(running=("b",))
    desk.settings = replace(desk.settings, generation=1)
    desk.want("c", Run.STARTED)
    desk.is_up("c")
    desk.settings = replace(desk.settings, generation=2)
    _start(desk)
    desk.pass_time(5)
    assert not _forgets(desk) and _has_table(desk)
    desk.is_up("c")  # It was stopped and started there.
    desk.look()
    desk.settle()
    assert not _has_table(desk)


def test_not_while_a_node_that_is_to_run_it_says_nothing() -> None:
    desk = _desk(running=("b",))
    desk.want("c", Run.STARTED)
    _start(desk)
    desk.pass_time(5)
    assert not _forgets(desk) and _has_table(desk)
    desk.want("c", Run.STOPPED)
    desk.look()
    desk.settle()
    assert not _has_table(desk)


def test_not_while_a_node_says_nothing_of_which_it_is_not_understood_what_is_wanted_there() -> None:
    desk = _desk(running=("b",))
    desk.put(KEYS.desired("c"), "startd")
    _start(desk)
    desk.pass_time(5)
    assert not _forgets(desk) and _has_table(desk)


def test_not_while_a_node_that_is_stopped_is_on_its_way_out_yet() -> None:
    desk = _desk()
    desk.settings = replace(desk.settings, generation=1)
    desk.is_up("c")
    desk.settings = replace(desk.settings, generation=2)
    desk.want("c", Run.STOPPED)
    _start(desk)
    desk.pass_time(5)
    assert not _forgets(desk) and _has_table(desk)


@pytest.mark.parametrize("what", ["directed", "director unreadable", "table unreadable", "member unreadable"])
def test_what_somebody_has_or_cannot_be_read_stays(what: str) -> None:
    desk = _desk()
    if what == "directed":
        desk.directs("c", VIP6)
    key = {
        "director unreadable": KEYS.director(VIP6),
        "table unreadable": KEYS.slots(VIP6),
        "member unreadable": KEYS.member("c"),
    }.get(what)
    if key is not None:
        desk.put(key, "{}")
    _start(desk)
    desk.pass_time(5)
    assert not _forgets(desk) and _has_table(desk)


def test_it_is_for_the_first_node_that_is_up_to_do() -> None:
    desk = _desk()
    _start(desk)
    assert _forgets(desk)
    desk = _desk()
    desk.settings = replace(desk.settings, config=replace(desk.settings.config, nodes=("b", "a", "c")))
    desk.state = replace(desk.state, settings=desk.settings)
    _start(desk)
    desk.pass_time(5)
    assert not _forgets(desk) and _has_table(desk)


@pytest.mark.parametrize("what", ["applied anew", "directed", "written", "a member began", "a member changed"])
def test_what_has_come_in_between_keeps_it(what: str) -> None:
    desk = _desk(running=("b",))
    _start(desk)
    assert desk.state.open is not None and desk.state.open.commit.tag is e.Tag.FORGET
    match what:
        case "applied anew":
            desk.apply(3)
        case "directed":
            desk.directs("c", VIP6)
        case "written":
            desk.set_table(replace(empty_table(NODES), number=8), VIP6)
        case "a member began":
            desk.is_up("c")
        case "a member changed":
            desk.is_up("b")
    desk.answer()
    assert _has_table(desk)


def test_one_that_was_not_answered_is_tried_again() -> None:
    desk = _desk()
    _start(desk)
    assert names(desk.give(e.TxnUnknown(e.Tag.FORGET))) == []
    desk.pass_time(2)
    assert not _has_table(desk)


def test_nothing_is_forgotten_while_etcd_is_silent() -> None:
    desk = _desk()
    _start(desk)
    assert _forgets(desk)
    desk.give(e.TxnUnknown(e.Tag.FORGET), e.StoreSilent())
    desk.pass_time(3)
    assert not _forgets(desk)
