"""A seed is a schedule; every kind of fault comes; what is reported names roles."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.robustness.reports import Report, Suffered, label, summary
from tests.robustness.schedules import Fault, Kind, make_schedule, without_operators

MANY = range(400)


def test_a_seed_is_one_schedule() -> None:
    assert all(make_schedule(seed) == make_schedule(seed) for seed in MANY)
    assert len({make_schedule(seed).faults for seed in MANY}) == len(MANY)


def test_every_kind_comes_and_the_wall_clock_only_when_asked_for() -> None:
    kinds = Counter(fault.kind for seed in MANY for fault in make_schedule(seed).faults)
    assert set(kinds) == set(Kind) - {Kind.WALL_CLOCK}
    assert min(kinds.values()) >= 20
    jumping = {fault.kind for seed in MANY for fault in make_schedule(seed, wall_clock=True).faults}
    assert jumping == set(Kind)


def test_each_part_of_a_node_is_killed_and_frozen_and_links_are_cut_in_every_way() -> None:
    faults = [fault for seed in MANY for fault in make_schedule(seed).faults]
    parts = {"agent", "replicator", "application", "etcd"}
    assert {f.part for f in faults if f.kind is Kind.KILL} == parts
    assert {f.part for f in faults if f.kind is Kind.FREEZE} == {"", *parts}
    for kind in (Kind.CUT, Kind.CUT_ONE_WAY):
        assert {f.nodes for f in faults if f.kind is kind} == {("a",), ("b",), ("a", "b"), ("b", "a")}
    for kind in (Kind.CUT_DEAF, Kind.CUT_ETCD, Kind.CUT_ETCD_ONE_WAY, Kind.CUT_ETCD_DEAF):
        assert {f.nodes for f in faults if f.kind is kind} == {("a",), ("b",)}


def test_some_outlive_a_minute_without_etcd_and_no_short_one_does() -> None:
    for kind in (Kind.ETCD_DEAD, Kind.ETCD_FROZEN):
        gone = [f for seed in MANY for f in make_schedule(seed).faults if f.kind is kind]
        assert {len(f.nodes) for f in gone} == {1, 2, 3}
        assert max(f.lasting_ms for f in gone if len(f.nodes) == 3) > 60_000
    assert all(make_schedule(seed, short=True).end_ms < 45_000 for seed in MANY)


def test_some_come_together() -> None:
    def overlaps(seed: int) -> bool:
        faults = make_schedule(seed).faults
        return any(f.at_ms < g.at_ms < f.at_ms + f.lasting_ms for f in faults for g in faults)

    assert 0.2 < sum(map(overlaps, MANY)) / len(MANY) < 0.8


def test_three_nodes_are_befallen_alike_and_operators_can_be_left_out() -> None:
    nodes = ("a", "b", "c")
    made = [make_schedule(seed, nodes=nodes, modules=("one", "two")) for seed in MANY]
    befallen = Counter(f.nodes for schedule in made for f in schedule.faults if f.kind in (Kind.CUT, Kind.POWER_BOTH))
    assert set(befallen) == {(n,) for n in nodes} | {(n, m) for n in nodes for m in nodes if n != m}
    assert {f.module for schedule in made for f in schedule.faults if f.kind is Kind.SWAP} == {"one", "two"}
    alone = [f for schedule in made for f in without_operators(schedule, nodes).faults]
    assert len(alone) == sum(len(schedule.faults) for schedule in made)
    assert Kind.STOP not in {f.kind for f in alone}
    assert all(f.nodes for f in alone if f.kind in (Kind.KILL, Kind.RESTART_AGENT))
    assert "application" not in {f.part for f in alone if f.kind is Kind.KILL}


@pytest.mark.parametrize(
    ("kind", "nodes", "part", "words"),
    [
        (Kind.KILL, ("a",), "agent", "kill agent primary"),
        (Kind.FREEZE, ("b",), "", "freeze secondary"),
        (Kind.CUT_ONE_WAY, ("b", "a"), "", "cut-one-way secondary primary"),
        (Kind.CUT, ("b", "a"), "", "cut apart"),
        (Kind.ETCD_DEAD, ("a", "witness"), "", "etcd-dead 2 of 3"),
        (Kind.POWER_BOTH, ("b", "a"), "", "power-both"),
        (Kind.STOP, ("a", "b"), "", "stop both"),
    ],
)
def test_a_fault_is_told_by_the_roles_of_its_nodes(kind: Kind, nodes: tuple[str, ...], part: str, words: str) -> None:
    assert label(Fault(0, 0, kind, nodes, part), serving="a") == words


def test_a_summary_counts_what_came_alone_and_repeats_what_is_wrong() -> None:
    faults = tuple(
        Suffered("crash a", "crash primary", 0, 1000, "", alone, outage_ms)
        for alone, outage_ms in ((True, 3000), (True, 5000), (False, 90_000))
    )
    good = Report(7, "again --seed 7", faults, 100, 1, 2, 1000, 0, 0, 5000, 4000, 40_000, ())
    bad = Report(8, "again --seed 8", (), 50, 0, 0, 500, 1, 0, 5000, None, 40_000, ("9 was completed, and is lost",))
    text = summary([good, bad])
    assert "2 schedules, 3 faults" in text
    assert [line.split() for line in text.splitlines() if line.startswith("crash primary")] == [
        ["crash", "primary", "2", "4000", "3000", "5000"]
    ]
    assert "again --seed 8" in text
    assert "9 was completed, and is lost" in text
    assert "again --seed 7" not in text


def test_a_summary_says_what_is_not_known_and_what_was_not_undone() -> None:
    faults = (Suffered("stop a", "stop primary", 0, 1000, "", True, 3000, not_undone="a is frozen"),)
    known = Report(7, "again", faults, 100, 1, 2, 1000, 2, 0, 5000, 4000, 40_000, ("wrong",), stuck_ms=12_300)
    text = summary([known, replace(known, faults=(), lost=None, stuck_ms=0)])
    assert "(0 of them not possible at their moment, 1 not to be undone at theirs)" in text
    assert "lost: 2, and not known of 1 schedules;" in text
    assert "12.3 s at the latest" in text
    assert "stop primary      1" in text
