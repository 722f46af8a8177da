"""A mirror of a lab that is not served for too long, although a node could serve it, is found: with its times."""

from dataclasses import replace

import pytest

from manager.lab.layout import DEFAULT_LEASE_TTL_S
from manager.model.config import ModuleConfig, parse_module
from tests.robustness.progress import LOADED_NS, Judge, serves_within_ns
from tests.simulation.cluster import SERVES_WITHIN_NS
from tests.support.chances import Seen, Sight
from tests.support.recorded_cluster import DB, PEER_TIMEOUT_NS
from tests.unit.support.test_chances import AWAY_NS, MACHINES, SECOND_NS, keys, sight

BOUND_S = serves_within_ns(DEFAULT_LEASE_TTL_S) // SECOND_NS
BEGUN_NS = 1000 * SECOND_NS
ABLE = sight(a=None)
NOBODY = sight(a=None, b=None)
FORGETFUL = sight(keys("a", "b", nodes_a=None), a=None, b=replace(MACHINES["b"], boot_id="another"))


def found(*looks: tuple[float, Sight | None]) -> list[str]:
    """At each of these seconds of a schedule."""
    judge = Judge("db", DEFAULT_LEASE_TTL_S)
    return [
        words for at_s, seen in looks for words in judge.look(BEGUN_NS + round(at_s * SECOND_NS), BEGUN_NS, seen)
    ]  # fmt: skip


def test_the_stated_time_is_that_of_the_simulation_and_what_a_busy_machine_takes() -> None:
    assert serves_within_ns(4) == SERVES_WITHIN_NS + 8 * SECOND_NS + LOADED_NS
    assert BOUND_S < 81  # An outage that was longer than any, and passed.


def test_who_is_served_in_time_is_right() -> None:
    assert found((0, None), (1, ABLE), (1 + BOUND_S, ABLE), (2 + BOUND_S, None), (3 + BOUND_S, ABLE)) == []


def test_one_that_has_lost_its_memory_is_waited_for_from_when_it_may_stand() -> None:
    """Once nobody else was there for the ``peer_timeout`` of a lab's module, not of a simulated one, and a TTL (S8)."""
    module = parse_module(DB.toml, {"start_prim": DB.start_script})
    assert isinstance(module, ModuleConfig)
    assert module.replication.peer_timeout_ms * 1_000_000 == PEER_TIMEOUT_NS
    away_s = (PEER_TIMEOUT_NS / SECOND_NS) + DEFAULT_LEASE_TTL_S
    assert away_s * SECOND_NS == AWAY_NS
    looks = [(0.0, FORGETFUL), (away_s - 0.1, FORGETFUL), (away_s + 0.1, FORGETFUL), (away_s + BOUND_S, FORGETFUL)]
    assert found(*looks) == []
    assert len(found(*looks, (away_s + BOUND_S + 0.2, FORGETFUL))) == 1


def test_who_is_not_is_told_once_with_its_times() -> None:
    late_s = 5.2 + BOUND_S
    (words,) = found((0, None), (5, ABLE), (5 + BOUND_S, ABLE), (late_s, ABLE), (late_s + 30, ABLE))
    assert words == (
        f"progress: for {BOUND_S} s nobody serves, although b could: from 5.0 to {late_s:.1f} s of the schedule"
    )


def test_and_once_again_when_it_comes_again() -> None:
    again_s = 200.0
    looks = [(0, ABLE), (BOUND_S + 1, ABLE), (150, None), (again_s, ABLE), (again_s + BOUND_S + 1, ABLE)]
    assert len(found(*looks)) == 2


def test_what_is_undone_is_no_new_beginning() -> None:
    """Whatever else fails meanwhile: b could have served all the time."""
    other: Seen = replace(MACHINES["a"], agent=False)
    looks = [(0.0, ABLE), (20.0, sight(a=other)), (40.0, sight()), (BOUND_S + 1.0, sight())]
    assert len(found(*looks)) == 1


def test_but_where_nobody_could_there_is_nothing_to_wait_for() -> None:
    assert found((0, ABLE), (40, NOBODY), (41, ABLE), (40 + BOUND_S, ABLE)) == []
    (words,) = found((0, ABLE), (40, NOBODY), (41, ABLE), (42 + BOUND_S, ABLE))
    assert "from 41.0 to" in words


@pytest.mark.parametrize(("readiness", "wrong"), [("blocked", 0), ("ready", 1)])
def test_a_primary_that_cannot_serve_may_keep_its_place_for_a_while(readiness: str, wrong: int) -> None:
    failed = {"boot_id": "boot-a", "readiness": readiness, "resources": {"application": "failed"}}
    seen = sight(keys("a", "b", modules_db_members_a=failed))
    assert len(found((0, seen), (BOUND_S + 29, seen))) == wrong
    assert len(found((0, seen), (BOUND_S + 31, seen))) == 1
