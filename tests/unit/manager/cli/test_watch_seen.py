"""What is known of a cluster that is watched, from moment to moment, and what is said to have happened."""

from dataclasses import replace

from manager.cli.watching.seen import LATE_S, Watched, changes, forgotten
from manager.model.api import StateResult
from manager.model.api_around import Around, NodePresence
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness
from tests.unit.manager.cli.farm_views import farm, table
from tests.unit.manager.cli.screens import AT, answer
from tests.unit.manager.cli.views import ALONE, GONE, PRIM, SECOND, module, node

WELL, ILL = answer(module(PRIM, SECOND)), answer(module(ALONE, GONE))
LATER = "2026-11-26T15:59:00Z"


def test_an_answer_is_true_until_the_next_one_is_overdue() -> None:
    watched = Watched(WELL, AT, 100.0, 1.0)
    assert watched.look(AT, 100.0 + 1.0 + LATE_S).now is WELL
    late = watched.look(LATER, 104.0)
    assert (late.unknown_s, late.now.modules[0].nodes[0].state) == (4, None)
    assert [note.says for note in late.notes] == ["The agent of a gives no answer."]
    watched.heard(ILL, LATER, 160.5)
    back = watched.look(LATER, 161.0)
    assert (back.unknown_s, back.trouble, back.at, back.now) == (None, "", LATER, ILL)
    assert back.notes[-2].says == "The agent of a answers again, after 60 s without an answer."


def test_an_interval_that_was_wished_is_waited_for() -> None:
    watched = Watched(WELL, AT, 100.0, 60.0)
    assert watched.look(AT, 161.0).unknown_s is None
    assert watched.look(AT, 163.0).unknown_s == 63


def test_an_error_makes_it_unknown_at_once_and_it_is_said_once() -> None:
    watched = Watched(WELL, AT, 100.0, 1.0)
    for now_s in (101.0, 102.0):
        watched.failed("no")
        known = watched.look(AT, now_s)
    assert (known.unknown_s, known.trouble, len(known.notes)) == (2, "no", 1)


def test_of_what_is_unknown_only_what_it_was_is_left() -> None:
    stale = forgotten(answer(replace(module(PRIM, GONE), maintenance=True), farm()), "15:58:52")
    mirror, web = stale.modules
    assert [n.detail for n in mirror.nodes] == ["it was PRIM, ready, at 15:58:52", "it was unknown at 15:58:52"]
    assert not mirror.maintenance and not web.tables
    shown = [(n.state, n.registered, n.listed, n.farm) for m in stale.modules for n in m.nodes]
    assert set(shown) == {(None, None, None, None)}
    assert stale.around is not None and {n.registered for n in stale.around.nodes} == {None}


def test_each_change_of_a_state_is_told_with_its_cause() -> None:
    assert changes(WELL, WELL) == []
    assert changes(WELL, ILL) == [
        "db on a: PRIM -> ALONE (one copy): The application runs here, and there is one copy of the data: the other "
        "node does not hold it.",
        "db on b: SECOND -> unknown: its agent is not registered in etcd",
    ]
    waits = answer(module(node("a", ModuleState.WAIT, Readiness.TRANSIENT, Reason.ELECTING), SECOND))
    assert changes(WELL, waits) == [
        "db on a: PRIM -> WAIT (transient): It is asking etcd to become the primary.",
    ]


def test_modules_come_and_go() -> None:
    both = replace(WELL, modules=(*WELL.modules, farm()))
    assert changes(WELL, both) == ["web was applied."]
    assert changes(both, WELL) == ["web was removed."]


def test_a_farms_director_changes() -> None:
    b = answer(farm(tables=(table(director="b"),)))
    assert changes(answer(farm()), b) == ["web 10.77.0.110: directed by b, not a."]
    nobody = answer(farm(tables=(table(director=""),)))
    assert changes(b, nobody) == ["web 10.77.0.110: directed by nobody, not b."]


def presence(registered: bool | None, software: str = "0.1.0") -> StateResult:
    return replace(WELL, around=Around((NodePresence("c", registered, software if registered else "", None),), ()))


def test_nodes_come_and_go_and_are_upgraded() -> None:
    assert changes(presence(True), presence(False)) == ["Node c is not registered any more."]
    assert changes(presence(False), presence(True)) == ["Node c is registered, with agent 0.1.0."]
    assert changes(presence(True), presence(True, "0.2.0")) == ["Node c is registered with agent 0.2.0, after 0.1.0."]
    assert changes(replace(WELL, around=Around((), ())), presence(True)) == ["Node c is registered, with agent 0.1.0."]
    assert changes(presence(None), presence(True)) == changes(presence(True), presence(None)) == [], "not known before"
    assert changes(replace(WELL, around=None), presence(True)) == []


def test_etcd_falls_silent_and_answers_again() -> None:
    silent = replace(WELL, store_reachable=False)
    assert changes(WELL, silent) == ["etcd, as a hears it, does not answer any more."]
    assert changes(silent, WELL) == ["etcd, as a hears it, answers again."]
