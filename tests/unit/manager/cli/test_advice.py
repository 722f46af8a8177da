from dataclasses import replace

import pytest

from manager.cli.advice import refusal, remedy
from manager.model.api import NodeState
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness, Run
from tests.unit.manager.cli.views import ALONE, GONE, PRIM, SECOND, module, node


def of(about: NodeState, *others: NodeState, reachable: bool = True, here: bool = True, holders: str = "a") -> str:
    view = module(about, *others, holders=tuple(holders))
    return remedy(view, about, here=about.node if here else "", store_reachable=reachable)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (GONE, "See whether b is up"),
        (node("b", ModuleState.STOP, wanted=Run.STOPPED, listed=False), "mirrorfarm start db --node b"),
        (node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.STORE_WENT_BACK), "mirrorfarm stop db --node b"),
        (node("b", ModuleState.WAIT, Readiness.BLOCKED, "solar_flare"), "mirrorfarm why db --node b"),
        (node("b", ModuleState.WAIT, Readiness.TRANSIENT, Reason.CATCHING_UP), "Nothing: b catches up by itself"),
    ],
)
def test_what_a_lone_primary_lacks_is_said_of_the_other_node(other: NodeState, says: str) -> None:
    assert says in of(ALONE, other)


@pytest.mark.parametrize(
    ("holder", "says"),
    [
        (node("a", ModuleState.STOP, wanted=Run.STOPPED), "mirrorfarm start db --node a"),
        (node("a", None, registered=False), "Bring it back"),
        (node("a", ModuleState.WAIT, Readiness.BLOCKED), "mirrorfarm why db --node a"),
    ],
)
def test_a_stale_node_names_the_one_with_the_good_data(holder: NodeState, says: str) -> None:
    stale = node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.NOT_IN_SYNC, listed=False)
    told = of(stale, holder)
    assert told.startswith("a holds every completed write.")
    assert says in told
    assert ("mirrorfarm prim db --node b --force" in told) is (holder.registered is False)


NO_COPY = node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.DISK_IDENTITY_MISSING, listed=False)


def test_where_there_is_no_whole_copy_no_forced_start_is_offered() -> None:
    told = of(NO_COPY, node("a", None, registered=False))
    assert told.startswith("a holds every completed write. Bring it back")
    assert "nothing serves" in told and "cannot be forced" in told and "a backup" in told
    assert "--force" not in told


def test_a_copy_that_is_not_whole_is_filled_by_the_node_that_has_everything() -> None:
    told = of(NO_COPY, node("a", ModuleState.STOP, wanted=Run.STOPPED))
    assert "it is filled by a as primary" in told and told.endswith("mirrorfarm start db --node a")
    assert "backup" not in told and "--force" not in told


def test_a_listed_node_without_its_disk_is_told_to_mount_it() -> None:
    listed = replace(NO_COPY, listed=True)
    assert of(listed, node("a", None, registered=False), holders="ab").startswith("See that the right disk is mounted")


@pytest.mark.parametrize("about", [PRIM, SECOND, replace(GONE, registered=None)])
def test_without_etcd_the_first_thing_is_etcd(about: NodeState) -> None:
    assert "mirrorfarm check" in of(about, reachable=False)


def test_a_primary_without_etcd_is_not_said_to_go_on() -> None:
    assert "It stops within the lease's time, unless" in of(PRIM, reachable=False)


def test_what_only_the_other_nodes_agent_knows_is_asked_there() -> None:
    failed = node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.REPLICATOR_FAILED)
    assert of(failed, here=False).startswith("mirrorfarm --node b why db says more.")
    assert not of(failed).startswith("On b")
    assert not of(replace(failed, detail="the mount failed"), here=False).startswith("mirrorfarm --node b")


def test_a_refused_swap_names_the_node_to_ask() -> None:
    assert refusal(Reason.NOT_PRIMARY, "db", "b", "a").remedy == "Ask a: mirrorfarm swap db --node a"
    assert "mirrorfarm why db" in refusal(Reason.NOT_PRIMARY, "db", "b", "").remedy


REBOOTED = node("a", ModuleState.WAIT, Readiness.BLOCKED, Reason.REBOOTED_SINCE_LISTED)


def test_one_that_lost_its_memory_waits_for_whom_it_can_get_back() -> None:
    away = replace(GONE, listed=True)
    assert "mirrorfarm prim db --node a" in of(REBOOTED, away, holders="ab")
    waits = of(replace(REBOOTED, readiness=Readiness.TRANSIENT), away, holders="ab")
    assert "Bring b back" in waits and "by itself" in waits and "prim" not in waits
    stopped = node("b", ModuleState.STOP, wanted=Run.STOPPED)
    assert "mirrorfarm start db --node b" in of(REBOOTED, stopped, holders="ab")


def test_without_failover_the_last_primary_is_named_and_how_to_serve_here() -> None:
    waits = node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.FAILOVER_OFF)
    view = replace(module(replace(GONE, node="a"), waits), maintenance=True)
    told = remedy(view, waits, here="b", store_reachable=True)
    assert told.startswith("a was primary last")
    assert "mirrorfarm prim db --node b" in told and "mirrorfarm maintenance db off" in told


def test_a_primary_that_outlives_etcd_needs_nothing_for_its_application() -> None:
    told = of(replace(PRIM, reason=Reason.SERVING_WITHOUT_STORE), reachable=False)
    assert told.startswith("Nothing for the application") and "lease ends" not in told


def test_a_disk_that_has_seen_more_than_the_primary_is_not_made_equal_without_a_word() -> None:
    later = node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.STORE_REPLACED)
    assert "save it first" in remedy(module(ALONE, later), later, here="b", store_reachable=True)
    undecided = module(replace(later, node="a"), later, primary="")
    assert "mirrorfarm prim db --node NODE" in remedy(undecided, later, here="b", store_reachable=True)
