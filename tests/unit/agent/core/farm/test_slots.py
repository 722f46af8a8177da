"""Which table follows: the shares, what moves, and by which steps."""

import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.farm.slots import advance, next_table
from manager.model.codec import decode, encode
from manager.model.errors import InvariantViolated
from manager.model.farm import NOBODY, SLOTS, SlotsRecord, SlotTable, empty_table
from tests.support.slot_tables import NODES, Farm, heads_for, settled, slots_left_by

SIXTEEN = tuple(f"n{place:02}" for place in range(16))
LIVING = st.sets(st.sampled_from(NODES))
WEIGHT = st.sampled_from((0, 1, 1, 1, 2, 3, 10, 100))
WEIGHTS = st.fixed_dictionaries({node: WEIGHT for node in NODES})
CHAIN = st.sampled_from(((), (("a",), ("b", "c"), ("d",)), (("d", "c"), ("a", "b"))))
HAPPENS = st.lists(
    st.one_of(
        st.tuples(st.just("live"), st.sampled_from(NODES)),
        st.tuples(st.just("die"), st.sampled_from(NODES)),
        st.tuples(st.just("weigh"), st.sampled_from(NODES), WEIGHT),
        st.tuples(st.just("hold"), st.sampled_from(NODES), st.integers(0, 3)),
        st.tuples(st.just("step")),
        st.tuples(st.just("rest")),
        st.tuples(st.just("away"), st.sampled_from(NODES)),
        st.tuples(st.just("back")),
    ),
    max_size=12,
)


def farm(living: str, **shares: int) -> Farm:
    made = Farm(living=set(living))
    made.table = settled(shares)
    return made


def happen(at: Farm, what: tuple) -> None:  # type: ignore[type-arg]
    match what:
        case ("live", node):
            at.living.add(node)
        case ("die", node):
            at.living.discard(node)
        case ("weigh", node, weight):
            at.weights[node] = weight
        case ("hold", node, part):
            at.busy[node] = frozenset(range(part, SLOTS, 3))
        case ("step",):
            at.step()
        case ("rest",):
            at.rest()
        case ("away", node):
            at.away.add(node)
        case ("back",):
            at.away.clear()


def play(at: Farm, story: list[tuple]) -> None:  # type: ignore[type-arg]
    for what in story:
        happen(at, what)
        at.decide()


def phase(table: SlotTable, slot: int) -> tuple[str, str, str]:
    return table.owner(slot), table.comer(slot), table.leaver(slot)


def phases(table: SlotTable) -> Counter[tuple[str, str, str]]:
    return Counter(phase(table, slot) for slot in range(SLOTS))


def check_form(table: SlotTable) -> None:
    """One phase a slot, between two nodes."""
    assert table.is_whole
    for owner, comer, leaver in phases(table):
        assert not (comer and leaver)
        assert not comer or owner not in ("", comer)
        assert not leaver or owner != leaver


def check_shares(at: Farm) -> None:
    """Within one slot of the weights; nothing for anybody else."""
    total, shares = sum(at.serving.values()), at.table.shares()
    assert set(shares) <= set(at.serving)
    for node, weight in at.serving.items():
        assert abs(shares.get(node, 0) - Fraction(SLOTS * weight, total)) < 1


# The shares.


def test_the_first_node_gets_everything_at_once() -> None:
    at = Farm(living={"b"})
    assert at.decide()
    assert (at.table.number, phases(at.table)) == (1, {("b", "", ""): SLOTS})


def test_three_nodes_differ_by_one_slot_and_the_first_has_it() -> None:
    at = Farm(living={"a", "b", "c"})
    at.decide()
    assert at.table.shares() == {"a": 342, "b": 341, "c": 341}


def test_the_largest_remainders_are_rounded_up() -> None:
    at = Farm(weights={"a": 3}, living={"a", "b", "c"})
    at.decide()
    assert at.table.shares() == {"a": 614, "b": 205, "c": 205}


def test_a_share_without_remainder_is_not_rounded_though_the_node_had_more() -> None:
    at = farm("abc", a=SLOTS)
    at.weights = {"a": 6, "b": 5, "c": 1}
    at.rest()
    assert at.table.shares() == {"a": 512, "b": 427, "c": 85}


def test_sixteen_nodes_have_the_same() -> None:
    at = Farm(nodes=SIXTEEN, living=set(SIXTEEN))
    at.decide()
    assert at.table.shares() == dict.fromkeys(SIXTEEN, 64)
    at.living.discard("n15")
    at.rest()
    check_shares(at)


def test_no_table_has_more_nodes_than_digits() -> None:
    with pytest.raises(InvariantViolated):
        next_table(empty_table(()), {}, (), (*SIXTEEN, "n16"))


@given(WEIGHTS, LIVING, CHAIN)
def test_new_shares_follow_the_weights_of_the_group_that_serves(
    weights: dict[str, int], living: set[str], chain: tuple[tuple[str, ...], ...]
) -> None:
    at = Farm(groups=chain, weights=weights, living=living)
    at.decide()
    assert at.table.is_settled
    assert sum(at.table.shares().values()) == (SLOTS if at.serving else 0)
    check_shares(at)


@given(st.lists(st.integers(0, 100), min_size=16, max_size=16))
def test_sixteen_weights_are_kept_to_one_slot(weights: list[int]) -> None:
    at = Farm(nodes=SIXTEEN, weights=dict(zip(SIXTEEN, weights, strict=True)), living=set(SIXTEEN))
    at.decide()
    check_shares(at)


def test_the_next_group_of_the_chain_serves_when_none_of_the_first_one_may() -> None:
    at = Farm(groups=(("a",), ("b", "c"), ("d",)), living=set(NODES))
    at.decide()
    assert at.table.shares() == {"a": SLOTS}
    at.weights["a"] = 0
    at.rest()
    assert at.table.shares() == {"b": 512, "c": 512}
    at.weights["a"] = 1
    at.rest()
    assert at.table.shares() == {"a": SLOTS}


# What moves.


def test_a_slot_moves_by_three_tables() -> None:
    at = farm("ab", a=SLOTS)
    seen = [phases(at.table)]
    while at.decide() or at.step():
        seen.append(phases(at.table))
    assert seen == [
        {("a", "", ""): 1024},
        {("a", "", ""): 512, ("a", "b", ""): 512},
        {("a", "", ""): 512, ("b", "", "a"): 512},
        {("a", "", ""): 512, ("b", "", "a"): 512},
        {("a", "", ""): 512, ("b", "", ""): 512},
    ]
    assert at.table.number == 5


def test_what_a_dead_node_had_goes_at_once_and_evenly() -> None:
    at = farm("ab", a=342, b=341, c=341)
    before = at.table
    at.decide()
    assert at.table.is_settled
    assert at.table.shares() == {"a": 512, "b": 512}
    assert all(before.owner(slot) in ("c", at.table.owner(slot)) for slot in range(SLOTS))


@pytest.mark.parametrize(
    ("before", "living", "after"),
    [
        pytest.param("a>b", "bc", "b", id="the owner of a coming slot: the comer has it"),
        pytest.param("a>b", "bc", "c", id="the owner of a coming slot, and its comer may have none any more"),
        pytest.param("a>b", "ac", "a", id="the comer: it stays"),
        pytest.param("a>b", "c", "c", id="both: like any that nobody has"),
        pytest.param("b<a", "bc", "b", id="the leaver: it has left"),
        pytest.param("b<a", "ac", "a", id="the owner of a leaving slot: back to whom has connections there"),
        pytest.param("b<a", "c", "c", id="both of a leaving slot"),
    ],
)
def test_a_party_dies(before: str, living: str, after: str) -> None:
    at = farm(living)
    rows = {"a>b": ("0", "1", NOBODY), "b<a": ("1", NOBODY, "0")}[before]
    owner, comer, leaver = (digit * SLOTS for digit in rows)
    at.table = SlotTable(7, NODES, owner, comer, leaver)
    at.weights = dict.fromkeys(living, 0) | {after: 1}
    at.decide()
    assert (at.table.number, phases(at.table)) == (8, {(after, "", ""): SLOTS})


def test_a_slot_on_its_way_is_not_moved_a_second_time() -> None:
    at = farm("ab", a=SLOTS)
    at.decide()
    at.living.add("c")
    at.decide()
    assert phases(at.table) == {("a", "", ""): 342, ("a", "b", ""): 512, ("a", "c", ""): 170}
    at.rest()
    assert at.table.shares() == {"a": 342, "b": 341, "c": 341}


def test_a_move_to_a_node_that_is_drained_meanwhile_is_given_up() -> None:
    at = farm("abc", a=512, b=512)
    at.decide()
    assert phases(at.table)["a", "c", ""] == 170
    at.weights["c"] = 0
    at.decide()
    assert phases(at.table) == {("a", "", ""): 512, ("b", "", ""): 512}


def test_a_move_is_turned_back_when_its_node_is_drained_and_the_former_owner_is_not() -> None:
    """Else all that begins there would go to the drained node until the former owner has no connection left."""
    at = farm("ab", a=SLOTS)
    at.busy["a"] = frozenset(range(SLOTS))
    at.rest()
    assert phases(at.table)["b", "", "a"] == 512 and at.table.switched
    at.weights["b"] = 0
    at.decide()
    assert phases(at.table) == {("a", "", ""): 512, ("a", "", "b"): 512} and not at.table.switched
    at.rest()
    assert phases(at.table) == {("a", "", ""): SLOTS}


def test_a_move_from_a_node_that_is_drained_too_goes_on() -> None:
    at = farm("ab", a=SLOTS)
    at.busy["a"] = frozenset(range(SLOTS))
    at.weights["a"] = 0
    at.rest()
    at.weights["b"] = 0
    at.living.add("c")
    assert not at.decide()
    at.busy.clear()
    at.rest()
    assert phases(at.table) == {("c", "", ""): SLOTS}


def test_when_the_last_node_is_drained_nothing_begins_and_what_is_open_stays() -> None:
    at = farm("ab", a=512, b=512)
    at.table = replace(at.table, switched=True)
    at.busy["a"] = frozenset({3})
    at.weights = dict.fromkeys("ab", 0)
    at.decide()
    assert phases(at.table) == {("", "", "a"): 512, ("", "", "b"): 512} and not at.table.switched
    at.rest()
    assert phases(at.table) == {("", "", ""): SLOTS - 1, ("", "", "a"): 1}


def test_what_a_dead_node_had_is_nobodys_when_all_others_are_drained() -> None:
    at = farm("a", a=512, b=512)
    at.weights["a"] = 0
    at.rest()
    assert at.table.shares() == {}
    at.weights["a"] = 1
    at.decide()
    assert phases(at.table) == {("a", "", ""): SLOTS}


def test_connections_of_a_node_that_all_had_left_stay_when_another_one_serves_again() -> None:
    at = farm("a", a=SLOTS)
    at.busy["a"] = frozenset({3})
    at.weights["a"] = 0
    at.rest()
    at.living.add("b")
    at.decide()
    assert phases(at.table) == {("b", "", ""): SLOTS - 1, ("a", "b", ""): 1}
    at.rest()
    assert phase(at.table, 3) == ("b", "", "a")


def test_a_drain_is_never_forced() -> None:
    at = farm("ab", a=512, b=512)
    at.busy["b"] = frozenset({5, 600, 601})
    at.weights["b"] = 0
    at.rest()
    assert slots_left_by(at.table, "b") == {600, 601}
    at.busy["b"] = frozenset({601})
    at.rest()
    assert slots_left_by(at.table, "b") == {601}


# The steps.


def test_no_step_is_taken_before_all_have_loaded_the_table() -> None:
    at = farm("abc", a=SLOTS)
    at.decide()
    number = at.table.number
    for late in ("a", "c", "d"):
        loaded = dict.fromkeys("abcd", number) | {late: number - 1}
        assert advance(at.table, "d", "abc", loaded, {}) is at.table
        del loaded[late]
        assert advance(at.table, "d", "abc", loaded, {}) is at.table
    assert advance(at.table, "d", "abc", dict.fromkeys("abcd", number), {}) is not at.table


def test_a_count_is_believed_only_when_all_had_loaded_what_the_slots_leave_by() -> None:
    """Who loads and counts before the director has loaded may be given a connection after its count."""
    at = farm("ab", a=SLOTS)
    at.decide()
    at.step()
    leaving = at.table
    assert not leaving.switched
    at.step()
    assert at.table == replace(leaving, number=leaving.number + 1, switched=True)
    at.step()
    assert at.table.is_settled


def test_who_has_not_counted_may_have_connections() -> None:
    at = farm("ab", a=SLOTS)
    for _ in (at.decide(), at.step(), at.step()):
        pass
    loaded = dict.fromkeys("ab", at.table.number)
    assert advance(at.table, "a", "ab", loaded, {"b": frozenset()}) is at.table
    assert advance(at.table, "a", "ab", loaded, {"a": frozenset()}).is_settled


def test_with_patience_slots_settle_when_they_are_half_of_those_that_leave() -> None:
    at = farm("ab", a=SLOTS)
    for _ in (at.decide(), at.step(), at.step()):
        pass
    loaded, left = dict.fromkeys("ab", at.table.number), sorted(slots_left_by(at.table, "a"))
    few, half = frozenset(left[: len(left) // 2 + 1]), frozenset(left[: len(left) // 2])
    assert advance(at.table, "a", "ab", loaded, {"a": few}, is_patient=True) is at.table
    assert slots_left_by(advance(at.table, "a", "ab", loaded, {"a": few}), "a") == few
    assert slots_left_by(advance(at.table, "a", "ab", loaded, {"a": half}, is_patient=True), "a") == half
    assert advance(at.table, "a", "ab", loaded, {"a": frozenset()}, is_patient=True).is_settled


def test_a_new_death_does_not_make_counts_believed() -> None:
    at = farm("abc", a=SLOTS)
    at.decide()
    at.step()
    at.living.discard("c")
    at.decide()
    assert slots_left_by(at.table, "a") and not at.table.switched


def test_with_a_party_that_died_nothing_goes_on_before_the_next_table() -> None:
    at = farm("ab", a=SLOTS)
    at.decide()
    assert advance(at.table, "a", "a", dict.fromkeys("ab", at.table.number), {}) is at.table


def test_all_steps_that_are_possible_go_into_one_table() -> None:
    at = farm("ab", a=SLOTS)
    at.busy["a"] = frozenset(range(0, SLOTS, 2))
    at.rest()
    at.living.add("c")
    at.decide()
    number, left = at.table.number, len(slots_left_by(at.table, "a"))
    assert left == 256
    at.busy.clear()
    at.step()
    assert at.table.number == number + 1
    assert phases(at.table) == {
        ("a", "", ""): 342,
        ("c", "", "a"): 170,
        ("b", "", ""): 341,
        ("c", "", "b"): 171,
    }


# Agents that are away.


def test_a_node_whose_agent_is_away_keeps_what_it_has_and_is_given_nothing() -> None:
    at = farm("abc", a=342, b=341, c=341)
    at.away = {"b"}
    assert not at.decide()
    at.living.discard("c")
    at.decide()
    assert at.table.shares() == {"a": 683, "b": 341} and at.table.is_settled
    at.away.clear()
    at.rest()
    assert at.table.shares() == {"a": 512, "b": 512}


def test_nobody_joins_nor_is_drained_meanwhile() -> None:
    at = farm("abcd", a=342, b=341, c=341)
    at.away, at.weights["c"] = {"b"}, 0
    assert not at.decide()


def test_what_is_on_its_way_waits_for_it() -> None:
    at = farm("ab", a=SLOTS)
    at.decide()
    coming, at.away = at.table, {"b"}
    assert coming.coming.count("1") == 512 and not at.decide() and not at.step()
    at.away.clear()
    assert at.step()


def test_without_anybody_else_it_is_given_what_nobody_has() -> None:
    at = farm("ab", a=512, b=512)
    at.living, at.away = {"b"}, {"b"}
    at.decide()
    assert at.table.shares() == {"b": SLOTS}


def test_what_nobody_has_goes_to_a_node_that_is_there_though_it_is_later_in_the_chain() -> None:
    at = farm("abc", a=512, b=512)
    at.groups, at.living, at.away = (("a", "b"), ("c", "d")), {"b", "c"}, {"b"}
    at.decide()
    assert at.table.shares() == {"b": 512, "c": 512}
    at.away.clear()
    at.rest()
    assert at.table.shares() == {"b": SLOTS}


def test_one_without_slots_is_as_dead() -> None:
    at = farm("ab", a=SLOTS)
    at.away = {"b"}
    assert not at.decide()


# Other nodes.


def test_nodes_may_change_their_places_and_names() -> None:
    at = farm("abc", a=512, b=512)
    at.decide()
    last, at.nodes = at.table, ("c", "x", "b", "a")
    at.decide()
    assert [phase(at.table, slot) for slot in range(SLOTS)] == [phase(last, slot) for slot in range(SLOTS)]
    assert (at.table.number, at.table.nodes) == (last.number + 1, at.nodes)


def test_a_node_that_is_taken_out_of_the_farm_is_as_dead() -> None:
    at = farm("abc", a=342, b=341, c=341)
    at.nodes = ("a", "b")
    at.decide()
    assert at.table.shares() == {"a": 512, "b": 512} and at.table.is_settled


# Whatever happens.


@given(CHAIN, HAPPENS, LIVING, LIVING)
def test_while_an_agent_is_away_only_what_nobody_has_is_given_away(
    chain: tuple[tuple[str, ...], ...],
    story: list[tuple],  # type: ignore[type-arg]
    living: set[str],
    away: set[str],
) -> None:
    at = Farm(groups=chain)
    play(at, story)
    at.busy.clear()
    at.away.clear()
    at.rest()
    before, at.living, at.away = at.table, living, away
    members = at.members(before)
    after = at.following(before)
    given_to = {heads_for(after, slot) for slot in range(SLOTS) if before.owner(slot) not in living}
    at.decide()
    if not any(member.away for member in members.values()) or not at.serving:
        return
    kept = [slot for slot in range(SLOTS) if before.owner(slot) in members]
    assert all(phase(at.table, slot) == (before.owner(slot), "", "") for slot in kept)
    assert not given_to & at.away or not any(at.weight(n) for n in living - at.away)


@given(CHAIN, HAPPENS)
def test_whatever_happened_it_settles_at_the_quotas_when_left_alone(
    chain: tuple[tuple[str, ...], ...],
    story: list[tuple],  # type: ignore[type-arg]
) -> None:
    at = Farm(groups=chain)
    play(at, story)
    at.busy.clear()
    at.away.clear()
    at.rest()
    assert at.table.is_settled
    assert sum(at.table.shares().values()) == (SLOTS if at.serving else 0)
    check_shares(at)


@given(CHAIN, HAPPENS)
def test_every_table_is_well_formed_and_one_number_on(
    chain: tuple[tuple[str, ...], ...],
    story: list[tuple],  # type: ignore[type-arg]
) -> None:
    at = Farm(groups=chain)
    for what in story:
        happen(at, what)
        before = at.table
        assert at.decide() == (at.table != before)
        assert at.table.number == before.number + (at.table is not before)
        check_form(at.table)
        assert at.following(at.table) is at.table
        record = SlotsRecord("10.0.0.9", "a", at.table, dict(at.table.shares()))
        assert decode(SlotsRecord, encode(record)) == record


@given(CHAIN, HAPPENS, st.randoms(use_true_random=False))
def test_the_order_in_which_the_members_are_named_does_not_matter(
    chain: tuple[tuple[str, ...], ...],
    story: list[tuple],  # type: ignore[type-arg]
    chance: random.Random,
) -> None:
    at = Farm(groups=chain)
    for what in story:
        happen(at, what)
        shuffled = list(at.members(at.table).items())
        chance.shuffle(shuffled)
        members = dict(shuffled)
        assert next_table(at.table, members, chain or (NODES,), NODES) == at.following(at.table)
        at.decide()


@given(CHAIN, HAPPENS, LIVING, WEIGHTS)
def test_as_few_slots_move_as_can_be(
    chain: tuple[tuple[str, ...], ...],
    story: list[tuple],  # type: ignore[type-arg]
    living: set[str],
    weights: dict[str, int],
) -> None:
    """From a table at rest: what the living have above the most that they may have, or what others lack."""
    at = Farm(groups=chain)
    play(at, story)
    at.busy.clear()
    at.away.clear()
    at.rest()
    before, at.living, at.weights = at.table, living, weights
    at.decide()
    moved = [slot for slot in range(SLOTS) if heads_for(at.table, slot) != before.owner(slot)]
    from_the_living = [slot for slot in moved if before.owner(slot) in living]
    have = {node: count for node, count in before.shares().items() if node in living}
    if not at.serving:
        assert from_the_living == [slot for slot in range(SLOTS) if before.owner(slot) in living]
        return
    total = sum(at.serving.values())
    exact = {node: Fraction(SLOTS * weight, total) for node, weight in at.serving.items()}
    above = sum(max(0, count - int(-(-exact.get(node, 0) // 1))) for node, count in have.items())
    kept = sum(max(have.get(node, 0), int(share // 1)) for node, share in exact.items())
    stray = sum(count for node, count in have.items() if node not in exact)
    assert len(from_the_living) == max(above, kept + stray - SLOTS)


@given(LIVING, st.sampled_from(NODES))
def test_a_lost_node_moves_its_own_slots_alone(living: set[str], lost: str) -> None:
    at = Farm(living=living | {lost})
    at.rest()
    before = at.table
    at.living.discard(lost)
    at.decide()
    assert at.table.is_settled
    assert all(before.owner(slot) in (lost, at.table.owner(slot)) for slot in range(SLOTS))


@given(CHAIN, HAPPENS)
def test_a_slot_changes_as_its_phases_allow(
    chain: tuple[tuple[str, ...], ...],
    story: list[tuple],  # type: ignore[type-arg]
) -> None:
    """What two living nodes have to do with a slot never changes by more than one phase."""
    at = Farm(groups=chain)
    for what in story:
        if what == ("rest",):
            continue
        before = at.table
        happen(at, what)
        check_changes(before, at.table, at)
        before = at.table
        at.decide()
        check_changes(before, at.table, at)


def check_changes(before: SlotTable, after: SlotTable, at: Farm) -> None:
    for slot in range(SLOTS):
        was, now = phase(before, slot), phase(after, slot)
        if was != now and not set(was) - {""} - at.living:
            assert now in followers(was), (was, now)


def followers(was: tuple[str, str, str]) -> set[tuple[str, str, str]]:
    """Without a death."""
    match was:
        case ("", "", ""):
            return {(node, "", "") for node in NODES}
        case (owner, "", ""):
            return {("", "", owner)} | {(owner, node, "") for node in NODES}
        case (owner, comer, ""):
            others = {(owner, node, "") for node in NODES}
            return {(comer, "", owner), (owner, "", ""), ("", "", owner)} | others
        case ("", "", leaver):
            return {("", "", ""), (leaver, "", "")} | {(leaver, node, "") for node in NODES}
        case (owner, "", leaver):
            return {(owner, "", ""), (leaver, "", owner)}
    raise AssertionError(was)
